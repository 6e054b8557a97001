"""Blocks in the database: what brokers and all workers go by. All functions leave the transaction to the caller."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from psycopg.rows import class_row, tuple_row

from ingest.database import Connection
from ingest.errors import RegistryError

Reason = Literal["flood", "malformed", "client-id", "by-hand"]

FIRST_BLOCK: Final = timedelta(minutes=10)
LONGEST_BLOCK: Final = timedelta(days=1)
_FORGIVEN_AFTER: Final = timedelta(days=1)  # since the end of the last one


@dataclass(frozen=True, kw_only=True)
class Block:
    """A device that is kept out, or was."""

    device_id: str
    since: datetime
    until: datetime
    reason: Reason
    times: int  # in a row


def block(
    connection: Connection, device: str, *, reason: Reason, now: datetime, first: timedelta = FIRST_BLOCK
) -> bool:
    """Keep a device out for a time, each time twice as long. False where it is kept out already, or not registered."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute(
            """
            INSERT INTO device_block AS known (device_id, since, until, reason)
            SELECT id, %(now)s, %(now)s + %(first)s, %(reason)s FROM device WHERE id = %(device)s
            ON CONFLICT (device_id) DO UPDATE SET
                since = excluded.since,
                reason = excluded.reason,
                times = CASE WHEN known.until > %(now)s - %(forgiven)s THEN known.times + 1 ELSE 1 END,
                until = %(now)s + least(%(longest)s, %(first)s
                    * power(2, CASE WHEN known.until > %(now)s - %(forgiven)s THEN least(known.times, 20) ELSE 0 END))
            WHERE known.until <= %(now)s
            RETURNING device_id
            """,
            {
                "device": device,
                "now": now,
                "first": first,
                "longest": LONGEST_BLOCK,
                "forgiven": _FORGIVEN_AFTER,
                "reason": reason,
            },
        ).fetchone()
    return found is not None


def unblock(connection: Connection, device: str) -> None:
    """Let it in again, and forget that it was blocked. RegistryError where it is not."""
    if connection.execute("DELETE FROM device_block WHERE device_id = %s", [device]).rowcount == 0:
        raise RegistryError(f"{device} is not blocked; list who is with `wearcast broker blocked`")


def blocked(connection: Connection, now: datetime) -> list[Block]:
    """Devices that are kept out now, the longest first."""
    with connection.cursor(row_factory=class_row(Block)) as cursor:
        return cursor.execute(
            "SELECT device_id, since, until, reason, times FROM device_block WHERE until > %s ORDER BY until DESC",
            [now],
        ).fetchall()
