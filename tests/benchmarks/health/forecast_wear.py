"""Simulated wear of the quantities without a fleet of recordings: daily values with a known day of crossing.

Usage changes: some weeks of commuting, then a holiday without driving or with much of it; sometimes the daily distance
changes for good (another job). What is simulated is plain knowledge, not a car's record: pace and scatter are drawn.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from health.forecast import CrossingDays, crossed_shares, foresee, intervals
from health.forecasting.prior import TrendPrior
from tests.benchmarks.health.table import seed_of

ASKED_DAYS: Final = (90.0, 60.0, 40.0, 20.0, 10.0)  # before the crossing
_DAY_0: Final = datetime(2026, 1, 1, tzinfo=UTC)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Wear:
    """How one quantity wears: between which paces, how it is measured, and where its limit lies."""

    quantity: str  # of the prior
    start: float  # the quantity's unit, as are the others
    limit: float
    slowest_per_day: float
    fastest_per_day: float
    noise: float  # standard deviation of a day's value
    step: float  # to which it is rounded
    by_distance: bool  # wears by driving, not by time

    @property
    def falling(self) -> bool:
        """Whether the value falls to its limit."""
        return self.limit < self.start


WEARS: Final = (
    Wear(quantity="oil_life", start=100, limit=10, slowest_per_day=0.14, fastest_per_day=0.8, noise=1.0, step=1.0,
         by_distance=True),
    Wear(quantity="pad_wear", start=5, limit=85, slowest_per_day=0.06, fastest_per_day=0.3, noise=1.5, step=1.0,
         by_distance=True),
    Wear(quantity="tire_pressure", start=250, limit=200, slowest_per_day=0.1, fastest_per_day=1.5, noise=2.0, step=1.0,
         by_distance=False),
    Wear(quantity="low_voltage_battery_health", start=95, limit=40, slowest_per_day=0.1, fastest_per_day=1.0, noise=3.0,
         step=0.1, by_distance=False),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Life:
    """One simulated part from new until its limit, day by day."""

    wear: Wear
    truth: Floats
    measured: Floats
    days: Floats  # on which there is a value

    @property
    def crossing(self) -> float:
        """The first day on or beyond the limit."""
        sign = -1 if self.wear.falling else 1
        return float(np.flatnonzero(sign * self.truth >= sign * self.wear.limit)[0])


def live(wear: Wear, number: int) -> Life:
    """The part of that number, always the same."""
    rng = np.random.default_rng(seed_of("forecast_wear", wear.quantity, number))
    pace = np.exp(rng.uniform(np.log(wear.slowest_per_day), np.log(wear.fastest_per_day)))
    length = int(3 * abs(wear.limit - wear.start) / pace) + 60
    usage = np.ones(length)
    if wear.by_distance:
        usage = rng.gamma(4.0, 0.25, length) * np.where(np.arange(length) % 7 < 5, 1.1, 0.75)
        for begin in rng.choice(length, size=max(1, length // 120), replace=False):
            usage[begin : begin + int(rng.integers(7, 22))] *= rng.choice([0.0, 2.0])
        if rng.random() < 0.3:
            usage[int(rng.integers(length)) :] *= rng.uniform(0.6, 1.6)
    else:
        # Slowly worse: a tyre's leak and a battery's decline seldom go straight.
        usage = 1 + rng.uniform(0.0, 0.5) * np.arange(length) / length
    truth = wear.start + np.sign(wear.limit - wear.start) * np.cumsum(pace * usage)
    measured = np.round((truth + rng.normal(0, wear.noise, length)) / wear.step) * wear.step
    seen = (usage > 0) & (rng.random(length) < 0.9)  # no drive, no value
    return Life(wear=wear, truth=truth, measured=measured, days=np.flatnonzero(seen).astype(np.float64))


def live_by_season(wear: Wear, number: int) -> Life:
    """The part of that number under another law, which no number in the priors was chosen by.

    Driving goes with the season, or the pace wanders; paces reach farther; each part has a scatter of its own.
    """
    rng = np.random.default_rng(seed_of("forecast_wear_by_season", wear.quantity, number))
    pace = np.exp(rng.uniform(np.log(0.8 * wear.slowest_per_day), np.log(1.2 * wear.fastest_per_day)))
    length = int(4 * abs(wear.limit - wear.start) / pace) + 400
    if wear.by_distance:
        season = np.sin(2 * np.pi * (np.arange(length) / 365 + rng.random()))
        usage = (1 + rng.uniform(0.2, 0.7) * season) * rng.gamma(2.0, 0.5, length)
    else:
        usage = np.exp(0.0075 * np.cumsum(rng.normal(0, 1, length)))
    truth = wear.start + np.sign(wear.limit - wear.start) * np.cumsum(pace * usage)
    noise = wear.noise * rng.uniform(0.4, 2.0)
    measured = np.round((truth + rng.normal(0, noise, length)) / wear.step) * wear.step
    return Life(wear=wear, truth=truth, measured=measured, days=np.flatnonzero(rng.random(length) < 0.7).astype(float))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A forecast made some days before a simulated crossing, and the truth."""

    left: float  # days
    days: CrossingDays
    shares: Floats  # (days ahead,)

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth."""
        return bool(self.days.early <= self.left <= self.days.late)


def ask(wear: Wear, prior: TrendPrior, numbers: Iterable[int], law: Callable[[Wear, int], Life] = live) -> list[Asked]:
    """Forecasts for the parts of these numbers, made by the public function."""
    found = []
    for life in (law(wear, number) for number in numbers):
        for left in ASKED_DAYS:
            now = life.crossing - left
            known = life.days[life.days <= now].astype(int)
            foresight = foresee(
                [_DAY_0 + timedelta(days=int(day)) for day in known],
                life.measured[known].tolist(),
                falling=wear.falling,
                now=_DAY_0 + timedelta(days=now),
                prior=prior,
            )
            if foresight is not None:
                shares = crossed_shares(foresight.belief, prior, foresight.sign * wear.limit)
                found.append(Asked(left=left, days=intervals(shares, prior.interval_levels), shares=shares))
    return found
