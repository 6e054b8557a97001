"""What can be true of a car: checks that both forms of the wire share. Each raises WireError with the batch's key."""

import math
from collections.abc import Sequence
from typing import Final

from telemetry.catalogue import Signal, catalogue
from telemetry.errors import WireError
from telemetry.records import BatchKey, ReadingsBatch

MAX_TEXT: Final = 100  # characters of a text on the wire: a position, a method, a version

# No quantity of health (percent, kPa per day) comes near it; JSON and the database's 32-bit floats hold it.
_LARGEST_ESTIMATE: Final = 1e6


def check_column(key: BatchKey, signal: Signal, values: Sequence[float]) -> None:
    """Check the values of one signal by their extremes: one comparison a column and not one a value."""
    if not values:
        return
    # The extremes of numbers among which is a NaN may be any of them; their sum is NaN.
    extremes = min(values), max(values), *([math.nan] if math.isnan(sum(values)) else [])
    for value in extremes:
        check_value(key, signal, value)


def check_value(key: BatchKey, signal: Signal, value: float) -> None:
    """Check one value of a signal."""
    if not signal.accepts(value):
        raise WireError(
            "out-of-range",
            f"batch {key}: {signal.path} = {value} {signal.unit.key} is outside [{signal.minimum}, {signal.maximum}]",
            key,
        )


def check_samples(batch: ReadingsBatch) -> None:
    """Check names and values of all samples, one by one."""
    signals = catalogue()
    for sample in batch.samples:
        for path, value in sample.values.items():
            if path not in signals:
                raise WireError(
                    "unknown-signal",
                    f"batch {batch.key}: signal {path[:MAX_TEXT]!r} is not in the catalogue",
                    batch.key,
                )
            check_value(batch.key, signals.by_path(path), value)


def check_estimates(batch: ReadingsBatch) -> None:
    """Refuse infinite and absurd estimates: no document of JSON and no 32-bit column takes them."""
    for estimate in batch.estimates:
        for value in (estimate.low, estimate.value, estimate.high):
            if not abs(value) <= _LARGEST_ESTIMATE:
                raise WireError(
                    "out-of-range",
                    f"batch {batch.key}: {estimate.quantity} = {value} is no estimate of anything",
                    batch.key,
                )
