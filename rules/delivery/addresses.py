"""Where to deliver, looked up at the moment of delivery: addresses and secrets are never copied into a message."""

from dataclasses import dataclass, field
from uuid import UUID

from psycopg.rows import class_row

from ingest.database import Connection
from rules.delivery.errors import UndeliverableError
from rules.delivery.texts import Language


@dataclass(frozen=True, kw_only=True)
class OwnerAddress:
    """How an owner wants to be told."""

    id: UUID
    language: Language
    time_zone: str
    notify_urls: list[str] = field(repr=False)
    email: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class WorkshopAddress:
    """How a workshop wants to be told."""

    email: str = field(repr=False)
    webhook_url: str | None = field(repr=False)
    webhook_secret: str | None = field(repr=False)


def owner_of_vehicle(connection: Connection, vehicle_id: UUID) -> OwnerAddress:
    """Return the address of the vehicle's owner."""
    with connection.cursor(row_factory=class_row(OwnerAddress)) as cursor:
        found = cursor.execute(
            """
            SELECT owner.id, owner.language, owner.time_zone, owner.notify_urls, owner.email
            FROM vehicle JOIN owner ON owner.id = vehicle.owner_id WHERE vehicle.id = %s
            """,
            (vehicle_id,),
        ).fetchone()
    if found is None:
        raise UndeliverableError(f"there is no vehicle {vehicle_id} any more")
    return found


def workshop(connection: Connection, workshop_id: UUID) -> WorkshopAddress:
    """Return the address of a workshop."""
    with connection.cursor(row_factory=class_row(WorkshopAddress)) as cursor:
        found = cursor.execute(
            "SELECT email, webhook_url, webhook_secret FROM workshop WHERE id = %s", (workshop_id,)
        ).fetchone()
    if found is None:
        raise UndeliverableError(f"there is no workshop {workshop_id} any more")
    return found
