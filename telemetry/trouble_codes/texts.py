"""The words, read from YAML: ``words.yaml`` (structure, advice) and one file per group of codes, when first needed.

YAML because people who know cars write it, and reviewers read it. The first code asked for costs some 40 ms with
libyaml, all files together 0.1 s (0.5 s without it) and 1.5 MB; nothing is read on import.

An entry gives either the ``meaning`` of its codes or the ``part`` that ``faults`` befall; both may hold ``{place}``.
Its codes are one, a range (``{n}`` counts from 1; otherwise ``faults`` follow each other at the first of ``places``,
then at the next), or a mapping from each code to its fault and place (``low b1s1``).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast, get_args

import yaml

from telemetry.errors import TroubleCodeDataError
from telemetry.trouble_codes.structure import J2012Code, parse_code

Language = Literal["en", "zh"]
Severity = Literal["info", "soon", "urgent", "stop"]
Job = Literal["oil_change", "brake_pads", "battery_check", "traction_battery_check", "tire_repair", "diagnosis"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # from the mildest to the gravest
JOBS: tuple[Job, ...] = get_args(Job)  # those workshops offer, see docs/rules.md
Text = Mapping[Language, str]
_T = TypeVar("_T")
_NUMBERED = re.compile(r"(?:(?! of )[^(,])+ (?:[A-L]|\d)(?= of | \(|,|$)")  # "ignition coil A": takes no article
_UNSPACED = re.compile(r"(?<=[A-Za-z0-9])(?=[\u4e00-\u9fff])|(?<=[\u4e00-\u9fff])(?=[A-Za-z0-9])")

# The beginning of a code -> the file that lists it. Groups by SAE J2012: what is asked together stands together.
FILES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("P00", "P01", "P02"), "powertrain_fuel_air.yaml"),
        **dict.fromkeys(("P03", "P04"), "powertrain_ignition_emissions.yaml"),
        **dict.fromkeys(("P05", "P06"), "powertrain_control.yaml"),
        **dict.fromkeys(("P07", "P08", "P09"), "powertrain_gearbox.yaml"),
        **dict.fromkeys(("P0A", "P0B", "P0C", "P0D", "P0E", "P0F"), "powertrain_electric.yaml"),
        **dict.fromkeys((f"P2{group:X}" for group in range(16)), "powertrain_2.yaml"),
        **dict.fromkeys((f"P3{group}" for group in range(4, 10)), "powertrain_2.yaml"),
        **dict.fromkeys((f"C0{group:X}" for group in range(16)), "chassis.yaml"),
        **dict.fromkeys((f"B0{group:X}" for group in range(16)), "body.yaml"),
        **dict.fromkeys((f"U{digit}{group:X}" for digit in (0, 3) for group in range(16)), "network.yaml"),
    }
)
_ENTRY_KEYS = {"codes", "part", "meaning", "faults", "places", "advice"}


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to do, how much it hurries and what to book: one thing, so that they never contradict each other."""

    severity: Severity
    job: Job | None
    text: Text


