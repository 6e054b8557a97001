"""The rows of samples that were accepted and not yet sealed into a batch.

Part of the outbox: called within its transactions and under its lock.
"""

import logging
import sqlite3
from collections.abc import Sequence

import msgspec

from edge_agent.outbox_content import checksum, pack_values, unpack_values
from telemetry.records import Sample, ms_from_utc, utc_from_ms

log = logging.getLogger(__name__)


class PendingSample(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted sample that waits for its batch. ``recorded``: its time is a recording's, not the agent's clock."""

    kernel: str  # start of the machine in which it was taken, "" where not known
    sample: Sample
    recorded: bool
    refused: tuple[str, ...] = ()  # signals in it that this version's catalogue does not take


class SampleRows:
    """Statements over the table ``pending_sample``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, run: int, samples: Sequence[Sample], *, recorded: bool) -> None:
        """See :meth:`Outbox.add_samples`."""
        for sample in samples:
            content = pack_values(sample.values)
            self._db.execute(
                "INSERT INTO pending_sample (run, time_ms, monotonic_ms, recorded, crc, content)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (run, ms_from_utc(sample.time), sample.monotonic_ms, int(recorded), checksum(content), content),
            )

    def all(self) -> tuple[PendingSample, ...]:
        """See :meth:`Outbox.pending_samples`."""
        rows = self._db.execute(
            "SELECT coalesce(kernel, ''), time_ms, monotonic_ms, recorded, crc, content"
            " FROM pending_sample LEFT JOIN run ON run.id = run ORDER BY pending_sample.id"
        ).fetchall()
        pending: list[PendingSample] = []
        for kernel, time_ms, monotonic_ms, recorded, crc, content in rows:
            if crc != checksum(content):
                log.error("a sample is spoilt on the disk, the others of its batch are sealed without it")
                continue
            values, refused = unpack_values(content)
            sample = Sample(time=utc_from_ms(time_ms), monotonic_ms=monotonic_ms, values=values)
            pending.append(PendingSample(kernel=kernel, sample=sample, recorded=bool(recorded), refused=tuple(refused)))
        return tuple(pending)

    def clear(self) -> None:
        """See :meth:`Outbox.clear_pending`."""
        self._db.execute("DELETE FROM pending_sample")
