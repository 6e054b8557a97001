"""The files of telemetry/trouble_codes: complete, consistent, in both languages, short enough to be read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from telemetry.errors import TroubleCodeDataError
from telemetry.trouble_codes import JOBS, LANGUAGES, SEVERITIES, describe, texts

FOLDER = Path(texts.__file__).parent
FILES = sorted(set(texts.FILES.values()))
LISTED = [(code, meaning) for file in FILES for code, meaning in texts.listed(file).items()]
# Latin words a Chinese reader meets in the manual of the car, letters that number parts, and units.
ABBREVIATIONS = {"ABS", "EGR", "CAN", "DC", "SCR", "SAE", "J", "V", "U", "W"} | set("ABCDEFGHIJKL")
NAMES = {"ABS", "AdBlue", "CAN", "12"}  # what a meaning may begin with besides a small letter
HAN = re.compile(r"[\u4e00-\u9fff]")


def pairs(value: Any, where: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each text of a document: the smallest mappings that hold both languages."""
    if isinstance(value, dict):
        if set(LANGUAGES) & set(value):
            yield where, {language: value.get(language, "") for language in LANGUAGES}
        for key, inner in value.items():
            if key not in LANGUAGES:
                yield from pairs(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from pairs(inner, f"{where}[{number}]")


def document(file: str) -> Any:
    return yaml.load((FOLDER / file).read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a safe loader, see its class


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's, where it is there
    """The safe loader, which also refuses a key that stands twice (YAML itself would keep the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"a key stands twice at {node.start_mark}"
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


DOCUMENTS = {file: document(file) for file in [*FILES, "words.yaml", "heavy.yaml"]}
TEXTS = [pair for file, content in DOCUMENTS.items() for pair in pairs(content, file)]


def test_more_codes_are_told_than_promised() -> None:
    assert len(LISTED) >= 400
    assert len({code for code, _ in LISTED}) == len(LISTED), "a code stands in two files"


@pytest.mark.parametrize(("system", "least"), [("P", 1500), ("U", 300), ("C", 80), ("B", 60)])
def test_each_system_is_covered(system: str, least: int) -> None:
    assert sum(code.startswith(system) for code, _ in LISTED) >= least


def test_the_folder_holds_no_other_file() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == set(DOCUMENTS)


def test_each_text_is_in_its_language() -> None:
    for where, text in TEXTS:
        assert text["en"].strip() == text["en"] != "", where
        assert text["zh"].strip() == text["zh"] != "", where
        assert not HAN.search(text["en"]), where
        assert text["en"].isascii(), where
        foreign = set(re.findall(r"[A-Za-z]+", re.sub(r"\{[a-z]+\}", "", text["zh"]))) - ABBREVIATIONS
        assert not foreign, (where, foreign)


def test_punctuation_is_that_of_the_language() -> None:
    for where, text in TEXTS:
        assert not re.search(r"[,;:.?!()](?!\d)", re.sub(r"\{[a-z]+\}", "", text["zh"])), where


def test_meanings_stand_inside_a_sentence_and_fit_a_phone() -> None:
    for code, entry in LISTED:
        english, chinese = entry.meaning["en"], entry.meaning["zh"]
        assert len(english) <= 76, (code, english)  # with "Fault P0301: " a title of 90 characters
        assert len(chinese) <= 28, (code, chinese)
        assert HAN.search(chinese), code
        assert not english.endswith("."), code
        assert english[0].islower() or english.split()[0] in NAMES, (code, english)
        assert "  " not in english + chinese, code
        assert "{" not in english + chinese, code


def test_advice_says_what_to_do_and_when_its_severity_says() -> None:
    within = {
        "info": ("next service", "if", "nothing"),
        "soon": ("two weeks",),
        "urgent": ("three days",),
        "stop": ("stop", "do not", "before driving on"),
    }
    for name, advice in texts.words().advice.items():
        english, chinese = advice.text["en"], advice.text["zh"]
        if advice.severity == "urgent" and "in three days" not in english:
            assert "three days" in english, name
        assert any(word in english.lower() for word in within[advice.severity]), name
        assert 30 <= len(english) <= 200, name
        assert 15 <= len(chinese) <= 80, name
        assert english.endswith("."), name
        assert chinese.endswith("。"), name
        if advice.severity in {"soon", "urgent"}:
            assert ("两周" if advice.severity == "soon" else "三天") in chinese, name


def test_severity_and_job_are_of_closed_lists() -> None:
    advices = texts.words().advice.values()
    assert {advice.severity for advice in advices} == set(SEVERITIES)
    assert {advice.job for advice in advices} <= {None, *JOBS}
    assert all((advice.job is None) == (advice.severity == "info") for advice in advices), "info needs no appointment"


def test_each_advice_fault_and_place_is_used() -> None:
    words = texts.words()
    used = {id(entry.advice) for _, entry in LISTED} | {id(advice) for advice in words.unlisted_advice.values()}
    beside = {"maker_unlisted", "truck_soon", "truck_urgent", "truck_stop"}
    assert {name for name, advice in words.advice.items() if id(advice) not in used} == beside
    told = {
        word
        for file in FILES
        for entry in DOCUMENTS[file]
        for line in (
            [*entry["codes"].values()]
            if isinstance(entry["codes"], dict)
            else [entry.get("faults", ""), entry.get("places", "")]
        )
        for word in str(line).split()
    }
    assert {*words.faults, *words.places} == told


def test_codes_of_one_system_differ_in_words() -> None:
    # One part may be reported by two numbers, an old and a newer one; more than four would say too little.
    by_words: dict[str, list[str]] = {}
    for code, entry in LISTED:
        by_words.setdefault(entry.meaning["en"], []).append(code)
    alike = {words: codes for words, codes in by_words.items() if len(codes) > 4}
    assert set(alike) == {"implausible signal from the self-check of the engine control unit"}


def test_failure_types_cover_every_byte() -> None:
    types = texts.words().failure_types
    assert all(byte in types or byte & 0xF0 | 0x100 in types for byte in range(1, 256))
    assert len([byte for byte in types if byte < 0x100]) >= 80


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{codes: P0301, meaning: {en: a, zh: 甲}, advice: misfires}", "unknown advice 'misfires'"),
        ("{codes: P0301, meaning: {en: a, zh: 甲}, advice: soon, severity: stop}", "unknown key 'severity'"),
        ("{codes: P0301, meaning: {en: a}, advice: soon}", "expected a text in each of en, zh"),
        ("{codes: P0301, advice: soon}", "expected a text in each of en, zh"),
        ("{codes: P9999, meaning: {en: a, zh: 甲}, advice: soon}", "no SAE J2012 code"),
        ("{codes: U0100, meaning: {en: a, zh: 甲}, advice: soon}", "is looked for in network.yaml"),
        ("{codes: P0302-P0301, meaning: {en: a, zh: 甲}, advice: soon}", "the range is empty"),
        ("{codes: P0301-U0302, meaning: {en: a, zh: 甲}, advice: soon}", "the range is empty"),
        ('{codes: P0301, meaning: {en: "{place}", zh: 甲}, advice: soon}', "nothing fills the placeholder 'place'"),
        ("{codes: {P0301: lowest}, part: {en: a, zh: 甲}, advice: soon}", "unknown fault 'lowest'"),
        ("{codes: {P0301: low x1}, part: {en: a, zh: 甲}, advice: soon}", "unknown place 'x1'"),
        ("{codes: {P0301: low b1 b2}, part: {en: a, zh: 甲}, advice: soon}", "is too much"),
        ("{codes: P0301, part: {en: a, zh: 甲}, advice: soon}", "say what is wrong with the part"),
        ("{codes: P0301-P0303, part: {en: a, zh: 甲}, faults: low high, advice: soon}", "3 codes, but 2 faults"),
        ("&a {codes: P0420, meaning: {en: a, zh: 甲}, advice: soon}\n- *a", "P0420 stands twice"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named(monkeypatch: pytest.MonkeyPatch, entry: str, complaint: str) -> None:
    texts.words()  # its own file is read before the reader is replaced
    monkeypatch.setattr(texts, "_load", lambda _: yaml.safe_load(f"- {entry}"))
    with pytest.raises(TroubleCodeDataError, match=re.escape(complaint)) as error:
        texts.listed.__wrapped__("powertrain_ignition_emissions.yaml")
    assert "powertrain_ignition_emissions.yaml: " in str(error.value)


def test_the_page_for_engineers_says_what_is_true() -> None:
    page = (FOLDER.parents[1] / "docs" / "engineers.md").read_text(encoding="utf-8")
    (promised,) = re.findall(r"More than ([\d,]+) codes are listed", page)
    assert len(LISTED) > int(promised.replace(",", ""))
    (asked,) = re.findall(r'describe\("([^"]+)", "en"\)', page)
    told = describe(asked, "en")
    for name in ("meaning", "severity", "job", "structure"):
        assert re.search(rf"^told\.{name} +# {re.escape(str(getattr(told, name)))}$", page, re.MULTILINE), name
    (entry,) = re.findall(r"```yaml\n(- codes: [^`]+)```", page)
    assert entry in (FOLDER / "powertrain_fuel_air.yaml").read_text(encoding="utf-8")
