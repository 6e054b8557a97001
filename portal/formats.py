"""Numbers, times and money as people of a language write them. Pure; every time is given a zone."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from portal.texts import Language, say

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
}
_SIGNS = {"EUR": "€", "CNY": "¥", "USD": "$", "GBP": "£"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400  # seconds


def number(value: float, digits: int = 0) -> str:
    """A number with so many digits after the point; never "-0"."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def money(amount: Decimal, currency: str) -> str:
    """An amount with its currency's sign, or its ISO 4217 code where there is none here."""
    sign = _SIGNS.get(currency)
    return f"{sign}{amount:.2f}" if sign else f"{amount:.2f} {currency}"


def day(moment: datetime | date, language: Language, zone: ZoneInfo, *, weekday: bool = False) -> str:
    """A day: 3 March 2026, 2026年3月3日."""
    local = _local_day(moment, zone)
    if language == "zh":
        text = f"{local.year}年{local.month}月{local.day}日"
        return f"{text} {_WEEKDAYS['zh'][local.weekday()]}" if weekday else text
    text = f"{local.day} {_MONTHS[local.month - 1]} {local.year}"
    return f"{_WEEKDAYS['en'][local.weekday()]} {text}" if weekday else text


def day_short(moment: datetime | date, language: Language, zone: ZoneInfo) -> str:
    """A day without its year: 3 Mar, 3月3日."""
    local = _local_day(moment, zone)
    return f"{local.month}月{local.day}日" if language == "zh" else f"{local.day} {_MONTHS[local.month - 1][:3]}"


def weekday_short(moment: datetime | date, language: Language, zone: ZoneInfo) -> str:
    """A day with its weekday, short: Tue 3 Mar, 3月3日 星期二."""
    local = _local_day(moment, zone)
    name = _WEEKDAYS[language][local.weekday()]
    short = day_short(local, language, zone)
    return f"{short} {name}" if language == "zh" else f"{name[:3]} {short}"


def month_short(local: date, language: Language, *, year: bool = False) -> str:
    """A month: Mar or Mar 2026, 3月 or 2026年3月."""
    if language == "zh":
        return f"{local.year}年{local.month}月" if year else f"{local.month}月"
    return f"{_MONTHS[local.month - 1][:3]} {local.year}" if year else _MONTHS[local.month - 1][:3]


def clock(moment: datetime, zone: ZoneInfo) -> str:
    """The time of day: 14:30."""
    return f"{moment.astimezone(zone):%H:%M}"


def day_and_time(moment: datetime, language: Language, zone: ZoneInfo) -> str:
    """Day and time; the page says the zone."""
    return f"{day(moment, language, zone)} {clock(moment, zone)}"


def period(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """Times of day from and to: 08:00-09:30, with an en dash."""
    return f"{clock(start, zone)}\N{EN DASH}{clock(end, zone)}"


def ago(moment: datetime, now: datetime, language: Language) -> str:
    """How long ago, roughly: 3 h ago."""
    seconds = (now - moment).total_seconds()
    if seconds < _MINUTE:
        return say("time.now", language)
    return say("time.ago", language, span=span(timedelta(seconds=seconds), language))


def span(length: timedelta, language: Language) -> str:
    """A length of time in its largest unit, rounded down: 2 days, 3 h, 5 min."""
    seconds = int(max(length.total_seconds(), 0))
    if seconds >= 2 * _DAY:
        return say("time.days", language, n=seconds // _DAY)
    if seconds >= _HOUR:
        return say("time.hours", language, n=seconds // _HOUR)
    return say("time.minutes", language, n=seconds // _MINUTE)


def _local_day(moment: datetime | date, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date() if isinstance(moment, datetime) else moment
