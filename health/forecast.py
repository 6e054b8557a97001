"""When a health value will cross its limit, and its way there: one fit, any number of questions.

    foresight = foresee(times, values, falling=True, now=now, prior=prior_for(Quantity.OIL_LIFE))
    foresight.crossing(10.0), foresight.trajectory([0, 30, 60])

Input is any irregular series of one quantity; its daily medians since the last repair (a lasting jump away from the
limit) are followed by the filter of :mod:`health.forecasting.trend` under a prior (:mod:`health.forecasting.prior`).
The date's interval lies between those shares of the forecast's distribution within which the truth was found in 90 of
100 forecasts for units of the prior's fleet, in the year before they crossed (distributional conformal prediction:
Chernozhukov, Wüthrich and Zhu, Proc. Natl. Acad. Sci. 118 (2021) e2107794118). A prior without recorded units keeps at
least the distribution's own 5 to 95 %: on wear of another kind than its prior knows it holds the truth less often.

Runs in the backend (numpy, scipy); nothing of the dongle imports it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from health.errors import HealthError
from health.forecasting.prior import Levels, Regimes, TrendPrior, prior_for, regimes
from health.forecasting.series import DAY_S, daily_medians, in_blocks, noise_variances, since_repair
from health.forecasting.trend import Belief, advance, begin, leap, observe
from telemetry.records import require_aware

__all__ = ["Forecast", "Foresight", "TrajectoryPoint", "foresee", "prior_for"]

METHOD: Final = "switching_local_linear_trend/1"
MIN_DAYS: Final = 5.0  # of data, and so many daily medians, before anything is said
_Z90: Final = 1.6449
_COMMON_ERROR_DAYS: Final = 30  # newest estimates whose intervals say how large their common error is
# Days from now at which the probability of having crossed is computed; between them it is interpolated.
AHEAD_DAYS: Final = (
    1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 35, 40, 50, 60, 75, 90, 110, 130, 150, 180, 210, 240, 280, 320, 365, 450, 540,
    720, 1080,
)  # fmt: skip
_AT_30_DAYS: Final = AHEAD_DAYS.index(30) + 1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """When the value crosses ``limit``: median and 90 % interval; None: not within the horizon."""

    limit: float
    median: datetime | None
    early: datetime | None  # 5 % have crossed by then
    late: datetime | None  # 95 % have crossed by then
    probability_30d: float  # that it has crossed 30 days from now
    level: float  # filtered value now, in the quantity's unit
    slope_per_day: float  # in the quantity's unit
    days_of_data: float  # since the last repair
    method: str = METHOD


@dataclass(frozen=True, kw_only=True)
class TrajectoryPoint:
    """The value on a future day with its 90 % interval, in the quantity's unit."""

    time: datetime
    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CrossingDays:
    """Days from now until the limit is crossed: median and 90 % interval, infinite where beyond what is computed."""

    median: Floats
    early: Floats
    late: Floats
    probability_30d: Floats


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """A fitted series, seen from ``now``."""

    now: datetime
    days_of_data: float  # since the last repair
    prior: TrendPrior
    belief: Belief  # now, in the direction of wear
    sign: float  # -1 where wear makes the value fall
    common_variance: float  # of the error that all estimates share

    def crossing(self, limit: float, *, horizon_days: float = 365.0) -> Forecast:
        """When ``limit`` (the quantity's unit) is crossed. HealthError: not a number, or a horizon not above zero."""
        if not (horizon_days > 0 and math.isfinite(limit)):
            raise HealthError(f"horizon_days {horizon_days} must be above zero and limit {limit} a number")
        days = crossing_days(self.belief, self.prior, limit * self.sign, common_variance=self.common_variance)

        def when(found: Floats) -> datetime | None:
            return None if found > horizon_days else self.now + timedelta(days=float(found))

        return Forecast(
            limit=limit,
            median=when(days.median),
            early=when(days.early),
            late=when(days.late),
            probability_30d=float(days.probability_30d),
            level=self.sign * float((self.belief.weight * self.belief.level).sum()),
            slope_per_day=self.sign * float(self.belief.mean_slope()),
            days_of_data=self.days_of_data,
        )

    def trajectory(self, days: Sequence[float]) -> tuple[TrajectoryPoint, ...]:
        """The value so many ``days`` from now (ascending) with its 90 % interval, for a chart.

        The band is not clipped to a quantity's range.
        """
        belief, arrays, before = self.belief, regimes(self.prior), 0.0
        beliefs = []
        for day in days:
            belief, before = advance(belief, arrays, day - before), day
            beliefs.append(belief)
        if not beliefs:
            return ()
        # Where wear makes the value fall, most wear is the lowest value.
        bands = np.sort(self.sign * _level_quantiles(beliefs, self.common_variance), axis=-1).tolist()
        return tuple(
            TrajectoryPoint(time=self.now + timedelta(days=day), median=median, low=low, high=high)
            for day, (low, median, high) in zip(days, bands, strict=True)
        )