@dataclass(frozen=True, kw_only=True)
class KnownMeaning:
    """What one code means."""

    meaning: Text
    advice: Advice


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of SAE J1939. ``stop``: the failure modes with which nobody should drive on."""

    name: Text
    stop: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Words:
    """What can be said of every code, by its digits alone; and the words that entries share."""

    systems: Mapping[str, Text]  # by letter; "J1939", "none"
    groups: Mapping[str, Text]  # by the beginning of a code
    structures: Mapping[str, Text]  # by authority; "J1939", "none"
    usually: Text  # around the group of a maker's code
    unlisted: Mapping[str, Text]  # by authority
    unlisted_advice: Mapping[str, Advice]  # by the beginning of a code
    foreign: Text  # what is no code by any standard known here
    failure_types: Mapping[int, Text]  # by byte; by 0x100 | high digit for those not listed
    faults: Mapping[str, Text]
    places: Mapping[str, Text]
    advice: Mapping[str, Advice]
    parameters: Mapping[int, Parameter]  # by suspect parameter number
    unlisted_parameter: Text
    failure_modes: Mapping[int, Text]  # by failure mode identifier
    grave_failure_modes: frozenset[int]

    def advice_unlisted(self, code: J2012Code) -> Advice:
        """What to do about a code of which only the structure is known: that of its group counts in a standard code."""
        start = f"{code.system}{code.digit}{code.group:X}" if code.authority == "standard" else code.system
        return self.unlisted_advice.get(start) or self.unlisted_advice[code.system]

    def group(self, code: J2012Code) -> Text | None:
        """Subsystem of a code, by its first three characters; None where the standard has no groups."""
        start = f"{code.system}{code.digit}{code.group:X}"
        return self.groups.get(start) or self.groups.get(start[:2])

    def truck_advice(self, fmi: int) -> str:
        """Name of the advice for a failure mode."""
        return "truck_urgent" if fmi in self.grave_failure_modes else "truck_soon"


@cache
def words() -> Words:
    """The shared words, read once."""
    file = "words.yaml"
    document = _load(file)
    heavy = _load("heavy.yaml")

    def texts(section: Mapping[Any, Any], where: str) -> dict[Any, Text]:
        return {key: _text(value, f"{where}.{key}") for key, value in section.items()}

    advice = {name: _advice(value, f"{file}: advice.{name}") for name, value in document["advice"].items()}
    return Words(
        systems=texts(document["systems"], f"{file}: systems"),
        groups=_by_prefix(texts(document["groups"], f"{file}: groups")),
        structures=texts(document["structures"], f"{file}: structures"),
        usually=_text(document["usually"], f"{file}: usually"),
        unlisted=texts(document["unlisted"], f"{file}: unlisted"),
        unlisted_advice={
            start: _named(advice, name, "advice", f"{file}: unlisted_advice")
            for start, name in _by_prefix(document["unlisted_advice"]).items()
        },
        foreign=_text(document["foreign"], f"{file}: foreign"),
        failure_types=texts(document["failure_types"], f"{file}: failure_types"),
        faults=texts(document["faults"], f"{file}: faults"),
        places=texts(document["places"], f"{file}: places"),
        advice=advice,
        parameters={
            spn: Parameter(
                name=_text({key: value[key] for key in LANGUAGES}, f"heavy.yaml: parameters.{spn}"),
                stop=frozenset(value.get("stop", ())),
            )
            for spn, value in heavy["parameters"].items()
        },
        unlisted_parameter=_text(heavy["unlisted_parameter"], "heavy.yaml: unlisted_parameter"),
        failure_modes=texts(heavy["failure_modes"], "heavy.yaml: failure_modes"),
        grave_failure_modes=frozenset(heavy["grave_failure_modes"]),
    )


def known_meaning(code: str) -> KnownMeaning | None:
    """What a code such as "P0301" means; None if it is not listed. Reads only the file of its group."""
    file = FILES.get(code[:3])
    return None if file is None else listed(file).get(code)


@cache
def listed(file: str) -> Mapping[str, KnownMeaning]:
    """All codes of one file; TroubleCodeDataError names the entry that is wrong."""
    found: dict[str, KnownMeaning] = {}
    for entry in cast("list[Mapping[str, Any]]", _load(file)):
        where = f"{file}: {entry.get('codes', entry)}"
        for code, meaning in _expand(entry, where):
            parsed = parse_code(code)
            if not isinstance(parsed, J2012Code) or str(parsed) != code:
                raise TroubleCodeDataError(f"{where}: {code!r} is no SAE J2012 code such as 'P0301'")
            if FILES.get(code[:3]) != file:
                raise TroubleCodeDataError(f"{where}: {code} is looked for in {FILES.get(code[:3])}; move it there")
            if code in found:
                raise TroubleCodeDataError(f"{where}: {code} stands twice")
            found[code] = meaning
    return found


def _expand(entry: Mapping[str, Any], where: str) -> Iterator[tuple[str, KnownMeaning]]:
    if unknown := set(entry) - _ENTRY_KEYS:
        raise TroubleCodeDataError(f"{where}: unknown key {min(unknown)!r}; use {', '.join(sorted(_ENTRY_KEYS))}")
    advice = _named(words().advice, entry.get("advice"), "advice", where)
    codes = entry["codes"]
    if isinstance(codes, str):
        names = _range(codes, where)
        told = [
            f"{fault} {place}".split()
            for place in str(entry.get("places", "")).split() or [""]
            for fault in str(entry.get("faults", "")).split() or [""]
        ]
        if told == [[]]:
            told *= len(names)
        elif len(told) != len(names):
            raise TroubleCodeDataError(
                f"{where}: {len(names)} codes, but {len(told)} faults and places to tell of them"
            )
        tellings = zip(names, told, strict=True)
    else:
        tellings = zip(codes, (str(words_of_code).split() for words_of_code in codes.values()), strict=True)
    for number, (code, telling) in enumerate(tellings, start=1):
        yield code, KnownMeaning(meaning=_sentence(entry, telling, number, f"{where}: {code}"), advice=advice)


def _sentence(entry: Mapping[str, Any], told: list[str], number: int, where: str) -> Text:
    """Meaning of one code of a family: the place fills the part, the part fills the fault."""
    if "part" in entry and not told:
        raise TroubleCodeDataError(f"{where}: say what is wrong with the part, such as 'low'")
    fault, *rest = told if "part" in entry else ["", *told]
    if len(rest) > 1:
        raise TroubleCodeDataError(f"{where}: {rest} is too much; write a fault and a place, such as 'low b1s1'")
    values: dict[str, Text | str] = {"n": str(number)}
    if rest:
        values["place"] = _named(words().places, rest[0], "place", where)
    filled = _fill(_text(entry.get("part" if fault else "meaning"), where), where, **values)
    if fault:
        template = dict(_named(words().faults, fault, "fault", where))
        if _NUMBERED.match(filled["en"]):
            template["en"] = template["en"].replace("the {part}", "{part}")
        filled = _fill(template, where, part=filled)
    # Chinese sets a space between its own characters and letters or digits that a part may end in.
    return {"en": filled["en"], "zh": _UNSPACED.sub(" ", filled["zh"])}


def _range(codes: str, where: str) -> list[str]:
    """Codes from first to last, counted in decimal digits (P0310 follows P0309) unless an end holds a letter."""
    first, _, last = codes.partition("-")
    base = 10 if (first[1:] + last[1:]).isdecimal() else 16
    last = last or first
    numbers = range(int(first[1:], base), int(last[1:], base) + 1)
    if not numbers or first[0] != last[0]:
        raise TroubleCodeDataError(f"{where}: the range is empty; give the lower code of one system first")
    return [f"{first[0]}{number:04{'d' if base == 10 else 'X'}}" for number in numbers]


def _fill(template: Text, where: str, **values: Text | str) -> Text:
    try:
        return {
            language: text.format(**{k: v if isinstance(v, str) else v[language] for k, v in values.items()})
            for language, text in template.items()
        }
    except KeyError as error:
        raise TroubleCodeDataError(f"{where}: nothing fills the placeholder {error}") from error


def _named(table: Mapping[str, _T], name: object, what: str, where: str) -> _T:
    if name not in table:
        raise TroubleCodeDataError(f"{where}: unknown {what} {name!r}; words.yaml has {', '.join(sorted(table))}")
    return table[cast("str", name)]


def _advice(value: Mapping[str, Any], where: str) -> Advice:
    if value["severity"] not in SEVERITIES or value.get("job") not in {None, *JOBS}:
        raise TroubleCodeDataError(f"{where}: severity of {', '.join(SEVERITIES)}, job of {', '.join(JOBS)} or none")
    return Advice(
        severity=value["severity"],
        job=value.get("job"),
        text=_text({language: value.get(language) for language in LANGUAGES}, where),
    )


def _text(value: object, where: str) -> Text:
    if (
        not isinstance(value, dict)
        or set(value) != set(LANGUAGES)
        or not all(isinstance(t, str) for t in value.values())
    ):
        raise TroubleCodeDataError(f"{where}: expected a text in each of {', '.join(LANGUAGES)}")
    return cast("Text", value)


def _by_prefix(groups: Mapping[str, _T]) -> dict[str, _T]:
    """Groups written together ("P00 P01") one by one."""
    return {prefix: value for prefixes, value in groups.items() for prefix in prefixes.split()}


def _load(file: str) -> Any:
    text = resources.files("telemetry.trouble_codes").joinpath(file).read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - the C twin of the safe loader
