"""The filter: a local linear trend whose slope grows at one of several rates, and changes between them.

    level(t + h) = level(t) + slope(t) * (exp(g h) - 1) / g + noise,    slope(t + h) = slope(t) * exp(g h) + noise
    value = level + noise,    g: the growth of the regime that holds, a Markov chain in time

Growth ends where slope and its deviation reach the prior's fastest: an exponential left alone outgrows all sense within
months, and what the mixing of regimes hands on of it would spoil the calm ones.

With the one growth 0 this is the local linear trend of A. C. Harvey, Forecasting, Structural Time Series Models and
the Kalman Filter (1989), section 2.3. The regimes are carried by the interacting multiple model filter of Blom and
Bar-Shalom, IEEE Transactions on Automatic Control 33 (1988) 780-783: before each step the beliefs are mixed by the
probabilities of a change. Outliers by clipped innovations, Masreliez and Martin (1977); over the unknown noises the
filters are averaged by likelihood, Hoeting et al. (1999).

All arrays have the shape (..., V, J): any number of series, V alternatives of noise, J regimes. Levels and slopes
count in the direction of wear.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from health.forecasting.prior import Regimes, TrendPrior

_CLIP: Final = 3.0  # standard deviations beyond which an innovation is taken as an outlier's
_LONGEST_STEP_DAYS: Final = 5.0  # across a gap: a change of regime counts from the step's begin
_LEAST_VARIANCE: Final = 1e-12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Belief:
    """What is believed of level and slope on one day, by alternative of noise and regime."""

    weight: Floats  # sums to 1 over the last two axes
    level: Floats
    slope: Floats
    level_variance: Floats
    covariance: Floats
    slope_variance: Floats

    def mean_slope(self) -> Floats:
        """Over all alternatives; the last two axes are gone."""
        mean: Floats = (self.weight * self.slope).sum(axis=(-2, -1))
        return mean


def begin(prior: TrendPrior, regimes: Regimes, level: Floats, level_variance: Floats) -> Belief:
    """The belief on the first day; ``level`` and ``level_variance`` of any shape (...)."""
    shape = (*level.shape, *regimes.weight.shape)

    def everywhere(value: Floats | float) -> Floats:
        return np.broadcast_to(value, shape).copy()

    return Belief(
        weight=everywhere(regimes.weight),
        level=everywhere(level[..., None, None]),
        slope=everywhere(prior.slope_per_day),
        level_variance=everywhere(level_variance[..., None, None]),
        covariance=everywhere(0.0),
        slope_variance=everywhere(prior.slope_deviation_per_day**2),
    )


def advance(belief: Belief, regimes: Regimes, days: float) -> Belief:
    """The belief so many days later, without a new value."""
    while days > _LONGEST_STEP_DAYS:
        belief = leap(belief, regimes, _LONGEST_STEP_DAYS)
        days -= _LONGEST_STEP_DAYS
    return leap(belief, regimes, days)


def leap(belief: Belief, regimes: Regimes, days: float) -> Belief:
    """The same in one step, regimes changing at its begin only: fast, and rough where ``days`` are many."""
    if days <= 0:
        return belief
    if regimes.growth.size > 1:
        belief = _mix(belief, regimes.transition(days))
    grown, reach = _growth(belief, regimes, days)
    typical = belief.mean_slope()[..., None, None]
    noise = regimes.slope_noise + regimes.relative_slope_noise * typical**2
    carried = belief.covariance + reach * belief.slope_variance
    return Belief(
        weight=belief.weight,
        level=belief.level + reach * belief.slope,
        slope=grown * belief.slope,
        level_variance=belief.level_variance
        + reach * (belief.covariance + carried)
        + (noise * days**2 / 3 + regimes.level_noise) * days,
        covariance=grown * carried + noise * days**2 / 2,
        slope_variance=grown**2 * belief.slope_variance + noise * days,
    )


def _growth(belief: Belief, regimes: Regimes, days: float) -> tuple[Floats, Floats]:
    """By which factor each slope grows in so many days, and the level's change over the slope at their begin."""
    growth = np.where(regimes.growth == 0, 1.0, regimes.growth)
    lasts = np.asarray(days)
    if math.isfinite(regimes.fastest):
        room = regimes.fastest / (np.abs(belief.slope) + np.sqrt(belief.slope_variance))
        lasts = np.minimum(days, np.log(np.maximum(room, 1.0)) / growth)
    grown = np.exp(regimes.growth * lasts)
    return grown, np.where(regimes.growth == 0, days, (grown - 1) / growth + grown * (days - lasts))


def _mix(belief: Belief, transition: Floats) -> Belief:
    """Each regime's belief becomes that of all from which it may have come, by mean and covariance."""
    w, level, slope = belief.weight, belief.level, belief.slope
    # Deviations from the likeliest place keep the squares small.
    centre = np.sum(w * level, axis=-1, keepdims=True) / np.maximum(np.sum(w, axis=-1, keepdims=True), 1e-300)
    off = level - centre
    moments = np.stack(
        [
            w,
            w * off,
            w * slope,
            w * (belief.level_variance + off**2),
            w * (belief.covariance + off * slope),
            w * (belief.slope_variance + slope**2),
        ]
    )
    moments = moments @ transition
    weight = moments[0]
    off, slope, square, product, slope_square = moments[1:] / np.maximum(weight, 1e-300)
    return Belief(
        weight=weight,
        level=centre + off,
        slope=slope,
        level_variance=np.maximum(square - off**2, _LEAST_VARIANCE),
        covariance=product - off * slope,
        slope_variance=np.maximum(slope_square - slope**2, _LEAST_VARIANCE),
    )


def observe(belief: Belief, value: Floats, noise: Floats) -> Belief:
    """The belief after a day's ``value`` with its variance ``noise``, both of shape (...); NaN: no value that day."""
    seen = np.isfinite(value)[..., None, None]
    variance = belief.level_variance + np.where(seen, noise[..., None, None], np.inf)
    innovation = np.where(seen, value[..., None, None] - belief.level, 0.0)
    bound = _CLIP * np.sqrt(variance)
    clipped = np.clip(innovation, -bound, bound)
    # The loss is bounded as well, so that one outlier does not choose the filter.
    likelihood = np.where(seen, -(clipped**2 / variance + np.log(variance)) / 2, 0.0)
    weight = belief.weight * np.exp(likelihood - np.max(likelihood, axis=(-2, -1), keepdims=True))
    gain_level, gain_slope = belief.level_variance / variance, belief.covariance / variance
    return Belief(
        weight=weight / np.sum(weight, axis=(-2, -1), keepdims=True),
        level=belief.level + gain_level * clipped,
        slope=belief.slope + gain_slope * clipped,
        level_variance=belief.level_variance * (1 - gain_level),
        covariance=belief.covariance * (1 - gain_level),
        slope_variance=belief.slope_variance - gain_slope * belief.covariance,
    )
