"""Reading rows: each statement says its own row factory, whatever the caller's connection has."""

from typing import Any, LiteralString

from psycopg.rows import dict_row

from ingest.database import Connection


def one(connection: Connection, query: LiteralString, *parameters: object) -> dict[str, Any] | None:
    """Return the first row as a dictionary by column, or None."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchone()


def all_of(connection: Connection, query: LiteralString, *parameters: object, **named: object) -> list[dict[str, Any]]:
    """Return all rows as dictionaries; parameters are all positional or all named."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, named or parameters).fetchall()
