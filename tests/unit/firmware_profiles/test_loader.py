"""Errors a person meets while writing a profile, word for word; inheritance; nothing silently lost."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from firmware_profiles.errors import ProfileError
from firmware_profiles.loader import load_hardware_profile, load_vehicle_profile
from firmware_profiles.profile import Match
from firmware_profiles.schema import schema

WHOLE = """\
name: mine
title: My car
kind: petrol
can: {bit_rate: 500000, identifier_bits: 11}
poll:
  - {pid: "0C", period: 1s}
dids:
  - name: oil
    request_id: "7E0"
    response_id: "7E8"
    did: "054B"
    period: 5min
    source: the workshop manual
    signals:
      - {signal: oil_life, byte_offset: 0, bit_length: 8, scale: 1, example: {payload: "43", value: 67}}
trouble_codes: {services: ["03"], period: 1min}
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str, name: str = "mine") -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_a_whole_profile_is_read(write: Write) -> None:
    profile = load_vehicle_profile(write(WHOLE))
    assert profile.poll[0].pid == 0x0C
    did = profile.dids[0]
    assert (did.request_id, did.response_id, did.did, did.period_s) == (0x7E0, 0x7E8, 0x054B, 300.0)
    assert did.signals[0].path == "Vehicle.Powertrain.CombustionEngine.EngineOil.LifeRemainingPercent"
    assert not did.extended
    assert profile.trouble_codes is not None
    assert profile.trouble_codes.services == (3,)


def test_a_van_says_so_and_a_car_need_not(write: Write) -> None:
    assert load_vehicle_profile(write(WHOLE)).category == "M1"
    assert load_vehicle_profile(write(WHOLE.replace("kind: petrol", "kind: petrol\ncategory: N1"))).category == "N1"
    with pytest.raises(ProfileError, match="category"):
        load_vehicle_profile(write(WHOLE.replace("kind: petrol", "kind: petrol\ncategory: truck")))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("period: 5min", "period: 5", "mine.yaml: dids[oil].period: 5 has no unit, did you mean '5s'?"),
        (
            "period: 5min",
            "period: five",
            "mine.yaml: dids[oil].period: expected a time such as 200ms, 5s, 10min, 2h or 1d, found 'five'",
        ),
        ("period: 5min", "peroid: 5min", "mine.yaml: dids[oil]: unknown key 'peroid'; did you mean 'period'?"),
        ("    period: 5min\n", "", "mine.yaml: dids[oil]: key 'period' is missing: how often to ask"),
        (
            "signal: oil_life",
            "signal: oil_live",
            "mine.yaml: dids[oil].signals[oil_live].signal: unknown word 'oil_live'; did you mean 'oil_life'?",
        ),
        (
            "kind: petrol",
            "kind: petrl",
            (
                "mine.yaml: kind: expected one of petrol, diesel, hybrid, electric, generic, found 'petrl'; "
                "did you mean 'petrol'?"
            ),
        ),
        (
            'request_id: "7E0"',
            "request_id: 710",
            (
                "mine.yaml: dids[oil].request_id: expected 3 or 8 hexadecimal digits in quotes, capital letters, "
                "found a number; put it in quotes: '710'"
            ),
        ),
        (
            'response_id: "7E8"',
            'response_id: "17FE007B"',
            "mine.yaml: dids[oil].response_id: request and answer must both have 3 digits (11 bit) or both 8 (29 bit)",
        ),
        (
            "bit_length: 8",
            "bit_length: 16",
            "mine.yaml: dids[oil].signals[oil_life].example.payload: 1 bytes, but the signal ends in byte 2",
        ),
        ("scale: 1", "scale: 0", "mine.yaml: dids[oil].signals[oil_life].scale: a scale of 0 gives no value"),
        (
            "scale: 1",
            "scale: 1-10",
            (
                "mine.yaml: dids[oil].signals[oil_life].scale: expected a number or a fraction such as 100/255, "
                "found '1-10'"
            ),
        ),
        (
            "kind: petrol",
            "kind: petrol\nmatch: {vin: [1G1O]}",
            (
                "mine.yaml: match.vin[0]: expected the first 3 to 17 characters of a VIN, where ? is any and [AC-E] "
                "one of some, found '1G1O'"
            ),
        ),
        (
            "kind: petrol",
            "kind: petrol\nmatch: {vin: ['1G1F[E-A]']}",
            "mine.yaml: match.vin[0]: a class in '1G1F[E-A]' runs backwards; write [A-C], not [C-A]",
        ),
        (
            "kind: petrol",
            "kind: petrol\nmatch: {vins: ['1G1F']}",
            "mine.yaml: match: unknown key 'vins'; did you mean 'vin'?",
        ),
        (
            "kind: petrol",
            "kind: petrol\nmatch: {years: {first: 2024, last: 2019}}",
            "mine.yaml: match.years: the last model year, 2019, is before the first, 2024",
        ),
        (
            "period: 5min",
            "service: 21\n    period: 5min",
            "mine.yaml: dids[oil].service: expected one of 22, 21; put it in quotes: '21'",
        ),
        (
            "period: 5min",
            'service: "21"\n    period: 5min',
            "mine.yaml: dids[oil].did: '054B' has 4 digits; service 22 takes 4 ('0101'), service 21 takes 2 ('01')",
        ),
        (
            "value: 67}",
            'value: 67}, examples: [{payload: "43", value: 67}, {payload: 43, value: 67}]',
            (
                "mine.yaml: dids[oil].signals[oil_life].examples[1].payload: expected bytes as hexadecimal digits in "
                "quotes, capital letters, found a number; put it in quotes: '43'"
            ),
        ),
        ("name: mine", "name: yours", "mine.yaml: name: the file is called mine.yaml, so the name is 'mine'"),
        (
            "bit_rate: 500000",
            "bit_rate: 500",
            "mine.yaml: can.bit_rate: expected a whole number from 125000 to 1000000 bit/s, found 500",
        ),
        ("identifier_bits: 11", "identifier_bits: 12", "mine.yaml: can.identifier_bits: expected 11 or 29, found 12"),
        ("title: My car\n", "title: My car\ntitle: Yours\n", "mine.yaml: line 3: key 'title' stands twice"),
        ("title: My car", "title: [", "mine.yaml: line 4: expected ',' or ']', but got ':'"),
        (
            "name: mine",
            "extends: genric\nname: mine",
            "mine.yaml: extends: there is no profile 'genric'; did you mean 'generic'?",
        ),
    ],
)
def test_errors_say_where_and_what_to_do(write: Write, before: str, after: str, message: str) -> None:
    assert before in WHOLE
    path = write(WHOLE.replace(before, after, 1))
    with pytest.raises(ProfileError) as raised:
        load_vehicle_profile(path)
    assert str(raised.value) == message


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        ProfileError, match=r"no vehicle profile 'genric'; did you mean 'generic'\? \(there are: .*generic"
    ):
        load_vehicle_profile("genric")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"absent\.yaml: there is no such file"):
        load_vehicle_profile(tmp_path / "absent.yaml")


