"""Capacity of a traction battery from partial charges: error, interval and baseline, per data set and kind of gauge.

Semi-synthetic: the fade of recorded cells, the windows of recorded charges, a simulated pack and gauge
(health_traction_pack). Errors are in points of nominal capacity, over all cells and charges from the 20th on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, partial
from itertools import pairwise
from statistics import NormalDist
from typing import Final

import numpy as np

from health.capacity.awtls import PooledWindows
from health.capacity.open_circuit_voltage import Chemistry
from health.intervals import Z90
from health.signals import TRACTION_BATTERY_CURRENT as CURRENT
from health.signals import TRACTION_BATTERY_SOC as SOC
from health.traction_battery import TractionBattery, TractionBatteryParameters
from telemetry.records import Limitation, Quantity, Sample
from tests.benchmarks.health.table import (
    Floats,
    HealthRow,
    Split,
    draw_estimate,
    draw_reliability,
    figure,
    save,
    seed_of,
)
from tests.benchmarks.health.traction_data import (
    Cell,
    Discharge,
    cells,
    charge_windows,
    nasa_cells,
    published_errors,
)
from tests.benchmarks.health.traction_pack import (
    CELLS,
    NOMINAL_AH,
    Gauge,
    Played,
    draw_charges,
    draw_pack,
    play,
    play_discharges,
)

_row = partial(HealthRow, quantity=Quantity.TRACTION_BATTERY_SOH, unit="points")
_CELLS: Final = 20  # of each set
_FEW_CELLS: Final = 6  # in variants, and on the side of fitting
_CHARGES: Final = 55
_FROM: Final = 20  # charges
_PLAIN: Final = "AWTLS, gauge at both ends"
_SOC_ERROR: Final = 0.028  # of one reading, what the baseline is told
_MEMORY_DAYS: Final = 60.0  # of the baseline


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What the car tells, and how wrong it is."""

    name: str
    gauge: Gauge = field(default_factory=Gauge)
    told: Chemistry | None = None  # the curve the estimator is given
    curve: Chemistry | None = None  # the one the pack has; None: no voltage is sampled
    rests: bool = True  # where a curve is told
    whole: bool = False  # a life from new to its end, else a part of it with a charge every five cycles at most
    cells: int = _FEW_CELLS

    @property
    def parameters(self) -> TractionBatteryParameters:
        """What the estimator is told."""
        return TractionBatteryParameters(
            nominal_capacity_ah=NOMINAL_AH, chemistry=self.told, cells_in_series=CELLS if self.told else None
        )


RAW: Final = Variant(name="raw gauge", cells=_CELLS)
RESTED: Final = Variant(name="rested voltage", told="nmc811", curve="nmc811", cells=_CELLS)
LIVES: Final = (
    replace(RAW, name="raw gauge, whole lives", whole=True, cells=12),
    replace(RESTED, name="rested voltage, whole lives", whole=True, cells=8),
)
RESTED_532: Final = replace(RESTED, name="rested voltage, NMC 532", told="nmc532", curve="nmc532", cells=8)
VARIANTS: Final = (
    Variant(name="raw gauge without bias", gauge=Gauge(bias="none")),
    Variant(name="raw gauge, bias over the whole range", gauge=Gauge(bias="whole range")),
    Variant(name="raw gauge, errors that last", gauge=Gauge(lasting=0.6)),
    Variant(name="good gauge", gauge=Gauge(sigma=1.0, bias="none")),
)
VOLTAGES: Final = Variant(
    name="wall box without rests, two voltages", told="nmc811", curve="nmc811", rests=False, cells=8
)
OTHER_CURVE: Final = Variant(name="rested voltage by another cell's curve", told="nmc811", curve="nmc532")
FLAT: Final = Variant(name="flat voltage (LFP)", gauge=Gauge(sigma=4.0), curve="lfp")


@dataclass(frozen=True)
class Track:
    """One pack's life as columns: charges counted, truth, estimate, low and high in percent; and the baselines."""

    limited_by: tuple[str, ...]
    charges: Floats
    truth: Floats
    value: Floats
    low: Floats
    high: Floats
    pooled: Floats  # AWTLS with fading memory
    pooled_half: Floats
    single: Floats  # the newest window alone


