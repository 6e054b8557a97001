"""Workshops: where cars are booked in. Bays, hours and prices belong to the booking domain."""

from typing import LiteralString
from uuid import UUID

from ingest.database import Connection
from ingest.registry.records import Workshop
from ingest.registry.table import all_of, insert, one, update

_COLUMNS: LiteralString = (
    "id, name, time_zone, latitude, longitude, rating::float8 AS rating, email, webhook_url, webhook_secret, created_at"
)


def register_workshop(
    connection: Connection,
    *,
    name: str,
    time_zone: str,
    latitude: float,
    longitude: float,
    rating: float,
    email: str,
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> Workshop:
    """Add a workshop; position in degrees WGS 84, rating from 1 to 5."""
    values = {
        "id": id,
        "name": name,
        "time_zone": time_zone,
        "latitude": latitude,
        "longitude": longitude,
        "rating": rating,
        "email": email,
        "webhook_url": webhook_url,
        "webhook_secret": webhook_secret,
    }
    return Workshop(**insert(connection, "workshop", values, _COLUMNS))


def workshop_by_id(connection: Connection, workshop_id: UUID) -> Workshop:
    """The workshop, or RegistryError."""
    return Workshop(**one(connection, "workshop", workshop_id, _COLUMNS))


def workshops(connection: Connection) -> list[Workshop]:
    """All workshops, by name."""
    return [Workshop(**row) for row in all_of(connection, "workshop", _COLUMNS, order="name, id")]


def update_workshop(connection: Connection, workshop_id: UUID, **changes: object) -> Workshop:
    """Change the fields named (those of :func:`register_workshop`)."""
    return Workshop(**update(connection, "workshop", workshop_id, changes, _COLUMNS))
