"""The table of outgoing messages: put in by whoever decides, claimed and marked by the delivery workers.

Claiming is a lease: a short transaction moves the next attempt to the lease's end and commits, so that no transaction
stays open while a remote end takes its time, and a dead worker's message comes back by itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row, dict_row

from ingest.database import Connection
from rules.delivery.messages import Message, encode
from telemetry.records import require_aware

Kind = Literal["owner_message", "workshop_webhook", "workshop_invitation"]


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A message this worker may deliver until its lease ends."""

    id: UUID
    kind: Kind
    idempotency_key: str
    booking_id: UUID | None
    vehicle_id: UUID | None
    workshop_id: UUID | None
    payload: dict[str, Any]
    created_at: datetime
    attempts: int  # this one included
    delivered_to: list[str]  # digests of the owner's channels that have it
    trace: str | None  # of the batch that its alert follows from


@dataclass(frozen=True, kw_only=True)
class OutboxCounts:
    """How many messages are where, for people and checks."""

    waiting: int
    failing: int  # waiting, and tried without success
    delivered: int
    abandoned: int


def put(
    connection: Connection,
    *,
    kind: Kind,
    key: str,
    message: Message,
    now: datetime,
    alert_id: UUID,
    booking_id: UUID | None = None,
    vehicle_id: UUID | None = None,
    workshop_id: UUID | None = None,
) -> bool:
    """Write a message in the caller's transaction; False if that key was written before (then nothing is done)."""
    require_aware(now, "now")
    return (
        connection.execute(
            """
            INSERT INTO outgoing (kind, idempotency_key, booking_id, alert_id, vehicle_id, workshop_id, payload,
                                  created_at, next_attempt_at)
            VALUES (%(kind)s, %(key)s, %(booking_id)s, %(alert_id)s, %(vehicle_id)s, %(workshop_id)s,
                    %(payload)s::jsonb, %(now)s, %(now)s)
            ON CONFLICT (idempotency_key) DO NOTHING
            """,
            {
                "kind": kind,
                "key": key,
                "booking_id": booking_id,
                "alert_id": alert_id,
                "vehicle_id": vehicle_id,
                "workshop_id": workshop_id,
                "payload": encode(message),
                "now": now,
            },
        ).rowcount
        == 1
    )


def claim(connection: Connection, now: datetime, lease: timedelta) -> Claimed | None:
    """Take the message that is due longest, or None. Commit afterwards: the lease begins then.

    Messages of one kind about one booking go in order: a cancellation never overtakes the confirmation that a slow
    workshop has not taken yet. All others pass by.
    """
    with connection.cursor(row_factory=class_row(Claimed)) as cursor:
        return cursor.execute(
            """
            UPDATE outgoing SET next_attempt_at = %(lease_end)s, attempts = attempts + 1
            WHERE id = (
                SELECT due.id FROM outgoing AS due
                WHERE due.delivered_at IS NULL AND due.abandoned_at IS NULL AND due.next_attempt_at <= %(now)s
                  AND NOT EXISTS (
                      SELECT 1 FROM outgoing AS earlier
                      WHERE earlier.booking_id = due.booking_id AND earlier.kind = due.kind
                        AND earlier.number < due.number
                        AND earlier.delivered_at IS NULL AND earlier.abandoned_at IS NULL)
                ORDER BY due.next_attempt_at, due.number
                LIMIT 1
                FOR UPDATE SKIP LOCKED)
            RETURNING id, kind, idempotency_key, booking_id, vehicle_id, workshop_id, payload, created_at, attempts,
                      delivered_to, (SELECT trace FROM alert WHERE alert.id = outgoing.alert_id) AS trace
            """,
            {"now": now, "lease_end": now + lease},
        ).fetchone()


def mark_delivered(connection: Connection, message_id: UUID, now: datetime) -> None:
    """Note that the remote end has it."""
    connection.execute(
        "UPDATE outgoing SET delivered_at = %s, last_error = NULL WHERE id = %s AND delivered_at IS NULL",
        (now, message_id),
    )


def mark_failed(
    connection: Connection, message_id: UUID, *, error: str, next_attempt_at: datetime, delivered_to: list[str]
) -> None:
    """Note why it could not be delivered, which channels have it all the same, and when to try again."""
    connection.execute(
        """
        UPDATE outgoing SET last_error = %s, next_attempt_at = %s, delivered_to = %s
        WHERE id = %s AND delivered_at IS NULL
        """,
        (error, next_attempt_at, delivered_to, message_id),
    )


def mark_abandoned(connection: Connection, message_id: UUID, *, error: str, now: datetime) -> None:
    """Give the message up: it would come too late to be of use, or nobody is there to take it."""
    connection.execute(
        "UPDATE outgoing SET last_error = %s, abandoned_at = %s WHERE id = %s AND delivered_at IS NULL",
        (error, now, message_id),
    )


def counts(connection: Connection) -> OutboxCounts:
    """Count the messages by their standing."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            """
            SELECT count(*) FILTER (WHERE delivered_at IS NULL AND abandoned_at IS NULL) AS waiting,
                   count(*) FILTER (WHERE delivered_at IS NULL AND abandoned_at IS NULL AND last_error IS NOT NULL)
                       AS failing,
                   count(*) FILTER (WHERE delivered_at IS NOT NULL) AS delivered,
                   count(*) FILTER (WHERE abandoned_at IS NOT NULL) AS abandoned
            FROM outgoing
            """
        ).fetchone()
    assert row is not None
    return OutboxCounts(**row)
