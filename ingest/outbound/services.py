"""Service records on their way to the dongle: kept until it has said what became of them.

A record is pending until it is applied or refused. Who sends it is :mod:`ingest.outbound.courier`. All functions
leave the transaction to the caller.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, tuple_row

from ingest.database import Connection
from telemetry.records import EventKind, EventsBatch, Quantity, ServiceAction, ServiceRecord
from telemetry.service import MAX_REASON, ServiceResult, applied_record

logger = logging.getLogger(__name__)

ByRole = Literal["owner", "workshop", "engineer"]
MAX_NAME: Final = 80  # characters of who says so; with the role it is a short text of the wire
NO_ANSWER: Final = "the dongle does not answer; it may need an update"  # the backend's reason for giving a record up
_OF_EACH: Final = 8  # records of a vehicle on their way at once: a dongle looks at 16 commands, and drops the rest
_VEHICLES: Final = 25  # served at once
_ONE_COURIER: Final = 0x5E_2B_1C_E0  # any number, our own: two that look at the same moment would both send


@dataclass(frozen=True, kw_only=True)
class StoredService:
    """A service record and how far it came."""

    id: UUID
    vehicle_id: UUID
    time: datetime  # when it was done
    quantity: str  # telemetry.records.Quantity
    position: str
    action: str  # telemetry.records.ServiceAction
    value: float | None
    unit: str
    by_role: ByRole
    by_name: str
    reason: str
    created_at: datetime
    applied_at: datetime | None
    refused_reason: str | None

    @property
    def record(self) -> ServiceRecord:
        """As the estimators take it."""
        return ServiceRecord(
            id=self.id,
            time=self.time,
            quantity=Quantity(self.quantity),
            action=ServiceAction(self.action),
            by=f"{self.by_role} {self.by_name}".strip(),
            reason=self.reason,
            position=self.position,
            value=self.value,
            unit=self.unit,
        )


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A record to be sent to a device now."""

    device: str
    record: ServiceRecord


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """A change nobody reported, of which the owner is asked."""

    event_id: int
    time: datetime
    quantity: str
    position: str
    certainty: float  # 0 to 1
    why: str


_COLUMNS: Final = sql.SQL(
    "id, vehicle_id, time, quantity, position, action, value, unit, by_role, by_name, reason, created_at,"
    " applied_at, refused_reason"
)


