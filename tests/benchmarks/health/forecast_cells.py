"""Recorded capacity fade as daily series of state of health, and a forecast on each day of all of them at once.

One cycle is one day; a value is in percent of the cell's first cycles, with 1 % of normal noise. The filter is that of
:mod:`health.forecast`, run once over many series of the same days: on each day its belief is what a forecast made that
day would have (tests/unit/health/test_forecast_cells.py holds it to that).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from health.forecasting.prior import TrendPrior, regimes
from health.forecasting.series import block_of, block_value, noise_variances
from health.forecasting.trend import Belief, advance, begin, observe
from tests.benchmarks.health.table import DATA, seed_of

NOISE_PERCENT: Final = 1.0  # of the initial capacity, as an estimate of a good dongle scatters
INITIAL_CYCLES: Final = 10  # whose median is 100 %
_GLITCH_CYCLES: Final = 9  # a median over so many removes the single faulty cycles of these records

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell's record: what is true (percent of initial, faulty cycles removed) and as recorded, one per day."""

    name: str
    truth: Floats
    recorded: Floats

    @property
    def fleet(self) -> str:
        """The data set it belongs to."""
        return self.name.partition("/")[0]

    def crossing(self, limit: float) -> float:
        """The first day from which the truth stays below ``limit`` (percent); NaN: not within the record."""
        above = np.flatnonzero(self.truth >= limit)
        last = int(above[-1]) if above.size else -1
        return float("nan") if last == self.truth.size - 1 else float(last + 1)

    def noisy(self, seed: int) -> Floats:
        """The record with measurement noise."""
        rng = np.random.default_rng(seed_of(self.name, seed))
        return self.recorded + rng.normal(0.0, NOISE_PERCENT, self.recorded.size)


def cells(path: Path = DATA / "battery_cells" / "capacity_fade_mit_hust.npz", *, shortest: int = 100) -> list[Cell]:
    """All records of at least so many cycles."""
    found = []
    with np.load(path) as file:
        for name in sorted(file.files):
            capacity = file[name].astype(np.float64)
            capacity = capacity[np.isfinite(capacity)]
            if capacity.size >= shortest:
                percent = 100 * capacity / np.median(capacity[:INITIAL_CYCLES])
                truth = median_filter(percent, _GLITCH_CYCLES, mode="nearest")
                found.append(Cell(name=name, truth=truth, recorded=percent))
    return found


@dataclass(frozen=True, kw_only=True)
class Day:
    """One day of all series: its number, and the belief in the direction of wear (falling values)."""

    number: int
    belief: Belief


def follow_all(prior: TrendPrior, series: Sequence[Floats], *, every: int = 1, first: int = 20) -> Iterator[Day]:
    """The belief on each of these days; a series that has ended keeps what was believed, ever wider."""
    length = max(values.size for values in series)
    days = np.arange(float(length))
    value = np.full((len(series), length), np.nan)
    noise = np.ones((len(series), length))
    for row, values in enumerate(series):
        value[row, : values.size] = -values
        noise[row, : values.size] = noise_variances(days[: values.size], values)
    arrays, blocks = regimes(prior), block_of(days)
    belief = begin(
        prior, arrays, np.median(value[:, :3], axis=1), 100 * noise[:, 0] + np.ptp(value[:, :3], axis=1) ** 2
    )
    before, begun = 0.0, 0
    for number in range(length):
        complete = number + 1 == length or blocks[number + 1] != blocks[number]
        asked = number >= first and number % every == 0
        if complete or asked:
            middle = (begun + number) / 2
            seen = observe(
                advance(belief, arrays, middle - before), *block_value(value[:, begun : number + 1], noise[:, number])
            )
            if asked:
                yield Day(number=number, belief=advance(seen, arrays, number - middle))
            if complete:
                belief, before, begun = seen, middle, number + 1
