"""Compact readings of many batches at once -> columns of numbers, without an object per sample or value. Pure.

:mod:`telemetry.compact` is the specification. Here is taken only what passes every one of its checks and can be
computed exactly in 64 bits; whatever is odd is left to it, so that it alone decides and words the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.decoding.column_reader import PLACES, ColumnReader, Floats, Integers
from telemetry.catalogue import Signal, catalogue
from telemetry.records import BatchKey, Estimate, utc_from_ms

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SIGNALS: Final = catalogue().signals
_MINIMA: Final = np.array([signal.minimum for signal in _SIGNALS])
_MAXIMA: Final = np.array([signal.maximum for signal in _SIGNALS])


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Batches side by side. A run is what one batch says of one signal; runs of a batch stand together."""

    times_ms: Integers  # of each row, since 1970 UTC; ascending within a batch
    row_starts: Integers  # first row of each batch, and at the end the number of rows
    run_starts: Integers  # first run of each batch, and at the end the number of runs
    run_signals: Integers  # of each run: place of its signal in the catalogue
    value_starts: Integers  # of each run: its first value; and at the end the number of values
    value_rows: Integers  # of each value: its row
    values: Floats  # in the catalogue's unit

    @cached_property
    def newest(self) -> tuple[list[str], list[float], list[int]]:
        """Of each run: column, last value and the time of that, in ms."""
        last = self.value_starts[1:] - 1
        return (
            [_SIGNALS[place].column for place in self.run_signals.tolist()],
            self.values[last].tolist(),
            self.times_ms[self.value_rows[last]].tolist(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnarBatch:
    """A batch of readings whose samples stand in a block, as the ``number``-th there."""

    key: BatchKey
    rows: int
    estimates: tuple[Estimate, ...]
    block: Block
    number: int

    @property
    def last_sample_at(self) -> datetime:
        """Time of the newest sample."""
        return utc_from_ms(int(self.block.times_ms[self.block.row_starts[self.number + 1] - 1]))

    def newest(self) -> dict[str, tuple[float, datetime]]:
        """Newest value of each column and its time."""
        columns, values, times = self.block.newest
        starts = self.block.run_starts
        runs = slice(int(starts[self.number]), int(starts[self.number + 1]))
        moments = {time: utc_from_ms(time) for time in set(times[runs])}
        newest = zip(values[runs], map(moments.__getitem__, times[runs]), strict=True)
        return dict(zip(columns[runs], newest, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows to store: a column of numbers per signal asked for, NaN where a row lacks it."""

    times_ms: Integers
    batches: Integers  # of each row: which of the batches asked for it is of
    columns: Floats  # signals x rows


def columnar(reader: ColumnReader) -> list[ColumnarBatch | None]:
    """Each batch added to the reader, or None where its payload is for the plain path to judge."""
    if not reader.keys:
        return []
    block = _block(reader)
    earliest, latest = _ms(reader.earliest), [_ms(moment) for moment in reader.latest]
    taken = _possible(block) & _in_time(block, earliest, latest)
    return [
        ColumnarBatch(key=key, rows=rows, estimates=estimates, block=block, number=number) if good else None
        for number, (key, rows, estimates, good) in enumerate(
            zip(reader.keys, reader.times.lengths, reader.estimates, taken.tolist(), strict=True)
        )
    ]


def _block(reader: ColumnReader) -> Block:
    row_starts = _bounds(reader.times.lengths)
    return Block(
        times_ms=reader.times.integers(),
        row_starts=row_starts,
        run_starts=_bounds(reader.runs),
        run_signals=np.array(reader.signals),
        value_starts=_bounds(reader.columns.lengths),
        value_rows=reader.rows(row_starts[:-1]),
        values=reader.values(),
    )


def _possible(block: Block) -> NDArray[np.bool_]:
    """Of each batch: whether all its values can be true of a car."""
    starts = block.value_starts[:-1]
    lowest = np.minimum.reduceat(block.values, starts)  # NaN where there is one, which no comparison lets through
    highest = np.maximum.reduceat(block.values, starts)
    runs = (lowest >= _MINIMA[block.run_signals]) & (highest <= _MAXIMA[block.run_signals])
    return np.logical_and.reduceat(runs, block.run_starts[:-1])


def _in_time(block: Block, earliest_ms: int, latest_ms: Sequence[int]) -> NDArray[np.bool_]:
    """Of each batch: whether its rows are in order and within what clocks may show."""
    starts = block.row_starts[:-1]
    steps = np.diff(block.times_ms, prepend=0)
    steps[starts] = 0
    first, last = block.times_ms[starts], block.times_ms[block.row_starts[1:] - 1]
    return (np.minimum.reduceat(steps, starts) >= 0) & (first >= earliest_ms) & (last <= np.array(latest_ms))


def signals_of(batches: Sequence[ColumnarBatch]) -> set[Signal]:
    """Signals of which any of these batches, which share a block, says something."""
    block = batches[0].block
    runs = np.repeat(_asked(batches) >= 0, np.diff(block.run_starts))
    return {_SIGNALS[place] for place in set(block.run_signals[runs].tolist())}


def table(batches: Sequence[ColumnarBatch], signals: Sequence[Signal]) -> Table:
    """Rows of these batches, which share a block and say of no other signals, in the order of the block's batches."""
    block, asked = batches[0].block, _asked(batches)
    wanted = asked >= 0
    batch_of_row = np.repeat(asked, np.diff(block.row_starts))
    run_signals, values, value_rows, times = block.run_signals, block.values, block.value_rows, block.times_ms
    run_lengths = np.diff(block.value_starts)
    if not wanted.all():
        rows_wanted = batch_of_row >= 0
        runs_wanted = np.repeat(wanted, np.diff(block.run_starts))
        values_wanted = np.repeat(runs_wanted, run_lengths)
        values = values[values_wanted]
        value_rows = (np.cumsum(rows_wanted) - 1)[value_rows[values_wanted]]
        run_signals, run_lengths = run_signals[runs_wanted], run_lengths[runs_wanted]
        batch_of_row, times = batch_of_row[rows_wanted], times[rows_wanted]
    column_of = np.zeros(len(_SIGNALS), np.int64)
    column_of[[PLACES[signal.code] for signal in signals]] = np.arange(len(signals))
    columns = np.full((len(signals), times.size), np.nan)
    columns[np.repeat(column_of[run_signals], run_lengths), value_rows] = values
    return Table(times_ms=times, batches=batch_of_row, columns=columns)


def _asked(batches: Sequence[ColumnarBatch]) -> Integers:
    """Of each batch of their block: which of these it is, or -1."""
    asked = np.full(batches[0].block.row_starts.size - 1, -1)
    asked[[batch.number for batch in batches]] = np.arange(len(batches))
    return asked


def _bounds(lengths: Sequence[int]) -> Integers:
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds


def _ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND
