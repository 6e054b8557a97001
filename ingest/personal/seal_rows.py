"""The step of a migration that SQL cannot do: seals what older rows held in plain, and leaves none of it in the files.

It may be killed anywhere and run again. It cannot reach archived write-ahead log and backups made before.
"""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row, tuple_row

from ingest.database import Connection
from ingest.personal.persons import keep_person, open_person
from ingest.personal.vault import Person, the_vault


def seal_existing(connection: Connection, rewritten: Sequence[LiteralString]) -> int:
    """Seal everything that waits in ``personal_unsealed``; how many owners that were.

    ``rewritten`` are the tables that held it: VACUUM FULL writes them anew, without dead rows and dropped columns, and
    locks each for that time. The connection must be in autocommit mode.
    """
    if not _waits(connection):
        return 0
    sealed = 0
    while (owner_id := _next(connection)) is not None:
        with connection.transaction():
            sealed += _seal_owner(connection, owner_id)
    for table in rewritten:
        connection.execute(sql.SQL("VACUUM FULL {}").format(sql.Identifier(table)))
    connection.execute("TRUNCATE personal_unsealed")  # last: until then the next run begins with the vacuum again
    return sealed


def _waits(connection: Connection) -> bool:
    """Whether the table has pages, also where all its rows are deleted."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute("SELECT pg_relation_size('personal_unsealed') > 0").fetchone())


def _next(connection: Connection) -> UUID | None:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute("SELECT owner_id FROM personal_unsealed LIMIT 1").fetchone()


def _seal_owner(connection: Connection, owner_id: UUID) -> int:
    connection.execute("SELECT 1 FROM owner WHERE id = %s FOR UPDATE", [owner_id])
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "DELETE FROM personal_unsealed WHERE owner_id = %s RETURNING vehicle_id, fields", [owner_id]
        ).fetchall()
    if not rows:
        return 0  # another process was first
    person = open_person(connection, owner_id, lock=True)
    if person is None:
        person = the_vault().new_person(owner_id)
        keep_person(connection, person)
    for vehicle_id, fields in rows:
        if vehicle_id is None:
            _seal_fields(connection, person, "owner", owner_id, fields)
        else:
            _seal_fields(connection, person, "vehicle", vehicle_id, fields)
            connection.execute(
                "UPDATE vehicle SET vin_index = %s WHERE id = %s", [the_vault().index("vin", fields["vin"]), vehicle_id]
            )
    return 1


def _seal_fields(
    connection: Connection, person: Person, table: LiteralString, row: UUID, fields: Mapping[str, Any]
) -> None:
    statement = sql.SQL("UPDATE {} SET {} WHERE id = {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(column)) for column in fields
        ),
        sql.Placeholder("id"),
    )
    sealed = {column: person.seal(table, column, row, value) for column, value in fields.items()}
    connection.execute(statement, {**sealed, "id": row})
