"""Marks the hours whose roll-up has to be computed (again), in the transaction of the rows."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from ingest.database import Connection

SECONDS_PER_HOUR: Final = 3600


def hours_of(times: Iterable[datetime]) -> set[int]:
    """Hours, counted from 1970 UTC, in which these aware times lie."""
    return {int(time.timestamp() // SECONDS_PER_HOUR) for time in times}


def mark(connection: Connection, hours: Collection[tuple[UUID, int]]) -> None:
    """Mark hours of vehicles, each counted from 1970 UTC (:func:`hours_of`), in one statement.

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
