"""What the database takes: COPY of rows that are decoded already. All else is compared with it."""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from psycopg import Copy, sql

from ingest.storing.rows import column_type
from ingest.worker import WorkerConfig
from tests.benchmarks.ingest.corpus import Fleet
from tests.benchmarks.ingest.site import Site

Group = TypeVar("Group")  # what is copied in one transaction

_GROUP: Final = WorkerConfig(database_url="").group_messages  # as many batches in a transaction as the worker takes
_TYPES: Final = {"boolean": "bool", "double precision": "float8", "real": "float4"}


def decoded(place: Site, fleet: Fleet) -> list[list[tuple[object, ...]]]:
    """Rows by transaction, as Python values in the order of the columns."""
    paths = [signal.path for signal in fleet.columns]

    def rows(first: int) -> list[tuple[object, ...]]:
        return [
            (sample.time, place.vehicles[batch.key.device], *map(sample.values.__getitem__, paths))
            for batch in fleet.all_batches[first : first + _GROUP]
            for sample in batch.samples
        ]

    return [rows(first) for first in range(0, fleet.messages, _GROUP)]


def by_rows(place: Site, fleet: Fleet, groups: list[list[tuple[object, ...]]]) -> float:
    """Binary COPY by psycopg, row by row. Seconds."""
    statement, types = _statement(fleet, "BINARY")

    def write(copy: Copy, rows: list[tuple[object, ...]]) -> None:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)

    return _copied(place, fleet, statement, groups, write)


def by_bytes(place: Site, fleet: Fleet, blocks: list[bytes]) -> float:
    """The same rows as bytes made before the clock starts: only the server works. Seconds."""
    statement, _ = _statement(fleet, "TEXT")
    return _copied(place, fleet, statement, blocks, Copy.write)


def _copied(
    place: Site, fleet: Fleet, statement: sql.Composed, groups: Sequence[Group], write: Callable[[Copy, Group], None]
) -> float:
    place.empty()
    begun = time.perf_counter()
    for group in groups:
        with place.connection.transaction(), place.connection.cursor() as cursor, cursor.copy(statement) as copy:
            write(copy, group)
    seconds = time.perf_counter() - begun
    assert place.stored_values(fleet) == fleet.values
    return seconds


def as_text(groups: list[list[tuple[object, ...]]]) -> list[bytes]:
    """The rows in the text form of COPY."""
    return [b"".join(_line(row) for row in rows) for rows in groups]


def _line(row: tuple[object, ...]) -> bytes:
    return ("\t".join(str(value) for value in row) + "\n").encode()


def _statement(fleet: Fleet, form: str) -> tuple[sql.Composed, list[str]]:
    columns = {"time": "timestamptz", "vehicle_id": "uuid"}
    columns |= {signal.column: _TYPES[column_type(signal)] for signal in fleet.columns}
    statement = sql.SQL("COPY reading ({}) FROM STDIN (FORMAT {})").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(form),
    )
    return statement, list(columns.values())
