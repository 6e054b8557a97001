"""What a trouble code means in plain words and how much it hurries: ``trouble_codes.yaml``, read here only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, cast, get_args

from rules.errors import RuleError
from rules.yaml_file import load_yaml, localized, section

Severity = Literal["info", "soon", "urgent", "stop"]
SEVERITIES: tuple[str, ...] = get_args(Severity)
_CODE = re.compile(r"[PCBU][0-3][0-9A-F]{3}")  # SAE J2012: system, digit 0 to 3, three hexadecimal digits
_KEYS = {"codes", "severity", "meaning", "advice"}


@dataclass(frozen=True, kw_only=True)
class CodeMeaning:
    """Meaning and advice by language ("en", "zh") of the codes ``first`` to ``last``, inclusive."""

    first: str
    last: str
    severity: Severity
    meaning: Mapping[str, str]
    advice: Mapping[str, str]


class TroubleCodeTable:
    """Meanings, the narrowest range that holds a code first."""

    def __init__(self, meanings: tuple[CodeMeaning, ...], unknown: CodeMeaning) -> None:
        self.meanings = tuple(sorted(meanings, key=lambda entry: _number(entry.last) - _number(entry.first)))
        self._unknown = unknown

    def find(self, code: str) -> CodeMeaning:
        """Meaning of a code; of its system where the code is not listed; a general one for what is no J2012 code."""
        if not _CODE.fullmatch(code):
            return self._unknown
        number = _number(code)
        inside = (m for m in self.meanings if _number(m.first) <= number <= _number(m.last))
        return next(inside, self._unknown)


@cache
def trouble_code_table() -> TroubleCodeTable:
    """The table that ships with this version, loaded once."""
    text = resources.files("rules").joinpath("trouble_codes.yaml").read_text(encoding="utf-8")
    return parse_table(text, "trouble_codes.yaml")


def parse_table(text: str, file: str) -> TroubleCodeTable:
    """Table of a YAML text; RuleError names the entry that is wrong."""
    document = section(load_yaml(text, file), file, allowed={"codes", "unknown"}, required={"codes", "unknown"})
    advice = {"codes": "P0000"}
    unknown = _meaning({**advice, **cast("Mapping[str, object]", document["unknown"])}, f"{file}: unknown")
    entries = cast("list[Mapping[str, object]]", document["codes"])
    meanings = tuple(_meaning(entry, f"{file}: {entry.get('codes', '?')}") for entry in entries)
    seen: set[tuple[str, str]] = set()
    for meaning in meanings:
        if (meaning.first, meaning.last) in seen:
            raise RuleError(f"{file}: {meaning.first} to {meaning.last} stands twice")
        seen.add((meaning.first, meaning.last))
    return TroubleCodeTable(meanings, unknown)


def _meaning(entry: object, where: str) -> CodeMeaning:
    fields = section(entry, where, allowed=_KEYS, required=_KEYS)
    first, _, last = str(fields["codes"]).partition("-")
    last = last or first
    for code in (first, last):
        if not _CODE.fullmatch(code):
            raise RuleError(f"{where}: {code!r} is no SAE J2012 code such as 'P0301'")
    if first[0] != last[0] or _number(first) > _number(last):
        raise RuleError(f"{where}: the range is empty; give the lower code of one system first")
    severity = str(fields["severity"])
    if severity not in SEVERITIES:
        raise RuleError(f"{where}: severity {severity!r} is none of {', '.join(SEVERITIES)}")
    return CodeMeaning(
        first=first,
        last=last,
        severity=cast("Severity", severity),
        meaning=localized(fields["meaning"], f"{where}: meaning"),
        advice=localized(fields["advice"], f"{where}: advice"),
    )


def _number(code: str) -> int:
    return "PCBU".index(code[0]) << 16 | int(code[1:], 16)
