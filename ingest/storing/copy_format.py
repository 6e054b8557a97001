"""Rows of numbers -> the bytes of PostgreSQL's binary COPY, a thousand rows at a stroke. Pure.

Source: PostgreSQL documentation, COPY, "Binary Format"; the binary forms are those of ``timestamptz_send`` and its kin:
microseconds since 2000-01-01 UTC, the 16 bytes of a uuid, IEEE 754 big-endian, a boolean's single byte.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
TRAILER: Final = b"\xff\xff"
_POSTGRES_EPOCH_MS: Final = 946_684_800_000  # 2000-01-01 UTC after 1970-01-01 UTC
_NULL: Final = -1  # size of a NULL
_SIZE_BYTES: Final = 4
_ROWS_AT_ONCE: Final = 4096  # what is worked on stays in the processor's cache, and the server begins early

ColumnType = Literal["boolean", "real", "double precision"]
_FORMS: Final = {"boolean": np.dtype("?"), "real": np.dtype(">f4"), "double precision": np.dtype(">f8")}


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of a time, a uuid, and a number per column, NaN for NULL."""

    times_ms: NDArray[np.int64]  # since 1970 UTC
    uuids: NDArray[np.void]  # 16 bytes each
    types: Sequence[ColumnType]
    columns: NDArray[np.float64]  # columns x rows

    def pieces(self) -> Iterator[bytes]:
        """Their bytes, some thousand rows at a time."""
        layout = _layout(self.types)
        for first in range(0, self.times_ms.size, _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            yield _encode(layout, self.times_ms[rows], self.uuids[rows], self.columns[:, rows])


def copied(tables: Iterable[Rows]) -> Iterator[bytes]:
    """The bytes to copy of rows with the same columns, each table asked for when the one before is sent."""
    yield HEADER
    for rows in tables:
        yield from rows.pieces()
    yield TRAILER


def _layout(types: Sequence[ColumnType]) -> np.dtype[np.void]:
    """A row with nothing missing."""
    fields: list[tuple[str, str | np.dtype[np.generic]]] = [
        ("fields", ">i2"),
        ("time_size", ">i4"),
        ("time", ">i8"),
        ("uuid_size", ">i4"),
        ("uuid", "V16"),
    ]
    for number, kind in enumerate(types):
        fields += [(f"size{number}", ">i4"), (f"value{number}", _FORMS[kind])]
    return np.dtype(fields)


def _encode(
    layout: np.dtype[np.void], times_ms: NDArray[np.int64], uuids: NDArray[np.void], columns: NDArray[np.float64]
) -> bytes:
    rows = np.empty(times_ms.size, layout)
    rows["fields"] = 2 + len(columns)
    rows["time_size"], rows["time"] = 8, (times_ms - _POSTGRES_EPOCH_MS) * 1000
    rows["uuid_size"], rows["uuid"] = 16, uuids
    missing: NDArray[np.bool_] = np.isnan(columns)
    sparse: NDArray[np.bool_] = np.any(missing, axis=1)
    for number, values in enumerate(columns):
        size = layout[f"value{number}"].itemsize
        rows[f"size{number}"] = np.where(missing[number], _NULL, size) if sparse[number] else size
        rows[f"value{number}"] = values
    if not sparse.any():
        return rows.tobytes()
    kept = np.ones((rows.size, layout.itemsize), np.bool_)
    for number in np.flatnonzero(sparse).tolist():
        offset = layout.fields[f"value{number}"][1]  # type: ignore[index]  # it has fields
        kept[:, offset : offset + layout[f"value{number}"].itemsize] = ~missing[number][:, None]
    return rows.view(np.uint8).reshape(rows.size, -1)[kept].tobytes()
