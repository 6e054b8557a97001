"""What a clock put right does to batches: which a wrong one stamped, their times moved, what went out before.

Part of the outbox: called within its transactions and under its lock. A batch that was published keeps its bytes,
unless it was refused for its time: then nobody has it.
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from edge_agent.outbox_content import checksum, shifted
from telemetry.errors import WireError
from telemetry.wire import Form

log = logging.getLogger(__name__)

STEP_MS: Final = 2_000  # a difference above this is a clock put right, below it is jitter
_KNOWN_MS: Final = 60_000  # how long ago the time may have been said, and more
DRIFT: Final = 200e-6  # of a crystal in a car: so far a clock nobody corrects may go wrong by itself


@dataclass(frozen=True, kw_only=True)
class Published:
    """Batches of a boot, inclusive, that were published with times that are too early by ``shift_ms``."""

    boot: UUID
    first_sequence: int
    last_sequence: int
    shift_ms: int
    resent: tuple[int, ...]  # of these, those that were refused for their time and come again, put right


class TimeRows:
    """Statements about the times in the table ``batch`` and the clocks in ``run``."""

    def __init__(self, connection: sqlite3.Connection, *, device: str, form: Form) -> None:
        self._db = connection
        self._device = device
        self._form = form
        self._kernel = ""
        self._right_ms: tuple[int, int] | None = None  # while batches are being put right: by what clock, and when
        self._come_again: set[int] = set()  # published once, put right since, and not yet published again
        self.now_ms: int | None = None  # by a synchronised clock, a moment ago
        self.refused = False  # some that wait for the clock were not looked at since

    def begin(self, kernel: str) -> None:
        """A run begins; what a former one heard refused is yet to be looked at."""
        self._kernel = kernel
        self.refused = True

    def publishing(self, row_ids: Sequence[int]) -> None:
        """These are about to be published: none may slip out wrong between two transactions that put right."""
        if self._right_ms is not None:
            self.put_right(self.stamped_otherwise(*self._right_ms, among=row_ids), self._right_ms[0])
        self._come_again.difference_update(row_ids)

    def comes_again(self, row_id: int) -> bool:
        """Whether its refusal is old news: it was sent twice, refused, put right, and is yet to be sent."""
        return row_id in self._come_again

    def is_past(self, created_ms: int) -> bool:
        """Whether the time of a batch is known not to lie in the future, whatever the backend says."""
        return self.now_ms is not None and created_ms <= self.now_ms + _KNOWN_MS

    def stamped_otherwise(
        self, clock_ms: int, monotonic_ms: int, *, among: Sequence[int] | None = None, waiting: bool = False
    ) -> list[int]:
        """Batches of this start of the machine that may change and were stamped by another clock than this one.

        ``among``: of these ids only; ``waiting``: only those that were refused for their time.
        """
        if not self._kernel:
            return []
        which = "waits = 1" if waiting else "(sequence IS NULL OR waits = 1)"
        if among is not None:
            which += f" AND batch.id IN ({', '.join(map(str, among))})"
        rows = self._db.execute(
            "SELECT batch.id, created_ms, batch.clock_ms FROM batch JOIN run ON run.id = run"  # noqa: S608 - constants and numbers
            f" WHERE kernel = ? AND batch.clock_ms IS NOT NULL AND {which}",
            (self._kernel,),
        )
        return [
            row_id
            for row_id, created_ms, stamped_ms in rows
            if is_step(clock_ms - stamped_ms, monotonic_ms - (created_ms - stamped_ms))
        ]

    @contextmanager
    def putting_right(self, clock_ms: int, monotonic_ms: int) -> Iterator[None]:
        """While this lasts, over several transactions, what is published is put right by itself."""
        self._right_ms = clock_ms, monotonic_ms
        try:
            yield
        finally:
            self._right_ms = None

    def put_right(self, row_ids: Sequence[int], clock_ms: int) -> tuple[Published, ...]:
        """Move the times of these batches; those of them that were published, which come again."""
        again: list[Published] = []
        for row_id in row_ids:
            row = self._db.execute(
                "SELECT channel, clock_ms, boot, sequence, crc, payload FROM batch"
                " WHERE id = ? AND (sequence IS NULL OR waits = 1)",
                (row_id,),
            ).fetchone()
            if row is None or row[4] != checksum(row[5]):
                continue
            channel, stamped_ms, boot, sequence, _, payload = row
            shift_ms = clock_ms - stamped_ms
            try:
                content = shifted(
                    self._device, channel, payload, shift_ms, "compact" if sequence is None else self._form
                )
            except (WireError, ValueError, OverflowError) as error:
                log.error("batch %d keeps its time: %s", row_id, error)  # noqa: TRY400 - the error says it all
                continue
            self._db.execute(
                "UPDATE batch SET created_ms = created_ms + ?, clock_ms = ?, waits = 0, crc = ?, payload = ?"
                " WHERE id = ?",
                (shift_ms, clock_ms, checksum(content), content, row_id),
            )
            if sequence is not None:
                self._come_again.add(row_id)
                again.append(
                    Published(
                        boot=UUID(boot),
                        first_sequence=sequence,
                        last_sequence=sequence,
                        shift_ms=shift_ms,
                        resent=(sequence,),
                    )
                )
        return tuple(again)

    def published_before(self, clock_ms: int) -> tuple[Published, ...]:
        """What went out under the clock that turned out to be wrong; told once."""
        found: list[Published] = []
        rows = self._db.execute(
            "SELECT id, boot, clock_ms, clock_from, next_sequence FROM run WHERE kernel = ? AND clock_ms IS NOT NULL",
            (self._kernel,),
        )
        for run, boot, stamped_ms, first, after_last in rows.fetchall():
            if abs(clock_ms - stamped_ms) <= STEP_MS:
                continue
            if after_last > first:
                resent = self._db.execute(
                    "SELECT sequence FROM batch WHERE boot = ? AND sequence BETWEEN ? AND ? AND clock_ms = ?"
                    " ORDER BY sequence",
                    (boot, first, after_last - 1, clock_ms),
                )
                found.append(
                    Published(
                        boot=UUID(boot),
                        first_sequence=first,
                        last_sequence=after_last - 1,
                        shift_ms=clock_ms - stamped_ms,
                        resent=tuple(row[0] for row in resent),
                    )
                )
            self._db.execute("UPDATE run SET clock_ms = ?, clock_from = ? WHERE id = ?", (clock_ms, after_last, run))
        return tuple(found)


def is_step(shift_ms: float, age_ms: float) -> bool:
    """Whether a clock that is off by so much, so long after it was read, was put right rather than drifted apart."""
    return abs(shift_ms) > STEP_MS + DRIFT * max(0.0, age_ms)


def published_data(published: Published) -> dict[str, object]:
    """The data of the event that tells the backend of it."""
    data: dict[str, object] = {
        "boot": str(published.boot),
        "first_sequence": published.first_sequence,
        "last_sequence": published.last_sequence,
        "shift_s": published.shift_ms / 1000,
    }
    if published.resent:
        data["resent"] = list(published.resent)
    return msgspec.to_builtins(data)  # type: ignore[no-any-return]  # a copy of the mapping above
