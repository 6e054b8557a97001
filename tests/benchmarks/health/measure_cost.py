"""What the estimates cost a dongle: time per sample, memory, and the size of what is kept over a restart."""

import gc
import json
import random
import statistics
import time
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from health.estimator import Estimator
from health.registry import build_estimators
from telemetry.catalogue import catalogue
from telemetry.records import Sample
from tests.benchmarks.health.table import HealthRow, seed_of

_START: Final = datetime(2026, 1, 5, 6, tzinfo=UTC)
_SAMPLES: Final = 20_000  # 11 hours at 0.5 Hz
_ROUNDS: Final = 5
_MB: Final = 1024 * 1024


def rows() -> list[HealthRow]:
    """All estimators of a hybrid, which has them all, fed every signal they know in every sample."""
    samples = _drives()
    seconds = [_fed(build_estimators("hybrid"), samples) / len(samples) for _ in range(_ROUNDS)]
    longest = _longest(samples)
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    estimators = build_estimators("hybrid")
    _fed(estimators, samples)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    kept = sum(len(json.dumps(estimator.state())) for estimator in estimators)
    return [
        _row("time per sample, all estimators, median", "ms", statistics.median(seconds) * 1000, high=1.0),
        _row("time of a sample, 99.9th percentile", "ms", longest * 1000),
        _row("memory held after the samples", "MB", held / _MB, high=5.0),
        _row("state kept over a restart", "kB", kept / 1024),
    ]


def _row(metric: str, unit: str, value: float, *, high: float | None = None) -> HealthRow:
    return HealthRow(
        quantity="all",
        data=f"{_SAMPLES} samples of a hybrid",
        kind="simulated",
        split="judged",
        metric=metric,
        unit=unit,
        value=value,
        high=high,
    )


def _fed(estimators: Sequence[Estimator], samples: Sequence[Sample]) -> float:
    """Seconds of CPU that feeding all samples takes."""
    begun = time.process_time()
    for sample in samples:
        for estimator in estimators:
            estimator.update(sample)
    return time.process_time() - begun


def _longest(samples: Sequence[Sample]) -> float:
    estimators = build_estimators("hybrid")
    taken = sorted(_fed(estimators, [sample]) for sample in samples)
    return taken[int(0.999 * len(taken))]


def _drives() -> list[Sample]:
    """Half an hour of driving, an hour of charging, an hour of rest, over and over."""
    random_ = random.Random(seed_of("cost"))
    signals = [signal for signal in catalogue() if signal.datatype != "boolean"]
    made = []
    moment, speed, charge = _START, 0.0, 60.0
    for index in range(_SAMPLES):
        phase = index % 4500
        moment += timedelta(seconds=2)
        driving, charging = phase < 900, 900 <= phase < 2700
        speed = max(0.0, min(120.0, speed + random_.gauss(0, 3))) if driving else 0.0
        charge = min(95.0, max(15.0, charge + (-0.02 if driving else 0.02 if charging else 0.0)))
        values = {signal.path: _within(signal.minimum, signal.maximum, random_) for signal in signals}
        values |= {
            "Vehicle.Speed": speed,
            "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current": float(round(charge)),
            "Vehicle.Powertrain.TractionBattery.CurrentCurrent": -40.0 if driving else 60.0 if charging else 0.0,
        }
        made.append(Sample(time=moment, monotonic_ms=2000 * index, values=values))
    return made


def _within(low: float, high: float, random_: random.Random) -> float:
    """Some value of the middle of the range, of those that go into the millions of their lower end."""
    return low + (min(high, low + 1000.0) - low) * (0.4 + 0.1 * random_.random())
