"""A 12 V battery that ages in a car, for the benchmark's consistency rows. No claim on real batteries follows from it.

Battery and starter in series; the ratio of their resistances grows with wear, cold and missing charge. What the
simulator holds for true is the estimator's own definition of health, of this car: 0 where the full battery holds 9.6 V
while cranking at 21 celsius, 100 where it holds what a new one does.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from health import signals
from health.intervals import interpolate
from telemetry.records import Sample

START: Final = datetime(2026, 1, 1, 6, tzinfo=UTC)
_FULL_V: Final = 12.65
_FAILS: Final = math.log(_FULL_V / 9.6 - 1)
_REST: Final = ((0.0, 11.89), (25.0, 12.06), (50.0, 12.24), (75.0, 12.45), (100.0, 12.65))  # BU-903
_BURST_HZ: Final = 50


@dataclass(frozen=True, kw_only=True)
class Morning:
    """One start after a night: its samples, and what is true of the battery then."""

    day: int
    health: float  # percent
    replaced: bool  # since the morning before
    samples: tuple[Sample, ...]


def mornings(seed: int, days: int, *, burst: bool, known_new: bool = False) -> Iterator[Morning]:
    """A start each day for that long; ``known_new``: the life begins with a new battery."""
    rng = random.Random(f"{seed}/battery")
    new = math.log(_FULL_V / rng.uniform(10.6, 11.4) - 1)
    slope = rng.gauss(-0.0102, 0.003)
    wear, lifetime_days = (0.0 if known_new else rng.uniform(0.0, 0.5)), rng.uniform(1100, 2200)
    mean_c, season_c, shift = rng.uniform(5, 16), rng.uniform(8, 13), rng.uniform(0, 365)
    use, weather = 0.0, 0.0
    for day in range(days):
        wear += 1 / lifetime_days
        replaced = wear >= 0.95
        if replaced:
            wear = 0.0
        level = new + (_FAILS - new) * wear
        use += -use / 7 + rng.gauss(0, 1.5)  # short trips or long ones, for a week or so
        weather += -weather / 3 + rng.gauss(0, 2.5)
        celsius = mean_c + season_c * math.sin(2 * math.pi * (day + shift) / 365) + weather
        charge = min(100.0, max(20.0, 94 - 40 * wear**2 + use))
        rest_v = interpolate(_REST, charge) + 0.0012 * (celsius - 25) + rng.gauss(0, 0.02)
        ratio = math.exp(level + slope * (celsius - 21) + 0.3 * (1 - charge / 100) + rng.gauss(0, 0.1))
        held_v = _FULL_V / (1 + math.exp(level))
        new_v = _FULL_V / (1 + math.exp(new))
        yield Morning(
            day=day,
            health=min(100.0, max(0.0, 100 * (held_v - 9.6) / (new_v - 9.6))),
            replaced=replaced,
            samples=tuple(_samples(rng, day, rest_v, rest_v / (1 + ratio), celsius, burst=burst)),
        )


def _samples(
    rng: random.Random, day: int, rest_v: float, held_v: float, celsius: float, *, burst: bool
) -> Iterator[Sample]:
    yield _sample(day, 0.0, rest_v, 0.0, celsius)
    if burst:
        for index in range(_BURST_HZ):
            at = index / _BURST_HZ
            volts = rest_v if at < 0.2 else held_v - 1.5 if at < 0.26 else held_v + rng.gauss(0, 0.15)
            yield _sample(day, 1 + at, volts, None, celsius)
    for second in (2.5, 30.0, 60.0, 600.0):
        yield _sample(day, second, 14.2 - 0.01 * (celsius - 20) + rng.gauss(0, 0.05), 850.0, celsius)


def _sample(day: int, second: float, volts: float, rpm: float | None, celsius: float) -> Sample:
    values = {signals.LOW_VOLTAGE_BATTERY_VOLTAGE.path: volts, signals.AMBIENT_TEMPERATURE.path: celsius}
    if rpm is not None:
        values[signals.ENGINE_SPEED.path] = rpm
    return Sample(time=START + timedelta(days=day, seconds=second), monotonic_ms=0, values=values)
