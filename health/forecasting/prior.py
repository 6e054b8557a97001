"""Priors of trends: what is known of how a quantity wears before the first value of this car. Data: ``priors.yaml``.

A prior says how fast wear goes, how restless its pace is, and between which regimes of growth it changes. A fleet's
prior is learned from other units of the same kind; ``plain`` knows of no fleet.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import yaml

from health.errors import HealthError

PLAIN: Final = "plain"
DEFAULT_FLEET: Final = "default"

Floats = npt.NDArray[np.float64]
Levels = tuple[tuple[float, float, float], ...]  # days until the median, begin and end of the interval as shares


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One of several noises that may hold, with its share of the belief before any data."""

    deviation: float  # of what changes in one day, in the quantity's unit (per day, for the slope)
    share: float


@dataclass(frozen=True, kw_only=True)
class TrendPrior:
    """What is known before the first value. Slopes count in the direction of wear, in the quantity's unit per day.

    ``growth_per_day``: by which share of itself the slope grows a day, one number per regime, ascending.
    ``fastest_per_day``: the slope at which growth ends: nothing wears ever faster.
    ``faster_per_day``, ``slower_per_day``: rates at which a regime gives way to the next higher, the next lower one.
    ``interval_levels``: (days until the median date, share at which the 90 % interval begins, share at which it ends),
    between the rows interpolated, beyond them as in the outermost (conformal; 0.05 and 0.95 where nothing is known).
    ``warn_probability``: that the limit is crossed within 30 days, from which to warn.
    """

    name: str
    growth_per_day: tuple[float, ...]
    calm_start: float  # share of a regime on the first day over that of the next lower one
    faster_per_day: float
    slower_per_day: float
    slope_per_day: float
    slope_deviation_per_day: float
    slope_noise: tuple[Alternative, ...]
    relative_slope_noise: float  # share of the slope by which it changes in one day
    level_noise: tuple[Alternative, ...]
    interval_levels: Levels
    warn_probability: float
    fastest_per_day: float = math.inf

    def __post_init__(self) -> None:
        if not self.growth_per_day or list(self.growth_per_day) != sorted(set(self.growth_per_day)):
            raise HealthError(f"prior {self.name}: growth_per_day must be ascending numbers, at least one")
        rates = (self.faster_per_day, self.slower_per_day)
        if len(self.growth_per_day) > 1 and not min(rates) > 0:
            raise HealthError(f"prior {self.name}: several regimes need rates above zero to change between them")
        if not 0 < self.calm_start <= 1:
            raise HealthError(f"prior {self.name}: calm_start {self.calm_start} must lie above 0 and at most be 1")
        if not self.fastest_per_day > 0:
            raise HealthError(f"prior {self.name}: fastest_per_day must be above zero")
        if not self.slope_deviation_per_day > 0:
            raise HealthError(f"prior {self.name}: slope_deviation_per_day must be above zero")
        if not all(0 < early < 0.5 < late < 1 for _, early, late in self.interval_levels):
            raise HealthError(f"prior {self.name}: interval_levels must lie on either side of the median, 0.5")
        if not self.interval_levels or list(self.interval_levels) != sorted(self.interval_levels):
            raise HealthError(f"prior {self.name}: interval_levels must be ascending in days, at least one row")
        for name, noises in (("slope_noise", self.slope_noise), ("level_noise", self.level_noise)):
            if not math.isclose(sum(noise.share for noise in noises), 1.0, abs_tol=1e-6):
                raise HealthError(f"prior {self.name}: the shares of {name} must sum to 1")