def keep(
    connection: Connection,
    vehicle_id: UUID,
    records: Sequence[ServiceRecord],
    *,
    by_role: ByRole,
    by_name: str,
    now: datetime,
) -> None:
    """Store records of one vehicle, to be sent in this order; one that is known by its id is left as it is."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO service_record"
            " (id, vehicle_id, time, quantity, position, action, value, unit, by_role, by_name, reason, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
            [
                (
                    record.id,
                    vehicle_id,
                    record.time,
                    str(record.quantity),
                    record.position,
                    str(record.action),
                    record.value,
                    record.unit,
                    by_role,
                    by_name[:MAX_NAME],
                    record.reason[:MAX_REASON],
                    now,
                )
                for record in records
            ],
        )


def services(connection: Connection, vehicle_id: UUID, limit: int = 50) -> list[StoredService]:
    """Services of a vehicle, the newest first."""
    with connection.cursor(row_factory=class_row(StoredService)) as cursor:
        return cursor.execute(
            sql.SQL(
                "SELECT {} FROM service_record WHERE vehicle_id = %s ORDER BY time DESC, ordinal DESC LIMIT %s"
            ).format(_COLUMNS),
            [vehicle_id, limit],
        ).fetchall()


def take_due(
    connection: Connection, now: datetime, *, again: timedelta, longest: timedelta, away: timedelta
) -> list[Parcel]:
    """What is to be sent now, noted as sent: commit before sending.

    First at once, online or not: the broker keeps it for a dongle's session. Then when the dongle is seen online again,
    and while it does not answer: online after ``again``, doubled each time up to ``longest``; otherwise after ``away``,
    as each sending fills the broker's queue. With one record of a vehicle go its first few that are pending, in their
    order; the next when those are answered. Nothing where another courier is at it.
    """
    (alone,) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ONE_COURIER]).fetchone() or (False,)
    if not alone:
        return []
    due = _claim(
        connection,
        {"now": now, "again": again, "longest": longest, "away": away, "each": _OF_EACH, "vehicles": _VEHICLES},
    )
    if not due:
        return []
    devices, online = _devices(connection, {entry.vehicle_id for entry in due})
    connection.execute(
        "UPDATE service_record SET sent_at = %(now)s, sent_while_online = (vehicle_id = ANY(%(online)s)),"
        " attempts = attempts + (vehicle_id = ANY(%(online)s))::int WHERE id = ANY(%(ids)s)",
        {"now": now, "online": list(online), "ids": [entry.id for entry in due]},
    )
    return [
        Parcel(device=device, record=record)
        for entry in due
        if (record := _sendable(entry)) is not None
        for device in devices.get(entry.vehicle_id, ())
    ]


def _claim(connection: Connection, values: Mapping[str, object]) -> list[StoredService]:
    with connection.cursor(row_factory=class_row(StoredService)) as cursor:
        return cursor.execute(
            sql.SQL(
                """
                WITH first AS (
                    SELECT * FROM (
                        SELECT id, vehicle_id, sent_at, sent_while_online, attempts,
                               row_number() OVER (PARTITION BY vehicle_id ORDER BY time, ordinal) AS place
                        FROM service_record WHERE applied_at IS NULL AND refused_reason IS NULL
                    ) AS pending WHERE place <= %(each)s
                ), due AS (
                    SELECT DISTINCT record.vehicle_id
                    FROM first AS record CROSS JOIN LATERAL (
                        SELECT bool_or(coalesce(status.state = 'online', false)) AS online
                        FROM device LEFT JOIN device_status AS status ON status.device_id = device.id
                        WHERE device.vehicle_id = record.vehicle_id AND device.enabled HAVING count(*) > 0
                    ) AS standing
                    WHERE record.sent_at IS NULL
                       OR (standing.online AND NOT record.sent_while_online)
                       OR record.sent_at <= %(now)s - CASE WHEN standing.online
                            THEN least(%(again)s::interval * 2 ^ least(record.attempts - 1, 20), %(longest)s::interval)
                            ELSE %(away)s::interval END
                    LIMIT %(vehicles)s
                )
                SELECT {} FROM service_record
                WHERE id IN (SELECT first.id FROM first JOIN due USING (vehicle_id))
                  AND applied_at IS NULL AND refused_reason IS NULL
                ORDER BY vehicle_id, time, ordinal
                FOR UPDATE SKIP LOCKED
                """
            ).format(_COLUMNS),
            values,
        ).fetchall()


def give_up(connection: Connection, now: datetime, *, after: timedelta, attempts: int) -> int:
    """End the way of records that an online dongle left unanswered so often and so long; how many.

    A dongle that says later, by its event, that it has taken such a record is believed.
    """
    return connection.execute(
        "UPDATE service_record SET refused_reason = %s"
        " WHERE applied_at IS NULL AND refused_reason IS NULL AND attempts >= %s AND created_at <= %s",
        [NO_ANSWER, attempts, now - after],
    ).rowcount


def _devices(connection: Connection, vehicles: Collection[UUID]) -> tuple[dict[UUID, list[str]], set[UUID]]:
    """Enabled devices by vehicle, and the vehicles of which one is online."""
    devices: dict[UUID, list[str]] = {}
    online: set[UUID] = set()
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT device.id, device.vehicle_id, status.state FROM device"
            " LEFT JOIN device_status AS status ON status.device_id = device.id"
            " WHERE device.enabled AND device.vehicle_id = ANY(%s) ORDER BY device.id",
            [list(vehicles)],
        )
        for device, vehicle, state in rows:
            devices.setdefault(vehicle, []).append(device)
            if state == "online":
                online.add(vehicle)
    return devices, online


def _sendable(entry: StoredService) -> ServiceRecord | None:
    """The record; None where another version of this program wrote what this one cannot send."""
    try:
        return entry.record
    except ValueError as error:
        logger.warning("service record %s is not sent: %s", entry.id, error)
        return None


def answered(connection: Connection, results: Iterable[ServiceResult], now: datetime) -> int:
    """Note what devices said became of records of their own vehicles; how many that ended."""
    ended = 0
    for result in results:
        refused = result.state == "refused"
        ended += connection.execute(
            "UPDATE service_record SET applied_at = %(applied)s, refused_reason = %(refused)s"
            " WHERE id = %(id)s AND applied_at IS NULL AND refused_reason IS NULL"
            " AND vehicle_id = (SELECT vehicle_id FROM device WHERE id = %(device)s AND enabled)",
            {
                "applied": None if refused else now,
                "refused": result.reason.replace("\0", "\ufffd") if refused else None,
                "id": result.id,
                "device": result.device,
            },
        ).rowcount
    return ended


def applied_by_events(connection: Connection, batches: Iterable[tuple[UUID, EventsBatch]], now: datetime) -> None:
    """Note the records that stored events say are applied, each by the vehicle it belongs to."""
    for vehicle_id, batch in sorted(batches, key=lambda entry: entry[0]):
        ids = sorted(
            {
                record_id
                for event in batch.events
                if event.kind is EventKind.SERVICE_RESET and (record_id := applied_record(event)) is not None
            }
        )
        if ids:
            connection.execute(
                "UPDATE service_record SET applied_at = %s, refused_reason = NULL"
                " WHERE applied_at IS NULL AND id IN (SELECT id FROM service_record"
                " WHERE id = ANY(%s) AND vehicle_id = %s ORDER BY id FOR UPDATE)",
                [now, ids, vehicle_id],
            )


def open_suspicions(connection: Connection, vehicle_id: UUID, *, since: datetime, near: timedelta) -> list[Suspicion]:
    """Suspicions nobody has answered, the newest first; one with a record of its part within ``near`` is settled."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            """
            SELECT event.id, event.time, event.data FROM vehicle_event AS event
            WHERE event.vehicle_id = %(vehicle)s AND event.kind = %(kind)s AND event.time >= %(since)s
              AND NOT EXISTS (SELECT FROM suspicion_answer WHERE event_id = event.id)
              AND NOT EXISTS (
                SELECT FROM service_record AS record
                WHERE record.vehicle_id = event.vehicle_id AND record.quantity = event.data ->> 'quantity'
                  AND record.action <> 'measured' AND record.refused_reason IS NULL
                  AND record.time BETWEEN event.time - %(near)s::interval AND event.time + %(near)s::interval)
            ORDER BY event.time DESC, event.id DESC LIMIT 20
            """,
            {"vehicle": vehicle_id, "kind": str(EventKind.SERVICE_SUSPECTED), "since": since, "near": near},
        ).fetchall()
    return [found for row in rows if (found := _suspicion(*row)) is not None]


def answer_suspicion(connection: Connection, event_id: int, *, service_id: UUID | None, now: datetime) -> bool:
    """Note the owner's answer: yes with the record it led to, no without. False if there was one before."""
    return (
        connection.execute(
            "INSERT INTO suspicion_answer (event_id, confirmed, service_id, answered_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (event_id) DO NOTHING",
            [event_id, service_id is not None, service_id, now],
        ).rowcount
        == 1
    )


def _suspicion(event_id: int, time: datetime, data: dict[str, object]) -> Suspicion | None:
    """The suspicion of an event; None where its data, a device's word, is none."""
    quantity, certainty = data.get("quantity"), data.get("certainty")
    if quantity not in {str(known) for known in Quantity} or not isinstance(certainty, int | float):
        return None
    return Suspicion(
        event_id=event_id,
        time=time,
        quantity=str(quantity),
        position=str(data.get("position") or ""),
        certainty=min(max(float(certainty), 0.0), 1.0),
        why=str(data.get("why") or ""),
    )
