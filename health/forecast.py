"""When a health value will cross its limit: local linear trend, Kalman filter, averaged over how restless it is.

Sources: A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989), section 2.3 (local
linear trend); outliers by clipped innovations, Masreliez and Martin (1977); model averaging
over the noises by likelihood, Hoeting et al. (1999).

    level(t + h) = level(t) + h * slope(t) + noise,    slope(t + h) = slope(t) + noise,    value = level + noise

The level's noise matters for estimates: their error wanders from day to day instead of averaging out.

Runs in the backend (numpy); nothing else of this package imports it. Input is any irregular series of one quantity;
its daily medians are used. Only the part after the last repair (a lasting jump away from the limit) counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from health.errors import HealthError
from telemetry.records import Quantity, require_aware

METHOD: Final = "local_linear_trend/1"
MIN_DAYS: Final = 5.0  # of data, and so many daily medians, before anything is said
_Z90: Final = 1.6449
_DAY_S: Final = 86_400.0
_CLIP: Final = 3.0  # standard deviations beyond which an innovation is taken as an outlier's
# Standard deviation of the slope's change, percent of scale per day and root of day: still to quickly turning.
_RESTLESSNESS: Final = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_PRIOR_WEIGHTS: Final = (0.3, 0.25, 0.2, 0.15, 0.07, 0.03)  # wear is mostly steady
# Standard deviation of the level's wandering, percent of scale per root of day.
_WANDERING: Final = (0.0, 0.03, 0.1, 0.3)
_WANDERING_WEIGHTS: Final = (0.4, 0.2, 0.2, 0.2)
# Standard deviation of slopes that occur, per day, by quantity: what to give as ``slope_prior_per_day``.
SLOPE_PRIOR_PER_DAY: Final = {
    Quantity.OIL_LIFE: 0.5,  # 100 % in 3 months to 2 years
    Quantity.PAD_WEAR: 0.2,  # 100 % in 20,000 to 80,000 km
    Quantity.TRACTION_BATTERY_SOH: 0.02,  # 2 % a year is usual, 7 % exceptional
    Quantity.LOW_VOLTAGE_BATTERY_HEALTH: 1.0,  # fails within weeks
    Quantity.TIRE_PRESSURE_LOSS: 0.5,
}

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
class _Belief:
    """One filter's end: level and slope at the newest day, their covariance, and the weight of this filter."""

    level: float
    slope: float
    level_variance: float
    covariance: float
    slope_variance: float
    slope_noise: float  # variance of the slope's change per day
    level_noise: float  # variance of the level's wandering per day
    weight: float

    def at(self, days: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the level so many days after the newest day."""
        mean = self.level + self.slope * days
        variance = self.level_variance + 2 * days * self.covariance + days**2 * self.slope_variance
        variance = variance + self.slope_noise * days**3 / 3 + self.level_noise * days
        return mean, np.sqrt(np.maximum(variance, 1e-12))


@dataclass(frozen=True, kw_only=True)
class _Fit:
    beliefs: tuple[_Belief, ...]
    newest: datetime
    days_of_data: float

    def mixture(self, days: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation over all filters."""
        mean, square = np.zeros_like(days), np.zeros_like(days)
        for belief in self.beliefs:
            mu, sigma = belief.at(days)
            mean += belief.weight * mu
            square += belief.weight * (sigma**2 + mu**2)
        return mean, np.sqrt(np.maximum(square - mean**2, 1e-12))


def forecast_crossing(
    times: Sequence[datetime],
    values: Sequence[float],
    *,
    limit: float,
    falling: bool,
    now: datetime,
    horizon_days: float = 365.0,
    slope_prior_per_day: float = 0.5,
) -> Forecast | None:
    """Forecast when the series falls to (``falling``) or rises to ``limit``; None where nothing honest can be said.

    ``times`` aware, any order; ``values`` in the quantity's unit, NaN ignored; data after ``now`` ignored.
    ``slope_prior_per_day``: standard deviation of slopes that occur, in the unit per day; counts while data are few.
    HealthError: lengths differ, a naive time, or a parameter that is not above zero.
    """
    fit = _fit(times, values, falling=falling, now=now, slope_prior_per_day=slope_prior_per_day)
    if not (horizon_days > 0 and math.isfinite(limit)):
        raise HealthError(f"horizon_days {horizon_days} must be above zero and limit {limit} a number")
    if fit is None:
        return None
    silence = (now - fit.newest).total_seconds() / _DAY_S
    days = np.arange(0.0, max(horizon_days, 30.0) + 1.0)  # from now
    crossed = np.zeros_like(days)
    for belief in fit.beliefs:
        mean, sigma = belief.at(days + silence)
        distance = (limit - mean) / sigma if falling else (mean - limit) / sigma
        # Wear does not heal: who has crossed stays counted.
        crossed += belief.weight * np.maximum.accumulate(_normal_cdf(distance))
    level, _ = fit.mixture(np.array([silence]))

    def when(share: float) -> datetime | None:
        reached = np.flatnonzero(crossed >= share)
        if not reached.size or days[reached[0]] > horizon_days:
            return None
        index = int(reached[0])
        if index == 0:
            return now
        part = (share - crossed[index - 1]) / (crossed[index] - crossed[index - 1])
        return now + timedelta(days=float(days[index - 1] + part))

    return Forecast(
        limit=limit,
        median=when(0.5),
        early=when(0.05),
        late=when(0.95),
        probability_30d=float(np.clip(crossed[30], 0.0, 1.0)),
        level=float(level[0]),
        slope_per_day=float(sum(belief.weight * belief.slope for belief in fit.beliefs)),
        days_of_data=fit.days_of_data,
    )


def trajectory(
    times: Sequence[datetime],
    values: Sequence[float],
    *,
    falling: bool,
    now: datetime,
    days: Sequence[float],
    slope_prior_per_day: float = 0.5,
) -> tuple[TrajectoryPoint, ...]:
    """The value so many ``days`` from now with its 90 % interval, for a chart; empty where nothing can be said.

    Arguments and errors as :func:`forecast_crossing`. The band is not clipped to a quantity's range.
    """
    fit = _fit(times, values, falling=falling, now=now, slope_prior_per_day=slope_prior_per_day)
    if fit is None:
        return ()
    silence = (now - fit.newest).total_seconds() / _DAY_S
    mean, sigma = fit.mixture(np.asarray(days, dtype=np.float64) + silence)
    return tuple(
        TrajectoryPoint(
            time=now + timedelta(days=float(day)),
            median=float(mu),
            low=float(mu - _Z90 * deviation),
            high=float(mu + _Z90 * deviation),
        )
        for day, mu, deviation in zip(days, mean, sigma, strict=True)
    )


def _fit(
    times: Sequence[datetime], values: Sequence[float], *, falling: bool, now: datetime, slope_prior_per_day: float
) -> _Fit | None:
    require_aware(now, "forecast: now")
    if len(times) != len(values):
        raise HealthError(f"forecast: {len(times)} times but {len(values)} values; give one time per value")
    if not slope_prior_per_day > 0:
        raise HealthError(f"forecast: slope_prior_per_day {slope_prior_per_day} must be above zero")
    days, medians = _daily_medians(times, values, now)
    if days.size:
        days, medians = _since_repair(days, medians, falling=falling)
    if days.size < MIN_DAYS or days[-1] - days[0] < MIN_DAYS - 1e-6:
        return None
    noise = _noise_variance(days, medians)
    scale = max(float(np.max(np.abs(medians))), 1.0) / 100
    noises = [
        (weight * share, (restless * scale) ** 2, (wandering * scale) ** 2)
        for restless, weight in zip(_RESTLESSNESS, _PRIOR_WEIGHTS, strict=True)
        for wandering, share in zip(_WANDERING, _WANDERING_WEIGHTS, strict=True)
    ]
    ends = [
        _filter(days, medians, noise, slope_noise, level_noise, slope_prior_per_day**2)
        for _, slope_noise, level_noise in noises
    ]
    best = max(likelihood for likelihood, _ in ends)
    weights = [weight * math.exp(end[0] - best) for (weight, _, _), end in zip(noises, ends, strict=True)]
    beliefs = tuple(
        _Belief(
            level=state[0],
            slope=state[1],
            level_variance=state[2],
            covariance=state[3],
            slope_variance=state[4],
            slope_noise=slope_noise,
            level_noise=level_noise,
            weight=weight / sum(weights),
        )
        for (_, state), weight, (_, slope_noise, level_noise) in zip(ends, weights, noises, strict=True)
    )
    newest = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=float(days[-1]))
    return _Fit(beliefs=beliefs, newest=min(newest, now), days_of_data=float(days[-1] - days[0]))