def test_a_file_that_holds_no_mapping_is_refused(write: Write) -> None:
    with pytest.raises(ProfileError, match="expected a mapping of keys; begin with 'name: mine'"):
        load_vehicle_profile(write("- a\n- b\n"))


def test_extending_changes_items_by_name_and_keeps_the_rest(write: Write) -> None:
    write(WHOLE.replace("name: mine", "name: base"), "base")
    child = write(
        "name: mine\ntitle: Mine\nextends: base\nkind: diesel\n"
        "poll:\n  - {pid: '0C', period: 2s}\n  - {pid: '0D', period: 1s}\n"
        "dids:\n  - name: oil\n    period: 1h\n    signals:\n      - {signal: oil_life, scale: 100/255,"
        " example: {payload: '66', value: 40}}\n"
        "health: {oil_life: {time_cap_days: 100}}\n"
    )
    profile = load_vehicle_profile(child)
    assert (profile.kind, profile.can.bit_rate) == ("diesel", 500_000)
    assert [(item.pid, item.period_s) for item in profile.poll] == [(0x0C, 2.0), (0x0D, 1.0)]
    assert (profile.dids[0].did, profile.dids[0].period_s) == (0x054B, 3600.0)
    assert profile.dids[0].signals[0].scale == Fraction(100, 255)
    assert profile.health == {"oil_life": {"time_cap_days": 100}}
    assert [file.stem for file in profile.files] == ["mine", "base"]


def test_what_is_missing_in_the_whole_chain_is_missing(write: Write) -> None:
    write("name: base\ntitle: Base\nfamily: true\n", "base")
    with pytest.raises(ProfileError, match=r"mine\.yaml: key 'kind' is missing"):
        load_vehicle_profile(write("name: mine\ntitle: Mine\nextends: base\n"))


def test_how_a_car_is_recognised_is_read_and_may_come_from_the_family(write: Write) -> None:
    match = 'match: {vin: [KM8K, "1G1F?[AC-E]"], years: {first: 2019, last: 2024}, ecus: ["7EC"]}\n'
    write("name: base\nfamily: true\n" + match + WHOLE.partition("\n")[2], "base")
    child = write("name: mine\ntitle: Mine\nextends: base\nmatch: {years: {last: 2021}}\n")
    found = load_vehicle_profile(child).match
    assert found == Match(vin=("KM8K", "1G1F?[AC-E]"), first_year=2019, last_year=2021, ecus=(0x7EC,))
    assert load_vehicle_profile("generic").match is None


def test_a_local_identifier_has_one_byte_and_its_own_service(write: Write) -> None:
    text = WHOLE.replace('did: "054B"', 'service: "21"\n    did: "61"\n    length: 8\n    note: seen from 2013')
    did = load_vehicle_profile(write(text)).dids[0]
    assert (did.service, did.did, did.length, did.note) == (0x21, 0x61, 8, "seen from 2013")


