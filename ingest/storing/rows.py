"""Records -> rows of the time series, by binary COPY. The ledger of batches has ruled out duplicates before."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, LiteralString
from uuid import UUID

import numpy as np
from psycopg import sql
from psycopg.types.json import Jsonb

from ingest.database import Connection
from ingest.decoding.columns import Block, ColumnarBatch, signals_of, table
from ingest.decoding.decode import Readings
from ingest.personal.mask import mask_vin
from ingest.storing.copy_format import ColumnType, Rows, copied
from telemetry.catalogue import Signal, catalogue
from telemetry.records import EventsBatch, ReadingsBatch

_REAL_HOLDS: Final = 2**24  # whole numbers up to here are exact in 32 bits


def column_type(signal: Signal) -> ColumnType:
    """PostgreSQL type of a signal's column in ``reading``: the smallest that holds its range."""
    if signal.datatype == "boolean":
        return "boolean"
    wide = max(abs(signal.minimum), abs(signal.maximum)) > _REAL_HOLDS
    return "double precision" if wide else "real"


def copy_readings(connection: Connection, vehicles: Mapping[str, UUID], batches: Sequence[Readings]) -> int:
    """Copy all samples; returns how many. Only columns that occur are named: the others stay NULL at no cost."""
    blocks: dict[Block, list[ColumnarBatch]] = {}
    plain: list[ReadingsBatch] = []
    for batch in batches:
        if isinstance(batch, ColumnarBatch):
            blocks.setdefault(batch.block, []).append(batch)
        elif batch.samples:
            plain.append(batch)
    count = _copy_blocks(connection, vehicles, list(blocks.values())) if blocks else 0
    return count + (_copy_plain(connection, vehicles, plain) if plain else 0)


def _copy_blocks(
    connection: Connection, vehicles: Mapping[str, UUID], blocks: Sequence[Sequence[ColumnarBatch]]
) -> int:
    signals = sorted(set().union(*map(signals_of, blocks)), key=lambda signal: signal.code)
    types = [column_type(signal) for signal in signals]

    def rows(batches: Sequence[ColumnarBatch]) -> Rows:
        found = table(batches, signals)
        ids = b"".join(vehicles[batch.key.device].bytes for batch in batches)
        return Rows(
            times_ms=found.times_ms,
            uuids=np.frombuffer(ids, "V16")[found.batches],
            types=types,
            columns=found.columns,
        )

    statement = _statement("reading", ["time", "vehicle_id", *(signal.column for signal in signals)])
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in copied(map(rows, blocks)):  # the server works on one block while the next is made
            copy.write(piece)
    return sum(batch.rows for batches in blocks for batch in batches)


def _copy_plain(connection: Connection, vehicles: Mapping[str, UUID], batches: Sequence[ReadingsBatch]) -> int:
    paths = sorted({path for batch in batches for sample in batch.samples for path in sample.values})
    signals = [catalogue().by_path(path) for path in paths]
    booleans = [number for number, signal in enumerate(signals, start=2) if signal.datatype == "boolean"]

    def rows() -> Iterable[Sequence[object]]:
        for batch in batches:
            vehicle = vehicles[batch.key.device]
            for sample in batch.samples:
                row: list[object] = [sample.time, vehicle, *map(sample.values.get, paths)]
                for number in booleans:
                    value = row[number]
                    row[number] = None if value is None else bool(value)
                yield row

    columns = {signal.column: _COPY_TYPE[column_type(signal)] for signal in signals}
    return _copy(connection, "reading", {"time": "timestamptz", "vehicle_id": "uuid", **columns}, rows())


def copy_estimates(connection: Connection, vehicles: Mapping[str, UUID], batches: Sequence[Readings]) -> int:
    """Copy all estimates; returns how many."""
    columns = {
        "time": "timestamptz",
        "vehicle_id": "uuid",
        "quantity": "text",
        "position": "text",
        "value": "float4",
        "low": "float4",
        "high": "float4",
        "source": "text",
        "method": "text",
        "measurements": "int4",
        "limited_by": "text",
    }
    rows = [
        (
            estimate.time,
            vehicles[batch.key.device],
            str(estimate.quantity),
            estimate.position,
            estimate.value,
            estimate.low,
            estimate.high,
            estimate.source,
            estimate.method,
            estimate.measurements,
            estimate.limited_by,
        )
        for batch in batches
        for estimate in batch.estimates
    ]
    return _copy(connection, "estimate", columns, rows) if rows else 0


def copy_events(connection: Connection, vehicles: Mapping[str, UUID], batches: Sequence[EventsBatch]) -> int:
    """Copy all events; returns how many."""
    columns = {"time": "timestamptz", "vehicle_id": "uuid", "kind": "text", "data": "jsonb"}
    rows = [
        (event.time, vehicles[batch.key.device], str(event.kind), Jsonb(_kept(event.data)))
        for batch in batches
        for event in batch.events
    ]
    return _copy(connection, "vehicle_event", columns, rows) if rows else 0


def _kept(data: Mapping[str, object]) -> dict[str, object]:
    """Data of an event without the whole VIN: its serial number tells another car, and nobody reads more of it."""
    vin = data.get("vin")
    return dict(data) if vin is None else {**data, "vin": mask_vin(str(vin))}


_COPY_TYPE: Final = {"boolean": "bool", "double precision": "float8", "real": "float4"}


def _copy(
    connection: Connection, table_name: LiteralString, columns: Mapping[str, str], rows: Iterable[Sequence[object]]
) -> int:
    count = 0
    with connection.cursor() as cursor, cursor.copy(_statement(table_name, list(columns))) as copy:
        copy.set_types(list(columns.values()))
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def _statement(table_name: LiteralString, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table_name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
