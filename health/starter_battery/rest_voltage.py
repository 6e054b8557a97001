"""The voltage a 12 V battery rests at: its level and trend over days, and a battery that rests higher all at once.

Sources: rest voltage to state of charge of a flooded starter battery at 25 celsius, Battery Council International as
quoted in Battery University BU-903; temperature coefficient of a lead-acid cell's open circuit voltage, 0.2 mV/K at the
usual density, H. Bode, Lead-Acid Batteries (1977); exponential smoothing with trend at irregular times, D. J. Wright,
Management Science 32 (1986) 499.

A battery that was replaced rests higher than the former one did on its best days of months, and goes on doing so. A
charger or a long drive also lifts the level, but seldom beyond that: hence the certainty of one half.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

# Rest voltage (V) -> state of charge (percent), flooded, 25 celsius.
REST_VOLTAGE: Final = ((11.89, 0.0), (12.06, 25.0), (12.24, 50.0), (12.45, 75.0), (12.65, 100.0))
PERCENT_PER_VOLT: Final = 125.0  # the table's mean slope from a quarter charged to full
_REFERENCE_C: Final = 25.0
_VOLT_PER_KELVIN: Final = 6 * 0.2e-3
_SMOOTHING: Final = (0.3, 0.1)  # level and trend, per day
_LONGEST_TREND_DAYS: Final = 7  # no trend of days holds over weeks without data
_BEST_FORGOTTEN_DAYS: Final = 60.0  # what the battery rested at on its best day fades towards today's level
_HIGHER_V: Final = 0.15  # above the best by so much, 19 percent of charge ...
_HIGHER_DAYS: Final = 3  # ... on so many days with data in a row: another battery
_KNOWN_DAYS: Final = 14  # with data, before its best is known


class RestVoltage(msgspec.Struct, forbid_unknown_fields=True):
    """Recursion over days with a rest voltage, in volts at 25 celsius; days count from 1970-01-01 UTC."""

    day: int | None = None  # the running day, not yet smoothed in
    day_sum_v: float = 0.0
    day_count: int = 0
    level_v: float | None = None
    level_day: int = 0
    trend_v: float = 0.0  # per day
    level_weight: float = 1.0
    trend_weight: float = 1.0
    days: int = 0  # smoothed in
    best_v: float | None = None
    higher_days: int = 0  # in a row, up to now
    higher_sum_v: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Higher:
    """The battery has come to rest higher than it did for months, in volts before and now."""

    before_v: float
    now_v: float


@dataclass(frozen=True, kw_only=True)
class _Smoothed:
    level_v: float
    trend_v: float
    level_weight: float
    trend_weight: float


def at_reference(voltage: float, temperature: float | None) -> float:
    """Rest voltage at 25 celsius; an unknown temperature corrects nothing."""
    return voltage if temperature is None else voltage + _VOLT_PER_KELVIN * (_REFERENCE_C - temperature)


def take_rest(rest: RestVoltage, day: int, voltage: float) -> Higher | None:
    """Add a rest voltage (at 25 celsius) of a day; a day before the running one counts as the running one."""
    higher = None
    if rest.day is not None and day > rest.day:
        higher = _end_day(rest, rest.day)
        rest.day_sum_v, rest.day_count = 0.0, 0
    rest.day = day if rest.day is None else max(day, rest.day)
    rest.day_sum_v += voltage
    rest.day_count += 1
    return higher


def level_and_trend(rest: RestVoltage) -> tuple[float, float] | None:
    """Smoothed rest voltage (V) and its trend (V per day), the running day included; None before the first."""
    if rest.day is None:
        return None
    smoothed = _smoothed(rest, rest.day)
    return smoothed.level_v, smoothed.trend_v


def _end_day(rest: RestVoltage, day: int) -> Higher | None:
    mean_v = rest.day_sum_v / rest.day_count
    smoothed = _smoothed(rest, day)
    best_v = _best(rest, day, smoothed.level_v)
    rest.level_v, rest.trend_v = smoothed.level_v, smoothed.trend_v
    rest.level_weight, rest.trend_weight = smoothed.level_weight, smoothed.trend_weight
    rest.level_day, rest.days = day, rest.days + 1
    if rest.best_v is None or rest.days <= _KNOWN_DAYS or mean_v < rest.best_v + _HIGHER_V:
        rest.best_v, rest.higher_days, rest.higher_sum_v = best_v, 0, 0.0
        return None
    rest.higher_days += 1
    rest.higher_sum_v += mean_v
    if rest.higher_days < _HIGHER_DAYS:
        return None  # the best stays what it was: these days are compared with the time before them
    found = Higher(before_v=rest.best_v, now_v=rest.higher_sum_v / rest.higher_days)
    rest.level_v = rest.best_v = found.now_v
    rest.trend_v, rest.level_weight, rest.trend_weight = 0.0, 1.0, 1.0
    rest.days, rest.higher_days, rest.higher_sum_v = _HIGHER_DAYS, 0, 0.0
    return found


def _best(rest: RestVoltage, day: int, level_v: float) -> float:
    if rest.best_v is None or rest.level_v is None:
        return level_v
    faded = min(1.0, (day - rest.level_day) / _BEST_FORGOTTEN_DAYS)
    return max(level_v, rest.best_v + faded * (level_v - rest.best_v))


def _smoothed(rest: RestVoltage, day: int) -> _Smoothed:
    """With the running day's mean smoothed in (Wright 1986)."""
    mean_v = rest.day_sum_v / rest.day_count
    if rest.level_v is None:
        return _Smoothed(level_v=mean_v, trend_v=0.0, level_weight=1.0, trend_weight=1.0)
    days = max(1, day - rest.level_day)
    level_weight = rest.level_weight / (rest.level_weight + (1 - _SMOOTHING[0]) ** days)
    trend_weight = rest.trend_weight / (rest.trend_weight + (1 - _SMOOTHING[1]) ** days)
    expected_v = rest.level_v + min(days, _LONGEST_TREND_DAYS) * rest.trend_v
    level_v = (1 - level_weight) * expected_v + level_weight * mean_v
    # The first trend would be the noise of two days: it starts at zero.
    trend_v = rest.trend_v + trend_weight * ((level_v - rest.level_v) / days - rest.trend_v)
    return _Smoothed(level_v=level_v, trend_v=trend_v, level_weight=level_weight, trend_weight=trend_weight)
