"""What is sent in the benchmark: fleets of dongles, their batches, and the messages these make."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Final
from uuid import UUID

from telemetry.catalogue import Signal, catalogue
from telemetry.records import BatchKey, ReadingsBatch, Sample
from telemetry.topics import publish_topic
from telemetry.wire import encode_readings

START: Final = datetime(2026, 3, 1, 8, tzinfo=UTC)
_SIGNALS: Final = tuple(signal for signal in catalogue() if signal.datatype != "boolean")
_LARGEST_STEP: Final = 3  # resolutions from one second to the next
_STEPS_ABOVE_LOWEST: Final = 100  # where a signal's walk begins


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """``devices`` dongles with ``batches`` each, of ``samples`` one second apart with ``signals`` values."""

    name: str
    devices: int
    batches: int
    samples: int
    signals: int

    @property
    def columns(self) -> tuple[Signal, ...]:
        """The signals of every sample."""
        return _SIGNALS[: self.signals]

    @property
    def device_ids(self) -> list[str]:
        """Their dongles' ids."""
        return [f"bench-{number}" for number in range(self.devices)]

    @property
    def messages(self) -> int:
        """How many batches there are in all."""
        return self.devices * self.batches

    @property
    def values(self) -> int:
        """How many values there are in all."""
        return self.messages * self.samples * self.signals

    @cached_property
    def all_batches(self) -> list[ReadingsBatch]:
        """Mixed as they would arrive: each device's first ones first. Every value walks in its sensor's steps."""
        draw = random.Random(self.name)
        boots = [UUID(int=draw.getrandbits(128), version=4) for _ in range(self.devices)]
        return [
            ReadingsBatch(
                key=BatchKey(device=device, boot=boot, sequence=number + 1), samples=self._samples(draw, number)
            )
            for number in range(self.batches)
            for device, boot in zip(self.device_ids, boots, strict=True)
        ]

    @cached_property
    def compact(self) -> list[tuple[str, bytes]]:
        """Topic and payload of each batch as a dongle sends it."""
        return [(publish_topic(batch.key.device, "readings"), encode_readings(batch)) for batch in self.all_batches]

    def _samples(self, draw: random.Random, number: int) -> tuple[Sample, ...]:
        walks = [_walk(signal, draw, self.samples) for signal in self.columns]
        first = self.samples * number
        return tuple(
            Sample(
                time=START + timedelta(seconds=first + second),
                monotonic_ms=1000 * (first + second),
                values={signal.path: walk[second] for signal, walk in zip(self.columns, walks, strict=True)},
            )
            for second in range(self.samples)
        )


def _walk(signal: Signal, draw: random.Random, length: int) -> Sequence[float]:
    step = signal.resolutions[0]
    steps = accumulate(
        (draw.randint(-_LARGEST_STEP, _LARGEST_STEP) for _ in range(length - 1)), initial=_STEPS_ABOVE_LOWEST
    )
    return [float(signal.minimum + step * abs(position)) for position in steps]


# Four seconds of one worker: how it begins and ends, up to 0.2 s, is not what is compared.
FULL: Final = Fleet(
    name="full batches, 60 samples x 20 signals, 50 cars", devices=50, batches=240, samples=60, signals=20
)
PEERS: Final = Fleet(name="for others, as slow as they are", devices=50, batches=120, samples=60, signals=20)
FULL_EACH: Final = Fleet(name="full batches, each of another car", devices=5000, batches=1, samples=60, signals=20)
SMALL: Final = Fleet(name="small batches, 1 x 5, 50 cars", devices=50, batches=200, samples=1, signals=5)
SMALL_EACH: Final = Fleet(name="small batches, each of another car", devices=5000, batches=2, samples=1, signals=5)
STEADY: Final = Fleet(name="steady", devices=50, batches=200, samples=60, signals=20)
OVERLOAD: Final = Fleet(name="overload", devices=500, batches=24, samples=60, signals=20)
