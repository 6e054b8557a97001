"""Bodies of compact readings, gathered over many batches, so that their numbers are computed all at once. Pure.

The checks are those of :mod:`telemetry.compact`. A body that fails one is not added, nor one whose numbers 64 bits
cannot hold exactly: it is for the plain path to judge.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telemetry import compact
from telemetry.catalogue import catalogue
from telemetry.compact import MAX_ROWS, Body
from telemetry.errors import WireError
from telemetry.limits import check_estimates
from telemetry.packing import Packed
from telemetry.records import BatchKey, Estimate, ReadingsBatch

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_EXACT: Final = 2**53  # whole numbers up to here are exact as a float: a quotient of two is rounded once, as Python's
_REACH: Final = {1: 2**7, 2: 2**15, 4: 2**31}  # bytes per difference -> the largest there can be
_WIDTHS: Final = frozenset({1, 2, 4, 8})  # of a difference on the wire
PLACES: Final = {signal.code: place for place, signal in enumerate(catalogue())}  # in the catalogue, by wire code


# In which a group is measured before it is stored. An estimate is an object of some 370 bytes, a value a few numbers.
_VALUES_PER_ESTIMATE: Final = 20


def count_values(values: int, estimates: int) -> int:
    """What a batch takes, in values.

    ``values``: one for each row at least, as a row that has none is stored with all columns of its neighbours.
    """
    return values + _VALUES_PER_ESTIMATE * estimates


@dataclass
class Packs:
    """Packed columns of integers, one after the other."""

    firsts: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)  # bytes per difference; 0 where there is none
    lengths: list[int] = field(default_factory=list)
    differences: dict[int, list[bytes]] = field(default_factory=lambda: {width: [] for width in (0, *_REACH)})

    def add(self, packed: Packed, length: int) -> None:
        """Add a column of that many integers."""
        first, width, differences = packed
        self.firsts.append(first)
        self.widths.append(width)
        self.lengths.append(length)
        self.differences[width].append(differences)

    def integers(self) -> Integers:
        """All of them: of each column its first, then the running sum of its differences."""
        lengths = np.array(self.lengths)
        starts = np.cumsum(lengths) - lengths
        widths = np.repeat(np.array(self.widths, np.int8), lengths)
        widths[starts] = 0
        steps = np.zeros(int(lengths.sum()), np.int64)
        for width in _REACH:
            if self.differences[width]:
                steps[widths == width] = np.frombuffer(b"".join(self.differences[width]), f"<i{width}")
        steps[starts] = self.firsts
        # One sum over all columns: where it wraps around, what is subtracted from it has wrapped as often.
        sums = np.cumsum(steps)
        columns: Integers = sums - np.repeat(sums[starts] - steps[starts], lengths)
        return columns


class ColumnReader:
    """Takes body after body, then computes all at once."""

    def __init__(self, earliest: datetime) -> None:
        self.earliest = earliest  # nothing in a batch may be before it
        self.value_count = 0
        self.keys: list[BatchKey] = []
        self.estimates: list[tuple[Estimate, ...]] = []
        self.latest: list[datetime] = []  # nothing in that batch may be after it
        self.times = Packs()  # a column per batch, ms since 1970 UTC
        self.runs: list[int] = []  # columns of each batch
        self.columns = Packs()  # of all batches
        self.signals: list[int] = []  # of each column: place of its signal in the catalogue
        self._numerators: list[int] = []
        self._denominators: list[int] = []
        self._floats: list[bytes] = []  # of columns that are not integers
        self._presence: list[bytes] = []  # bitmaps of columns that have one
        self._bitmap_bytes: list[int] = []  # of each column, 0 without a bitmap

    def add(self, device: str, payload: bytes, latest: datetime) -> int | None:
        """Add a payload that begins as compact readings do; its number, or None where it is for the plain path."""
        try:
            key, body = compact.read(device, payload)
            estimates = compact.estimates_of(body) if body.estimates else ()
            check_estimates(ReadingsBatch(key=key, samples=(), estimates=estimates))
        except (WireError, ValueError, OverflowError):
            return None
        counts = _counts(body)
        if not counts or body.times is None or not self._in_time(estimates, latest):
            return None
        self.times.add(body.times, body.rows)
        self.runs.append(len(counts))
        for column, count in zip(body.columns, counts, strict=False):  # those of the raw ones follow
            self.columns.add(column.integers, count)
            self._describe(column.code, column.numerator, column.denominator, column.presence)
        for raw, count in zip(body.raw_columns, counts[len(body.columns) :], strict=True):
            self.columns.add((0, 0, b""), count)
            self._describe(raw.code, 1, 1, raw.presence)
            self._floats.append(raw.floats)
        self.value_count += count_values(max(sum(counts), body.rows), len(estimates))
        self.keys.append(key)
        self.estimates.append(estimates)
        self.latest.append(latest)
        return len(self.keys) - 1

    def values(self) -> Floats:
        """Values of all columns, in the catalogue's units."""
        lengths = np.array(self.columns.lengths)
        values: Floats = (self.columns.integers() * np.repeat(self._numerators, lengths)) / np.repeat(
            self._denominators, lengths
        )
        if self._floats:
            is_float = np.repeat(np.array(self.columns.widths) == 0, lengths)
            values[is_float] = np.frombuffer(b"".join(self._floats), "<f8")
        return values

    def rows(self, row_starts: Integers) -> Integers:
        """Row of each value, where batches begin at these rows."""
        lengths = np.array(self.columns.lengths)
        value_starts = np.cumsum(lengths) - lengths
        first_rows = np.repeat(row_starts, self.runs)
        rows: Integers = np.arange(int(lengths.sum())) + np.repeat(first_rows - value_starts, lengths)
        if self._presence:
            bitmap_bytes = np.array(self._bitmap_bytes)
            sparse = bitmap_bytes > 0
            first_bits = 8 * (np.cumsum(bitmap_bytes) - bitmap_bytes)
            bits = np.unpackbits(np.frombuffer(b"".join(self._presence), np.uint8), bitorder="little")
            offsets = np.repeat((first_rows - first_bits)[sparse], lengths[sparse])
            rows[np.repeat(sparse, lengths)] = np.flatnonzero(bits) + offsets
        return rows

    def _in_time(self, estimates: tuple[Estimate, ...], latest: datetime) -> bool:
        return all(self.earliest <= estimate.time <= latest for estimate in estimates)

    def _describe(self, code: int, numerator: int, denominator: int, presence: bytes | None) -> None:
        self.signals.append(PLACES[code])
        self._numerators.append(numerator)
        self._denominators.append(denominator)
        if presence is None:
            self._bitmap_bytes.append(0)
        else:
            self._bitmap_bytes.append(len(presence))
            self._presence.append(presence)


