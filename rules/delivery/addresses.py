"""Where to deliver, looked up at the moment of delivery: addresses and secrets are never copied into a message."""

from dataclasses import dataclass, field
from uuid import UUID

from psycopg.rows import class_row, dict_row

from ingest.database import Connection
from ingest.personal.vault import the_vault
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
class Customer:
    """Who brings a car, as the workshop is told it."""

    owner_id: UUID
    name: str = field(repr=False)
    vin: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class WorkshopAddress:
    """How a workshop wants to be told."""

    email: str = field(repr=False)
    webhook_url: str | None = field(repr=False)
    webhook_secret: str | None = field(repr=False)


def owner_of_vehicle(connection: Connection, vehicle_id: UUID) -> OwnerAddress:
    """Return the address of the vehicle's owner."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            """
            SELECT owner.id, owner.language, owner.time_zone, owner.notify_urls, owner.email, personal_key.wrapped
            FROM vehicle JOIN owner ON owner.id = vehicle.owner_id
            LEFT JOIN personal_key ON personal_key.owner_id = owner.id
            WHERE vehicle.id = %s
            """,
            (vehicle_id,),
        ).fetchone()
    if row is None:
        raise UndeliverableError(f"there is no vehicle {vehicle_id} any more")
    person = the_vault().person(row["id"], row.pop("wrapped"))
    channels = person.unseal("owner", "notify_urls", person.owner_id, row.pop("notify_urls"))
    email = person.unseal_text("owner", "email", person.owner_id, row.pop("email"))
    return OwnerAddress(**row, notify_urls=list(channels) if isinstance(channels, list) else [], email=email)


def customer(connection: Connection, booking_id: UUID) -> Customer | None:
    """Who brings the car of a booking, and its VIN; None where they are gone."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            """
            SELECT owner.id, owner.name, vehicle.id AS vehicle_id, vehicle.vin, personal_key.wrapped
            FROM booking JOIN vehicle ON vehicle.id = booking.vehicle_id JOIN owner ON owner.id = vehicle.owner_id
            LEFT JOIN personal_key ON personal_key.owner_id = owner.id
            WHERE booking.id = %s
            """,
            (booking_id,),
        ).fetchone()
    if row is None:
        return None
    person = the_vault().person(row["id"], row["wrapped"])
    return Customer(
        owner_id=person.owner_id,
        name=person.unseal_text("owner", "name", person.owner_id, row["name"]) or "",
        vin=person.unseal_text("vehicle", "vin", row["vehicle_id"], row["vin"]),
    )


def workshop(connection: Connection, workshop_id: UUID) -> WorkshopAddress:
    """Return the address of a workshop."""
    with connection.cursor(row_factory=class_row(WorkshopAddress)) as cursor:
        found = cursor.execute(
            "SELECT email, webhook_url, webhook_secret FROM workshop WHERE id = %s", (workshop_id,)
        ).fetchone()
    if found is None:
        raise UndeliverableError(f"there is no workshop {workshop_id} any more")
    return found
