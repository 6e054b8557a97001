"""Marks the hours whose roll-up has to be computed (again), in the transaction of the rows."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import numpy as np

from ingest.database import Connection
from ingest.decoding.columns import ColumnarBatch
from ingest.decoding.decode import Readings

_MS_PER_HOUR: Final = 3_600_000


def mark_readings(connection: Connection, vehicles: Mapping[str, UUID], batches: Iterable[Readings]) -> None:
    """Mark the hours of these batches' samples; ``vehicles`` by device. In the transaction that stores them."""
    mark(connection, {(vehicles[batch.key.device], hour) for batch in batches for hour in _hours(batch)})


def mark(connection: Connection, hours: Collection[tuple[UUID, int]]) -> None:
    """Mark hours of vehicles, each counted from 1970 UTC, in one statement.

    Call it in the transaction that stores the rows: both commit together, or none.
    """
    if hours:
        vehicles, numbers = zip(*hours, strict=True)
        connection.execute(
            "INSERT INTO rollup_pending (vehicle_id, hour)"
            " SELECT vehicle_id, to_timestamp(number * 3600::double precision)"
            " FROM unnest(%s::uuid[], %s::bigint[]) AS marked (vehicle_id, number)",
            [list(vehicles), list(numbers)],
        )


def hours_of(times: Iterable[datetime]) -> set[int]:
    """Hours, counted from 1970 UTC, in which these aware times lie."""
    return {int(time.timestamp() // 3600) for time in times}


def _hours(batch: Readings) -> Collection[int]:
    if not isinstance(batch, ColumnarBatch):
        return hours_of(sample.time for sample in batch.samples)
    block = batch.block
    times_ms = block.times_ms[block.row_starts[batch.number] : block.row_starts[batch.number + 1]]
    if not times_ms.size:
        return ()
    first, last = int(times_ms[0]) // _MS_PER_HOUR, int(times_ms[-1]) // _MS_PER_HOUR  # a batch's times ascend
    return (first,) if first == last else np.unique(times_ms // _MS_PER_HOUR).tolist()
