"""From estimates as they come to what the filter takes: one value a day since the last repair, and its noise."""

import math
from bisect import insort
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from telemetry.records import require_aware

DAY_S: Final = 86_400.0
# So many first days share the noise found in them together; from then on each day's noise is that of the days so far,
# and a forecast of a day is the same whether later days are known or not.
SETTLING_DAYS: Final = 20
BLOCK_DAYS: Final = 5.0  # after them so many days are taken as one value: a trend of weeks needs no finer
_OUTLYING: Final = 3.0  # standard deviations from a block's median at which a value is cut
_MAD: Final = 1.4826  # standard deviation over median absolute deviation, normal distribution

Floats = npt.NDArray[np.float64]


def daily_medians(times: Sequence[datetime], values: Sequence[float], now: datetime) -> tuple[Floats, Floats]:
    """Days since 1970-01-01 UTC (mean time of a day's values) and the day's median, up to ``now``."""
    by_day: dict[int, list[tuple[float, float]]] = {}
    for time, value in zip(times, values, strict=True):
        require_aware(time, "forecast: a time of the series")
        if time > now or not math.isfinite(value):
            continue
        day = time.timestamp() / DAY_S
        by_day.setdefault(math.floor(day), []).append((day, value))
    found = [rows[0] if len(rows) == 1 else _middle(rows) for _, rows in sorted(by_day.items())]
    return np.array([day for day, _ in found]), np.array([value for _, value in found])


def _middle(rows: list[tuple[float, float]]) -> tuple[float, float]:
    return float(np.mean([day for day, _ in rows])), float(np.median([value for _, value in rows]))


def since_repair(days: Floats, medians: Floats, *, falling: bool) -> tuple[Floats, Floats]:
    """The part after the last lasting jump away from the limit: an oil change, new pads, another battery."""
    steps = np.diff(medians) if falling else -np.diff(medians)
    if steps.size < 2:
        return days, medians
    usual = max(float(np.median(np.abs(steps))), 1e-9)
    threshold = max(8 * _MAD * usual, 0.05 * float(np.max(np.abs(medians))))
    for index in np.flatnonzero(steps > threshold)[::-1]:
        after = medians[index + 1 : index + 4]
        before = medians[max(0, index - 2) : index + 1]
        lasting = float(np.median(after) - np.median(before)) * (1 if falling else -1)
        # The next day must confirm it, or the jump is the newest value: then what was before is void already.
        if lasting > threshold / 2 and (after.size == 1 or abs(after[1] - after[0]) < threshold / 2):
            return days[index + 1 :], medians[index + 1 :]
    return days, medians


def noise_variances(days: Floats, medians: Floats) -> Floats:
    """Variance of each daily median about the trend, counted as if independent, from the days up to it.

    Robust residuals of a local line, inflated by their correlation from day to day; at least that of rounding, whose
    error stays the same for as long as the rounded value does. ``days`` ascending, at least three.
    """
    sizes = np.abs(np.diff(medians))
    steps = np.where(sizes > 1e-9, sizes, np.inf)
    smallest = np.minimum.accumulate(steps)
    peak = np.maximum.accumulate(np.abs(medians))[1:]
    changed = np.flatnonzero(np.isfinite(smallest))
    # Days before the first change of a value are as coarse as that change, not as sharp as their being alike.
    unknown = smallest[changed[0]] if changed.size else 1e-3 * np.maximum(peak, 1.0)
    resolution = np.where(np.isfinite(smallest), smallest, unknown)
    runs = 1 + np.cumsum(sizes > 1e-9)
    rounding = resolution**2 / 12 * np.arange(2, medians.size + 1) / runs
    # A value halfway between its neighbours: what is left has 1.5 times the noise's variance, whatever the trend.
    span = days[2:] - days[:-2]
    middle = medians[:-2] + (medians[2:] - medians[:-2]) * (days[1:-1] - days[:-2]) / span
    spread = (_MAD * _running_median(np.abs(medians[1:-1] - middle))) ** 2 / 1.5
    fine = resolution[1:] < 0.3 * np.sqrt(spread)
    found = spread + np.where(fine, resolution[1:] ** 2 / 12, rounding[1:])
    settled = found[min(SETTLING_DAYS, medians.size) - 3]
    return np.concatenate(
        [[settled, settled], np.where(np.arange(3, medians.size + 1) < SETTLING_DAYS, settled, found)]
    )


def block_of(days: Floats) -> npt.NDArray[np.int64]:
    """The block each day belongs to, counted from the first day: at first each day is its own."""
    since = days - days[0]
    later = SETTLING_DAYS + (since - SETTLING_DAYS) // BLOCK_DAYS
    blocks: npt.NDArray[np.int64] = np.where(since < SETTLING_DAYS, np.floor(since), later).astype(np.int64)
    return blocks


def in_blocks(days: Floats, medians: Floats, noise: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean day, mean value and its variance per block, each value cut to near the block's median."""
    first = np.flatnonzero(np.diff(block_of(days), prepend=-1))
    parts = [slice(begin, end) for begin, end in zip(first, [*first[1:], days.size], strict=True)]
    values = [block_value(medians[part], noise[part.stop - 1]) for part in parts]
    return (
        np.array([float(days[part].mean()) for part in parts]),
        np.array([float(value) for value, _ in values]),
        np.array([float(variance) for _, variance in values]),
    )


def block_value(medians: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """A block's mean (..., days) -> (...) and its variance, from that of one day."""
    if medians.shape[-1] == 1:
        return medians[..., 0], noise
    middle = np.median(medians, axis=-1, keepdims=True)
    reach = _OUTLYING * np.sqrt(noise)[..., None]
    return np.clip(medians, middle - reach, middle + reach).mean(axis=-1), noise / medians.shape[-1]


def _running_median(values: Floats) -> Floats:
    """Of all values up to each."""
    ordered: list[float] = []
    medians = np.empty(values.size)
    for index, value in enumerate(values.tolist()):
        insort(ordered, value)
        half = index // 2
        medians[index] = ordered[half] if index % 2 == 0 else (ordered[half] + ordered[half + 1]) / 2
    return medians
