"""The chain from a batch to what it led to: batch, alerts, bookings, messages. Asked by a trace, an alert or a booking.

A trace is computed from a batch's key (:mod:`telemetry.trace`) and stored with the alert, not with the batch: the
ledger would grow by half. The batch is found by computing the traces of the vehicle's newest batches.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from psycopg.rows import class_row, tuple_row

from ingest.database import Connection
from rules.errors import TraceNotFoundError
from telemetry.records import BatchKey
from telemetry.trace import trace_id

MOST_BATCHES: Final = 2_000_000  # looked through: some seconds
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_AT_ONCE: Final = 10_000  # rows from the server


@dataclass(frozen=True, kw_only=True)
class TracedBatch:
    """A batch of the ledger. ``resent``: how often it came again after that and was dropped."""

    device_id: str
    boot: UUID
    sequence: int
    channel: str
    items: int  # samples or events
    resent: int
    committed_at: datetime


@dataclass(frozen=True, kw_only=True)
class TracedAlert:
    """An alert that follows from the batch."""

    id: UUID
    rule_id: str
    subject: str
    severity: str
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class TracedBooking:
    """A booking for one of these alerts."""

    id: UUID
    alert_id: UUID
    job: str
    state: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class TracedMessage:
    """A message about one of them; no text and no address."""

    kind: str
    idempotency_key: str
    created_at: datetime
    attempts: int
    delivered_at: datetime | None
    abandoned_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All that hangs together. ``batch`` None: no longer in the ledger, or not among those looked through."""

    trace: str
    batch: TracedBatch | None
    alerts: tuple[TracedAlert, ...]
    bookings: tuple[TracedBooking, ...]
    messages: tuple[TracedMessage, ...]


def follow(connection: Connection, asked: str, *, device: str | None = None) -> Chain:
    """The chain of a trace, an alert's or a booking's id. ``device`` narrows the search for the batch.

    TraceNotFoundError where nothing is known of it.
    """
    trace, alert_id = _asked(connection, asked)
    alerts = _alerts(connection, trace, alert_id)
    ids = [alert.id for alert in alerts]
    batch = None
    if trace is not None:
        latest = alerts[0].opened_at if alerts else None
        batch = _find_batch(connection, trace, _devices(connection, trace, ids, device), latest)
    if batch is None and not alerts:
        raise TraceNotFoundError(
            f"nothing is known of {asked}; give a trace of a log, or an id of `wearcast rules alerts` or "
            "`wearcast rules bookings`"
        )
    return Chain(
        trace=trace or "",
        batch=batch,
        alerts=alerts,
        bookings=_bookings(connection, ids),
        messages=_messages(connection, ids),
    )


def _asked(connection: Connection, asked: str) -> tuple[str | None, UUID | None]:
    """Trace and alert; the alert only where it was asked for by an id."""
    if _TRACE.fullmatch(asked):
        return asked, None
    try:
        wanted = UUID(asked)
    except ValueError:
        raise TraceNotFoundError(f"{asked!r} is neither a trace (32 hexadecimal digits) nor an id") from None
    row = connection.execute(
        "SELECT id, trace FROM alert WHERE id = coalesce((SELECT alert_id FROM booking WHERE id = %(id)s), %(id)s)",
        {"id": wanted},
    ).fetchone()
    if row is None:
        raise TraceNotFoundError(f"there is neither an alert nor a booking {asked}")
    return row[1], row[0]


def _alerts(connection: Connection, trace: str | None, alert_id: UUID | None) -> tuple[TracedAlert, ...]:
    with connection.cursor(row_factory=class_row(TracedAlert)) as cursor:
        return tuple(
            cursor.execute(
                "SELECT id, rule_id, subject, severity, opened_at, closed_at FROM alert"
                " WHERE trace = %s OR id = %s ORDER BY opened_at DESC, id",
                [trace, alert_id],
            )
        )


def _bookings(connection: Connection, alerts: list[UUID]) -> tuple[TracedBooking, ...]:
    with connection.cursor(row_factory=class_row(TracedBooking)) as cursor:
        return tuple(
            cursor.execute(
                "SELECT id, alert_id, job, state, created_at FROM booking WHERE alert_id = ANY(%s) ORDER BY created_at",
                [alerts],
            )
        )


def _messages(connection: Connection, alerts: list[UUID]) -> tuple[TracedMessage, ...]:
    with connection.cursor(row_factory=class_row(TracedMessage)) as cursor:
        return tuple(
            cursor.execute(
                "SELECT kind, idempotency_key, created_at, attempts, delivered_at, abandoned_at, last_error"
                " FROM outgoing WHERE alert_id = ANY(%s) ORDER BY number",
                [alerts],
            )
        )


def _devices(connection: Connection, trace: str, alerts: list[UUID], device: str | None) -> list[str] | None:
    """Whose batches to look through; None: everybody's."""
    if device is not None:
        return [device]
    rows = connection.execute(
        """
        SELECT device.id FROM device
        WHERE vehicle_id IN (SELECT vehicle_id FROM alert WHERE id = ANY(%s)
                             UNION SELECT vehicle_id FROM vehicle_state WHERE trace = %s)
        """,
        [alerts, trace],
    ).fetchall()
    return [row[0] for row in rows] or None


def _find_batch(
    connection: Connection, trace: str, devices: list[str] | None, latest: datetime | None
) -> TracedBatch | None:
    for row in _batches(connection, devices, latest):
        if trace_id(BatchKey(device=row[0], boot=row[1], sequence=row[2])) == trace:
            device_id, boot, sequence, channel, items, resent, committed_at = row
            return TracedBatch(
                device_id=device_id,
                boot=boot,
                sequence=sequence,
                channel=channel,
                items=items,
                resent=resent,
                committed_at=committed_at,
            )
    return None


def _batches(
    connection: Connection, devices: list[str] | None, latest: datetime | None
) -> Iterator[tuple[str, UUID, int, str, int, int, datetime]]:
    """Newest first, those that were committed before ``latest``."""
    with (
        connection.transaction(),
        connection.cursor(name=f"trace_{uuid4().hex}", row_factory=tuple_row) as cursor,
    ):
        cursor.itersize = _AT_ONCE
        cursor.execute(
            """
            SELECT device_id, boot, sequence, channel, items, resent, committed_at FROM batch
            WHERE (%(devices)s::text[] IS NULL OR device_id = ANY(%(devices)s))
              AND (%(latest)s::timestamptz IS NULL OR committed_at <= %(latest)s + interval '1 minute')
            ORDER BY committed_at DESC LIMIT %(most)s
            """,
            {"devices": devices, "latest": latest, "most": MOST_BATCHES},
        )
        yield from cursor
