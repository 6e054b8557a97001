"""A device that only the message faults speak for: what it sent is known, and what must become of it."""

import itertools
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from telemetry.records import BatchKey, ReadingsBatch, Sample
from telemetry.topics import publish_topic
from telemetry.wire import encode_readings

STRANGER: Final = "wc-other-1"
SPEED: Final = "Vehicle.Speed"
SAMPLES: Final = 3  # of each batch


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A good batch: its rows lie at these milliseconds since 1970."""

    sequence: int
    payload: bytes
    times_ms: tuple[int, ...]


class Stranger:
    """Counts what it sent. Used by several faults at a time."""

    topic = publish_topic(STRANGER, "readings")

    def __init__(self) -> None:
        self.boot: UUID = uuid4()
        self.sent: list[Sent] = []
        self.bad: set[tuple[str, bytes]] = set()  # topic and payload of what must be refused
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def good(self, age: timedelta = timedelta(0)) -> Sent:
        """A batch nobody has seen, of readings so long ago."""
        with self._lock:
            number = next(self._numbers)
            newest = datetime.now(UTC) - age
            # Milliseconds of their own for each batch: none lies where another's does.
            times = tuple(newest - timedelta(seconds=SAMPLES - step) for step in range(SAMPLES))
            batch = ReadingsBatch(
                key=BatchKey(device=STRANGER, boot=self.boot, sequence=number),
                samples=tuple(
                    Sample(time=_whole_ms(time), monotonic_ms=1_000 * step, values={SPEED: float(number % 200)})
                    for step, time in enumerate(times)
                ),
            )
            times_ms = tuple(round(sample.time.timestamp() * 1000) for sample in batch.samples)
            sent = Sent(sequence=number, payload=encode_readings(batch), times_ms=times_ms)
            self.sent.append(sent)
            return sent


def _whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
