"""Rotation: every person gets a fresh data key under the newest master key, and all that is theirs is sealed anew.

One transaction per person, so it may be killed and run again, and everything works on meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row, scalar_row, tuple_row

from ingest.database import Connection
from ingest.errors import PersonalDataError
from ingest.personal.persons import keep_person
from ingest.personal.vault import Person, the_vault

_ROTATION_LOCK: Final = int.from_bytes(b"rotation", "big")  # number of PostgreSQL's advisory lock; any, but ours
_SEALED: Final[tuple[tuple[LiteralString, LiteralString, tuple[str, ...]], ...]] = (
    ("owner", "id", ("name", "notify_urls", "email", "position")),
    ("vehicle", "owner_id", ("vin",)),
)


def reseal_all(connection: Connection) -> Iterator[UUID]:
    """Reseal everybody who is not under the newest master key yet; gives each when it is committed.

    The connection must be in autocommit mode.
    """
    while True:
        with connection.transaction():
            # Asked each time: with a key that is no longer the newest this would never end.
            owner_id = _reseal_one(connection, the_vault().ring.newest.id)
        if owner_id is None:
            return
        yield owner_id


@contextmanager
def only_rotation(connection: Connection) -> Iterator[None]:
    """Be the only rotation of this database, on whatever machine. PersonalDataError where there is one."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        if not cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ROTATION_LOCK]).fetchone():
            raise PersonalDataError("another rotation is under way; wait for its end, it needs no second one")
        try:
            yield
        finally:
            if not connection.closed:  # the lock ends with its session
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_ROTATION_LOCK])


def persons_by_key(connection: Connection) -> dict[bytes, int]:
    """How many persons' keys each master key wraps."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute("SELECT master_key_id, count(*) FROM personal_key GROUP BY master_key_id").fetchall()
    return {bytes(key_id): count for key_id, count in rows}


def _reseal_one(connection: Connection, newest: bytes) -> UUID | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT owner_id, wrapped FROM personal_key WHERE master_key_id <> %s ORDER BY owner_id LIMIT 1 FOR UPDATE",
            [newest],
        ).fetchone()
    if row is None:
        return None
    before = the_vault().person(row["owner_id"], row["wrapped"])
    after = the_vault().new_person(before.owner_id)
    for table, column, fields in _SEALED:
        _reseal_rows(connection, before, after, table, column, fields)
    keep_person(connection, after)
    return before.owner_id


def _reseal_rows(
    connection: Connection,
    before: Person,
    after: Person,
    table: LiteralString,
    column: LiteralString,
    fields: tuple[str, ...],
) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, fields))
    select = sql.SQL("SELECT id, {} FROM {} WHERE {} = %s FOR UPDATE").format(
        names, sql.Identifier(table), sql.Identifier(column)
    )
    update = sql.SQL("UPDATE {} SET {} WHERE id = {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(f), sql.Placeholder(f)) for f in fields),
        sql.Placeholder("id"),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(select, [before.owner_id]).fetchall():
            sealed = {
                field: after.seal(table, field, row["id"], before.unseal(table, field, row["id"], row[field]))
                for field in fields
            }
            connection.execute(update, {**sealed, "id": row["id"]})
