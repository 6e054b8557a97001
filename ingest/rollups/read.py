"""Long periods of a signal, from the roll-ups; what is not rolled up yet is added from the raw rows.

All times are aware, buckets begin on the hour or the day in UTC, values are in the catalogue's unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row, tuple_row

from ingest.database import Connection
from ingest.errors import ReadingStoreError
from ingest.rollups.parts import Bucket, Granularity, Part, RolledUp, combine, parts, whole
from telemetry.catalogue import Signal, catalogue
from telemetry.errors import CatalogueError

__all__ = ["Bucket", "FleetDay", "Granularity", "RolledUp", "fleet_days", "vehicle_rollup"]


@dataclass(frozen=True, kw_only=True)
class FleetDay:
    """A day of a signal in one car of a fleet."""

    vehicle_id: UUID
    day: datetime
    value: RolledUp


def vehicle_rollup(
    connection: Connection, vehicle_id: UUID, column: str, start: datetime, end: datetime, *, by: Granularity = "day"
) -> list[Bucket]:
    """A signal of a car per hour or day, oldest first, up to the last row stored.

    ``start`` and ``end`` are widened to whole buckets. Late rows of hours that are over show when they are rolled up,
    within minutes. Raises ReadingStoreError for an unknown column or an empty period.
    """
    signal = _signal(column)
    with connection.cursor(row_factory=scalar_row) as cursor:
        settled_before = cursor.execute("SELECT settled_before FROM storage_state").fetchone()
    found: list[tuple[datetime, RolledUp]] = []
    for part in parts(start, end, settled_before, by):
        with connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(_query(signal, part), [vehicle_id, part.start, part.end])
            found += [(row[0], _rolled_up(row[1:])) for row in cursor]
    return combine(found, by)


def fleet_days(
    connection: Connection, vehicle_ids: Sequence[UUID], column: str, start: datetime, end: datetime
) -> list[FleetDay]:
    """A signal of many cars per day, by car and day, from the roll-ups alone: of today, the hours that are over.

    Raises ReadingStoreError for an unknown column or an empty period.
    """
    begin, until = whole(start, end, "day")
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            "SELECT vehicle_id, bucket, counts[place], minima[place], maxima[place], means[place], lasts[place],"
            " lasts_at[place] FROM rollup_day, array_position(signals, %s::smallint) AS place"
            " WHERE vehicle_id = ANY(%s) AND bucket >= %s AND bucket < %s AND place IS NOT NULL"
            " ORDER BY vehicle_id, bucket",
            [_signal(column).code, list(vehicle_ids), begin, until],
        )
        return [FleetDay(vehicle_id=row[0], day=row[1], value=_rolled_up(row[2:])) for row in cursor]


def _signal(column: str) -> Signal:
    try:
        return catalogue().by_column(column)
    except CatalogueError as error:
        raise ReadingStoreError(str(error)) from error


def _query(signal: Signal, part: Part) -> sql.Composed:
    if part.table != "reading":
        return sql.SQL(
            "SELECT bucket, counts[place], minima[place], maxima[place], means[place], lasts[place], lasts_at[place]"
            " FROM {}, array_position(signals, {}::smallint) AS place"
            " WHERE vehicle_id = %s AND bucket >= %s AND bucket < %s AND place IS NOT NULL"
        ).format(sql.Identifier(part.table), signal.code)
    name = sql.Identifier(signal.column)
    value = sql.SQL("{}::int").format(name) if signal.datatype == "boolean" else name
    return sql.SQL(
        "SELECT date_trunc('hour', time, 'UTC'), count(*), min({value}), max({value}), avg({value})::float8,"
        " last({value}, time), max(time) FROM reading"
        " WHERE vehicle_id = %s AND time >= %s AND time < %s AND {name} IS NOT NULL GROUP BY 1"
    ).format(value=value, name=name)


def _rolled_up(row: tuple[int, float, float, float, float, datetime]) -> RolledUp:
    count, minimum, maximum, mean, last, last_at = row
    return RolledUp(
        count=count,
        minimum=float(minimum),
        maximum=float(maximum),
        mean=float(mean),
        last=float(last),
        last_at=last_at,
    )
