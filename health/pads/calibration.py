"""Wear per energy and wear of one pad, learned from thicknesses a workshop measured: a Bayesian update in scalars.

Model, with a the nominal wear that friction energy means at the middle of the published range of wear per energy::

    w(n+1) = w(n) + f (a (1 + e) + d),   e ~ N(0, drift^2),   d ~ N(0, doubt^2)
    m(n)   = w(n) + g,                   g ~ N(0, gauge^2)

f is the car's own factor: log-uniform over the published range, widened by what else is wrong for good (load, hills,
split, volume), with a broad tail for the odd car. Given f all is linear and Gaussian, so w is a Kalman filter per point
of a grid over log f, and the likelihoods of the measurements weigh the points (a Rao-Blackwellised grid filter; Sarkka,
Bayesian Filtering and Smoothing, chapter 7, with a grid in place of particles). Wear is in percent worn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

K_LOW: Final = 25.0  # mm3/MJ, resin-bonded pads on grey cast iron, published range to K_HIGH; taken as log-uniform
K_HIGH: Final = 125.0  # mm3/MJ
K_MEDIAN: Final = math.sqrt(K_LOW * K_HIGH)  # 55.9 mm3/MJ
_HALF_RANGE: Final = math.log(K_HIGH / K_LOW) / 2
_ODD_CARS: Final = 0.1  # share of cars whose factor is from anywhere: other pads, a profile that is wrong
_ODD_DEVIATION: Final = 1.0  # of their log f
_POINTS: Final = 97
_REACH: Final = 2.4  # of log f: a factor of eleven either way of the middle
_GRID: Final = tuple(_REACH * (2 * index / (_POINTS - 1) - 1) for index in range(_POINTS))
_NEGLIGIBLE: Final = 1e-5  # weight of a point that is dropped
_SURE: Final = 5e-4  # a probability is not told more exactly


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Driving between two moments, in percent worn at a factor of one."""

    wear: float
    doubt: float  # standard deviation of it beyond the car's drift: energy nobody saw


@dataclass(frozen=True, kw_only=True)
class Thickness:
    """A measured wear and the stretch that led to it from the measurement before, or from the start."""

    stretch: Stretch
    worn: float  # percent
    error: float  # standard deviation, percent


