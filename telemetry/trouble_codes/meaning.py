"""From a code to what an owner can do with it. The words are data, see :mod:`telemetry.trouble_codes.texts`."""

from dataclasses import dataclass
from functools import lru_cache

from telemetry.trouble_codes.structure import J1939Code, J2012Code, parse_code
from telemetry.trouble_codes.texts import Advice, Job, Language, Severity, Text, known_meaning, words

_SEPARATOR: dict[Language, str] = {"en": "; ", "zh": "；"}
_BRACKETS: dict[Language, tuple[str, str]] = {"en": (" (", ")"), "zh": ("（", "）")}


@dataclass(frozen=True, kw_only=True)
class CodeMeaning:
    """A trouble code in one language.

    ``meaning`` fits after "Fault P0301: " (no capital, no full stop), ``advice`` are whole sentences. ``system`` and
    ``structure`` say what the digits alone tell. ``known`` is False where only the structure speaks: the meaning then
    names the system and says that the fault itself is not listed.
    """

    code: str  # as standards write it: "P0301", "C0035-1C", "SPN 110 FMI 0"
    meaning: str
    severity: Severity  # info: at the next service; soon: within two weeks; urgent: within days; stop: do not drive
    job: Job | None  # what to book; None where nothing needs an appointment
    advice: str
    known: bool
    system: str
    structure: str


@lru_cache(maxsize=512)
def describe(code: str, language: Language) -> CodeMeaning:
    """Meaning, severity and advice of any code; what is no code at all counts as one of the maker's own."""
    parsed = parse_code(code)
    if isinstance(parsed, J2012Code):
        return _j2012(parsed, language)
    if isinstance(parsed, J1939Code):
        return _j1939(parsed, language)
    return _told(
        code=code.strip(),
        meaning=words().foreign[language],
        advice=words().advice["maker_unlisted"],
        known=False,
        system=words().systems["none"][language],
        structure=words().structures["none"][language],
        language=language,
    )


def _j2012(code: J2012Code, language: Language) -> CodeMeaning:
    said = words()
    entry = known_meaning(code.code)
    parts = [said.structures[code.authority][language]]
    if (group := said.group(code)) is not None:
        parts.append(
            group[language] if code.authority != "maker" else said.usually[language].format(group=group[language])
        )
    failure = _failure_type(code, language)
    if failure:
        parts.append(failure)
    if entry is not None:
        meaning, advice = entry.meaning[language], entry.advice
    else:
        meaning, advice = _unlisted(code, group, language), said.advice_unlisted(code)
    if failure:
        opening, closing = _BRACKETS[language]
        meaning = f"{meaning}{opening}{failure}{closing}"
    return _told(
        code=str(code),
        meaning=meaning,
        advice=advice,
        known=entry is not None,
        system=said.systems[code.system][language],
        structure=_SEPARATOR[language].join(parts),
        language=language,
    )


def _unlisted(code: J2012Code, group: Text | None, language: Language) -> str:
    """What the digits allow to say, and that it is all: a maker's number is never guessed."""
    said = words()
    where = group if group is not None and code.authority == "standard" else said.systems[code.system]
    return said.unlisted[code.authority][language].format(where=where[language])


def _failure_type(code: J2012Code, language: Language) -> str:
    if not code.failure_type:
        return ""
    said = words()
    return said.failure_types.get(code.failure_type, said.failure_types[code.failure_type & 0xF0 | 0x100])[language]


def _j1939(code: J1939Code, language: Language) -> CodeMeaning:
    said = words()
    part, fault = said.parameters.get(code.spn), said.failure_modes.get(code.fmi, said.failure_modes[31])
    name = said.unlisted_parameter if part is None else part.name
    grave = part is not None and code.fmi in part.stop
    advice = said.advice["truck_stop" if grave else said.truck_advice(code.fmi)]
    joint = "：" if language == "zh" else ": "
    return _told(
        code=str(code),
        meaning=f"{name[language].format(spn=code.spn)}{joint}{fault[language]}",
        advice=advice,
        known=part is not None,
        system=said.systems["J1939"][language],
        structure=said.structures["J1939"][language].format(spn=code.spn, fmi=code.fmi),
        language=language,
    )


def _told(
    *, code: str, meaning: str, advice: Advice, known: bool, system: str, structure: str, language: Language
) -> CodeMeaning:
    return CodeMeaning(
        code=code,
        meaning=meaning,
        severity=advice.severity,
        job=advice.job,
        advice=advice.text[language],
        known=known,
        system=system,
        structure=structure,
    )