def _daily_medians(times: Sequence[datetime], values: Sequence[float], now: datetime) -> tuple[Floats, Floats]:
    """Days since 1970-01-01 UTC (mean time of a day's values) and the day's median."""
    by_day: dict[int, list[tuple[float, float]]] = {}
    for time, value in zip(times, values, strict=True):
        require_aware(time, "forecast: a time of the series")
        if time > now or not math.isfinite(value):
            continue
        day = time.timestamp() / _DAY_S
        by_day.setdefault(math.floor(day), []).append((day, value))
    found = [
        (float(np.mean([day for day, _ in rows])), float(np.median([value for _, value in rows])))
        for _, rows in sorted(by_day.items())
    ]
    return np.array([day for day, _ in found]), np.array([value for _, value in found])


def _since_repair(days: Floats, medians: Floats, *, falling: bool) -> tuple[Floats, Floats]:
    """The part after the last lasting jump away from the limit: an oil change, new pads, another battery."""
    steps = np.diff(medians) if falling else -np.diff(medians)
    if steps.size < 2:
        return days, medians
    usual = max(float(np.median(np.abs(steps))), 1e-9)
    threshold = max(8 * 1.4826 * usual, 0.05 * float(np.max(np.abs(medians))))
    for index in np.flatnonzero(steps > threshold)[::-1]:
        after = medians[index + 1 : index + 4]
        before = medians[max(0, index - 2) : index + 1]
        lasting = float(np.median(after) - np.median(before)) * (1 if falling else -1)
        # The next day must confirm it, or the jump is the newest value: then what was before is void already.
        if lasting > threshold / 2 and (after.size == 1 or abs(after[1] - after[0]) < threshold / 2):
            return days[index + 1 :], medians[index + 1 :]
    return days, medians