@dataclass(frozen=True, kw_only=True)
class Factor:
    """What is known of log f before these pads were measured: normal."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class _Branch:
    weight: float
    factor: float
    mean: float  # percent worn
    variance: float


@dataclass(frozen=True)
class Posterior:
    """Joint distribution of factor and wear."""

    branches: tuple[_Branch, ...]  # by rising factor
    drift: float

    def after(self, stretch: Stretch) -> "Posterior":
        """The same at the end of a stretch of driving."""
        own = (self.drift * stretch.wear) ** 2 + stretch.doubt**2
        moved = (
            _Branch(at.weight, at.factor, at.mean + at.factor * stretch.wear, at.variance + at.factor**2 * own)
            for at in self.branches
        )
        return Posterior(tuple(moved), self.drift)

    def measured(self, worn: float, error: float) -> "Posterior":
        """The same once a wear was measured."""
        # Of the likelihoods only their ratios count: measured against the best of them, none gets lost for smallness.
        best = min((worn - at.mean) ** 2 / (at.variance + error**2) for at in self.branches)
        found = []
        for at in self.branches:
            variance = at.variance + error**2
            gain = at.variance / variance
            likelihood = math.exp((best - (worn - at.mean) ** 2 / variance) / 2) / math.sqrt(variance)
            mean = at.mean + gain * (worn - at.mean)
            found.append(_Branch(at.weight * likelihood, at.factor, mean, (1 - gain) * at.variance))
        return Posterior(_normalised(found), self.drift)

    def density(self, worn: float, error: float) -> float:
        """Probability density, per percent, of measuring this wear."""
        total = 0.0
        for at in self.branches:
            variance = at.variance + error**2
            total += at.weight * math.exp(-((worn - at.mean) ** 2) / variance / 2) / math.sqrt(2 * math.pi * variance)
        return total

    def below(self, worn: float) -> float:
        """Probability that the wear is below this."""
        return sum(at.weight * _cumulative(worn - at.mean, at.variance) for at in self.branches)

    def quantile(self, probability: float) -> float:
        """Wear that is undercut with this probability."""
        reach = [(at.mean, 6 * math.sqrt(at.variance)) for at in self.branches]
        low, high = min(mean - six for mean, six in reach), max(mean + six for mean, six in reach)
        return _crossing(lambda worn: self.below(worn) - probability, low, high, tolerance=0.01)

    def median(self) -> float:
        """Median of the wear as the factor alone leaves it open: half the factors mean less."""
        return _middle([(at.weight, at.mean) for at in self.branches])

    def factor(self) -> Factor:
        """Mean and deviation of log f."""
        mean = sum(at.weight * math.log(at.factor) for at in self.branches)
        variance = sum(at.weight * (math.log(at.factor) - mean) ** 2 for at in self.branches)
        return Factor(mean=mean, deviation=math.sqrt(variance))

    def distance_km(self, probability: float, *, per_km: float, rate_error: float, furthest_km: float) -> float:
        """Distance by which the pad is worn out with this probability, at a nominal wear per km of so much (percent).

        ``rate_error``: relative standard deviation of that rate.
        """
        error = math.hypot(self.drift, rate_error)

        def worn_out(log_km: float) -> float:
            wear = per_km * math.exp(log_km)
            total = 0.0
            for at in self.branches:
                variance = at.variance + (at.factor * wear * error) ** 2
                total += at.weight * (1 - _cumulative(100.0 - at.mean - at.factor * wear, variance))
            return total - probability

        if worn_out(0.0) >= 0:
            return 0.0
        if worn_out(math.log(furthest_km)) <= 0:
            return furthest_km
        return math.exp(_crossing(worn_out, 0.0, math.log(furthest_km), tolerance=0.002))


def posterior(
    *,
    start: float | None,
    known: Factor | None,
    usual: float,
    spread: float,
    drift: float,
    measured: Sequence[Thickness],
    start_span: float = 100.0,
) -> Posterior:
    """What is known right after the last measurement (at the start, where there is none).

    ``start``: percent worn then, None for nobody knows (taken as 0 until something was measured). ``known``: of the
    factor, from these brakes' former pads. ``usual``: factor at the middle of the published range. ``spread``: standard
    deviation of log f beside that range. ``start_span``: a start nobody knows lies evenly between 0 and this (percent).
    """
    middle = math.log(usual)
    level = 0.0 if start is None else start
    prior = _normalised([_Branch(_prior(at, middle, known, spread), math.exp(middle + at), level, 0.0) for at in _GRID])
    now = Posterior(prior, drift)
    for number, thickness in enumerate(measured):
        now = now.after(thickness.stretch)
        if number == 0 and start is None:
            now = _first_level(now, thickness, start_span)
        else:
            now = now.measured(thickness.worn, thickness.error)
    return now


def _first_level(now: Posterior, thickness: Thickness, span: float) -> Posterior:
    """The first measurement of pads of unknown start tells the level, and of the factor what the start leaves open."""
    found = []
    for at in now.branches:
        variance = at.variance + thickness.error**2
        before = thickness.worn - at.mean
        likelihood = _cumulative(before, variance) - _cumulative(before - max(span, 0.1), variance)
        found.append(_Branch(at.weight * likelihood, at.factor, thickness.worn, thickness.error**2))
    if sum(at.weight for at in found) <= 0:
        found = [_Branch(at.weight, at.factor, thickness.worn, thickness.error**2) for at in now.branches]
    return Posterior(_normalised(found), now.drift)


def _prior(aside: float, middle: float, known: Factor | None, spread: float) -> float:
    """Weight of a point so far aside of the middle of log f."""
    if known is not None:
        return math.exp(-(((middle + aside - known.mean) / known.deviation) ** 2) / 2)
    variance = spread**2
    usual = _cumulative(aside + _HALF_RANGE, variance) - _cumulative(aside - _HALF_RANGE, variance)
    odd = math.exp(-((aside / _ODD_DEVIATION) ** 2) / 2) / (_ODD_DEVIATION * math.sqrt(2 * math.pi))
    return (1 - _ODD_CARS) * usual / (2 * _HALF_RANGE) + _ODD_CARS * odd


def _normalised(branches: Sequence[_Branch]) -> tuple[_Branch, ...]:
    total = sum(at.weight for at in branches)
    kept = [at for at in branches if at.weight > _NEGLIGIBLE * total]
    total = sum(at.weight for at in kept)
    return tuple(_Branch(at.weight / total, at.factor, at.mean, at.variance) for at in kept)


def _cumulative(distance: float, variance: float) -> float:
    """Normal distribution's cumulative probability; a step where there is no variance."""
    if variance <= 0:
        return 0.5 if distance == 0 else float(distance > 0)
    return 0.5 * math.erfc(-distance / math.sqrt(2 * variance))


def _middle(weighted: Sequence[tuple[float, float]]) -> float:
    """Weighted median of values, straight between the two around it."""
    ordered = sorted(weighted, key=lambda pair: pair[1])
    passed, before = 0.0, (0.0, ordered[0][1])
    for weight, value in ordered:
        here = passed + weight / 2
        if here >= 0.5:
            share = (0.5 - before[0]) / (here - before[0]) if here > before[0] else 1.0
            return before[1] + share * (value - before[1])
        passed, before = passed + weight, (here, value)
    return ordered[-1][1]


def _crossing(function: Callable[[float], float], low: float, high: float, *, tolerance: float) -> float:
    """Where a rising function crosses zero: regula falsi, Illinois variant, with halving where that is slow."""
    at_low, at_high = function(low), function(high)
    for _ in range(60):
        if high - low <= tolerance or at_low >= 0 or at_high <= 0:
            break
        share = at_low / (at_low - at_high)
        middle = low + min(0.95, max(0.05, share)) * (high - low)
        value = function(middle)
        if abs(value) < _SURE:
            return middle
        if value < 0:
            low, at_low, at_high = middle, value, at_high / 2
        else:
            high, at_high, at_low = middle, value, at_low / 2
    return low if at_low >= 0 else high if at_high <= 0 else (low + high) / 2
