import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.trouble_codes import JOBS, LANGUAGES, SEVERITIES, Language, describe
from telemetry.trouble_codes.texts import FILES, listed

HAN = re.compile(r"[\u4e00-\u9fff]")
ALL_LISTED = {code for file in set(FILES.values()) for code in listed(file)}


def codes_of(system: str) -> list[str]:
    return [f"{system}{number:04X}" for number in range(0x4000)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("system", "PCBU")
def test_each_of_the_65536_codes_has_an_honest_sentence(system: str, language: Language) -> None:
    for code in codes_of(system):
        told = describe.__wrapped__(code, language)
        assert told.code == code
        assert told.known == (code in ALL_LISTED)
        assert 0 < len(told.meaning) <= (76 if language == "en" else 28), "with the code it fits a phone's notification"
        assert told.structure
        assert told.system
        assert told.severity in SEVERITIES
        assert told.job is None or told.job in JOBS
        assert told.advice.endswith("." if language == "en" else "。")
        for text in (told.meaning, told.advice, told.structure, told.system):
            assert bool(HAN.search(text)) == (language == "zh"), text
            assert "{" not in text


@given(st.text(max_size=40), st.sampled_from(LANGUAGES))
def test_any_text_is_answered(text: str, language: Language) -> None:
    told = describe(text, language)
    assert told.meaning
    assert told.advice
    assert told.severity in SEVERITIES


@given(st.integers(0, 0xFFFFFF), st.sampled_from(LANGUAGES))
def test_each_failure_type_has_words(number: int, language: Language) -> None:
    letter = "PCBU"[number >> 22]
    code = f"{letter}{number >> 8 & 0x3FFF:04X}"
    failure = number & 0xFF
    told, bare = describe(f"{code}-{failure:02X}", language), describe(code, language)
    assert told.code == f"{code}-{failure:02X}"
    assert (told.severity, told.advice, told.known) == (bare.severity, bare.advice, bare.known)
    assert told.meaning.startswith(bare.meaning)
    assert (told.meaning == bare.meaning) == (failure == 0), "00 says nothing more"


@given(st.integers(0, (1 << 19) - 1), st.integers(0, 31), st.sampled_from(LANGUAGES))
def test_each_truck_code_has_an_honest_sentence(spn: int, fmi: int, language: Language) -> None:
    told = describe(f"SPN {spn} FMI {fmi}", language)
    assert told.code == f"SPN {spn} FMI {fmi}"
    assert str(spn) in told.structure
    assert told.known or str(spn) in told.meaning
    assert bool(HAN.search(told.meaning)) == (language == "zh")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("P0301", "cylinder 1 misfires"),
        ("P0312", "cylinder 12 misfires"),
        ("P0420", "catalyst cleans too little (bank 1)"),
        ("P0430", "catalyst cleans too little (bank 2)"),
        ("P0153", "slow reaction of the oxygen sensor before the catalyst (bank 2)"),
        ("P0276", "voltage too low at the injector of cylinder 6"),
        ("P0753", "electrical fault at shift valve A"),
        ("P0A3F", "electrical fault at the position sensor of drive motor A"),
        ("P0516", "signal too low at the 12 V battery temperature sensor"),
        ("P0345", "electrical fault at camshaft sensor A (bank 2)"),
        ("P0406", "signal too high at position sensor A of the exhaust gas recirculation"),
        ("P0A7F", "drive battery is worn"),
        ("C0031", "fault at the wheel speed sensor, front left"),
        ("C0031-1C", "fault at the wheel speed sensor, front left (voltage out of range)"),
        ("B0028", "fault at the right side airbag"),
        ("U0121", "no contact with the ABS control unit"),
        ("P1234", "fault in engine and drive, numbered by the car maker"),
        ("SPN 110 FMI 0", "coolant temperature: far too high, most severe"),
        ("SPN 110 FMI 22", "coolant temperature: condition present"),
        ("SPN 7001 FMI 4", "parameter 7001: voltage too low or short to ground"),
    ],
)
def test_codes_read_well_in_english(code: str, words: str) -> None:
    assert describe(code, "en").meaning == words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("P0301", "第 1 缸失火"),
        ("P0153", "第 2 列前氧传感器响应迟缓"),
        ("P0753", "换挡电磁阀 A 电路故障"),
        ("C0031-1C", "左前轮速传感器故障（电压超出范围）"),
        ("U0121", "与 ABS 控制单元失去通信"),
        ("P1234", "动力系统故障，编号由车厂自定义"),
        ("SPN 110 FMI 0", "冷却液温度：远高于正常范围，最严重"),
    ],
)
def test_codes_read_well_in_chinese(code: str, words: str) -> None:
    assert describe(code, "zh").meaning == words


@pytest.mark.parametrize(
    ("code", "severity", "job"),
    [
        ("P0524", "stop", "diagnosis"),  # no oil pressure
        ("P0217", "stop", "diagnosis"),  # overheating
        ("P0AA6", "stop", "diagnosis"),  # insulation of the high voltage
        ("P0A7E", "stop", "traction_battery_check"),  # drive battery overheats
        ("C0049", "stop", "diagnosis"),  # brake fluid low
        ("SPN 100 FMI 1", "stop", "diagnosis"),  # no oil pressure
        ("SPN 100 FMI 4", "soon", "diagnosis"),  # its sensor
        ("P0300", "urgent", "diagnosis"),
        ("P0562", "urgent", "battery_check"),
        ("C004A", "urgent", "brake_pads"),
        ("P0A7F", "soon", "traction_battery_check"),
        ("P253F", "soon", "oil_change"),
        ("C0078", "soon", "tire_repair"),
        ("P0420", "soon", "diagnosis"),
        ("P0456", "info", None),
        ("P07FF", "urgent", "diagnosis"),  # not listed, but of the gearbox
        ("B00FF", "urgent", "diagnosis"),  # not listed, but of the airbags
    ],
)
def test_what_hurries_and_what_to_book(code: str, severity: str, job: str | None) -> None:
    told = describe(code, "en")
    assert (told.severity, told.job) == (severity, job)


def test_misfires_are_urgent() -> None:
    misfires = {f"P{number:04d}" for number in (*range(300, 313), 314, 316)}
    assert {describe(code, "en").severity for code in misfires} == {"urgent"}


def test_a_makers_number_is_never_guessed() -> None:
    for system, digits in (("P", "1"), ("C", "12"), ("B", "12"), ("U", "12")):
        for digit in digits:
            assert not any(code.startswith(system + digit) for code in ALL_LISTED)


def test_nothing_is_read_before_the_first_question() -> None:
    # A process of its own: here other tests have asked before.
    program = (
        "import sys, telemetry.trouble_codes as t, telemetry.trouble_codes.texts as x\n"
        "assert not x.words.cache_info().currsize and not x.listed.cache_info().currsize\n"
        "t.describe('U0100', 'en')\n"
        "assert x.listed.cache_info().currsize == 1, 'only the file of its group'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
