"""How a dongle is, read beside a running agent from its outbox and its certificate: nothing is locked or written."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from edge_agent.config import TlsConfig
from edge_agent.errors import OutboxError
from edge_agent.ledger import read_ledger
from edge_agent.own_status import certificate_ends
from telemetry.records import utc_from_ms

LONG_WAIT: Final = timedelta(hours=1)
CERTIFICATE_LEFT: Final = timedelta(days=7)  # renewed long before, where it renews itself


@dataclass(frozen=True, kw_only=True)
class OwnHealth:
    """Counts since the outbox was made; ``problems`` in words, empty where all is well."""

    batches_waiting: int
    batches_in_flight: int
    oldest_waits_s: float  # seconds since the oldest batch was sealed; 0: none waits
    outbox_written_at: datetime  # last: a running agent that reads a car writes every few seconds
    batches_committed: int
    batches_rejected: int
    samples_given_up: int  # thinned or dropped for want of room
    certificate_ends: datetime | None
    problems: tuple[str, ...]


def read_health(outbox: Path, tls: TlsConfig | None, now: datetime) -> OwnHealth:
    """The health at ``now``; OutboxError if there is no outbox."""
    counted = read_ledger(outbox)
    oldest = _oldest(outbox)
    waits_s = 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
    ends = certificate_ends(tls)
    return OwnHealth(
        batches_waiting=counted["batches_waiting"],
        batches_in_flight=counted["batches_in_flight"],
        oldest_waits_s=waits_s,
        outbox_written_at=_written_at(outbox, now),
        batches_committed=counted.get("batches_committed", 0),
        batches_rejected=counted.get("batches_rejected", 0),
        samples_given_up=counted.get("samples_thinned", 0) + counted.get("samples_given_up", 0),
        certificate_ends=ends,
        problems=tuple(_problems(waits_s, ends, now)),
    )


def _problems(waits_s: float, ends: datetime | None, now: datetime) -> list[str]:
    found = []
    if waits_s >= LONG_WAIT.total_seconds():
        found.append(
            f"the oldest batch has waited {waits_s / 3600:.1f} h for its acknowledgement: is the broker reached, "
            "and is the device registered? The agent's log tells"
        )
    if ends is not None and ends <= now:
        found.append(f"the certificate ended at {ends.isoformat(timespec='minutes')}: enrol the device again")
    elif ends is not None and ends - now < CERTIFICATE_LEFT:
        found.append(f"the certificate ends at {ends.isoformat(timespec='minutes')}: is the enrolment service reached?")
    return found


def _oldest(outbox: Path) -> datetime | None:
    try:
        with closing(sqlite3.connect(f"{outbox.absolute().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT created_ms FROM batch ORDER BY id LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise OutboxError(f"{outbox}: cannot be read as an outbox: {error}") from error
    return None if row is None else utc_from_ms(row[0])


def _written_at(outbox: Path, now: datetime) -> datetime:
    journal = outbox.with_name(f"{outbox.name}-wal")
    return max(datetime.fromtimestamp(path.stat().st_mtime, now.tzinfo) for path in (outbox, journal) if path.exists())
