"""A simulated pack for the benchmark of its capacity: cells' recorded fade, recorded charge windows, a gauge that errs.

Each charge is played as samples of the dongle: rest, charge at constant power with taper, rest; current, voltage, gauge
in whole percent, temperature. The gauge's error is drawn for both ends of a charge and changes along it. The pack's
open-circuit curve is the estimator's with a smooth error of its own, or that of another cell.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import exp
from typing import Final

import numpy as np

from health import signals
from health.capacity.open_circuit_voltage import Chemistry, open_circuit_voltage
from telemetry.records import Sample
from tests.benchmarks.health.table import Floats
from tests.benchmarks.health.traction_data import Cell, Discharge

NOMINAL_AH: Final = 150.0
NASA_NOMINAL_AH: Final = 2.0
CELLS: Final = 96
START: Final = datetime(2026, 1, 1, 18, tzinfo=UTC)
_STEP_S: Final = 10.0
_RAREST_CYCLES: Final = 5  # between two charges that are seen: then a cell fades ten times as fast as a car's
_SLOW_SHARE: Final = 0.1  # of the charges at the wall box
_POLARISATION_V: Final = 0.020  # of a cell at the end of a charge or drive, gone by 1/e an hour
_RESISTANCE_OHM: Final = 0.0011  # of one cell of 150 Ah, new
_RESISTANCE_GROWTH: Final = 5.0  # share of it per share of capacity lost: twice at 80 %, as cells at their end of life
_LFP: Final = (
    (0, 2.8),
    (5, 3.15),
    (10, 3.21),
    (20, 3.26),
    (40, 3.29),
    (60, 3.30),
    (70, 3.33),
    (95, 3.335),
    (100, 3.40),
)


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """How the battery management errs, in SOC points."""

    sigma: float = 2.8  # of one reading: the 300 EVs of the charge windows
    bias: str = "low end"  # "none", "low end": -3.2 at 0 % to 0 at 30 %; "whole range": -3.2 at 0 % to 0 at 100 %
    lasting: float = 0.0  # correlation of the error from charge to charge

    def errors(self, count: int, rng: np.random.Generator) -> Floats:
        """Errors at the lower and the upper end of so many charges."""
        drawn = rng.normal(0, self.sigma, (count, 2))
        for index in range(1, count):
            drawn[index] = self.lasting * drawn[index - 1] + (1 - self.lasting**2) ** 0.5 * drawn[index]
        return drawn

    def offset(self, soc: Floats) -> Floats:
        """Bias at ``soc`` percent."""
        if self.bias == "none":
            return np.zeros(len(soc))
        return -3.2 * np.maximum(0.0, 1 - soc / (30.0 if self.bias == "low end" else 100.0))


@dataclass(frozen=True, kw_only=True)
class Pack:
    """What one pack is like, apart from its fade. ``voltage``: whose curve it has; None: not sampled."""

    voltage: Chemistry | None
    rests: bool
    slow: bool  # always charged at the wall box
    gain: float  # of the current sensor, 1 = right
    curve_error_v: tuple[float, float, float]  # amplitude of three waves over the range of charge
    curve_phase: tuple[float, float, float]


@dataclass(frozen=True)
class Played:
    """One charge as it was sampled, and the capacity then in percent of nominal."""

    day: float
    truth: float
    samples: list[Sample]


@dataclass(frozen=True)
class Charge:
    """One charge to play: when, the capacity then, and from where to where the pack really goes, in percent."""

    day: float
    capacity_ah: float
    low: float
    high: float


def draw_pack(rng: np.random.Generator, *, voltage: Chemistry | None, rests: bool, slow: bool = False) -> Pack:
    """A pack at random: sensor gain 0.75 %, curve off by 3 mV rms."""
    amplitude = rng.normal(0, 0.0025, 3)
    phase = rng.uniform(0, 2 * np.pi, 3)
    return Pack(
        voltage=voltage,
        rests=rests,
        slow=slow,
        gain=1 + float(rng.normal(0, 0.0075)),
        curve_error_v=(float(amplitude[0]), float(amplitude[1]), float(amplitude[2])),
        curve_phase=(float(phase[0]), float(phase[1]), float(phase[2])),
    )


def draw_charges(
    cell: Cell, windows: Floats, rng: np.random.Generator, *, most: int, whole: bool = False
) -> list[Charge]:
    """Up to ``most`` charges, one every cycle or up to every fifth; of a longer life a part drawn at random.

    ``whole``: over all of the life, however rare the charges are then.
    """
    every = -(-len(cell.capacity) // most)
    every = every if whole else min(_RAREST_CYCLES, every)
    begin = int(rng.integers(0, max(1, len(cell.capacity) - every * most)))
    cycles = np.arange(begin, min(len(cell.capacity), begin + every * most), every)
    chosen = windows[rng.integers(0, len(windows), len(cycles))]
    return [
        Charge(float(cycle) * cell.days_per_cycle, float(cell.capacity[cycle]) * NOMINAL_AH, float(low), float(high))
        for cycle, (low, high) in zip(cycles, chosen, strict=True)
    ]


def play(charges: list[Charge], pack: Pack, gauge: Gauge, rng: np.random.Generator) -> Iterator[Played]:
    """The samples of each charge; between charges the car drives unseen."""
    for charge, errors in zip(charges, gauge.errors(len(charges), rng), strict=True):
        yield Played(charge.day, 100 * charge.capacity_ah / NOMINAL_AH, _samples(charge, pack, gauge, errors, rng))


def play_discharges(
    discharges: list[Discharge], windows: Floats, gauge: Gauge, rng: np.random.Generator
) -> Iterator[Played]:
    """Recorded discharges, one a day, as a pack of many such cells, each seen from one state of charge to another."""
    scale = NOMINAL_AH / NASA_NOMINAL_AH
    chosen = windows[rng.integers(0, len(windows), len(discharges))]
    for one, (low, high), errors in zip(discharges, chosen, gauge.errors(len(discharges), rng), strict=True):
        soc = 100 * (1 - one.given_ah / one.capacity_ah)
        seen = (soc >= low) & (soc <= high)
        true = soc[seen]
        shown = true + gauge.offset(true) + errors[0] + (errors[1] - errors[0]) * (true - low) / (high - low)
        columns = {
            signals.TRACTION_BATTERY_CURRENT.path: np.round(one.current[seen] * scale, 1).tolist(),
            signals.TRACTION_BATTERY_SOC.path: np.round(np.clip(shown, 0, 100)).tolist(),
        }
        begin = START + timedelta(days=one.cycle)
        samples = _rows(begin, one.seconds[seen].tolist(), columns)
        yield Played(float(one.cycle), 100 * one.capacity_ah / NASA_NOMINAL_AH, samples)


def _rows(begin: datetime, seconds: list[float], columns: dict[str, list[float]]) -> list[Sample]:
    paths = tuple(columns)
    rows = zip(seconds, zip(*columns.values(), strict=True), strict=True)
    return [
        Sample(time=begin + timedelta(seconds=second), monotonic_ms=0, values=dict(zip(paths, row, strict=True)))
        for second, row in rows
    ]


def _samples(charge: Charge, pack: Pack, gauge: Gauge, errors: Floats, rng: np.random.Generator) -> list[Sample]:
    begin = START + timedelta(days=charge.day)
    seconds, true, current, relaxing_v = (np.array(column) for column in zip(*_course(charge, pack, rng), strict=True))
    share = (true - charge.low) / (charge.high - charge.low)
    shown = true + gauge.offset(true) + errors[0] + (errors[1] - errors[0]) * share
    columns = {
        signals.TRACTION_BATTERY_CURRENT.path: np.round(current * pack.gain + rng.normal(0, 0.05, len(true)), 1),
        signals.TRACTION_BATTERY_SOC.path: np.round(np.clip(shown, 0.0, 100.0)),
        signals.TRACTION_BATTERY_CHARGING.path: (current > 0).astype(float),
        signals.SPEED.path: np.zeros(len(true)),
    }
    if pack.voltage is not None:
        resistance = _RESISTANCE_OHM * (1 + _RESISTANCE_GROWTH * max(0.0, 1 - charge.capacity_ah / NOMINAL_AH))
        cell = _open_voltage(pack, pack.voltage, true) + current * resistance + relaxing_v
        columns[signals.TRACTION_BATTERY_VOLTAGE.path] = np.round(cell * CELLS, 1)
    return _rows(begin, seconds.tolist(), {path: column.tolist() for path, column in columns.items()})


def _course(charge: Charge, pack: Pack, rng: np.random.Generator) -> Iterator[tuple[float, float, float, float]]:
    """Seconds, true state of charge (percent), current (A) and what is left of the relaxation (V per cell)."""
    if pack.rests:  # after a drive, since the evening before
        for hours in (-9.0, -1.0, -0.001):
            yield hours * 3600, charge.low, 0.0, -_POLARISATION_V * exp(-(9.5 + hours))
    full_a = float(rng.uniform(40, 50) if pack.slow or rng.random() < _SLOW_SHARE else rng.uniform(120, 200))
    seconds, true, current = 0.0, charge.low, full_a
    while true < charge.high:
        current = full_a * min(1.0, 0.25 + (100.0 - true) / 15)
        yield seconds, true, current, 0.0
        points_per_s = current / 36 / charge.capacity_ah
        step_s = min(_STEP_S, (charge.high - true) / points_per_s + 0.01)
        true, seconds = min(100.0, true + points_per_s * step_s), seconds + step_s
    yield seconds, true, current, 0.0
    yield seconds + 1, true, 0.0, _POLARISATION_V
    if pack.rests:
        for hours in (0.5, 3.0, 6.0):
            yield seconds + hours * 3600, true, 0.0, _POLARISATION_V * exp(-hours)


def _open_voltage(pack: Pack, chemistry: Chemistry, soc: Floats) -> Floats:
    if chemistry == "lfp":
        points = np.array(_LFP)
        return np.asarray(np.interp(soc, points[:, 0], points[:, 1]))
    grid = np.arange(0, 101, 5)
    waves = zip(pack.curve_error_v, pack.curve_phase, (1.0, 2.0, 3.0), strict=True)
    error = sum((a * np.sin(2 * np.pi * n * soc / 100 + p) for a, p, n in waves), np.zeros(len(soc)))
    return np.interp(soc, grid, [open_circuit_voltage(chemistry, float(point)) for point in grid]) + error