def foresee(
    times: Sequence[datetime],
    values: Sequence[float],
    *,
    falling: bool,
    now: datetime,
    prior: TrendPrior,
    half_widths: Sequence[float] | None = None,
) -> Foresight | None:
    """Fit the series of a value that wear makes fall or rise; None where nothing honest can be said.

    ``times`` aware, any order; ``values`` in the quantity's unit, NaN ignored; data after ``now`` ignored.
    ``half_widths``: of the values' own 90 % intervals. What they exceed the scatter from day to day by is taken as an
    error all values share, which no number of days averages out.
    HealthError: lengths differ. ValueError: a naive time.
    """
    require_aware(now, "forecast: now")
    for name, others in (("values", values), ("half_widths", half_widths)):
        if others is not None and len(times) != len(others):
            raise HealthError(f"forecast: {len(times)} times but {len(others)} {name}; give one per time")
    days, medians = daily_medians(times, values, now)
    if days.size:
        days, medians = since_repair(days, medians, falling=falling)
    if days.size < MIN_DAYS or days[-1] - days[0] < MIN_DAYS - 1e-6:
        return None
    sign = -1.0 if falling else 1.0
    noise = noise_variances(days, medians)
    common_variance = _common_variance(times, half_widths, now, float(noise[-1]))
    if not math.isfinite(common_variance):
        return None
    arrays = regimes(prior)
    belief, end = follow(prior, arrays, *in_blocks(days, sign * medians, noise))
    belief = advance(belief, arrays, float(days[-1]) - end)
    newest = min(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=float(days[-1])), now)
    return Foresight(
        now=now,
        days_of_data=float(days[-1] - days[0]),
        prior=prior,
        belief=advance(belief, arrays, (now - newest).total_seconds() / DAY_S),
        sign=sign,
        common_variance=common_variance,
    )


def follow(prior: TrendPrior, arrays: Regimes, days: Floats, values: Floats, noise: Floats) -> tuple[Belief, float]:
    """The belief on the last of ``days``, and that day; values in the direction of wear with their variances."""
    belief = begin(prior, arrays, np.array(np.median(values[:3])), np.array(100 * noise[0] + np.ptp(values[:3]) ** 2))
    before = float(days[0])
    for day, value, variance in zip(days.tolist(), values, noise, strict=True):
        belief = observe(advance(belief, arrays, day - before), value, variance)
        before = day
    return belief, before


def crossing_days(
    belief: Belief, prior: TrendPrior, limit: Floats | float, *, common_variance: float = 0.0
) -> CrossingDays:
    """From a belief of shape (..., V, J) in the direction of wear: arrays of shape (...), with calibrated intervals."""
    return intervals(crossed_shares(belief, prior, limit, common_variance=common_variance), prior.interval_levels)


