"""What an owner reads: the texts of a rule with their placeholders filled, in English and Chinese.

A placeholder is ``{name}`` or, for a number, ``{name:.1f}`` (digits after the point; none unless told).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from health.trouble_code_urgency import Urgency
from health.urgency_words import advice_text, level_text, why_text
from rules.errors import RuleError
from rules.expression import nearest
from telemetry.trouble_codes import Language, describe

_PLACEHOLDER = re.compile(r"\{(?P<name>[a-z_0-9]+)(?::\.(?P<digits>\d)f)?\}")
_DATES = ("median_date", "early_date", "late_date")
_WHEEL = {
    "en": {
        "Row1.Left": "front left",
        "Row1.Right": "front right",
        "Row2.Left": "rear left",
        "Row2.Right": "rear right",
    },
    "zh": {"Row1.Left": "左前", "Row1.Right": "右前", "Row2.Left": "左后", "Row2.Right": "右后"},
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NOT_KNOWN = {"en": "not known", "zh": "未知"}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What placeholders are filled from. A number or moment that is None reads "not known".

    ``judged``: of a trouble code, how much it hurries.
    """

    subject: str
    time_zone: str  # IANA name; dates are in it
    numbers: Mapping[str, float | None]
    moments: Mapping[str, datetime | None]
    judged: Urgency | None = None


def placeholders_of(for_each: str, *, shown: Iterable[str], limit: bool, forecast: bool) -> dict[str, bool]:
    """The placeholders a rule's texts may use -> whether it is a number."""
    known = dict.fromkeys(shown, True)
    if limit:
        known["limit"] = True
    if forecast:
        known |= dict.fromkeys(_DATES, False)
    if for_each == "wheel":
        known["wheel"] = False
    if for_each == "trouble_code":
        known |= dict.fromkeys(("code", "meaning", "advice", "urgency", "why"), False)
    return known


def check_text(text: str, known: Mapping[str, bool], where: str) -> None:
    """Raise RuleError where a placeholder cannot be filled."""
    for match in _PLACEHOLDER.finditer(text):
        name = match["name"]
        if name not in known:
            raise RuleError(f"{where}: unknown placeholder {{{name}}}{nearest(name, known)}")
        if match["digits"] and not known[name]:
            raise RuleError(f"{where}: {{{name}}} is no number; leave out ':.{match['digits']}f'")
    rest = _PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        raise RuleError(f"{where}: a brace that is no placeholder; write {{name}} or {{name:.1f}}")


def fill(text: str, language: str, facts: Facts) -> str:
    """The text in one language ("en" or "zh"), ready to be read."""

    def one(match: re.Match[str]) -> str:
        name = match["name"]
        if name in facts.numbers:
            number = facts.numbers[name]
            return _NOT_KNOWN[language] if number is None else f"{number:.{match['digits'] or 0}f}"
        if name in _DATES:
            moment = facts.moments.get(name)
            return _NOT_KNOWN[language] if moment is None else date_text(moment, language, facts.time_zone)
        if name == "wheel":
            return _WHEEL[language][facts.subject]
        if name == "code":
            return facts.subject
        return _of_code(name, cast("Language", language), facts)

    return _PLACEHOLDER.sub(one, text)


def _of_code(name: str, language: Language, facts: Facts) -> str:
    if name == "meaning":
        return describe(facts.subject, language).meaning
    assert facts.judged is not None, "a rule for each trouble code is filled with its urgency"
    if name == "advice":
        return advice_text(facts.subject, facts.judged, language)
    return level_text(facts.judged.level, language) if name == "urgency" else why_text(facts.judged, language)


def date_text(moment: datetime, language: str, time_zone: str) -> str:
    """A day as people write it: 3 March 2026, 2026年3月3日."""
    day = moment.astimezone(ZoneInfo(time_zone))
    if language == "zh":
        return f"{day.year}年{day.month}月{day.day}日"
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
