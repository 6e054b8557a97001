"""Alerts, offers and bookings in SQL: reads into records, writes what the desk decided, decides nothing itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import scalar_row
from psycopg.types.range import Range

from ingest.database import Connection
from ingest.personal.vault import the_vault
from rules import metrics
from rules.booking.errors import UnknownBookingError
from rules.booking.records import Offer, Period, Severity
from rules.booking.rows import all_of, one
from rules.booking.transitions import BookingState
from rules.booking.views import BookingView, OfferView


@dataclass(frozen=True, kw_only=True)
class AlertFacts:
    """What the desk must know of an alert."""

    id: UUID
    vehicle_id: UUID
    vehicle_label: str
    severity: Severity
    title_en: str
    title_zh: str
    text_en: str
    text_zh: str
    job: str | None
    latitude: float | None = field(repr=False)  # degrees, where the car usually is
    longitude: float | None = field(repr=False)


def alert(connection: Connection, alert_id: UUID) -> AlertFacts:
    """Read an alert and lock it until the transaction ends: bookings for one alert are made one after the other."""
    row = one(
        connection,
        """
        SELECT alert.id, alert.vehicle_id, vehicle.label AS vehicle_label, alert.severity, alert.title_en,
               alert.title_zh, alert.text_en, alert.text_zh, alert.job, owner.id AS owner_id, owner.position,
               personal_key.wrapped
        FROM alert
        JOIN vehicle ON vehicle.id = alert.vehicle_id
        JOIN owner ON owner.id = vehicle.owner_id
        LEFT JOIN personal_key ON personal_key.owner_id = owner.id
        WHERE alert.id = %s
        FOR NO KEY UPDATE OF alert
        """,
        alert_id,
    )
    if row is None:
        raise UnknownBookingError(f"There is no alert {alert_id}.")
    person = the_vault().person(row.pop("owner_id"), row.pop("wrapped"))
    position = person.unseal("owner", "position", person.owner_id, row.pop("position"))
    latitude, longitude = position if isinstance(position, list) else (None, None)
    return AlertFacts(**row, latitude=latitude, longitude=longitude)


@contextmanager
def turn_at_bay(connection: Connection, bay_id: UUID) -> Iterator[None]:
    """Let one session at a time try for a bay; the turn ends with the block, not with the transaction.

    The exclusion constraint needs no lock to be right; but two inserts that meet inside its index wait for each other,
    and PostgreSQL takes a second to see that as a deadlock.
    """
    key = int.from_bytes(bay_id.bytes[:8], "big", signed=True)
    with connection.transaction():  # a savepoint: to wait for a turn can end as a deadlock too
        connection.execute("SELECT pg_advisory_lock(%s)", (key,))
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


def insert_offers(connection: Connection, alert_id: UUID, offers: Sequence[Offer], now: datetime) -> None:
    """Write a set of offers in the order given: rank 1 first."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO offer (alert_id, rank, workshop_id, bay_id, period, price, currency, distance_km, rating, score,
                               created_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    alert_id,
                    rank,
                    offer.workshop_id,
                    offer.slot.bay_id,
                    _range(offer.slot.period),
                    offer.price,
                    offer.currency,
                    offer.distance_km,
                    offer.rating,
                    offer.score,
                    now,
                )
                for rank, offer in enumerate(offers, start=1)
            ],
        )


def insert_booking(
    connection: Connection, alert: AlertFacts, job: str, offer: Offer, *, held_until: datetime, now: datetime
) -> UUID:
    """Hold the offer's slot. Raises psycopg's ExclusionViolation or UniqueViolation when a guarantee forbids it."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        booking_id = cursor.execute(
            """
            INSERT INTO booking (alert_id, vehicle_id, workshop_id, bay_id, job, period, price, currency, state,
                                 held_until, created_at, changed_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'proposed', %s, %s, %s)
            RETURNING id
            """,
            (
                alert.id,
                alert.vehicle_id,
                offer.workshop_id,
                offer.slot.bay_id,
                job,
                _range(offer.slot.period),
                offer.price,
                offer.currency,
                held_until,
                now,
                now,
            ),
        ).fetchone()
    assert isinstance(booking_id, UUID)
    metrics.BOOKINGS.labels("proposed").inc()
    return booking_id


def place_booking(
    connection: Connection,
    booking_id: UUID,
    *,
    workshop_id: UUID,
    bay_id: UUID,
    period: Period,
    price: Decimal,
    currency: str,
    state: BookingState,
    held_until: datetime | None,
    now: datetime,
) -> None:
    """Put the booking elsewhere, one step on in its calendar sequence. Raises as :func:`insert_booking`."""
    connection.execute(
        """
        UPDATE booking SET workshop_id = %s, bay_id = %s, period = %s, price = %s, currency = %s, state = %s,
            held_until = %s, calendar_sequence = calendar_sequence + 1, changed_at = %s
        WHERE id = %s
        """,
        (workshop_id, bay_id, _range(period), price, currency, state, held_until, now, booking_id),
    )


def set_state(
    connection: Connection,
    booking_id: UUID,
    state: BookingState,
    now: datetime,
    *,
    report: str | None = None,
    next_sequence: bool = False,
) -> None:
    """Write a new state; ``next_sequence`` where calendars must learn of it."""
    connection.execute(
        """
        UPDATE booking SET state = %s, report = %s, calendar_sequence = calendar_sequence + %s, changed_at = %s
        WHERE id = %s
        """,
        (state, report, int(next_sequence), now, booking_id),
    )
    metrics.BOOKINGS.labels(state.value).inc()


def expired_holds(connection: Connection, now: datetime) -> list[UUID]:
    """Lock and return the proposed bookings whose hold has run out; those another session works on are left to it."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT id FROM booking WHERE state = 'proposed' AND held_until <= %s
            ORDER BY held_until, id FOR UPDATE SKIP LOCKED
            """,
            (now,),
        ).fetchall()


_BOOKING_VIEW: LiteralString = """
    SELECT booking.id, booking.alert_id, booking.vehicle_id, vehicle.label AS vehicle_label, vehicle.vin,
           vehicle.profile, owner.id AS owner_id, owner.name AS owner_name, owner.language AS owner_language,
           owner.time_zone AS owner_time_zone, booking.workshop_id, workshop.name AS workshop_name, workshop.time_zone,
           booking.bay_id, bay.name AS bay_name, booking.job, lower(booking.period) AS start,
           upper(booking.period) AS "end", booking.price, booking.currency, booking.state, booking.held_until,
           booking.calendar_sequence AS sequence, booking.report, booking.created_at, booking.changed_at,
           alert.severity, alert.title_en, alert.title_zh, alert.text_en, alert.text_zh, personal_key.wrapped
    FROM booking
    JOIN alert ON alert.id = booking.alert_id
    JOIN vehicle ON vehicle.id = booking.vehicle_id
    JOIN owner ON owner.id = vehicle.owner_id
    LEFT JOIN personal_key ON personal_key.owner_id = owner.id
    JOIN workshop ON workshop.id = booking.workshop_id
    JOIN bay ON bay.id = booking.bay_id
