"""The database's clock, moved: what sessions ask for by the names ``now()`` and ``clock_timestamp()``.

Functions of those names stand before PostgreSQL's own in the search path of the database, so that product and
migrations need not know. What they do not move: ``CURRENT_TIMESTAMP``, defaults of columns, which were bound when the
table was made, and what the server itself does by its clock.
"""

from datetime import timedelta

from ingest.database import Connection

_SCHEMA = """
CREATE SCHEMA moved_clock;
CREATE TABLE moved_clock.ahead (ahead interval NOT NULL);
INSERT INTO moved_clock.ahead VALUES ('0');
CREATE FUNCTION moved_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM moved_clock.ahead';
CREATE FUNCTION moved_clock.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.now() + ahead FROM moved_clock.ahead';
"""


def make_movable(connection: Connection, database: str) -> None:
    """Let sessions opened from now on go by a clock that :func:`move` moves. After all migrations: they make tables."""
    for statement in filter(str.strip, _SCHEMA.split(";\n")):
        connection.execute(statement.encode())
    connection.execute(f'ALTER DATABASE "{database}" SET search_path = moved_clock, pg_catalog, public'.encode())


def move(connection: Connection, ahead: timedelta) -> None:
    """Put the database's clock so far from the right time."""
    connection.execute("UPDATE moved_clock.ahead SET ahead = %s", [ahead])
