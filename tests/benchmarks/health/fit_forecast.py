"""What ``health/forecasting/priors.yaml`` says of lithium-ion cells, from the fit half of the recorded cells.

By hand, some minutes of one core: ``python -m tests.benchmarks.health.fit_forecast``; with ``MIT`` or ``HUST`` from
that data set alone, for the check how a prior holds on a fleet it has never seen; with ``wear`` the levels of simulated
wear. Three steps, each on the fit half only: the prior's numbers by the mean logarithmic score of "crosses within 15,
30, 60, 90 days"; the interval's levels (conformal); the probability from which to warn.

The shipped numbers are learned from MIT's cells and calibrated on both: HUST's are so alike that numbers learned from
them, or from both, hold a change of pace for less likely than it is (the interval held 72 % on MIT's fit half).
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import ndtr

from health.forecast import AHEAD_DAYS
from health.forecasting.prior import Alternative, Levels, TrendPrior, prior_for, regimes
from health.forecasting.trend import leap
from tests.benchmarks.health.forecast_cells import Cell, cells, follow_all
from tests.benchmarks.health.forecast_metrics import (
    WINDOW_DAYS,
    Track,
    coverage,
    tracks,
    warnings_of,
    weighted_quantile,
)
from tests.benchmarks.health.forecast_wear import WEARS, Wear, ask
from tests.benchmarks.health.table import split_of

_EVERY_DAYS: Final = 15
_LIMITS: Final = (85.0, 90.0)  # percent of initial: many cells end before 85 %
_LEAPS: Final = (5, 10, 15, 20, 25, 30, 40, 60, 75, 90)  # days ahead
_SCORED: Final = (15, 30, 60, 90)
_NEAR_DAYS: Final = 250  # before the crossing: earlier forecasts say little else than "not yet"
# What is fitted, with where the search begins; the shares, the grid of growths and the far tails are chosen by hand.
_BEGIN: Final = {
    "calm_start": 0.3, "faster_per_day": 0.002, "slower_per_day": 0.002, "slope_deviation_per_day": 0.005,
    "slope_noise": 0.00005, "relative_slope_noise": 0.045, "level_noise": 0.0045,
}  # fmt: skip
# A weak pull to the begin, per squared factor of e: with few cells the score leaves some numbers free.
_PULL: Final = 2e-3

_WEAR_LIVES: Final = range(1000, 1150)
LIMIT: Final = 85.0  # percent of initial
_SEEDS: Final = 2
_CALIBRATED_DAYS: Final = 365
_AROUND: Final = (0.0, 15.0, 45.0, 90.0, 180.0, 365.0)  # days until the median: rows of the table of levels
_BELOW: Final = (0.0025, 0.005, 0.01, 0.02, 0.05)  # share of truths that may come before the interval, and after
_ABOVE: Final = (0.04, 0.05, 0.06, 0.07, 0.08)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Training:
    """Noisy series of the cells to learn from, and when they cross each limit."""

    series: Sequence[Floats]
    fleets: npt.NDArray[np.str_]
    ends: Floats  # length of each record, days
    crossings: Floats  # (limits, cells), NaN: not within the record


def training(chosen: Sequence[Cell]) -> Training:
    """One noise for each cell."""
    return Training(
        series=[cell.noisy(0) for cell in chosen],
        fleets=np.array([cell.fleet for cell in chosen]),
        ends=np.array([float(cell.truth.size) for cell in chosen]),
        crossings=np.array([[cell.crossing(limit) for cell in chosen] for limit in _LIMITS]),
    )


def with_numbers(prior: TrendPrior, numbers: dict[str, float]) -> TrendPrior:
    """The prior with the fitted numbers in place."""
    fields: dict[str, object] = dict(numbers)
    for name in ("slope_noise", "level_noise"):
        first, *others = getattr(prior, name)
        fields[name] = (Alternative(deviation=numbers[name], share=first.share), *others)
    return replace(prior, **fields)  # type: ignore[arg-type]


def score(prior: TrendPrior, data: Training) -> float:
    """Mean logarithmic loss, smaller is better; data sets weigh the same."""
    arrays = regimes(prior)
    losses = dict.fromkeys(np.unique(data.fleets).tolist(), 0.0)
    counts = dict.fromkeys(losses, 0)
    for day in follow_all(prior, data.series, every=_EVERY_DAYS):
        belief, before = day.belief, 0
        shares = np.zeros((len(_LIMITS), len(data.series)))
        for ahead in _LEAPS:
            belief, before = leap(belief, arrays, ahead - before), ahead
            deviation = np.sqrt(belief.level_variance)
            for row, limit in enumerate(_LIMITS):
                share = (belief.weight * ndtr((belief.level + limit) / deviation)).sum(axis=(-2, -1))
                shares[row] = np.maximum(shares[row], share)
            if ahead not in _SCORED:
                continue
            crossed = data.crossings <= day.number + ahead
            never = np.isnan(data.crossings)
            near = (data.crossings > day.number) & (data.crossings - day.number < _NEAR_DAYS)
            counted = near | (never & (day.number + ahead < data.ends))
            sure = np.clip(shares, 1e-4, 1 - 1e-4)
            loss = np.where(counted, -np.log(np.where(crossed, sure, 1 - sure)), 0.0)
            for fleet in losses:
                losses[fleet] += float(loss[:, data.fleets == fleet].sum())
                counts[fleet] += int(counted[:, data.fleets == fleet].sum())
    return float(np.mean([losses[fleet] / counts[fleet] for fleet in losses]))


def fit(prior: TrendPrior, data: Training, *, evaluations: int = 90) -> tuple[TrendPrior, float]:
    """The prior with the best numbers, rounded to two digits, and its score."""
    begin = np.log(list(_BEGIN.values()))

    def loss(logarithms: Floats) -> float:
        numbers = dict(zip(_BEGIN, np.minimum(np.exp(logarithms), 1.0).tolist(), strict=True))
        found = score(with_numbers(prior, numbers), data) + _PULL * float(np.sum((logarithms - begin) ** 2))
        print(f"{found:.5f}", {name: float(f"{number:.3g}") for name, number in numbers.items()}, flush=True)  # noqa: T201
        return found

    simplex = np.vstack([begin, begin + 0.6 * np.eye(begin.size)])
    best = minimize(
        loss, begin, method="Nelder-Mead", options={"maxfev": evaluations, "initial_simplex": simplex, "fatol": 1e-5}
    )
    numbers = {name: float(f"{np.exp(value):.2g}") for name, value in zip(_BEGIN, best.x, strict=True)}
    return with_numbers(prior, numbers), float(best.fun)


def fit_cells(fleet: str = "") -> list[Cell]:
    """The cells that may be learned from, of one data set or of all."""
    return [cell for cell in cells() if split_of("cells", cell.name) == "fit" and cell.name.startswith(fleet)]


def levels(found: Sequence[Track]) -> Levels:
    """The interval's levels by days until the median: quantiles of where in the forecast the truth was found.

    Around each row's days, all forecasts of up to a year before the crossing; data sets weigh the same, within them
    cells. How much lies outside on either side is what brings both data sets nearest to 90 %.
    """
    fleets = sorted({track.fleet for track in found})
    judged = {fleet: [track.last(WINDOW_DAYS) for track in found if track.fleet == fleet] for fleet in fleets}

    def farthest_off(row: Levels) -> float:
        return max(abs(coverage([t.with_levels(row) for t in judged[fleet]]) - 0.9) for fleet in fleets)

    return min((_levels(found, below, above) for below in _BELOW for above in _ABOVE), key=farthest_off)


def _levels(found: Sequence[Track], below: float, above: float) -> Levels:
    sizes = Counter(track.fleet for track in found)
    table = []
    for near, at, far in zip(_AROUND, _AROUND[1:], _AROUND[2:], strict=False):
        places, weights = [], []
        for track in found:
            chosen = (track.median >= near) & (track.median < far)
            if chosen.any():
                places.append(track.places[chosen])
                weights.append(np.full(int(chosen.sum()), 1 / int(chosen.sum()) / sizes[track.fleet]))
        place, weight = np.concatenate(places), np.concatenate(weights)
        low = min(weighted_quantile(place, weight, below), 0.45)
        high = max(weighted_quantile(place, weight, 1 - above), 0.55)
        table.append((at, round(low, 3), round(high, 3)))
    return (*table, (_AROUND[-1], 0.05, 0.95))


def threshold(found: Sequence[Track]) -> float:
    """The middle of the probabilities at which the goals of warning are reached best in the data set worst served."""
    grid = np.round(np.arange(0.02, 0.4, 0.01), 2)
    reserve = []
    for at in grid:
        judged = [warnings_of([t for t in found if t.fleet == fleet], at) for fleet in {t.fleet for t in found}]
        reserve.append(min(min(one.in_time - 0.95, one.not_too_early - 0.9) for one in judged))
    best = np.flatnonzero(np.array(reserve) >= max(reserve) - 1e-9)
    return float(grid[best[best.size // 2]])


def calibrated(prior: TrendPrior, chosen: Sequence[Cell]) -> TrendPrior:
    """The prior with its interval's levels and its probability to warn from, of these cells."""
    found = tracks(prior, chosen, seeds=_SEEDS, limit=LIMIT, window=_CALIBRATED_DAYS)
    return replace(prior, interval_levels=levels(found), warn_probability=threshold(found))


