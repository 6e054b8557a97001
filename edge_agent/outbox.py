"""The outbox: what the agent accepted stays here, in SQLite, until the backend says that it is committed.

A process killed at any moment loses nothing (WAL: a commit is in the page cache when the call returns). A power cut
is harsher, so commits differ by what they promise:

* ``durable`` (synchronous=FULL, the WAL is flushed): a new run, accepted samples of a live car, every sealed batch,
  and the key a batch gets before it is published for the first time. Keys count within one run of the agent and are
  given at publication: whatever a disk forgets, a number is never given to other data, and those of a run have no gaps.
* not durable (synchronous=NORMAL): acknowledgements, samples of a recording. Forgetting these costs a resend or
  reading the recording again, never data.

One connection, one lock: the agent's thread and the network thread may both call anything here. Before publication a
batch is only content (:mod:`edge_agent.outbox_content`): its times may be put right, and to make room
(:mod:`edge_agent.outbox_bound`) it may be thinned and joined with its neighbour.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self
from uuid import UUID

import msgspec

from edge_agent.errors import OutboxError
from edge_agent.outbox_batches import BatchRows, Publication, RejectedEntry, StoredBatch
from edge_agent.outbox_bound import STEPS, Bound
from edge_agent.outbox_content import BatchChannel, checksum, pack_events, pack_readings
from edge_agent.outbox_file import affordable, database_bytes, hold, is_damage, open_database, suspect
from edge_agent.outbox_salvage import Salvage, open_or_replace
from edge_agent.outbox_samples import PendingSample, SampleRows
from edge_agent.outbox_times import Published, TimeRows
from telemetry.records import Acknowledgement, Estimate, Sample, VehicleEvent
from telemetry.wire import Form

__all__ = ["GIVEN_UP", "BatchChannel", "Outbox", "PendingSample", "Publication", "RejectedEntry", "StoredBatch"]

log = logging.getLogger(__name__)

# Counters that should stay at zero.
GIVEN_UP: Final = ("samples_thinned", "batches_given_up", "samples_given_up", "batches_damaged", "rejected_forgotten")


_PUT_RIGHT_AT_ONCE: Final = 128  # batches in one transaction: some 200 KB in the WAL


class Outbox:
    """Use :meth:`open`. Each method is a transaction of its own unless called inside :meth:`transaction`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        path: Path | None,
        device: str,
        max_bytes: int,
        form: Form,
        lock_file: IO[str] | None,
        working: Callable[[], object] = lambda: None,
    ) -> None:
        self._db = connection
        self._path = path
        self._device = device
        self._lock_file = lock_file
        self._working = working
        self._lock = threading.RLock()
        self._depth = 0
        self._durable = False
        self._closed = False
        self._run: int | None = None
        self._warned = False  # that the outbox is full
        self._bound = Bound(connection, device=device, database_bytes=database_bytes(max_bytes))
        self._samples = SampleRows(connection)
        self._times = TimeRows(connection, device=device, form=form)
        self._batches = BatchRows(
            connection,
            device=device,
            form=form,
            count=self._count,
            fixed=self._bound.fixed,
            freed=self._bound.forget,
            times=self._times,
        )
        self.salvage: Salvage | None = None  # of a damaged predecessor that was put aside at open

    @classmethod
    def open(
        cls,
        path: Path | Literal[":memory:"],
        *,
        device: str,
        max_bytes: int,
        form: Form = "compact",
        repairing: Callable[[], object] = lambda: None,
        working: Callable[[], object] = lambda: None,
    ) -> Self:
        """Open or create. A damaged file is put aside by renaming it, and replaced by what can be read of it.

        ``:memory:`` is the twin for tests. ``max_bytes`` bounds the file with its journal; ``form`` is that of
        published readings; ``repairing`` is called before what may take a minute, ``working`` now and then in what may
        take minutes. OutboxError if another agent has it open, if it is of a later version, if the disk refuses.
        """
        if path == ":memory:":
            database = open_database(path, max_bytes)
            return cls(
                database, path=None, device=device, max_bytes=max_bytes, form=form, lock_file=None, working=working
            )
        assert isinstance(path, Path)
        lock_file = hold(path)
        try:
            max_bytes = affordable(path, max_bytes)
            database, salvage = open_or_replace(path, max_bytes, repairing)
        except BaseException as error:
            lock_file.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise OutboxError(f"outbox {path} cannot be opened: {error}; check the disk and rights") from error
            raise
        outbox = cls(
            database, path=path, device=device, max_bytes=max_bytes, form=form, lock_file=lock_file, working=working
        )
        outbox.salvage = salvage
        if salvage is not None and salvage.lost_batches:
            with outbox.transaction(durable=True):
                outbox._count("batches_damaged", salvage.lost_batches)
        return outbox

    @property
    def quarantined(self) -> Path | None:
        """Where a damaged predecessor was put at open."""
        return None if self.salvage is None else self.salvage.aside

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
                self._bound.forget()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._failure(error) from error
                raise
            finally:
                self._depth = 0

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> OutboxError:
        if is_damage(error) and self._path is not None:
            suspect(self._path)
            return OutboxError(f"the outbox is damaged: {error}; start the agent again, it saves what can be read")
        return OutboxError(f"the outbox cannot be written: {error}; check the disk")

    # --- the agent's side: accept, seal, remember ---

    def begin_boot(self, boot: UUID, kernel: str = "") -> None:
        """A run begins: from now on batches are published under this boot, numbered from 1.

        ``kernel`` names the start of the machine, within which CLOCK_BOOTTIME goes on over restarts of the agent.
        """
        with self.transaction(durable=True):
            self._run = self._db.execute(
                "INSERT INTO run (boot, kernel) VALUES (?, ?) RETURNING id", (str(boot), kernel)
            ).fetchone()[0]
            # Of another start of the machine nothing is put right any more. The newest row stays: no id is used again.
            self._db.execute("DELETE FROM run WHERE id <> ? AND (kernel <> ? OR kernel = '')", (self._run, kernel))
            self._batches.begin(self._run, boot, kernel)

    def add_samples(self, samples: Sequence[Sample], *, recorded: bool) -> None:
        """Accept samples: when this returns (outside a transaction: when that ends), a kill cannot lose them."""
        with self.transaction(durable=not recorded):
            self._samples.add(self._begun(), samples, recorded=recorded)

    def pending_samples(self) -> tuple[PendingSample, ...]:
        """Accepted samples waiting for their batch, in order of acceptance, over all runs."""
        with self._reading():
            return self._samples.all()

    def clear_pending(self) -> None:
        """Forget the pending samples: only in the transaction that seals them."""
        with self.transaction(durable=True):
            self._samples.clear()

    def add_readings(
        self, samples: Sequence[Sample], estimates: Sequence[Estimate], *, created_ms: int, clock_ms: int | None
    ) -> None:
        """Seal a batch. ``clock_ms``: wall time at CLOCK_BOOTTIME 0 by which its times were taken; None: a recording's.

        ``created_ms``: since 1970. ValueError for a batch that the backend would reject.
        """
        payload = pack_readings(self._device, samples, estimates)
        self._add("readings", payload, created_ms, clock_ms, len(samples))

    def add_events(self, events: Sequence[VehicleEvent], *, created_ms: int, clock_ms: int | None) -> None:
        """Seal a batch of events, as :meth:`add_readings`."""
        self._add("events", pack_events(self._device, events), created_ms, clock_ms, len(events))

    def _add(self, channel: BatchChannel, payload: bytes, created_ms: int, clock_ms: int | None, items: int) -> None:
        with self.transaction(durable=True):
            assert self._durable, "a batch is sealed in a durable transaction: see the module"
            self._db.execute(
                "INSERT INTO batch (run, channel, created_ms, clock_ms, items, crc, payload)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._begun(), channel, created_ms, clock_ms, items, checksum(payload), payload),
            )
            self._count("batches_sealed", 1)
            self._count("batches_waiting", 1)
            self._count("samples_sealed" if channel == "readings" else "events_sealed", items)
            if channel == "readings":
                self._bound.sealed()
            if self._bound.exceeded():
                self._make_room()

    def put_right(self, clock_ms: int, monotonic_ms: int) -> int:
        """Give what this start of the machine sealed and did not yet publish the times of a clock put right.

        How many batches that were.
        ``clock_ms``: wall time at CLOCK_BOOTTIME 0 as it is known now; ``monotonic_ms``: CLOCK_BOOTTIME now. After a
        long outage it takes minutes, in which others may publish: each transaction is a small one. What was published
        meanwhile stays as it is: :meth:`published_before`.
        """
        self._begun()
        with self._times.putting_right(clock_ms, monotonic_ms):
            with self._reading():
                found = self._times.stamped_otherwise(clock_ms, monotonic_ms)
            for start in range(0, len(found), _PUT_RIGHT_AT_ONCE):
                with self.transaction(durable=True):
                    self._times.put_right(found[start : start + _PUT_RIGHT_AT_ONCE], clock_ms)
                self._working()
        return len(found)

    def know_time(self, now_ms: int | None) -> None:
        """The time in ms since 1970 by a clock that is synchronised; None: nobody knows. To be said again and again."""
        self._times.now_ms = now_ms

    @property
    def refused_for_time(self) -> bool:
        """Whether something was refused for its time since :meth:`put_right_refused`, or by a former run."""
        return self._times.refused

    def published_before(self, clock_ms: int) -> tuple[Published, ...]:
        """What this start of the machine published by another clock than this one, told once.

        To be called in the transaction that keeps the news.
        """
        with self.transaction(durable=True):
            return self._times.published_before(clock_ms)

    def put_right_refused(self, clock_ms: int, monotonic_ms: int) -> tuple[Published, ...]:
        """What was refused for its time after the clock had been put right: it comes again.

        To be called in the transaction that keeps the news.
        """
        with self.transaction(durable=True):
            self._times.refused = False
            late = self._times.stamped_otherwise(clock_ms, monotonic_ms, waiting=True)
            return self._times.put_right(late, clock_ms)

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
        with self._reading():
            row = self._db.execute("SELECT content FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    # --- the uplink's side: publish, acknowledge ---

    def waiting(self, channel: BatchChannel, limit: int, *, newest_first: bool = False) -> tuple[StoredBatch, ...]:
        """Batches not yet acknowledged, as they were sealed or the reverse; without those that wait for the clock."""
        with self._reading():
            return self._batches.waiting(channel, limit, newest_first=newest_first)

    def publish(self, batches: Sequence[StoredBatch]) -> tuple[Publication, ...]:
        """Their keys and bytes, on the disk before this returns; called before publishing.

        A batch that had no key gets the next number of this run. One that is gone meanwhile is left out, as is one that
        the disk spoilt, which is put aside.
        """
        with self.transaction(durable=True):
            return self._batches.publish(batches)

    def acknowledge(self, ack: Acknowledgement) -> tuple[int, ...]:
        """Delete what is committed, put aside what is rejected; the ids of those batches.

        What was never published has no key: no acknowledgement can name it. A batch refused for its time stays, and
        comes again when the clock was put right (:meth:`put_right`), or as any other where not its time is wrong but
        the backend's (:meth:`know_time`). One whose key is stored with other content is published under another key.
        """
        with self.transaction(durable=False):
            return self._batches.acknowledge(ack)

    # --- for people ---

    def pending_batches(self) -> int:
        """How many batches wait for their acknowledgement."""
        with self._reading():
            return self._counter("batches_waiting")

    def oldest_ms(self) -> int | None:
        """When the oldest batch that waits was sealed, milliseconds since 1970; None where none waits."""
        with self._reading():
            row = self._db.execute("SELECT created_ms FROM batch ORDER BY id LIMIT 1").fetchone()
        return None if row is None else int(row[0])

    def sendable_batches(self) -> int:
        """How many of them do not wait for the clock to be put right."""
        with self._reading():
            waiting: int = self._db.execute("SELECT count(*) FROM batch WHERE waits = 1").fetchone()[0]
            return self._counter("batches_waiting") - waiting

    def rejected(self) -> tuple[RejectedEntry, ...]:
        """What the backend refused or the disk spoilt, oldest first."""
        with self._reading():
            return self._batches.rejected()

    def counters(self) -> dict[str, int]:
        """What was counted since the file was made, by name; what never happened is absent.

        Done: ``batches_sealed``, ``samples_sealed``, ``events_sealed``, ``batches_committed``, ``batches_rejected``,
        ``batches_joined`` (with a neighbour), ``batches_renumbered`` with ``samples_`` or ``events_renumbered`` (their
        key is stored with other content). Given up: see GIVEN_UP.
        """
        with self._reading():
            return dict(self._db.execute("SELECT name, count FROM counter WHERE name <> 'batches_waiting'").fetchall())

    def _make_room(self) -> None:
        for _ in range(STEPS):  # a page is free once all that shared it has moved: the first times it takes many
            if not self._bound.exceeded() or (cost := self._bound.make_room()) is None:
                return
            self._count("samples_thinned", cost.samples)
            self._count("batches_joined", cost.joined)
            self._count("batches_given_up", cost.batches)
            self._count("samples_given_up", cost.given_up_samples)
            self._count("batches_waiting", -cost.joined - cost.batches)
            if not self._warned:
                self._warned = True
                log.warning("the outbox is full: old samples are thinned; the dongle needs to reach its broker")

    def _begun(self) -> int:
        if self._run is None:
            raise OutboxError("no run has begun; call begin_boot first")
        return self._run

    def _counter(self, name: str) -> int:
        row = self._db.execute("SELECT count FROM counter WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def _count(self, name: str, by: int) -> None:
        if by:
            self._db.execute(
                "INSERT INTO counter (name, count) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET count = count + excluded.count",
                (name, by),
            )
