"""The outbox: what the agent accepted stays here, in SQLite, until the backend says that it is committed.

A process killed at any moment loses nothing (WAL: a commit is in the page cache when the call returns). A power cut
is harsher, so commits differ by what they promise:

* ``durable`` (synchronous=FULL, the WAL is flushed): a new boot, accepted samples of a live car, and every sealed
  batch. A batch must be on the disk before it is published: if the disk forgot it after the backend took it, its
  number would be given to other data, which the backend would then drop as a duplicate.
* not durable (synchronous=NORMAL): publish counts, acknowledgements, samples of a recording. Forgetting these costs a
  resend or reading the recording again, never data.

One connection, one lock: the agent's thread and the network thread may both call anything here.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self
from uuid import UUID

import msgspec

from edge_agent.errors import OutboxError
from edge_agent.outbox_file import hold, is_damage, open_database, put_aside, was_emptied
from telemetry.records import Acknowledgement, BatchKey, Sample, ms_from_utc, utc_from_ms

log = logging.getLogger(__name__)

BatchChannel = Literal["readings", "events"]
MAX_REJECTED = 200  # rows
GIVEN_UP = ("batches_thinned", "samples_thinned", "rejected_forgotten")  # counters that should stay at zero


@dataclass(frozen=True, kw_only=True)
class PendingSample:
    """An accepted sample that waits for its batch. ``recorded``: its time is a recording's, not the agent's clock."""

    boot: UUID
    sample: Sample
    recorded: bool


@dataclass(frozen=True, kw_only=True)
class StoredBatch:
    """A sealed batch, without its payload: see :meth:`Outbox.payload`."""

    id: int
    boot: UUID
    sequence: int
    channel: BatchChannel
    attempts: int


@dataclass(frozen=True, kw_only=True)
class RejectedEntry:
    """A batch the backend refused, with its reason."""

    boot: UUID
    sequence: int
    channel: BatchChannel
    reason: str


class Outbox:
    """Use :meth:`open`. Each method is a transaction of its own unless called inside :meth:`transaction`."""

    def __init__(
        self, connection: sqlite3.Connection, *, device: str, max_bytes: int, lock_file: IO[str] | None
    ) -> None:
        self._db = connection
        self._device = device
        self._max_bytes = max_bytes
        self._lock_file = lock_file
        self._lock = threading.RLock()
        self._depth = 0
        self._durable = False
        self._closed = False
        self.quarantined: Path | None = None  # where a damaged predecessor was put at open
        self._bytes = self._measure()

    @classmethod
    def open(cls, path: Path | Literal[":memory:"], *, device: str, max_bytes: int) -> Self:
        """Open or create. A damaged file is put aside by renaming it, named in :attr:`quarantined`, and replaced.

        ``:memory:`` is the twin for tests. ``max_bytes`` bounds the payloads kept. OutboxError if another agent has it
        open, if it is of a later version, or if the disk refuses.
        """
        if path == ":memory:":
            return cls(open_database(path), device=device, max_bytes=max_bytes, lock_file=None)
        assert isinstance(path, Path)
        lock_file = hold(path)
        try:
            quarantined = put_aside(path) if was_emptied(path) else None
            try:
                database = open_database(path)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise OutboxError(f"outbox {path} cannot be opened: {error}; check the disk and rights") from error
                quarantined = put_aside(path)
                database = open_database(path)
        except BaseException:
            lock_file.close()
            raise
        outbox = cls(database, device=device, max_bytes=max_bytes, lock_file=lock_file)
        outbox.quarantined = quarantined
        return outbox

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._db.close()
                if self._lock_file is not None:
                    self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[None]:
        """All or nothing; nested ones belong to the outermost, which decides on ``durable`` (see the module)."""
        with self._lock:
            if self._depth:
                yield
                return
            self._durable = durable
            try:
                self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._db.execute("BEGIN IMMEDIATE")
                self._depth = 1
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise OutboxError(f"the outbox cannot be written: {error}; check the disk") from error
                self._bytes = self._measure()
                raise
            finally:
                self._depth = 0

    # --- the agent's side: accept, seal, remember ---

    def begin_boot(self, boot: UUID) -> None:
        """Start numbering batches of this boot at 1."""
        with self.transaction(durable=True):
            self._db.execute("INSERT INTO boot (boot) VALUES (?)", (str(boot),))
            # A boot of which nothing is left needs no numbers any more.
            self._db.execute(
                "DELETE FROM boot WHERE boot <> ? AND boot NOT IN (SELECT boot FROM batch)"
                " AND boot NOT IN (SELECT boot FROM pending_sample)",
                (str(boot),),
            )

    def add_sample(self, boot: UUID, sample: Sample, *, recorded: bool) -> None:
        """Accept a sample: when this returns (outside a transaction: when that ends), a kill cannot lose it."""
        with self.transaction(durable=not recorded):
            self._db.execute(
                "INSERT INTO pending_sample (boot, time_ms, monotonic_ms, recorded, readings) VALUES (?, ?, ?, ?, ?)",
                (
                    str(boot),
                    ms_from_utc(sample.time),
                    sample.monotonic_ms,
                    int(recorded),
                    msgspec.json.encode(sample.values),
                ),
            )

    def pending_samples(self) -> tuple[PendingSample, ...]:
        """Accepted samples waiting for their batch, in order of acceptance, over all boots."""
        with self._lock:
            rows = self._db.execute(
                "SELECT boot, time_ms, monotonic_ms, recorded, readings FROM pending_sample ORDER BY id"
            ).fetchall()
        return tuple(
            PendingSample(
                boot=UUID(boot),
                sample=Sample(
                    time=utc_from_ms(time_ms),
                    monotonic_ms=monotonic_ms,
                    values=msgspec.json.decode(readings, type=dict[str, float]),
                ),
                recorded=bool(recorded),
            )
            for boot, time_ms, monotonic_ms, recorded, readings in rows
        )

    def clear_pending(self, boot: UUID) -> None:
        """Forget the pending samples of a boot: only in the transaction that seals them."""
        with self.transaction(durable=True):
            self._db.execute("DELETE FROM pending_sample WHERE boot = ?", (str(boot),))

    def add_batch(
        self,
        boot: UUID,
        channel: BatchChannel,
        encode: Callable[[BatchKey], bytes],
        created: datetime,
        *,
        items: int,
    ) -> BatchKey:
        """Seal a batch under the next sequence number of its boot; ``encode`` gets its key and gives its bytes.

        ``items``: how many samples or events are in it, for the counters.
        """
        with self.transaction(durable=True):
            assert self._durable, "a batch is sealed in a durable transaction: see the module"
            row = self._db.execute(
                "UPDATE boot SET next_sequence = next_sequence + 1 WHERE boot = ? RETURNING next_sequence - 1",
                (str(boot),),
            ).fetchone()
            if row is None:
                raise OutboxError(f"boot {boot} is not known to the outbox; call begin_boot first")
            key = BatchKey(device=self._device, boot=boot, sequence=row[0])
            payload = encode(key)
            self._db.execute(
                "INSERT INTO batch (boot, sequence, channel, created_ms, items, payload) VALUES (?, ?, ?, ?, ?, ?)",
                (str(boot), key.sequence, channel, ms_from_utc(created), items, payload),
            )
            self._count("batches_sealed", 1)
            self._count("samples_sealed" if channel == "readings" else "events_sealed", items)
            self._bytes += len(payload)
            if self._bytes > self._max_bytes:
                self._thin()
            return key

    def put_state(self, name: str, content: object) -> None:
        """Keep a JSON value under a name."""
        with self.transaction(durable=True):
            self._db.execute(
                "INSERT INTO state (name, content) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET content = excluded.content",
                (name, msgspec.json.encode(content)),
            )

    def state(self, name: str) -> object:
        """The JSON value kept under a name; None if there is none."""
        with self._lock:
            row = self._db.execute("SELECT content FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    # --- the uplink's side: publish, acknowledge ---

    def oldest(self, limit: int) -> tuple[StoredBatch, ...]:
        """The oldest batches not yet acknowledged, over all boots, in the order they were sealed."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, boot, sequence, channel, attempts FROM batch ORDER BY id LIMIT ?", (limit,)
            ).fetchall()
        return tuple(
            StoredBatch(id=row[0], boot=UUID(row[1]), sequence=row[2], channel=row[3], attempts=row[4]) for row in rows
        )

    def payload(self, batch: StoredBatch) -> bytes | None:
        """The bytes of a batch; None if it is gone meanwhile."""
        with self._lock:
            row = self._db.execute("SELECT payload FROM batch WHERE id = ?", (batch.id,)).fetchone()
        return None if row is None else bytes(row[0])

    def mark_published(self, batches: Sequence[StoredBatch]) -> None:
        """Count a publish of each; called before publishing, since only what was published can be acknowledged."""
        with self.transaction(durable=False):
            self._db.executemany(
                "UPDATE batch SET attempts = attempts + 1 WHERE id = ?", [(batch.id,) for batch in batches]
            )

    def acknowledge(self, ack: Acknowledgement) -> tuple[int, ...]:
        """Delete what is committed, put aside what is rejected; the ids of those batches.

        What was never published cannot have been committed: an acknowledgement that names it changes nothing.
        """
        gone: list[tuple[int, int]] = []  # row, bytes
        boot = str(ack.boot)
        with self.transaction(durable=False):
            for first, last in ack.committed:
                gone += self._db.execute(
                    "DELETE FROM batch WHERE boot = ? AND sequence BETWEEN ? AND ? AND attempts > 0"
                    " RETURNING id, length(payload)",
                    (boot, first, last),
                ).fetchall()
            self._count("batches_committed", len(gone))
            for entry in ack.rejected:
                this = "boot = ? AND sequence = ? AND attempts > 0"
                self._db.execute(
                    "INSERT INTO rejected (boot, sequence, channel, created_ms, reason, payload)"  # noqa: S608 - a constant
                    f" SELECT boot, sequence, channel, created_ms, ?, payload FROM batch WHERE {this}",
                    (entry.reason[:500], boot, entry.sequence),
                )
                found = self._db.execute(
                    f"DELETE FROM batch WHERE {this} RETURNING id, length(payload)",  # noqa: S608 - a constant
                    (boot, entry.sequence),
                ).fetchall()
                if found:
                    log.error("batch %s/%d was rejected by the backend: %s", boot, entry.sequence, entry.reason)
                gone += found
                self._count("batches_rejected", len(found))
            if ack.rejected:
                forgotten = self._db.execute(
                    "DELETE FROM rejected WHERE id NOT IN (SELECT id FROM rejected ORDER BY id DESC LIMIT ?)",
                    (MAX_REJECTED,),
                ).rowcount
                self._count("rejected_forgotten", forgotten)
            self._bytes -= sum(size for _, size in gone)
        return tuple(row_id for row_id, _ in gone)

    # --- for people ---

    def pending_batches(self) -> int:
        """How many batches wait for their acknowledgement."""
        with self._lock:
            count: int = self._db.execute("SELECT count(*) FROM batch").fetchone()[0]
        return count

    def rejected(self) -> tuple[RejectedEntry, ...]:
        """What the backend refused, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT boot, sequence, channel, reason FROM rejected ORDER BY id").fetchall()
        return tuple(RejectedEntry(boot=UUID(row[0]), sequence=row[1], channel=row[2], reason=row[3]) for row in rows)

    def counters(self) -> dict[str, int]:
        """What was counted since the file was made, by name; what never happened is absent.

        Done: ``batches_sealed``, ``samples_sealed``, ``events_sealed``, ``batches_committed``, ``batches_rejected``.
        Given up: ``batches_thinned``, ``samples_thinned``, ``rejected_forgotten`` (batches).
        """
        with self._lock:
            return dict(self._db.execute("SELECT name, count FROM counter").fetchall())

    def _thin(self) -> None:
        """Make room: give up every second batch of the older half of the readings, never an event.

        The oldest trend stays visible at half its density, rather than a piece of history missing altogether.
        """
        thinned: list[tuple[int, int]] = []  # samples, bytes
        while self._bytes > self._max_bytes:
            rows = self._db.execute(
                "DELETE FROM batch WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS place,"
                " count(*) OVER () AS total FROM batch WHERE channel = 'readings')"
                " WHERE place <= max(2, total / 2) AND place % 2 = 0 AND place < total)"
                " RETURNING items, length(payload)"
            ).fetchall()
            if not rows:
                break
            thinned += rows
            self._bytes -= sum(size for _, size in rows)
        self._count("batches_thinned", len(thinned))
        self._count("samples_thinned", sum(items for items, _ in thinned))
        log.warning(
            "the outbox is full (%d bytes): gave up %d batches of old readings; the dongle needs to reach its broker",
            self._max_bytes,
            len(thinned),
        )

    def _count(self, name: str, by: int) -> None:
        if by:
            self._db.execute(
                "INSERT INTO counter (name, count) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET count = count + excluded.count",
                (name, by),
            )

    def _measure(self) -> int:
        size: int = self._db.execute("SELECT coalesce(sum(length(payload)), 0) FROM batch").fetchone()[0]
        return size
