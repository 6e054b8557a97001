"""Batches for the tests of the outbox: readings whose speed counts up, so that each sample can be told apart."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from edge_agent.outbox import Outbox, Publication, StoredBatch
from edge_agent.outbox_content import unpack
from telemetry.records import (
    Acknowledgement,
    EventKind,
    EventsBatch,
    ReadingsBatch,
    RejectedBatch,
    Sample,
    VehicleEvent,
    ms_from_utc,
)

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
NOW_MS = ms_from_utc(NOW)
BOOT = UUID(int=1)
KERNEL = "kernel-1"
NUMBER = "Vehicle.OBD.RunTime"
DEVICE = "car-1"


def memory(max_bytes: int = 10_000_000) -> Outbox:
    outbox = Outbox.open(":memory:", device=DEVICE, max_bytes=max_bytes)
    outbox.begin_boot(BOOT, KERNEL)
    return outbox


def opened(path: Path, max_bytes: int = 10_000_000) -> Outbox:
    return Outbox.open(path, device=DEVICE, max_bytes=max_bytes)


def sample(number: int) -> Sample:
    return Sample(time=NOW + timedelta(seconds=number), monotonic_ms=1000 * number, values={NUMBER: float(number)})


def seal(outbox: Outbox, *numbers: int, clock_ms: int | None = NOW_MS) -> None:
    """A batch of readings with these samples."""
    outbox.add_readings([sample(n) for n in numbers or (0,)], [], created_ms=NOW_MS, clock_ms=clock_ms)


def seal_event(outbox: Outbox, number: int = 0, *, clock_ms: int | None = NOW_MS) -> None:
    event = VehicleEvent(time=NOW, kind=EventKind.TRIP_STARTED, data={"number": number})
    outbox.add_events([event], created_ms=NOW_MS, clock_ms=clock_ms)


def all_waiting(outbox: Outbox) -> tuple[StoredBatch, ...]:
    batches = (*outbox.waiting("events", 10**6), *outbox.waiting("readings", 10**6))
    return tuple(sorted(batches, key=lambda batch: batch.id))


def publish_all(outbox: Outbox) -> tuple[Publication, ...]:
    """Each by itself: neighbours published together are joined."""
    with outbox.transaction(durable=True):
        return tuple(entry for batch in all_waiting(outbox) for entry in outbox.publish([batch]))


def numbers_of(published: Iterable[Publication]) -> list[int]:
    """The samples in them, by number; of events their own."""
    found: list[int] = []
    for entry in published:
        batch = unpack(DEVICE, entry.channel, entry.payload)
        if isinstance(batch, ReadingsBatch):
            found += [int(one.values[NUMBER]) for one in batch.samples]
        else:
            assert isinstance(batch, EventsBatch)
            found += [int(str(event.data["number"])) for event in batch.events]
    return found


def acknowledged(
    *committed: tuple[int, int], rejected: Sequence[int] = (), reason: str = "malformed", boot: UUID = BOOT
) -> Acknowledgement:
    return Acknowledgement(
        device=DEVICE,
        boot=boot,
        committed=committed,
        rejected=tuple(RejectedBatch(sequence=sequence, reason=reason) for sequence in rejected),
    )


class Unsynced:
    """The connection without waiting for the disk at each commit."""

    def __init__(self, connection: object) -> None:
        self._connection = connection

    def execute(self, statement: str, *parameters: object) -> object:
        if statement.startswith("PRAGMA synchronous"):
            statement = "PRAGMA synchronous=OFF"
        return self._connection.execute(statement, *parameters)  # type: ignore[attr-defined]  # sqlite3's

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)