class _Baseline:
    """Plett's AWTLS as published, on the gauge's readings at both ends of each charge."""

    def __init__(self) -> None:
        self._sums = PooledWindows(scale=8.0)
        self._day: float | None = None

    def take(self, day: float, x: float, y: float) -> tuple[float, float, float]:
        """Capacity, its half interval, and the window's own capacity, in percent; NaN before any window."""
        if x >= 0.2:
            days = 0.0 if self._day is None else day - self._day
            sigma_x = np.sqrt(2) * _SOC_ERROR
            self._sums.add(x, y, sigma_x, 0.005, forgetting=float(np.exp(-days / _MEMORY_DAYS)))
            self._day = day
        if self._day is None:
            return np.nan, np.nan, np.nan
        capacity, error = self._sums.capacity()
        return 100 * capacity, 100 * Z90 * error, 100 * y / x if x >= 0.2 else np.nan


def _tracked(cell: Cell, variant: Variant, windows: Floats) -> Track:
    rng = np.random.default_rng(seed_of("traction", cell.name, variant.name))
    slow = variant.told is not None and not variant.rests
    pack = draw_pack(rng, voltage=variant.curve, rests=variant.told is not None and not slow, slow=slow)
    charges = draw_charges(cell, windows, rng, most=_CHARGES, whole=variant.whole)
    return _followed(play(charges, pack, variant.gauge, rng), variant.parameters)


def _discharged(name: str, discharges: list[Discharge], windows: Floats) -> Track:
    rng = np.random.default_rng(seed_of("traction", name))
    parameters = replace(RAW.parameters, discharges=True)
    return _followed(play_discharges(discharges, windows, RAW.gauge, rng), parameters)


def _followed(played: Iterable[Played], parameters: TractionBatteryParameters) -> Track:
    battery, baseline = TractionBattery(parameters), _Baseline()
    found: list[tuple[float, ...]] = []
    limits: list[str] = []
    for one in played:
        for sample in one.samples:
            battery.update(sample)
        if parameters.discharges:  # the next one counts on: end this one
            battery.update(replace(one.samples[-1], time=one.samples[-1].time + timedelta(hours=1)))
        plain = baseline.take(one.day, *_ends(one.samples))
        for estimate in battery.estimates(one.samples[-1].time):
            found.append((battery.charges, one.truth, estimate.value, estimate.low, estimate.high, *plain))
            limits.append(estimate.limited_by)
    return Track(tuple(limits), *np.array(found).reshape(-1, 8).T)


def _ends(samples: list[Sample]) -> tuple[float, float]:
    """Change of the gauge and charge, as shares, between the first and last sample with a current."""
    flowing = [one for one in samples if abs(one.values[CURRENT.path]) > 5]
    charge_ah = sum(
        (a.values[CURRENT.path] + b.values[CURRENT.path]) / 2 * (b.time - a.time).total_seconds() / 3600
        for a, b in pairwise(flowing)
    )
    change = flowing[-1].values[SOC.path] - flowing[0].values[SOC.path]
    return abs(change) / 100, abs(charge_ah) / NOMINAL_AH


def field_cells(split: Split) -> list[Cell]:
    """Packs that fade as the fleet does: 1 to 4 % a year, a charge every two and a half days, from used to new."""
    found = []
    for index in range(_CELLS):
        rng = np.random.default_rng(seed_of("field", split, index))
        start, rate = rng.uniform(0.85, 1.0), rng.uniform(0.01, 0.04)
        capacity = start - rate * np.arange(0, 700, 2.5) / 365
        found.append(Cell(f"field/{split}/{index}", capacity, 2.5))
    return found