def wear_levels(wear: Wear, numbers: Iterable[int] = _WEAR_LIVES) -> Levels:
    """The interval's levels of a quantity from simulated lives, none of which the benchmark judges.

    Never narrower than what the forecast itself says: real wear keeps to no simulator's law.
    """
    prior = replace(prior_for(wear.quantity), interval_levels=((0.0, 0.05, 0.95),))
    asked = ask(wear, prior, numbers)
    days = np.array([0.0, *AHEAD_DAYS])
    places = np.array([np.interp(one.left, days, one.shares) for one in asked])
    low, high = np.quantile(places, [0.05, 0.95])
    return ((0.0, min(round(float(low), 3), 0.05), max(round(float(high), 3), 0.95)),)


def main(arguments: list[str]) -> int:
    """Print the numbers to put into ``priors.yaml``: of cells, of one data set of them, or of simulated ``wear``."""
    if arguments == ["wear"]:
        for wear in WEARS:
            print(wear.quantity, wear_levels(wear), flush=True)  # noqa: T201 - this is its output
        return 0
    prior, found = fit(prior_for("traction_battery_soh", "lfp"), training(fit_cells(*(arguments or ["MIT"]))))
    print("score", round(found, 5), calibrated(prior, fit_cells(*arguments)))  # noqa: T201 - this is its output
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
