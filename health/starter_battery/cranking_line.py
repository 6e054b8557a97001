"""A car's own line of cranking against temperature: how much of the battery's voltage the starter takes, and its drift.

    x = ln(V_before / V_cranking - 1)        the share of the loop's resistance that lies in the battery
    x = level + slope * (T - 21)             level drifts as the battery ages, slope belongs to the chemistry

Battery and starter are in series: the ratio of the voltage lost to the voltage left is that of their resistances,
whatever the current, which is not measured. Taking it at a temperature and against the voltage before follows
R. Kerley, Automotive Lead-Acid Battery State-of-Health Monitoring System, Virginia Tech (2014). Level and slope are the
state of a Kalman filter. Its prior is the load test of the Battery Council International (half the cold cranking
current for 15 s): 9.6 V at 21 celsius and 8.5 V at -18 celsius pass, which is a slope of -0.010 per kelvin.
"""

import math
from dataclasses import dataclass
from typing import Final

import msgspec

REFERENCE_C: Final = 21.0
FULL_V: Final = 12.65  # rest voltage of a full battery (health.starter_battery.rest_voltage)
_PRIOR_LEVEL: Final = -1.6  # 10.5 V held: between a new battery (11.0 V) and one that just passes (9.6 V)
_PRIOR_LEVEL_SD: Final = 0.5
_PRIOR_SLOPE: Final = -0.0102  # (ln(12.65/9.6 - 1) - ln(12.52/8.5 - 1)) / 39 K
_PRIOR_SLOPE_SD: Final = 0.004
_NOISE_SD: Final = 0.12  # of one start: where the pistons stood, charge, warm oil; an assumption
_DRIFT_SD_PER_DAY: Final = 0.006  # root of time: 0.11 a year, a resistance that doubles in some six years
_UNKNOWN_TEMPERATURE_SD_K: Final = 12.0
_OUTLIER: Final = 3.0  # standard deviations
_STARTS_NEW: Final = 8  # from rest: then a new battery's level is known
_OUTLIERS: Final = 3  # starts in a row: no chance, something has changed


class CrankingLine(msgspec.Struct, forbid_unknown_fields=True):
    """Mean and covariance of level and slope; ``day``: of the newest start, since 1970-01-01 UTC."""

    level: float = _PRIOR_LEVEL
    slope: float = _PRIOR_SLOPE
    level_variance: float = _PRIOR_LEVEL_SD**2
    covariance: float = 0.0
    slope_variance: float = _PRIOR_SLOPE_SD**2
    day: int | None = None
    starts: int = 0
    outliers: int = 0  # in a row, positive: worse than the line, negative: better
    outlier_sum: float = 0.0  # of their levels
    new: bool = False  # the battery was new when the line began
    new_level: float | None = None  # what a new battery's level is in this car


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Starts have left the line for good; the line begins anew there. ``before`` and ``now`` are levels."""

    before: float
    now: float


def learn(
    line: CrankingLine, *, before_v: float, cranking_v: float, temperature: float | None, day: int
) -> Changed | None:
    """Take a start from rest; a single one far off the line is left out."""
    if not 0 < cranking_v < before_v:
        return None
    x = math.log(before_v / cranking_v - 1)
    kelvin = 0.0 if temperature is None else temperature - REFERENCE_C
    noise = _NOISE_SD**2 + (0.0 if temperature is not None else (line.slope * _UNKNOWN_TEMPERATURE_SD_K) ** 2)
    line.level_variance = level_variance_at(line, day)
    line.day = day if line.day is None else max(day, line.day)
    gain_level = line.level_variance + kelvin * line.covariance
    gain_slope = line.covariance + kelvin * line.slope_variance
    variance = gain_level + kelvin * gain_slope + noise
    surprise = x - line.level - line.slope * kelvin
    if abs(surprise) > _OUTLIER * math.sqrt(variance):
        return _take_outlier(line, x - line.slope * kelvin, worse=surprise > 0)
    line.outliers, line.outlier_sum = 0, 0.0
    line.level += gain_level / variance * surprise
    line.slope += gain_slope / variance * surprise
    line.level_variance -= gain_level**2 / variance
    line.covariance -= gain_level * gain_slope / variance
    line.slope_variance -= gain_slope**2 / variance
    line.starts += 1
    if line.new and line.starts == _STARTS_NEW:
        line.new_level = line.level
    return None


def level_variance_at(line: CrankingLine, day: int) -> float:
    """Variance of the level on that day: the battery goes on ageing where no start is seen."""
    unseen_days = 0 if line.day is None else max(0, day - line.day)
    return line.level_variance + _DRIFT_SD_PER_DAY**2 * unseen_days


def begin_anew(line: CrankingLine, *, new: bool) -> CrankingLine:
    """The line of another battery in the same car: the slope stays. ``new``: its level is a new battery's."""
    return CrankingLine(slope=line.slope, slope_variance=line.slope_variance, new=new)


def held_voltage(level: float) -> float:
    """Voltage (V) a full battery of that level holds while cranking at 21 celsius."""
    return FULL_V / (1 + math.exp(level))


def _take_outlier(line: CrankingLine, level: float, *, worse: bool) -> Changed | None:
    step = 1 if worse else -1
    if line.outliers * step <= 0:
        line.outliers, line.outlier_sum = 0, 0.0
    line.outliers += step
    line.outlier_sum += level
    if abs(line.outliers) < _OUTLIERS:
        return None
    changed = Changed(before=line.level, now=line.outlier_sum / _OUTLIERS)
    line.level, line.level_variance, line.covariance = changed.now, _NOISE_SD**2 / _OUTLIERS, 0.0
    line.starts, line.outliers, line.outlier_sum, line.new = _OUTLIERS, 0, 0.0, False
    line.new_level = None
    return changed
