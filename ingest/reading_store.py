"""The read side: what the cars said, as typed records. Nothing here writes.

All functions take an open connection; times are aware and in UTC, periods are half-open: ``start <= time < end``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, tuple_row

from ingest.database import Connection
from ingest.errors import ReadingStoreError
from ingest.storing.state import EstimateState, SignalState, TroubleCode, VehicleState
from ingest.storing.state_rows import read_states
from telemetry.catalogue import catalogue
from telemetry.errors import CatalogueError
from telemetry.records import Source, require_aware

__all__ = [
    "BootCount",
    "Counts",
    "DeviceState",
    "EstimatePoint",
    "EstimateState",
    "RejectedMessage",
    "SignalState",
    "StoredEvent",
    "TroubleCode",
    "VehicleState",
    "counts",
    "device_states",
    "estimate_series",
    "events",
    "latest_state",
    "latest_states",
    "rejected",
    "series",
]


@dataclass(frozen=True, kw_only=True)
class EstimatePoint:
    """A point of a health curve: value and 90 % interval in the quantity's unit."""

    time: datetime
    value: float
    low: float
    high: float
    source: Source
    limited_by: str = ""  # telemetry.records.Limitation


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """Something that happened to a car or its dongle."""

    id: int
    time: datetime
    kind: str  # telemetry.records.EventKind
    data: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class RejectedMessage:
    """A message that was not taken. The payload is kept in the database and not shown here."""

    id: int
    first_received_at: datetime
    last_received_at: datetime
    times: int  # how often the same message came
    topic: str
    reason: str
    detail: str
    payload_size: int  # bytes


@dataclass(frozen=True, kw_only=True)
class DeviceState:
    """What a device last said about itself."""

    device_id: str
    boot: UUID
    state: Literal["online", "offline"]
    time: datetime
    version: str
    pending_batches: int


