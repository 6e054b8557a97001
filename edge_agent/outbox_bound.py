"""Keeping the outbox within its size: the oldest readings become sparser, by halves; events and estimates stay.

Old readings lie in zones, from the oldest on: the oldest zone was halved most often. When there is no room, the largest
zone (in batches) gives up density where it is oldest: two of its batches become one, with every second value of each
signal. All zones so stay equally large, and each covers twice the time of the next younger one: the longer the outage,
the sparser its beginning, and no piece of history is missing altogether.

Only batches that were never published change, because the backend may have taken the others.
"""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.outbox_content import checksum, thinned
from edge_agent.outbox_file import PAGE_BYTES
from telemetry.errors import WireError

log = logging.getLogger(__name__)

YOUNGEST_KEPT: Final = 6  # batches of readings that are never thinned: the present
HIGHEST_LEVEL: Final = 16  # halved so often, a batch has one value of each signal and goes as a whole
PAIRS: Final = 16  # merged in one step: some 100 KB in the WAL
STEPS: Final = 4  # in one transaction at most; each makes room for many times what is sealed in it
_FREE: Final = "channel = 'readings' AND sequence IS NULL"


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """What making room cost."""

    samples: int = 0  # of joined batches, those that are no longer there
    joined: int = 0  # batches that became part of another
    batches: int = 0  # given up as a whole
    given_up_samples: int = 0  # in those


@dataclass(kw_only=True)
class _Zone:
    batches: int
    first_id: int  # of its oldest batch, or before it


class Bound:
    """Watches the pages in use, which reuse those that were freed: the file does not grow beyond its bound."""

    def __init__(self, connection: sqlite3.Connection, *, device: str, database_bytes: int) -> None:
        self._db = connection
        self._device = device
        self._bytes = database_bytes
        self._zones: dict[int, _Zone] | None = None  # by level; counted when first needed: that reads the whole table

    def exceeded(self) -> bool:
        """Whether more pages are in use than there may be."""
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return bool((pages - free) * PAGE_BYTES > self._bytes)

    def sealed(self) -> None:
        """A batch of readings was sealed."""
        if self._zones is not None:
            self._zones.setdefault(0, _Zone(batches=0, first_id=0)).batches += 1

    def fixed(self, level: int) -> None:
        """A batch of readings of this level got its key, was joined or put aside: it can no longer be thinned."""
        if self._zones is not None and level in self._zones:
            self._zones[level].batches -= 1

    def forget(self) -> None:
        """A transaction was undone: count again when needed."""
        self._zones = None

    def make_room(self) -> GivenUp | None:
        """One step, within the caller's transaction; None where nothing is left to give up."""
        if self._zones is None:
            rows = self._db.execute(f"SELECT level, count(*), min(id) FROM batch WHERE {_FREE} GROUP BY level")  # noqa: S608 - a constant
            self._zones = {level: _Zone(batches=count, first_id=first) for level, count, first in rows}
        free = {level: zone.batches - (YOUNGEST_KEPT if level == 0 else 0) for level, zone in self._zones.items()}
        largest = max(free, key=lambda level: (free[level], -level), default=0)
        if free.get(largest, 0) <= 0:
            return None
        if largest >= HIGHEST_LEVEL:
            return self._drop()
        return self._halve(self._zones, largest, min(2 * PAIRS, free[largest]))

    def _halve(self, zones: dict[int, _Zone], level: int, limit: int) -> GivenUp:
        rows = self._db.execute(
            "SELECT id, run, clock_ms, items, crc, payload FROM batch"  # noqa: S608 - a constant
            f" WHERE id >= ? AND {_FREE} AND level = ? ORDER BY id LIMIT ?",
            (zones[level].first_id, level, limit),
        ).fetchall()
        if not rows:
            self.forget()
            return GivenUp()
        zones[level].batches -= len(rows)
        zones[level].first_id = rows[-1][0] + 1
        sparser = zones.setdefault(level + 1, _Zone(batches=0, first_id=rows[0][0]))
        samples = joined = 0
        while rows:
            first, *rest = rows
            # Batches stamped by different clocks may have to be put right apart.
            pair = rest[:1] if rest and rest[0][1:3] == first[1:3] else []
            rows = rest[len(pair) :]
            items = first[3]
            try:
                items = self._thin(first, pair)
            except (WireError, ValueError) as error:
                log.error("batch %d cannot be thinned: %s", first[0], error)  # noqa: TRY400 - the error says it all
                rows, pair = [*pair, *rows], []
                self._db.execute("UPDATE batch SET level = level + 1 WHERE id = ?", (first[0],))
            self._db.executemany("DELETE FROM batch WHERE id = ?", [(row[0],) for row in pair])
            sparser.batches += 1
            samples += first[3] + sum(row[3] for row in pair) - items
            joined += len(pair)
        return GivenUp(samples=samples, joined=joined)

    def _thin(self, first: tuple[Any, ...], pair: Sequence[tuple[Any, ...]]) -> int:
        """How many samples are left of both, in the row of the first; WireError where one is spoilt on the disk."""
        for row_id, *_, crc, payload in (first, *pair):
            if crc != checksum(payload):
                raise WireError("malformed", f"batch {row_id} is spoilt on the disk")
        payload, items = thinned(self._device, [row[5] for row in (first, *pair)])
        self._db.execute(
            "UPDATE batch SET level = level + 1, items = ?, crc = ?, payload = ? WHERE id = ?",
            (items, checksum(payload), payload, first[0]),
        )
        return items

    def _drop(self) -> GivenUp:
        rows = self._db.execute(
            f"DELETE FROM batch WHERE id IN (SELECT id FROM batch WHERE {_FREE} ORDER BY id LIMIT ?) RETURNING items",  # noqa: S608 - a constant
            (PAIRS,),
        ).fetchall()
        self.forget()
        return GivenUp(batches=len(rows), given_up_samples=sum(row[0] for row in rows))
