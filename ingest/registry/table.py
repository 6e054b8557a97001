"""Rows of the registry's tables, and what a broken constraint means to whoever registers."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, LiteralString
from zoneinfo import available_timezones

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ingest.database import Connection
from ingest.errors import RegistryError
from ingest.registry.mail_address import is_mail_address

# What a broken constraint means to whoever registers, by the constraint's name in the schema.
_CONSTRAINTS = {
    "owner_language_check": "the language must be en or zh",
    "owner_pkey": "an owner of this id is registered already",
    "vehicle_vin_index_key": "a vehicle with this VIN is registered already; use that one",
    "vehicle_owner_id_fkey": "there is no such owner; register the owner first",
    "device_vehicle_id_fkey": "there is no such vehicle; register the vehicle first",
    "device_pkey": "a device of this id is registered already; update it or choose another id",
    "workshop_latitude_check": "the latitude must be degrees between -90 and 90",
    "workshop_longitude_check": "the longitude must be degrees between -180 and 180",
    "workshop_rating_check": "the rating must be between 1 and 5",
}
_FIXED = {"id", "created_at"}


def insert(
    connection: Connection, table: LiteralString, values: Mapping[str, object], columns: LiteralString
) -> dict[str, Any]:
    """Add a row and return these columns of it; an ``id`` of None is the database's to give."""
    given = {name: value for name, value in values.items() if not (name == "id" and value is None)}
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, given)),
        sql.SQL(", ").join(map(sql.Placeholder, given)),
        sql.SQL(columns),
    )
    row = _write(connection, table, statement, given)
    assert row is not None
    return row


def update(
    connection: Connection, table: LiteralString, key: object, changes: Mapping[str, object], columns: LiteralString
) -> dict[str, Any]:
    """Change fields that are among the columns, and return these."""
    require_known(table, changes, {column.split("::")[0].strip() for column in columns.split(",")} - _FIXED)
    return rewrite(connection, table, key, changes, columns)


def rewrite(
    connection: Connection, table: LiteralString, key: object, changes: Mapping[str, object], columns: LiteralString
) -> dict[str, Any]:
    """As :func:`update`, for callers that have looked at the names themselves."""
    statement = sql.SQL("UPDATE {} SET {} WHERE id = {} RETURNING {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(c), sql.Placeholder(c)) for c in changes),
        sql.Placeholder("id"),
        sql.SQL(columns),
    )
    return _found(table, key, _write(connection, table, statement, {**changes, "id": key}))


def require_mail_address(table: str, email: object) -> None:
    """RegistryError where no mail can be addressed to it."""
    if not (isinstance(email, str) and is_mail_address(email)):
        raise RegistryError(f"{table}: the e-mail address is none; give it as name@example.org")


def require_known(table: str, changes: Mapping[str, object], known: AbstractSet[str]) -> None:
    """RegistryError where nothing is to be changed, or something that cannot be."""
    unknown = sorted(set(changes) - known)
    if unknown or not changes:
        what = repr(unknown[0]) if unknown else "nothing"
        raise RegistryError(f"{table}: cannot change {what}; choose of {', '.join(sorted(known))}")


def _write(
    connection: Connection, table: str, statement: sql.Composed, values: Mapping[str, object]
) -> dict[str, Any] | None:
    zone = values.get("time_zone", "UTC")
    if zone not in available_timezones():
        raise RegistryError(f"{table}: {zone!r} is no time zone; use an IANA name such as 'Europe/Berlin'")
    if isinstance(values.get("email"), str):  # an owner's comes sealed, and is looked at before
        require_mail_address(table, values["email"])
    try:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, values).fetchone()
    except psycopg.IntegrityError as error:
        # The server's own text repeats the row, and with it personal data.
        name = error.diag.constraint_name or ""
        column = error.diag.column_name
        what = _CONSTRAINTS.get(name) or (f"{column} must be given" if column else f"constraint {name} does not hold")
        raise RegistryError(f"{table}: {what}") from None


def one(connection: Connection, table: LiteralString, key: object, columns: LiteralString) -> dict[str, Any]:
    """The row of that id, or RegistryError."""
    rows = all_of(connection, table, columns, where="id", key=key, order="id")
    return _found(table, key, rows[0] if rows else None)


def _found(table: str, key: object, row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None:
        raise RegistryError(f"there is no {table} {key}; list what is registered with `wearcast ingest {table} list`")
    return row


def all_of(
    connection: Connection,
    table: LiteralString,
    columns: LiteralString,
    *,
    order: LiteralString,
    where: LiteralString | None = None,
    key: object = None,
) -> list[dict[str, Any]]:
    """All rows, or those where a column has a value."""
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
        sql.SQL(columns),
        sql.Identifier(table),
        sql.SQL("true") if where is None else sql.SQL("{} = {}").format(sql.Identifier(where), key),
        sql.SQL(order),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()