@dataclass(frozen=True, kw_only=True)
class BootCount:
    """What is committed of one boot of a device. Nothing is missing when ``batches == last_sequence``."""

    device_id: str
    boot: UUID
    batches: int
    items: int  # samples and events
    first_sequence: int
    last_sequence: int
    resent: int  # how often one of its batches came again and was dropped


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Bookkeeping over everything stored."""

    samples: int
    estimates: int
    events: int
    batches: int
    rejected: int  # messages, counting repetitions
    boots: tuple[BootCount, ...]


def latest_state(connection: Connection, vehicle_id: UUID) -> VehicleState:
    """Latest state of a vehicle; an empty one of version 0 while nothing has arrived."""
    return read_states(connection, [vehicle_id]).get(vehicle_id, VehicleState(vehicle_id=vehicle_id))


def latest_states(connection: Connection, vehicle_ids: Sequence[UUID]) -> dict[UUID, VehicleState]:
    """Latest state of each of these vehicles, for lists of many."""
    found = read_states(connection, vehicle_ids)
    return {vehicle_id: found.get(vehicle_id, VehicleState(vehicle_id=vehicle_id)) for vehicle_id in vehicle_ids}


def series(
    connection: Connection, vehicle_id: UUID, column: str, start: datetime, end: datetime, *, max_points: int = 500
) -> list[tuple[datetime, float]]:
    """Values of one signal over time, oldest first, in the catalogue's unit.

    More than ``max_points`` values are averaged over equal stretches of time. Raises ReadingStoreError for an unknown
    column or an empty period.
    """
    step = _step(start, end, max_points)
    try:
        signal = catalogue().by_column(column)
    except CatalogueError as error:
        raise ReadingStoreError(str(error)) from error
    name = sql.Identifier(signal.column)
    value = sql.SQL("{}::int").format(name) if signal.datatype == "boolean" else name
    period = sql.SQL("FROM reading WHERE vehicle_id = %s AND time >= %s AND time < %s AND {} IS NOT NULL").format(name)
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            sql.SQL("SELECT time, {} {} ORDER BY time LIMIT %s").format(value, period),
            [vehicle_id, start, end, max_points + 1],
        )
        rows = cursor.fetchall()
        if len(rows) > max_points:
            cursor.execute(
                sql.SQL(
                    "SELECT time_bucket(%s, time, %s::timestamptz), avg({})::float8 {} GROUP BY 1 ORDER BY 1"
                ).format(value, period),
                [step, start, vehicle_id, start, end],
            )
            rows = cursor.fetchall()
    return [(time, float(number)) for time, number in rows]


def estimate_series(
    connection: Connection,
    vehicle_id: UUID,
    quantity: str,
    position: str,
    start: datetime,
    end: datetime,
    *,
    source: Source | None = None,
    max_points: int = 500,
) -> list[EstimatePoint]:
    """A health curve, oldest first; only of one ``source`` if given.

    More than ``max_points`` estimates are thinned to the last one of equal stretches of time: averaging would make
    an interval nobody estimated. Raises ReadingStoreError for an empty period.
    """
    step = _step(start, end, max_points)
    with connection.cursor(row_factory=class_row(EstimatePoint)) as cursor:
        cursor.execute(
            """
            SELECT time, value, low, high, source, limited_by FROM (
                SELECT time, value, low, high, source, limited_by, count(*) OVER () AS many,
                       row_number() OVER (PARTITION BY time_bucket(%(step)s, time, %(start)s::timestamptz), source
                                          ORDER BY time DESC) AS from_last
                FROM estimate
                WHERE vehicle_id = %(vehicle)s AND quantity = %(quantity)s AND position = %(position)s
                  AND time >= %(start)s AND time < %(end)s AND source = coalesce(%(source)s, source)
            ) AS bucketed
            WHERE many <= %(points)s OR from_last = 1
            ORDER BY time
            """,
            {
                "step": step,
                "start": start,
                "end": end,
                "vehicle": vehicle_id,
                "quantity": str(quantity),
                "position": position,
                "source": source,
                "points": max_points,
            },
        )
        return cursor.fetchall()


def events(connection: Connection, vehicle_id: UUID, limit: int = 100) -> list[StoredEvent]:
    """Latest events of a vehicle, newest first."""
    with connection.cursor(row_factory=class_row(StoredEvent)) as cursor:
        return cursor.execute(
            "SELECT id, time, kind, data FROM vehicle_event WHERE vehicle_id = %s ORDER BY time DESC, id DESC LIMIT %s",
            [vehicle_id, limit],
        ).fetchall()


def rejected(connection: Connection, limit: int = 100) -> list[RejectedMessage]:
    """Messages last rejected, newest first."""
    with connection.cursor(row_factory=class_row(RejectedMessage)) as cursor:
        return cursor.execute(
            "SELECT id, first_received_at, last_received_at, times, topic, reason, detail, payload_size"
            " FROM rejected_message ORDER BY last_received_at DESC, id DESC LIMIT %s",
            [limit],
        ).fetchall()


def device_states(connection: Connection) -> list[DeviceState]:
    """What each device last said about itself, by device."""
    with connection.cursor(row_factory=class_row(DeviceState)) as cursor:
        return cursor.execute(
            "SELECT device_id, boot, state, time, version, pending_batches FROM device_status ORDER BY device_id"
        ).fetchall()


def counts(connection: Connection) -> Counts:
    """Count what is stored: what was sent must be there, and once."""
    with connection.cursor(row_factory=class_row(BootCount)) as cursor:
        boots = cursor.execute(
            """
            SELECT device_id, boot, count(*) AS batches, sum(items) AS items, min(sequence) AS first_sequence,
                   max(sequence) AS last_sequence, sum(resent) AS resent
            FROM batch GROUP BY device_id, boot ORDER BY device_id, min(committed_at), boot
            """
        ).fetchall()
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            """
            SELECT (SELECT count(*) FROM reading), (SELECT count(*) FROM estimate),
                   (SELECT count(*) FROM vehicle_event), (SELECT count(*) FROM batch),
                   (SELECT coalesce(sum(times), 0)::bigint FROM rejected_message)
            """
        ).fetchone()
    assert row is not None
    samples, estimates, stored_events, batches, refused = row
    return Counts(
        samples=samples,
        estimates=estimates,
        events=stored_events,
        batches=batches,
        rejected=refused,
        boots=tuple(boots),
    )


def _step(start: datetime, end: datetime, max_points: int) -> timedelta:
    require_aware(start, "start")
    require_aware(end, "end")
    if not start < end:
        raise ReadingStoreError(f"the period from {start} to {end} is empty; give a start before the end")
    if max_points < 1:
        raise ReadingStoreError(f"max_points is {max_points}; ask for at least one point")
    return max((end - start) / max_points, timedelta(milliseconds=1))