@cache
def _tracks(variant: Variant, split: Split, group: str) -> list[Track]:
    windows = charge_windows(split)
    if group == "NASA":
        return [_discharged(name, discharges, windows) for name, discharges in nasa_cells(split).items()]
    chosen = field_cells(split) if group == "linear fade" else cells(split).get(group, [])
    count = variant.cells if split == "judged" else _FEW_CELLS
    spread = chosen[:: max(1, len(chosen) // count)][:count]
    return [_tracked(cell, variant, windows) for cell in spread]


def rows() -> list[HealthRow]:
    """Main cases on both sides; variants only where it is judged."""
    found: list[HealthRow] = []
    groups = [*cells("judged"), "linear fade"]
    for split in ("fit", "judged"):
        for variant, goal in ((RAW, 2.5), (RESTED, 1.5)):
            for group in (*groups, "NASA") if variant is RAW else groups:
                found += _main_rows(variant, split, group, goal)
    for variant, goal in zip(LIVES, (2.5, 1.5), strict=True):
        for group in cells("judged"):
            found += _main_rows(variant, "judged", group, goal, brief=True)
    for group in groups:
        found += _main_rows(RESTED_532, "judged", group, 1.5, brief=True)
    for variant in (*VARIANTS, VOLTAGES):
        for group in groups:
            found += _main_rows(variant, "judged", group, 2.5, brief=True)
    for group in groups:
        found += _uncertain_rows(OTHER_CURVE, group) + _uncertain_rows(FLAT, group)
    found += _by_charges(groups) + _recorded_rows()
    _plot(groups)
    return found


def _main_rows(variant: Variant, split: Split, group: str, goal: float, *, brief: bool = False) -> list[HealthRow]:
    tracks = _tracks(variant, split, group)
    if not tracks:
        return []
    all_ = _after(tracks, _FROM)
    error, plain = all_.value - all_.truth, all_.pooled - all_.truth
    data = f"{group}, {variant.name}, {len(tracks)} {'cell' if len(tracks) == 1 else 'cells'}"
    covered = 100 * float(((all_.low <= all_.truth) & (all_.truth <= all_.high)).mean())
    plain_covered = 100 * float((np.abs(plain) <= all_.pooled_half).mean())
    row = partial(_row, data=data, split=split, kind="simulated" if group == "linear fade" else "semi-synthetic")
    shown = [
        row(metric="RMSE", value=_rms(error), high=goal, baseline=_rms(plain), baseline_name=_PLAIN),
        row(metric="coverage of the 90 % interval", unit="%", value=covered, low=85.0, high=95.0)
        if brief
        else row(
            metric="coverage of the 90 % interval",
            unit="%",
            value=covered,
            low=85.0,
            high=95.0,
            baseline=plain_covered,
            baseline_name=_PLAIN,
        ),
    ]
    half = float(((all_.high - all_.low) / 2).mean())
    more = [row(metric="mean error", value=float(error.mean())), row(metric="half width of the interval", value=half)]
    return shown if brief else shown + more


def _uncertain_rows(variant: Variant, group: str) -> list[HealthRow]:
    """Where the voltage does not tell the charge: the interval must hold, and say why it is wide."""
    tracks = _tracks(variant, "judged", group)
    all_ = _after(tracks, _FROM)
    covered = 100 * float(((all_.low <= all_.truth) & (all_.truth <= all_.high)).mean())
    half = float(((all_.high - all_.low) / 2).mean())
    row = partial(_row, data=f"{group}, {variant.name}", split="judged", kind="semi-synthetic")
    found = [
        row(metric="coverage of the 90 % interval", unit="%", value=covered, low=85.0),
        row(metric="half width of the interval", value=half),
    ]
    if variant is FLAT:
        said = [limit == Limitation.FLAT_VOLTAGE for limit in all_.limited_by]
        found.append(
            row(metric="told to be limited by flat voltage", unit="%", value=100 * float(np.mean(said)), low=95)
        )
    return found


def _by_charges(groups: list[str]) -> list[HealthRow]:
    """Error by the number of charges, all sets together."""
    found = []
    for variant in (RAW, RESTED):
        tracks = [track for group in groups for track in _tracks(variant, "judged", group)]
        for count in (5, 10, 20, 50):
            able = [track for track in tracks if track.charges.max() >= count]
            if not able:
                continue
            at = [int(np.argmax(track.charges >= count)) for track in able]
            error = np.array([track.value[i] - track.truth[i] for track, i in zip(able, at, strict=True)])
            plain = np.array([track.pooled[i] - track.truth[i] for track, i in zip(able, at, strict=True)])
            row = partial(_row, data=f"all, {variant.name}", split="judged", kind="semi-synthetic")
            metric = f"RMSE after {count} charges"
            found.append(row(metric=metric, value=_rms(error), baseline=_rms(plain), baseline_name=_PLAIN))
    raw = _after([track for group in groups for track in _tracks(RAW, "judged", group)], 1)
    alone = raw.single - raw.truth
    one = _row(
        data=f"all, {RAW.name}",
        split="judged",
        kind="semi-synthetic",
        metric="RMSE of one window, baseline alone",
        value=_rms(alone[np.isfinite(alone)]),
    )
    return [*found, one]


def _recorded_rows() -> list[HealthRow]:
    """What recordings alone tell: two voltages against the full discharge, and the published estimates."""
    found = []
    for split in ("fit", "judged"):
        for name, discharges in nasa_cells(split).items():
            truth, estimate = by_two_voltages(discharges)
            row = partial(_row, data=f"{name}, charge between two voltages", split=split, kind="recorded")
            first = _rms(np.full(len(truth), 100.0) - truth)
            found.append(
                row(
                    metric="RMSE against the full discharge, relative to the first",
                    value=_rms(estimate - truth),
                    baseline=first,
                    baseline_name="no fade",
                )
            )
    published = published_errors()
    if published is not None:
        row = partial(_row, data="300 EVs, published estimates on their labels", split="judged", kind="recorded")
        found += [row(metric="MAE, published", value=published[0]), row(metric="RMSE, published", value=published[1])]
    return found


def by_two_voltages(discharges: list[Discharge]) -> tuple[Floats, Floats]:
    """Capacity, and charge between 3.9 and 3.5 V under load, in percent of those of the first discharge."""
    whole = np.array([one.capacity_ah for one in discharges])
    between = np.array(
        [np.diff(np.interp([-3.9, -3.5], -np.minimum.accumulate(one.voltage), one.given_ah))[0] for one in discharges]
    )
    return 100 * whole / whole[0], 100 * between / between[0]


def _rms(error: Floats) -> float:
    return float(np.sqrt((error**2).mean()))


def _after(tracks: list[Track], charges: int) -> Track:
    """All tracks in a row, from so many charges on."""
    kept = [track.charges >= charges for track in tracks]
    names = ("charges", "truth", "value", "low", "high", "pooled", "pooled_half", "single")
    columns = [
        np.concatenate([getattr(track, name)[mask] for track, mask in zip(tracks, kept, strict=True)]) for name in names
    ]
    limits = [limit for track, mask in zip(tracks, kept, strict=True) for limit in np.array(track.limited_by)[mask]]
    return Track(tuple(limits), *columns)


def _plot(groups: list[str]) -> None:
    made, axes = figure(columns=2, rows=1)
    for ax, variant in zip(axes, (RAW, RESTED), strict=True):
        track = _tracks(variant, "judged", groups[0])[0]
        draw_estimate(ax, track.charges, track.value, track.low, track.high, track.truth)
        ax.set_title(f"{variant.name}, a cell of {groups[0]}")
        ax.set_xlabel("charges")
    axes[0].set_ylabel("state of health, %")
    axes[0].legend(fontsize=7)
    save(made, "traction_battery_follow")
    made, axes = figure(columns=2, rows=1)
    for ax, variant in zip(axes, (RAW, RESTED), strict=True):
        for group in groups:
            ax_levels, seen = _reliability(_after(_tracks(variant, "judged", group), _FROM))
            draw_reliability(ax, ax_levels, seen, group)
        ax.set_title(variant.name)
    axes[0].legend(fontsize=7)
    save(made, "traction_battery_reliability")


def _reliability(all_: Track) -> tuple[Floats, Floats]:
    """How often the truth lies within the interval drawn in or out to other levels, taken as normal."""
    half = np.where(all_.truth > all_.value, all_.high - all_.value, all_.value - all_.low) / Z90
    off = np.abs(all_.truth - all_.value) / np.maximum(half, 1e-9)
    levels = np.array([0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
    return levels, np.array([(off <= NormalDist().inv_cdf((1 + level) / 2)).mean() for level in levels])