@dataclass(frozen=True, kw_only=True)
class Regimes:
    """Arrays of a prior: alternatives of noise (V of them, a column) against regimes of growth (J of them, a row)."""

    growth: Floats  # (J,) per day
    fastest: float  # slope per day at which growth ends
    slope_noise: Floats  # (V, 1) variance per day
    relative_slope_noise: float  # variance per day, of the slope's square
    level_noise: Floats  # (V, 1) variance per day
    weight: Floats  # (V, J), sums to 1
    rates: Floats  # (J,) eigenvalues of the generator of the changes between regimes
    left: Floats  # (J, J), with ``right``: transition(h) = left @ diag(exp(rates * h)) @ right
    right: Floats  # (J, J)

    def transition(self, days: float) -> Floats:
        """Probability (from, to) that a regime has given way to another after so many days."""
        return (self.left * np.exp(self.rates * days)) @ self.right


@cache
def regimes(prior: TrendPrior) -> Regimes:
    """The prior as arrays."""
    count = len(prior.growth_per_day)
    share = np.ones(count)
    generator = np.zeros((count, count))
    for lower in range(count - 1):
        generator[lower, lower + 1] = prior.faster_per_day
        generator[lower + 1, lower] = prior.slower_per_day
        share[lower + 1] = share[lower] * prior.faster_per_day / prior.slower_per_day
    generator -= np.diag(generator.sum(axis=1))
    start = prior.calm_start ** np.arange(count)
    # Changes between neighbours only: the generator is similar to a symmetric matrix, its eigenvalues are real.
    root = np.sqrt(share)
    rates, vectors = np.linalg.eigh(root[:, None] * generator / root)
    noises = [(slope, level) for slope in prior.slope_noise for level in prior.level_noise]
    return Regimes(
        growth=np.array(prior.growth_per_day),
        fastest=prior.fastest_per_day,
        slope_noise=np.array([[slope.deviation**2] for slope, _ in noises]),
        relative_slope_noise=prior.relative_slope_noise**2,
        level_noise=np.array([[level.deviation**2] for _, level in noises]),
        weight=np.array([[slope.share * level.share] for slope, level in noises]) * start / start.sum(),
        rates=rates,
        left=vectors / root[:, None],
        right=vectors.T * root,
    )


def prior_for(quantity: str, fleet: str = DEFAULT_FLEET) -> TrendPrior:
    """The prior of a quantity (``telemetry.records.Quantity``, or ``tire_pressure`` in kPa) for a fleet.

    ``fleet``: for the traction battery the cell chemistry, for example ``lfp``; one that is not known gets the
    quantity's default. ``plain``: no fleet prior at all. HealthError for a quantity without a prior.
    """
    known = _priors().get(quantity)
    if known is None:
        raise HealthError(f"no prior for {quantity!r}; there are: {', '.join(sorted(_priors()))}")
    return known.get(fleet, known[DEFAULT_FLEET])


@cache
def _priors() -> dict[str, dict[str, TrendPrior]]:
    text = (resources.files("health.forecasting") / "priors.yaml").read_text(encoding="utf-8")
    document = cast("Mapping[str, Mapping[str, Mapping[str, object]]]", yaml.safe_load(text))
    return {
        quantity: {fleet: read_prior(f"{quantity}.{fleet}", fields) for fleet, fields in fleets.items()}
        for quantity, fleets in document.items()
    }


def read_prior(name: str, fields: Mapping[str, object]) -> TrendPrior:
    """A prior from its entry in ``priors.yaml``; HealthError where a field is missing, unknown or no number."""
    try:
        values = dict(fields)
        values["growth_per_day"] = tuple(cast("list[float]", fields["growth_per_day"]))
        for noise in ("slope_noise", "level_noise"):
            rows = cast("list[tuple[float, float]]", fields[noise])
            values[noise] = tuple(Alternative(deviation=deviation, share=share) for deviation, share in rows)
        levels = cast("list[tuple[float, float, float]]", fields["interval_levels"])
        values["interval_levels"] = tuple((days, early, late) for days, early, late in levels)
        return TrendPrior(name=name, **values)  # type: ignore[arg-type]
    except (TypeError, KeyError, ValueError) as error:
        raise HealthError(f"priors.yaml: {name}: {error}") from error
