"""The past of a car as its estimators took it: samples in time order, and what was estimated by then. Reads only."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, tuple_row

from ingest.database import Connection
from ingest.errors import ReadingStoreError
from ingest.storing.state import EstimateState
from telemetry.catalogue import catalogue
from telemetry.records import Sample, ms_from_utc, require_aware

_AT_ONCE: Final = 5000  # rows held in memory


def samples(connection: Connection, vehicle_id: UUID, start: datetime, end: datetime) -> Iterator[Sample]:
    """Samples with ``start <= time < end``, oldest first, a few thousand in memory at a time.

    Within a transaction. Their monotonic time is that of the calendar: what the dongle's clock said then is not kept.
    ReadingStoreError for an empty period.
    """
    require_aware(start, "start")
    require_aware(end, "end")
    if not start < end:
        raise ReadingStoreError(f"the period from {start} to {end} is empty; give a start before the end")
    signals = tuple(catalogue())
    with connection.cursor(name="samples", row_factory=tuple_row) as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(
            sql.SQL(
                "SELECT time, {} FROM reading WHERE vehicle_id = %s AND time >= %s AND time < %s ORDER BY time"
            ).format(sql.SQL(", ").join(sql.Identifier(signal.column) for signal in signals)),
            [vehicle_id, start, end],
        )
        for time, *values in cursor:
            yield Sample(
                time=time.astimezone(UTC),
                monotonic_ms=ms_from_utc(time),
                values={
                    signal.path: float(value)
                    for signal, value in zip(signals, values, strict=True)
                    if value is not None
                },
            )


def first_sample_time(connection: Connection, vehicle_id: UUID) -> datetime | None:
    """When the first sample was read; None where there is none."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT min(time) FROM reading WHERE vehicle_id = %s", [vehicle_id]).fetchone()
    return None if row is None else row[0]


def last_estimates(connection: Connection, vehicle_id: UUID, end: datetime) -> list[EstimateState]:
    """The newest estimate before ``end`` of each quantity, position and source."""
    with connection.cursor(row_factory=class_row(EstimateState)) as cursor:
        return cursor.execute(
            "SELECT DISTINCT ON (quantity, position, source)"
            " quantity, position, value, low, high, source, method, time, measurements, limited_by"
            " FROM estimate WHERE vehicle_id = %s AND time < %s AND time >= %s"
            " ORDER BY quantity, position, source, time DESC",
            [vehicle_id, end, end - timedelta(days=400)],
        ).fetchall()