def intervals(shares: Floats, levels: Levels) -> CrossingDays:
    """Median and interval from the probabilities of having crossed, now and on each of ``AHEAD_DAYS`` (days, ...)."""
    days = np.array([0.0, *AHEAD_DAYS])
    median = _first_reaching(days, shares, np.array(0.5))
    at, begins, ends = np.array(levels).T
    return CrossingDays(
        median=median,
        early=_first_reaching(days, shares, np.interp(median, at, begins)),
        late=_first_reaching(days, shares, np.interp(median, at, ends)),
        probability_30d=shares[_AT_30_DAYS],
    )


def crossed_shares(
    belief: Belief,
    prior: TrendPrior,
    limit: Floats | float,
    *,
    common_variance: float = 0.0,
    ahead: Sequence[int] = AHEAD_DAYS,
) -> Floats:
    """Probability of having crossed now and on each of the days ``ahead``: shape (1 + ahead, ...)."""
    arrays = regimes(prior)
    crossed, before = [_share_beyond(belief, limit, common_variance)], 0
    for day in ahead:
        belief, before = leap(belief, arrays, day - before), day
        # Wear does not heal: who has crossed stays counted.
        crossed.append(np.maximum(crossed[-1], _share_beyond(belief, limit, common_variance)))
    return np.clip(np.stack(crossed), 0.0, 1.0)


def _share_beyond(belief: Belief, limit: Floats | float, common_variance: float) -> Floats:
    limit = np.asarray(limit)[..., None, None]
    share = _below((belief.level - limit) / np.sqrt(belief.level_variance + common_variance))
    beyond: Floats = (belief.weight * share).sum(axis=(-2, -1))
    return beyond


def _below(deviations: Floats) -> Floats:
    """The standard normal distribution. Who only reads or sends does not pay for scipy: 0.3 s and its memory."""
    from scipy.special import ndtr

    share: Floats = ndtr(deviations)
    return share


def _first_reaching(days: Floats, shares: Floats, share: Floats) -> Floats:
    """The day on which ``shares`` (days, ...), never falling, reach ``share``; infinite where they do not."""
    reached = shares >= share
    index = np.argmax(reached, axis=0)
    at = np.maximum(index, 1)
    upper = np.take_along_axis(shares, at[None], axis=0)[0]
    lower = np.take_along_axis(shares, at[None] - 1, axis=0)[0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = days[at - 1] + (days[at] - days[at - 1]) * (share - lower) / (upper - lower)
    return np.where(reached[0], 0.0, np.where(reached.any(axis=0), found, np.inf))


def _level_quantiles(beliefs: Sequence[Belief], common_variance: float) -> Floats:
    """The 5, 50 and 95 % of each belief's level over all its alternatives, by bisection: shape (beliefs, 3)."""
    level = np.stack([belief.level for belief in beliefs])[:, None]
    weight = np.stack([belief.weight for belief in beliefs])[:, None]
    deviation = np.sqrt(np.stack([belief.level_variance for belief in beliefs])[:, None] + common_variance)
    shares = np.array([0.05, 0.5, 0.95])
    low = np.repeat((level - 6 * deviation).min(axis=(-2, -1)), 3, axis=1)
    high = np.repeat((level + 6 * deviation).max(axis=(-2, -1)), 3, axis=1)
    for _ in range(30):
        middle = (low + high) / 2
        below = (weight * _below((middle[..., None, None] - level) / deviation)).sum(axis=(-2, -1))
        low, high = np.where(below < shares, middle, low), np.where(below < shares, high, middle)
    found: Floats = (low + high) / 2
    return found


def _common_variance(
    times: Sequence[datetime], half_widths: Sequence[float] | None, now: datetime, noise: float
) -> float:
    """Variance of the error that the newest estimates share, from their intervals less their scatter."""
    if half_widths is None:
        return 0.0
    known = sorted((time, half) for time, half in zip(times, half_widths, strict=True) if time <= now and half >= 0)
    newest = [half for _, half in known[-_COMMON_ERROR_DAYS:]]
    return max(0.0, (float(np.median(newest)) / _Z90) ** 2 - noise) if newest else 0.0