def _counts(body: Body) -> list[int] | None:
    """How many values each column has, raw ones last; None where the body is for the plain path."""
    rows, times, monotonic = body.rows, body.times, body.monotonic
    if not 1 <= rows <= MAX_ROWS or body.sequence < 1 or times is None or times[0] != body.time_ms:
        return None
    if not _computable(times, rows, 1):
        return None
    if monotonic is not None and (monotonic[1] not in _WIDTHS or len(monotonic[2]) != (rows - 1) * monotonic[1]):
        return None
    counts: list[int] = []
    for column in body.columns:
        count = _present(column.presence, rows)
        if (
            column.numerator < 1
            or not 1 <= column.denominator <= _EXACT
            or not _computable(column.integers, count, column.numerator)
        ):
            return None
        counts.append(count)
    for raw in body.raw_columns:
        count = _present(raw.presence, rows)
        if not count or len(raw.floats) != 8 * count:
            return None
        counts.append(count)
    codes = {column.code for column in body.columns} | {raw.code for raw in body.raw_columns}
    return counts if len(codes) == len(counts) and codes <= PLACES.keys() else None


def _computable(packed: Packed, count: int, factor: int) -> bool:
    """Whether it is that many integers, none of them, times the factor, beyond what a float holds exactly."""
    first, width, differences = packed
    reach = _REACH.get(width)
    return (
        reach is not None
        and count > 0
        and len(differences) == (count - 1) * width
        and (abs(first) + (count - 1) * reach) * factor <= _EXACT
    )


def _present(presence: bytes | None, rows: int) -> int:
    """How many rows a bitmap names; 0 for one that is not of so many rows."""
    if presence is None:
        return rows
    bits = int.from_bytes(presence, "little")
    return bits.bit_count() if len(presence) == (rows + 7) // 8 and not bits >> rows else 0
