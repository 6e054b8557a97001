"""The access log: who saw plain personal data of whom, or was sent it, and what for. Only ever written to.

An owner who looks at their own data is not logged; nor is a computation that shows nobody anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row

from ingest.database import Connection

Role = Literal["owner", "workshop", "engineer", "operator", "delivery"]


@dataclass(frozen=True, kw_only=True)
class Access:
    """One entry."""

    at: datetime
    owner_id: UUID
    role: Role
    actor: str  # who in that role: an id, an operator's account, a kind of channel; never a person's name
    fields: list[str]
    purpose: str


def record_access(
    connection: Connection, owner_id: UUID, *, role: Role, actor: str, fields: Sequence[str], purpose: str
) -> None:
    """Write an entry in the caller's transaction: before the data is shown or sent."""
    connection.execute(
        "INSERT INTO personal_access (owner_id, role, actor, fields, purpose) VALUES (%s, %s, %s, %s, %s)",
        [owner_id, role, actor, list(fields), purpose],
    )


def accesses(connection: Connection, owner_id: UUID, limit: int | None = None) -> list[Access]:
    """Entries about one person, the newest first."""
    with connection.cursor(row_factory=class_row(Access)) as cursor:
        return cursor.execute(
            "SELECT at, owner_id, role, actor, fields, purpose FROM personal_access"
            " WHERE owner_id = %s ORDER BY at DESC, id DESC LIMIT %s",
            [owner_id, limit],
        ).fetchall()