def _noise_variance(days: Floats, medians: Floats) -> float:
    """Variance of a daily median about the trend, counted as if independent.

    Robust residuals of a local line, inflated by their correlation from day to day; at least that of rounding, whose
    error stays the same for as long as the rounded value does.
    """
    sizes = np.abs(np.diff(medians))
    steps = sizes[sizes > 1e-9]
    resolution = float(np.min(steps)) if steps.size else 1e-3 * max(abs(float(medians[-1])), 1.0)
    runs = 1 + int(steps.size)
    rounding = resolution**2 / 12 * medians.size / runs
    # A value halfway between its neighbours: what is left has 1.5 times the noise's variance, whatever the trend.
    span = days[2:] - days[:-2]
    middle = medians[:-2] + (medians[2:] - medians[:-2]) * (days[1:-1] - days[:-2]) / span
    residuals = medians[1:-1] - middle
    spread = (1.4826 * float(np.median(np.abs(residuals)))) ** 2 / 1.5
    fine = resolution < 0.3 * math.sqrt(spread) if spread > 0 else False
    return spread + (resolution**2 / 12 if fine else rounding)


def _filter(
    days: Floats, medians: Floats, noise: float, slope_noise: float, level_noise: float, slope_prior: float
) -> tuple[float, tuple[float, float, float, float, float]]:
    """Log-likelihood and end (level, slope, level variance, covariance, slope variance) of one Kalman filter."""
    start = float(np.median(medians[:3]))
    level, slope = start, 0.0
    p_ll, p_ls, p_ss = 100 * noise + float(np.ptp(medians[:3])) ** 2, 0.0, slope_prior
    likelihood = 0.0
    before = float(days[0])
    for day, value in zip(days.tolist(), medians.tolist(), strict=True):
        h = day - before
        before = day
        level += slope * h
        p_ll += 2 * h * p_ls + h * h * p_ss + slope_noise * h**3 / 3 + level_noise * h
        p_ls += h * p_ss + slope_noise * h * h / 2
        p_ss += slope_noise * h
        variance = p_ll + noise
        innovation = value - level
        bound = _CLIP * math.sqrt(variance)
        clipped = min(bound, max(-bound, innovation))
        # The loss is bounded as well, so that one outlier does not choose the filter.
        likelihood -= clipped**2 / variance / 2 + math.log(variance) / 2
        gain_level, gain_slope = p_ll / variance, p_ls / variance
        level += gain_level * clipped
        slope += gain_slope * clipped
        p_ss -= gain_slope * p_ls
        p_ls -= gain_slope * p_ll
        p_ll -= gain_level * p_ll
    return likelihood, (level, slope, p_ll, p_ls, p_ss)


def _normal_cdf(x: Floats) -> Floats:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])
