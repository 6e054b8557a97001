"""A straight line through values of ended hours, the older the less they weigh; its slope with an honest error.

Exponentially weighted recursive least squares (L. Ljung, System Identification, chapter 11), kept as fading sums with
the newest hour as origin. With weights w that fade by exp(-t / memory):

    slope variance = s^2 * (A^-1 Q A^-1)[slope],   A = sum w (1 t; t t^2),   Q = sum w^2 (1 t; t t^2)

s^2 is the scatter about the line together with a prior of some values' weight, so that a line through few values claims
no more than the sensor can give. Values of neighbouring hours err alike (sun on one side, tyres warm from driving): an
hour weighs by the time since the last one, up to one.
"""

import math
from dataclasses import dataclass
from typing import Final

import msgspec

from health.intervals import Z90

WHITE_HOURS: Final = 6.0  # so far apart, two hours' errors have little in common: a quarter of a day's weather
_PRIOR_WEIGHT: Final = 4.0  # values that the prior of the scatter stands for


class FadingLine(msgspec.Struct, forbid_unknown_fields=True):
    """Sums over ended hours; time in days relative to ``at_hour`` (hours since 1970-01-01 UTC)."""

    at_hour: int = 0
    first_hour: int = 0
    hours: int = 0
    s0: float = 0.0
    s1: float = 0.0
    s2: float = 0.0
    sy: float = 0.0
    sty: float = 0.0
    syy: float = 0.0
    q0: float = 0.0
    q1: float = 0.0
    q2: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Level at the newest hour, slope per day, its standard deviation, and half its 90 % interval (Student's t)."""

    level: float
    slope: float
    slope_sd: float
    half_width: float
    level_sd: float
    covariance: float  # of level and slope
    scatter_sd: float  # of an hour's value about the line

    def at(self, days: float) -> tuple[float, float]:
        """Value expected that many days after the newest hour, and the standard deviation of an hour's value there."""
        variance = self.level_sd**2 + 2 * days * self.covariance + (days * self.slope_sd) ** 2
        return self.level + days * self.slope, math.sqrt(max(0.0, variance) + self.scatter_sd**2)


def add_hour(line: FadingLine, hour: int, value: float, *, memory_days: float) -> None:
    """Take the mean of an hour, later than all before."""
    weight = 1.0
    line.hours += not line.hours or hour > line.at_hour
    if line.s0:
        weight = min(1.0, max(0, hour - line.at_hour) / WHITE_HOURS)
        _carry(line, (hour - line.at_hour) / 24, memory_days)
    else:
        line.first_hour = hour
    line.at_hour = hour
    line.s0 += weight
    line.q0 += weight * weight
    line.sy += weight * value
    line.syy += weight * value * value


def lift(line: FadingLine, hour: int, value: float) -> None:
    """Raise or lower the whole line so that it meets a value of that hour; its slope stays. No line yet: no change."""
    if not line.s0:
        return
    found = fit(line, prior_sd=1.0)
    by = value - (line.sy / line.s0 if found is None else found.at((hour - line.at_hour) / 24)[0])
    line.syy += 2 * by * line.sy + by * by * line.s0
    line.sty += by * line.s1
    line.sy += by * line.s0


def fit(line: FadingLine, *, prior_sd: float) -> Fit | None:
    """The line; None before two different times. ``prior_sd``: of an hour's value, before any is known."""
    determinant = line.s0 * line.s2 - line.s1 * line.s1
    if determinant <= 1e-9 * line.s0 * line.s0:
        return None
    slope = (line.s0 * line.sty - line.s1 * line.sy) / determinant
    level = (line.sy - slope * line.s1) / line.s0
    scatter = max(0.0, line.syy - level * line.sy - slope * line.sty)
    freedom = _PRIOR_WEIGHT + max(0.0, line.s0 - 2)
    variance = (_PRIOR_WEIGHT * prior_sd**2 + scatter) / freedom
    # A^-1 Q A^-1, by the rows of the adjugate of A
    a, b, c = line.s0, line.s1, line.s2
    slope_spread = a * a * line.q2 - 2 * a * b * line.q1 + b * b * line.q0
    level_spread = c * c * line.q0 - 2 * b * c * line.q1 + b * b * line.q2
    cross_spread = -b * c * line.q0 + (a * c + b * b) * line.q1 - a * b * line.q2
    slope_sd = math.sqrt(variance * max(0.0, slope_spread)) / determinant
    return Fit(
        level=level,
        slope=slope,
        slope_sd=slope_sd,
        half_width=_student90(freedom) * slope_sd,
        level_sd=math.sqrt(variance * max(0.0, level_spread)) / determinant,
        covariance=variance * cross_spread / determinant**2,
        scatter_sd=math.sqrt(variance),
    )


def _carry(line: FadingLine, days: float, memory_days: float) -> None:
    """Move the sums' origin on by ``days`` and let them fade."""
    fading = math.exp(-days / memory_days)
    line.s2 = (line.s2 - 2 * days * line.s1 + days * days * line.s0) * fading
    line.s1 = (line.s1 - days * line.s0) * fading
    line.sty = (line.sty - days * line.sy) * fading
    line.q2 = (line.q2 - 2 * days * line.q1 + days * days * line.q0) * fading**2
    line.q1 = (line.q1 - days * line.q0) * fading**2
    line.s0, line.sy, line.syy = line.s0 * fading, line.sy * fading, line.syy * fading
    line.q0 *= fading**2


def _student90(freedom: float) -> float:
    """Two-sided 90 % quantile of Student's t (Cornish-Fisher expansion, error below 0.01 from 3 degrees on)."""
    z = Z90
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3
