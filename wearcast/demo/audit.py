"""Counts what the dongles accepted against what the database holds: nothing lost, nothing twice."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from edge_agent.ledger import read_ledger
from ingest.database import Connection
from ingest.reading_store import counts


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Both sides' books. ``sent`` counts samples the dongles accepted, ``stored`` rows in the database."""

    sent: int
    stored: int
    waiting_batches: int  # in outboxes, not yet acknowledged
    gaps: int  # batches missing between 1 and the last one of a boot
    doubled: int  # rows of one vehicle and instant beyond the first
    rejected: int
    resent: int  # batches that came again and were dropped: what a fault costs

    @property
    def complete(self) -> bool:
        """Whether nothing is lost, doubled, rejected or under way."""
        return (
            self.sent == self.stored
            and not self.waiting_batches
            and not self.gaps
            and not self.doubled
            and not self.rejected
        )


def samples_accepted(outboxes: list[Path]) -> int:
    """How many samples the dongles have accepted so far."""
    return sum(read_ledger(path)["samples_accepted"] for path in outboxes)


def audit(connection: Connection, outboxes: list[Path], vehicles: list[UUID]) -> Audit:
    """Read the outboxes and the database as they are now."""
    ledgers = [read_ledger(path) for path in outboxes]
    stored = counts(connection)
    doubled = connection.execute(
        "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM reading WHERE vehicle_id = ANY(%s)"
        " GROUP BY vehicle_id, time HAVING count(*) > 1) AS repeated",
        [vehicles],
    ).fetchone()
    return Audit(
        sent=sum(ledger["samples_accepted"] for ledger in ledgers),
        stored=stored.samples,
        waiting_batches=sum(ledger["batches_waiting"] for ledger in ledgers),
        gaps=sum(boot.last_sequence - boot.batches for boot in stored.boots),
        doubled=int(doubled[0]) if doubled else 0,
        rejected=stored.rejected,
        resent=sum(boot.resent for boot in stored.boots),
    )
