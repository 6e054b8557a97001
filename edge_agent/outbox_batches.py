"""The rows of batches: which wait, under which key they are published, what an acknowledgement does to them.

Part of the outbox: called within its transactions and under its lock.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from edge_agent.outbox_content import BatchChannel, checksum, joined, numbered
from edge_agent.outbox_times import TimeRows
from telemetry.digest import digest
from telemetry.errors import WireError
from telemetry.records import Acknowledgement, BatchKey
from telemetry.wire import Form

log = logging.getLogger(__name__)

MAX_REJECTED: Final = 200  # rows
CLOCK_REASONS: Final = frozenset({"far-future", "too-old"})  # of a rejection: only the time is wrong
REPLAYED: Final = "replayed"  # of a rejection: its key is stored with other content
SPOILT: Final = "spoilt on the disk"
# Of joined batches. A sample takes 5 kB at most in the JSON form, a payload 512 KiB; more rows save hardly any bytes.
_MOST_ROWS: Final[dict[Form, int]] = {"compact": 300, "json": 100}
_TOO_LATE: Final = "its clock was never put right"


@dataclass(frozen=True, kw_only=True)
class StoredBatch:
    """A sealed batch that waits; ``published``: it has its key."""

    id: int
    channel: BatchChannel
    published: bool
    items: int


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A batch as it goes on the wire."""

    id: int
    channel: BatchChannel
    key: BatchKey
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class RejectedEntry:
    """A batch the backend refused, with its reason. No boot and sequence: it was never published."""

    boot: UUID | None
    sequence: int | None
    channel: BatchChannel
    reason: str


