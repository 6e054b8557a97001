"""Who may connect now, and the lists of revoked certificates: what the configuration of a broker is made from.

Every change notifies ``wearcast_access`` (LISTEN), when it is committed. All functions leave the transaction to the
caller.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from ingest.database import Connection

ACCESS_CHANNEL: Final = "wearcast_access"


@dataclass(frozen=True, kw_only=True)
class DeviceAccess:
    """Whether a device is let in, and by certificates of which generation alone."""

    device_id: str
    allowed: bool
    generation: int
    changed_at: datetime
    only_wiped: bool  # let in to empty itself, and for nothing else: its owner was erased


@dataclass(frozen=True, kw_only=True)
class RevocationList:
    """A signed list, PEM; ``authority`` is the SHA-256 fingerprint of who signed it."""

    authority: str
    number: int
    pem: str
    issued_at: datetime
    next_update: datetime


def device_access(connection: Connection) -> list[DeviceAccess]:
    """All devices, by id."""
    with connection.cursor(row_factory=class_row(DeviceAccess)) as cursor:
        return cursor.execute(
            "SELECT device_id, allowed, generation, changed_at, only_wiped FROM device_access ORDER BY device_id"
        ).fetchall()


def revocation_lists(connection: Connection) -> list[RevocationList]:
    """The newest list of each authority."""
    with connection.cursor(row_factory=class_row(RevocationList)) as cursor:
        return cursor.execute(
            "SELECT authority, number, pem, issued_at, next_update FROM certificate_revocation_list ORDER BY authority"
        ).fetchall()


def publish_revocation_list(connection: Connection, newest: RevocationList) -> bool:
    """Put it in place of the one before; False where there is one of this number or a later already."""
    return bool(
        connection.execute(
            "INSERT INTO certificate_revocation_list AS present (authority, number, pem, issued_at, next_update)"
            " VALUES (%(authority)s, %(number)s, %(pem)s, %(issued_at)s, %(next_update)s)"
            " ON CONFLICT (authority) DO UPDATE SET number = excluded.number, pem = excluded.pem,"
            " issued_at = excluded.issued_at, next_update = excluded.next_update"
            " WHERE present.number < excluded.number",
            vars(newest),
        ).rowcount
    )
