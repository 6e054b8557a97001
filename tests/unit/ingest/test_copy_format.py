"""Bytes of binary COPY: what psycopg's own dumpers make of the same rows, value by value."""

import math
import struct
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import numpy as np
import psycopg
from hypothesis import given
from hypothesis import strategies as st
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer

from ingest.storing import copy_format
from ingest.storing.copy_format import HEADER, TRAILER, ColumnType, Rows, copied
from telemetry.records import utc_from_ms

_TYPES: tuple[ColumnType, ...] = ("boolean", "real", "double precision")
_NAMES = {"boolean": "bool", "real": "float4", "double precision": "float8"}
_VALUES: dict[ColumnType, st.SearchStrategy[float]] = {
    "boolean": st.sampled_from([0.0, 1.0]),
    "real": st.floats(-1e9, 1e9),
    "double precision": st.floats(allow_nan=False),
}


def by_psycopg(types: Sequence[ColumnType], rows: Sequence[Sequence[object]]) -> bytes:
    transformer = Transformer()
    oids = [psycopg.adapters.types[name].oid for name in ("timestamptz", "uuid", *(_NAMES[kind] for kind in types))]
    transformer.set_dumper_types(oids, psycopg.pq.Format.BINARY)
    formats = [PyFormat.BINARY] * (2 + len(types))
    made = [
        struct.pack(">h", len(row)) + b"".join(map(_field, transformer.dump_sequence(row, formats))) for row in rows
    ]
    return HEADER + b"".join(made) + TRAILER


def _field(value: Buffer | None) -> bytes:
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + bytes(value)


Table = tuple[list[ColumnType], list[tuple[int, UUID, list[float]]]]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    types = draw(st.lists(st.sampled_from(_TYPES), max_size=5))
    row = st.tuples(
        st.integers(0, 2**42), st.uuids(), st.tuples(*(st.just(math.nan) | _VALUES[kind] for kind in types)).map(list)
    )
    return types, draw(st.lists(row, max_size=12))


@given(tables())
def test_the_bytes_are_those_of_psycopg(
    given_table: tuple[list[ColumnType], list[tuple[int, UUID, list[float]]]],
) -> None:
    types, rows = given_table
    made = Rows(
        times_ms=np.array([time for time, _, _ in rows], np.int64),
        uuids=np.frombuffer(b"".join(vehicle.bytes for _, vehicle, _ in rows), "V16"),
        types=types,
        columns=np.array([values for _, _, values in rows]).reshape(len(rows), len(types)).T,
    )
    expected = [(utc_from_ms(time), vehicle, *map(_python, types, values)) for time, vehicle, values in rows]
    assert b"".join(copied([made])) == by_psycopg(types, expected)


def test_a_long_table_comes_in_pieces_that_make_one_copy() -> None:
    count = 2 * copy_format._ROWS_AT_ONCE + 1
    speeds = np.arange(count, dtype=np.float64) % 200
    speeds[7] = math.nan
    vehicle = UUID(int=5)
    made = Rows(
        times_ms=np.arange(count),
        uuids=np.frombuffer(vehicle.bytes * count, "V16"),
        types=["real"],
        columns=speeds[None, :],
    )
    pieces = list(copied([made]))
    assert len(pieces) == 5
    expected = [(utc_from_ms(row), vehicle, _python("real", speed)) for row, speed in enumerate(speeds.tolist())]
    assert b"".join(pieces) == by_psycopg(["real"], expected)
    assert b"".join(copied([made, made])) == by_psycopg(["real"], expected * 2)


def _python(kind: ColumnType, value: float) -> bool | float | None:
    if math.isnan(value):
        return None
    return bool(value) if kind == "boolean" else value


def test_the_epoch_is_the_one_of_postgresql() -> None:
    made = Rows(times_ms=np.array([946_684_800_001]), uuids=np.zeros(1, "V16"), types=[], columns=np.empty((0, 1)))
    assert utc_from_ms(946_684_800_001) == datetime.fromisoformat("2000-01-01T00:00:00.001Z")
    assert b"".join(copied([made])) == by_psycopg([], [(utc_from_ms(946_684_800_001), UUID(int=0))])