class BatchRows:
    """Statements over the table ``batch``, and what they count."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        device: str,
        form: Form,
        count: Callable[[str, int], None],
        fixed: Callable[[int], None],
        freed: Callable[[], None],
        times: TimeRows,
    ) -> None:
        """``count``: adds to a counter; ``fixed``: readings of that level can no longer be thinned.

        ``freed``: some that were fixed can be thinned again.
        """
        self._db = connection
        self._device = device
        self._form = form
        self._most_rows = _MOST_ROWS[form]
        self._count = count
        self._fixed = fixed
        self._freed = freed
        self._times = times
        self._run = 0
        self._boot = UUID(int=0)
        self._kernel = ""
        self._second_keys: set[int] = set()  # sequences of this run that went to batches which had a key before

    def begin(self, run: int, boot: UUID, kernel: str) -> None:
        """A run begins. What waited for the clock of another start of the machine waits in vain."""
        self._run, self._boot, self._kernel = run, boot, kernel
        self._second_keys.clear()
        self._times.begin(kernel)
        vain = self._db.execute(
            "SELECT batch.id FROM batch LEFT JOIN run ON run.id = run WHERE waits = 1"
            " AND (kernel IS NULL OR kernel = '' OR kernel <> ?)",
            (kernel,),
        ).fetchall()
        for (row_id,) in vain:
            self._put_aside(row_id, _TOO_LATE)
            self._count("batches_rejected", 1)

    def waiting(self, channel: BatchChannel, limit: int, *, newest_first: bool) -> tuple[StoredBatch, ...]:
        """See :meth:`Outbox.waiting`."""
        rows = self._db.execute(
            "SELECT id, channel, sequence IS NOT NULL, items FROM batch WHERE channel = ? AND waits = 0"  # noqa: S608 - constants
            f" ORDER BY id {'DESC' if newest_first else 'ASC'} LIMIT ?",
            (channel, limit),
        )
        return tuple(StoredBatch(id=row[0], channel=row[1], published=bool(row[2]), items=row[3]) for row in rows)

    def publish(self, batches: Sequence[StoredBatch]) -> tuple[Publication, ...]:
        """See :meth:`Outbox.publish`."""
        found: list[Publication] = []
        self._times.publishing([batch.id for batch in batches])
        for batch in self._joined(batches):
            row = self._db.execute(
                "SELECT channel, batch.boot, sequence, level, batch.clock_ms, kernel, crc, payload"
                " FROM batch LEFT JOIN run ON run.id = run WHERE batch.id = ?",
                (batch.id,),
            ).fetchone()
            if row is None:
                continue
            channel, boot, sequence, level, clock_ms, kernel, crc, payload = row
            if checksum(payload) != crc:
                log.error("batch %d is spoilt on the disk and put aside", batch.id)
                self._no_longer_free(channel, sequence, level)
                self._put_aside(batch.id, SPOILT)
                self._count("batches_damaged", 1)
                continue
            if sequence is not None:
                key = BatchKey(device=self._device, boot=UUID(boot), sequence=sequence)
                found.append(Publication(id=batch.id, channel=channel, key=key, payload=payload))
                continue
            self._no_longer_free(channel, sequence, level)
            key = self._next_key(clock_ms if kernel == self._kernel else None)
            try:
                payload = numbered(key, channel, payload, self._form)
            except (WireError, ValueError) as error:
                log.error("batch %d cannot be published and is put aside: %s", batch.id, error)  # noqa: TRY400 - the error says it all
                self._db.execute("UPDATE run SET next_sequence = next_sequence - 1 WHERE id = ?", (self._run,))
                self._put_aside(batch.id, str(error))
                self._count("batches_rejected", 1)
                continue
            self._db.execute(
                "UPDATE batch SET boot = ?, sequence = ?, crc = ?, payload = ? WHERE id = ?",
                (str(key.boot), key.sequence, checksum(payload), payload, batch.id),
            )
            # A number comes twice where the transaction that gave it was undone.
            (self._second_keys.discard if boot is None else self._second_keys.add)(key.sequence)
            found.append(Publication(id=batch.id, channel=channel, key=key, payload=payload))
        return tuple(found)

    def _no_longer_free(self, channel: str, sequence: int | None, level: int) -> None:
        if channel == "readings" and sequence is None:
            self._fixed(level)

    def _joined(self, batches: Sequence[StoredBatch]) -> list[StoredBatch]:
        """The same batches, neighbours of a backlog made one: a third of the bytes of many small ones, and fewer keys.

        Only what follows each other in time and was stamped alike is joined; the present, given newest first, is not.
        """
        left: list[StoredBatch] = []
        run: list[tuple[StoredBatch, bytes]] = []
        stamp: tuple[object, ...] | None = None
        level = 0
        for batch in (*batches, None):
            row = None
            if batch is not None and batch.channel == "readings" and not batch.published:
                row = self._db.execute(
                    "SELECT run, clock_ms, level, crc, payload FROM batch WHERE id = ? AND sequence IS NULL",
                    (batch.id,),
                ).fetchone()
            sound = row is not None and row[3] == checksum(row[4])
            goes_on = (
                batch is not None
                and row is not None
                and sound
                and bool(run)
                and batch.id > run[-1][0].id
                and row[:3] == stamp
                and sum(entry.items for entry, _ in run) + batch.items <= self._most_rows
            )
            if not goes_on:
                left += self._join(run, level)
                run = []
            if batch is not None and row is not None and sound:
                run.append((batch, row[4]))
                stamp, level = row[:3], row[2]
            elif batch is not None:
                left.append(batch)
        return left

    def _join(self, run: Sequence[tuple[StoredBatch, bytes]], level: int) -> list[StoredBatch]:
        if len(run) < 2:
            return [batch for batch, _ in run]
        first, *others = [batch for batch, _ in run]
        try:
            payload = joined(self._device, [content for _, content in run])
        except (WireError, ValueError):
            return [first, *others]  # one of them is told of when its turn comes
        items = sum(batch.items for batch, _ in run)
        self._db.execute(
            "UPDATE batch SET items = ?, crc = ?, payload = ? WHERE id = ?",
            (items, checksum(payload), payload, first.id),
        )
        self._db.executemany("DELETE FROM batch WHERE id = ?", [(batch.id,) for batch in others])
        for _ in others:
            self._fixed(level)
        self._count("batches_joined", len(others))
        self._count("batches_waiting", -len(others))
        return [first]

    def _next_key(self, clock_ms: int | None) -> BatchKey:
        """``clock_ms``: by which it was stamped, if that was a clock of this start of the machine."""
        (sequence,) = self._db.execute(
            "UPDATE run SET next_sequence = next_sequence + 1, clock_ms = coalesce(clock_ms, ?),"
            " clock_from = CASE WHEN clock_ms IS NULL THEN next_sequence ELSE clock_from END WHERE id = ?"
            " RETURNING next_sequence - 1",
            (clock_ms, self._run),
        ).fetchone()
        return BatchKey(device=self._device, boot=self._boot, sequence=sequence)

    def acknowledge(self, ack: Acknowledgement) -> tuple[int, ...]:
        """See :meth:`Outbox.acknowledge`."""
        gone: list[int] = []
        boot = str(ack.boot)
        for first, last in ack.committed:
            rows = self._db.execute(
                "DELETE FROM batch WHERE boot = ? AND sequence BETWEEN ? AND ? RETURNING id", (boot, first, last)
            )
            gone += [row[0] for row in rows]
            if ack.boot == self._boot:
                self._second_keys -= {sequence for sequence in self._second_keys if first <= sequence <= last}
        self._count("batches_committed", len(gone))
        self._count("batches_waiting", -len(gone))
        for entry in ack.rejected:
            row = self._db.execute(
                "SELECT id, clock_ms, created_ms, payload FROM batch WHERE boot = ? AND sequence = ?",
                (boot, entry.sequence),
            ).fetchone()
            if row is None or (entry.reason in CLOCK_REASONS and self._times.comes_again(row[0])):
                continue  # the second refusal of a batch that was sent twice, meanwhile put right
            if entry.reason == "far-future" and row[1] is not None and self._times.is_past(row[2]):
                log.info("batch %s/%d is not of the future: the backend's clock is wrong", boot, entry.sequence)
                continue  # stays in flight, and is sent again when it was not acknowledged for long enough
            if entry.reason == REPLAYED and entry.stored == digest(row[3]):
                log.info("batch %s/%d is stored: it was an older copy that was refused", boot, entry.sequence)
                continue  # as above, and then acknowledged
            gone.append(row[0])
            if entry.reason == REPLAYED and entry.stored is not None and not self._has_second_key(ack, entry.sequence):
                log.warning("batch %s/%d is stored with other content: this one gets another key", boot, entry.sequence)
                self._take_key(row[0])
                continue
            if entry.reason in CLOCK_REASONS and row[1] is not None:
                log.warning("batch %s/%d waits until the clock is put right: %s", boot, entry.sequence, entry.reason)
                self._db.execute("UPDATE batch SET waits = 1 WHERE id = ?", (row[0],))
                self._times.refused = True
                continue
            log.error("batch %s/%d was rejected by the backend: %s", boot, entry.sequence, entry.reason)
            self._put_aside(row[0], entry.reason)
            self._count("batches_rejected", 1)
        return tuple(gone)

    def _take_key(self, row_id: int) -> None:
        """Let a batch be published under another key, once: under its own the backend has not got this content.

        So it is where one worker refused it for its time and another one took it, and it was put right in between; or
        where a disk forgot that a number was given. A boot without a sequence marks it until then.
        """
        channel, items = self._db.execute(
            "UPDATE batch SET sequence = NULL WHERE id = ? RETURNING channel, items", (row_id,)
        ).fetchone()
        self._count("batches_renumbered", 1)
        self._count("samples_renumbered" if channel == "readings" else "events_renumbered", items)
        self._freed()

    def _has_second_key(self, ack: Acknowledgement, sequence: int) -> bool:
        """Whether it had another key before; after a restart nobody knows, and it may get one more."""
        return ack.boot == self._boot and sequence in self._second_keys

    def rejected(self) -> tuple[RejectedEntry, ...]:
        """See :meth:`Outbox.rejected`."""
        rows = self._db.execute("SELECT boot, sequence, channel, reason FROM rejected ORDER BY id")
        return tuple(
            RejectedEntry(boot=None if row[0] is None else UUID(row[0]), sequence=row[1], channel=row[2], reason=row[3])
            for row in rows
        )

    def _put_aside(self, row_id: int, reason: str) -> None:
        self._db.execute(
            "INSERT INTO rejected (boot, sequence, channel, created_ms, reason, payload)"
            " SELECT boot, sequence, channel, created_ms, ?, payload FROM batch WHERE id = ?",
            (reason[:500], row_id),
        )
        self._db.execute("DELETE FROM batch WHERE id = ?", (row_id,))
        self._count("batches_waiting", -1)
        forgotten = self._db.execute(
            "DELETE FROM rejected WHERE id NOT IN (SELECT id FROM rejected ORDER BY id DESC LIMIT ?)", (MAX_REJECTED,)
        ).rowcount
        self._count("rejected_forgotten", forgotten)
