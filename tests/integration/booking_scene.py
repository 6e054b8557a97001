"""An owner, workshops and alerts for the tests of the booking desk."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row, scalar_row

from ingest import registry
from ingest.database import Connection
from rules.booking import desk, workshops

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday, 10:00 in Berlin
BERLIN = (52.52, 13.405)  # degrees
JOB = "brake_pads"
WEBHOOK_SECRET = "whsec_d2VhcmNhc3QtdGVzdC1zZWNyZXQ="  # noqa: S105 - of the tests alone


def add_owner(
    connection: Connection,
    *,
    place: tuple[float, float] | None = BERLIN,
    language: registry.Language = "en",
    notify_urls: Sequence[str] = ("json://127.0.0.1:9/owner",),
) -> UUID:
    latitude, longitude = place or (None, None)
    return registry.register_owner(
        connection,
        name="Ada Beispiel",
        language=language,
        time_zone="Europe/Berlin",
        notify_urls=tuple(notify_urls),
        email="ada@example.org",
        latitude=latitude,
        longitude=longitude,
    ).id


def add_workshop(
    connection: Connection,
    name: str = "Werk",
    *,
    bays: int = 1,
    price: str = "200.00",
    rating: float = 4.5,
    north: float = 0.05,  # degrees from the owner
    minutes: int = 60,
    opens: time = time(8),
    closes: time = time(17),
    days: Iterable[int] = range(1, 6),  # ISO 8601: Monday to Friday
    jobs: Sequence[str] = (JOB,),
    webhook_url: str | None = "http://127.0.0.1:9/hook",
) -> UUID:
    workshop = registry.register_workshop(
        connection,
        name=name,
        time_zone="Europe/Berlin",
        latitude=BERLIN[0] + north,
        longitude=BERLIN[1],
        rating=rating,
        email=f"{name.lower()}@example.org",
        webhook_url=webhook_url,
        webhook_secret=WEBHOOK_SECRET if webhook_url else None,
    )
    for number in range(bays):
        workshops.add_bay(connection, workshop.id, f"Bay {number + 1}", ["mechanical"])
    workshops.set_opening_hours(connection, workshop.id, workshops.weekly_hours(days, opens, closes))
    for job in jobs:
        workshops.add_job(
            connection,
            workshop.id,
            job,
            skill="mechanical",
            duration=timedelta(minutes=minutes),
            price=Decimal(price),
        )
    return workshop.id


def add_alert(connection: Connection, owner_id: UUID, *, severity: str = "soon", job: str | None = JOB) -> UUID:
    vehicle = registry.register_vehicle(connection, owner_id=owner_id, label="Blue Polo", profile="generic")
    with connection.cursor(row_factory=scalar_row) as cursor:
        alert_id = cursor.execute(
            """
            INSERT INTO alert (vehicle_id, rule_id, rule_version, subject, severity, title_en, title_zh, text_en,
                               text_zh, job, evidence, opened_at)
            VALUES (%s, 'pads_worn', '1', 'Row1.Left', %s, 'Front left brake pad is worn', '左前刹车片已磨损',
                    'It has 8 %% left.', '剩余 8%%。', %s, '{}', %s)
            RETURNING id
            """,
            (vehicle.id, severity, job, NOW),
        ).fetchone()
    assert isinstance(alert_id, UUID)
    return alert_id


def outgoing(connection: Connection) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM outgoing ORDER BY number").fetchall()


def keys(connection: Connection) -> list[tuple[str, str]]:
    return [(row["kind"], row["payload"]["event"]) for row in outgoing(connection)]


def propose(connection: Connection, alert_id: UUID, now: datetime = NOW) -> UUID:
    booking = desk.propose_booking(connection, alert_id, now)
    assert booking is not None
    return booking.id