"""


def booking(connection: Connection, booking_id: UUID, *, lock: bool = False) -> BookingView:
    """Read a booking without its offers; ``lock`` keeps it until the transaction ends. Raises UnknownBookingError."""
    # Locked first and read afterwards: one statement would join rows of its older snapshot to the locked one.
    if lock:
        connection.execute("SELECT 1 FROM booking WHERE id = %s FOR UPDATE", (booking_id,))
    row = one(connection, _BOOKING_VIEW + " WHERE booking.id = %s", booking_id)
    if row is None:
        raise UnknownBookingError(f"There is no booking {booking_id}.")
    return _view(row)


def latest_booking_of_alert(connection: Connection, alert_id: UUID) -> BookingView | None:
    """Return the alert's booking that takes a bay, or else its latest, or None."""
    row = one(
        connection,
        _BOOKING_VIEW
        + """
        WHERE booking.alert_id = %s
        ORDER BY booking.state IN ('proposed', 'confirmed', 'completed') DESC, booking.created_at DESC,
                 booking.id
        LIMIT 1
        """,
        alert_id,
    )
    return None if row is None else _view(row)


def bookings_of_vehicle(connection: Connection, vehicle_id: UUID) -> list[BookingView]:
    """All bookings of a vehicle, the newest first."""
    rows = all_of(
        connection, _BOOKING_VIEW + " WHERE booking.vehicle_id = %s ORDER BY booking.created_at DESC", vehicle_id
    )
    return [_view(row) for row in rows]


def bookings_in(connection: Connection, workshop_id: UUID, period: Period) -> list[BookingView]:
    """Bookings that take a bay of the workshop at some instant of the period, in order of start."""
    rows = all_of(
        connection,
        _BOOKING_VIEW
        + """
        WHERE booking.workshop_id = %s AND booking.period && %s
          AND booking.state IN ('proposed', 'confirmed', 'completed')
        ORDER BY lower(booking.period), booking.id
        """,
        workshop_id,
        _range(period),
    )
    return [_view(row) for row in rows]


def offers_of(connection: Connection, booking: BookingView) -> list[OfferView]:
    """Return the latest set of offers for the booking's alert, by rank."""
    rows = all_of(
        connection,
        """
        SELECT offer.id, offer.rank, offer.workshop_id, workshop.name AS workshop_name, workshop.time_zone,
               offer.bay_id, lower(offer.period) AS start, upper(offer.period) AS "end", offer.price, offer.currency,
               offer.distance_km, offer.rating::float8 AS rating, offer.score,
               NOT EXISTS (
                   SELECT 1 FROM booking AS other
                   WHERE other.bay_id = offer.bay_id AND other.period && offer.period AND other.id <> %(booking_id)s
                     AND other.state IN ('proposed', 'confirmed', 'completed')) AS free
        FROM offer JOIN workshop ON workshop.id = offer.workshop_id
        WHERE offer.alert_id = %(alert_id)s
          AND offer.created_at = (SELECT max(created_at) FROM offer WHERE alert_id = %(alert_id)s)
        ORDER BY offer.rank
        """,
        booking_id=booking.id,
        alert_id=booking.alert_id,
    )
    offers = []
    for row in rows:
        period = _period(row)
        chosen = booking.state.occupies_bay and row["workshop_id"] == booking.workshop_id and period == booking.period
        offers.append(OfferView(**row, period=period, chosen=chosen))
    return offers


def _view(row: dict[str, Any]) -> BookingView:
    period = _period(row)
    person = the_vault().person(row["owner_id"], row.pop("wrapped"))
    row["owner_name"] = person.unseal_text("owner", "name", person.owner_id, row["owner_name"])
    row["vin"] = person.unseal_text("vehicle", "vin", row["vehicle_id"], row["vin"])
    row["state"] = BookingState(row["state"])
    return BookingView(**row, period=period)


def _period(row: dict[str, Any]) -> Period:
    return Period(start=row.pop("start"), end=row.pop("end"))


def _range(period: Period) -> Range[datetime]:
    return Range(period.start, period.end, "[)")
