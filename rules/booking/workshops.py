"""Sets a workshop up for booking: bays, opening hours, closed days, jobs. Its identity is in :mod:`ingest.registry`.

All functions leave the transaction to the caller.
"""

import re
from collections.abc import Iterable
from datetime import date, time, timedelta
from decimal import Decimal
from uuid import UUID

from psycopg.rows import scalar_row

from ingest.database import Connection
from rules.booking.errors import BookingError
from rules.booking.records import OpeningHours


def add_bay(connection: Connection, workshop_id: UUID, name: str, skills: Iterable[str]) -> UUID:
    """Add a bay, or change the skills of the one of that name; return its number."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        bay_id = cursor.execute(
            """
            INSERT INTO bay (workshop_id, name, skills) VALUES (%s, %s, %s)
            ON CONFLICT (workshop_id, name) DO UPDATE SET skills = excluded.skills
            RETURNING id
            """,
            (workshop_id, name, sorted(set(skills))),
        ).fetchone()
    assert isinstance(bay_id, UUID)
    return bay_id


def weekly_hours(days: Iterable[int], opens: time, closes: time) -> tuple[OpeningHours, ...]:
    """Return the same hours on several weekdays (ISO: 1 = Monday): ``weekly_hours(range(1, 6), time(8), time(17))``."""
    return tuple(OpeningHours(weekday=day, opens=opens, closes=closes) for day in days)


def set_opening_hours(connection: Connection, workshop_id: UUID, hours: Iterable[OpeningHours]) -> None:
    """Replace the week's opening hours. Bookings made before stay as they are."""
    with connection.transaction():
        connection.execute("DELETE FROM opening_hours WHERE workshop_id = %s", (workshop_id,))
        for entry in hours:
            connection.execute(
                "INSERT INTO opening_hours (workshop_id, weekday, opens, closes) VALUES (%s, %s, %s, %s)",
                (workshop_id, entry.weekday, entry.opens, entry.closes),
            )


def close_on(connection: Connection, workshop_id: UUID, day: date) -> None:
    """Close on that local day (a holiday): nothing new is offered on it."""
    connection.execute(
        "INSERT INTO workshop_closure (workshop_id, day) VALUES (%s, %s) ON CONFLICT DO NOTHING", (workshop_id, day)
    )


def add_job(
    connection: Connection,
    workshop_id: UUID,
    job: str,
    *,
    skill: str,
    duration: timedelta,
    price: Decimal,
    currency: str = "EUR",
) -> None:
    """Say that the workshop does a job: what a bay needs for it, how long it takes and what it costs."""
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise BookingError(f"{currency!r} is no currency; use three letters of ISO 4217, such as EUR")
    if not timedelta() < duration <= timedelta(hours=24):
        raise BookingError(f"a job takes between some minutes and 24 hours, not {duration}")
    if price < 0:
        raise BookingError(f"a price cannot be below nothing: {price}")
    connection.execute(
        """
        INSERT INTO workshop_job (workshop_id, job, skill, duration, price, currency) VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (workshop_id, job) DO UPDATE
        SET skill = excluded.skill, duration = excluded.duration, price = excluded.price, currency = excluded.currency
        """,
        (workshop_id, job, skill, duration, price, currency),
    )