def test_a_length_too_short_for_the_signals_is_refused(write: Write) -> None:
    text = WHOLE.replace("byte_offset: 0", "byte_offset: 1").replace('"43"', '"00 43"')
    with pytest.raises(ProfileError, match=r"dids\[oil\]\.length: 1 bytes, but the signals end in byte 2"):
        load_vehicle_profile(write(text.replace("    signals:", "    length: 1\n    signals:")))


def test_further_examples_are_read_and_must_be_long_enough(write: Write) -> None:
    text = WHOLE.replace("value: 67}", 'value: 67}, examples: [{payload: "00", value: 0}]')
    (signal,) = load_vehicle_profile(write(text)).dids[0].signals
    assert [example.value for example in signal.examples] == [67, 0]
    wide = text.replace("bit_length: 8", "bit_length: 16").replace('"43"', '"00 43"')
    with pytest.raises(ProfileError, match=r"examples\[0\]\.payload: 1 bytes, but the signal ends in byte 2"):
        load_vehicle_profile(write(wide))


def test_a_deprecated_key_is_still_accepted_and_marked_for_editors(write: Write) -> None:
    load_vehicle_profile(write(WHOLE + "limits: {oil_life: 10}\n"))
    whole: Any = schema("vehicle")["$defs"]
    assert whole["whole"]["properties"]["limits"]["deprecated"] is True


def test_a_circle_is_named(write: Write) -> None:
    write("name: other\ntitle: Other\nextends: mine\n", "other")
    with pytest.raises(ProfileError, match="'mine' extends this file in turn"):
        load_vehicle_profile(write("name: mine\ntitle: Mine\nextends: other\n"))


def test_a_family_is_no_profile_to_choose() -> None:
    with pytest.raises(ProfileError, match="this is a family"):
        load_vehicle_profile("combustion_engine")


SECOND = """\
  - name: {name}
    request_id: "7E0"
    response_id: "7E8"
    did: "{did}"
    period: 5min
    source: the workshop manual
    signals:
      - {{signal: {signal}, byte_offset: 0, bit_length: 8, scale: 1, example: {{payload: "43", value: 67}}}}
"""


@pytest.mark.parametrize(
    ("name", "did", "signal", "message"),
    [
        ("oil", "054C", "oil_temperature", "dids[oil]: name 'oil' stands twice"),
        ("heat", "054B", "oil_temperature", "dids[heat]: DID 054B of 7E0 is already read by 'oil'"),
        ("again", "054C", "oil_life", "dids[again].signals[oil_life]: this signal is already read by 'oil'"),
    ],
)
def test_one_meaning_for_each_place(write: Write, name: str, did: str, signal: str, message: str) -> None:
    second = SECOND.format(name=name, did=did, signal=signal)
    with pytest.raises(ProfileError) as raised:
        load_vehicle_profile(write(WHOLE.replace("trouble_codes", second + "trouble_codes")))
    assert str(raised.value) == f"mine.yaml: {message}"


def test_two_signals_at_the_same_bit_are_refused(write: Write) -> None:
    line = "      - {signal: oil_temperature, byte_offset: 0, bit_length: 4, scale: 1, "
    line += 'example: {payload: "43", value: 4}}\n'
    with pytest.raises(ProfileError, match="starts at the same bit as 'oil_life'"):
        load_vehicle_profile(write(WHOLE.replace("trouble_codes", line + "trouble_codes")))


def test_numbers_that_stand_for_no_value_reach_the_record(write: Write) -> None:
    profile = load_vehicle_profile(write(WHOLE.replace("scale: 1,", "scale: 1, absent: [0, 255],")))
    assert profile.dids[0].signals[0].absent == (0, 255)


BOARD = """\
name: mine
title: My dongle
extends: pi_zero_2w_mcp2515
"""


def test_hardware_extends_what_ships(write: Write) -> None:
    profile = load_hardware_profile(write(BOARD + "memory_mb: 1024\n"))
    assert (profile.memory_mb, profile.board) == (1024, "Raspberry Pi Zero 2 W")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "controller: {oscillator_hz: 8000000}\n",
            "mine.yaml: config_txt: no dtoverlay line says oscillator=8000000,interrupt=25, as the controller does",
        ),
        (
            "power: {sleep_below_v: 13.5}\n",
            "mine.yaml: power: sleep_below_v must be below wake_above_v, or the dongle wakes and sleeps in turn",
        ),
        ("interface: {kind: slcan}\n", "mine.yaml: interface: a serial adapter (slcan) needs serial_baud"),
    ],
)
def test_hardware_errors(write: Write, more: str, message: str) -> None:
    with pytest.raises(ProfileError) as raised:
        load_hardware_profile(write(BOARD + more))
    assert str(raised.value) == message
