"""Who there is: owners, their vehicles, the devices in them, and workshops.

All functions take an open connection and leave the transaction to the caller. Personal data (names, addresses,
positions, secrets) is kept out of ``repr`` and of error texts: a record can be logged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal, LiteralString
from uuid import UUID
from zoneinfo import available_timezones

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ingest.database import Connection
from ingest.errors import RegistryError
from telemetry.topics import require_device_id

Language = Literal["en", "zh"]

# name@domain without quoting, comments, groups or display names: what people have. Python's header parser fails in
# many ways on the rest.
_ATOM = r"""[^\s@<>()\[\],;:"\\.?\x00-\x1f]+"""
_MAIL_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@[\w-]+(\.[\w-]+)*")


def is_mail_address(text: str) -> bool:
    """Whether a mail can be addressed to it."""
    return _MAIL_ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Someone who has vehicles and is told about them."""

    id: UUID
    name: str = field(repr=False)
    language: Language
    time_zone: str  # IANA name
    notify_urls: tuple[str, ...] = field(repr=False)  # Apprise addresses: they hold phone numbers and tokens
    email: str | None = field(repr=False)
    latitude: float | None = field(repr=False)  # degrees WGS 84, where the car usually is
    longitude: float | None = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """A car, with the profile that says how it is read and what wears."""

    id: UUID
    owner_id: UUID
    label: str  # what the owner calls it
    vin: str | None = field(repr=False)
    profile: str  # vehicle profile of firmware_profiles
    in_service_since: date | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Device:
    """A dongle: its id is its certificate's CN and its branch of topics."""

    id: str
    vehicle_id: UUID
    hardware: str  # hardware profile of firmware_profiles
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where cars are booked in. Bays, hours and prices belong to the booking domain."""

    id: UUID
    name: str
    time_zone: str  # IANA name; opening hours are in it
    latitude: float  # degrees WGS 84
    longitude: float
    rating: float  # 1 to 5
    email: str = field(repr=False)
    webhook_url: str | None = field(repr=False)
    webhook_secret: str | None = field(repr=False)  # Standard Webhooks "whsec_…"
    created_at: datetime


_OWNER: LiteralString = "id, name, language, time_zone, notify_urls, email, latitude, longitude, created_at"
_VEHICLE: LiteralString = "id, owner_id, label, vin, profile, in_service_since, created_at"
_DEVICE: LiteralString = "id, vehicle_id, hardware, enabled, created_at"
_WORKSHOP: LiteralString = (
    "id, name, time_zone, latitude, longitude, rating::float8 AS rating, email, webhook_url, webhook_secret, created_at"
)

# Owners


def register_owner(
    connection: Connection,
    *,
    name: str,
    language: Language = "en",
    time_zone: str = "UTC",
    notify_urls: tuple[str, ...] = (),
    email: str | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> Owner:
    """Add an owner; ``id`` only where it must be known beforehand."""
    values = {
        "id": id,
        "name": name,
        "language": language,
        "time_zone": time_zone,
        "notify_urls": notify_urls,
        "email": email,
        "latitude": latitude,
        "longitude": longitude,
    }
    return _owner(_insert(connection, "owner", values, _OWNER))


def owner_by_id(connection: Connection, owner_id: UUID) -> Owner:
    """The owner, or RegistryError."""
    return _owner(_one(connection, "owner", owner_id, _OWNER))


def owners(connection: Connection) -> list[Owner]:
    """All owners, by name."""
    return [_owner(row) for row in _all(connection, "owner", _OWNER, order="name, id")]


def update_owner(connection: Connection, owner_id: UUID, **changes: object) -> Owner:
    """Change the fields named (those of :func:`register_owner`)."""
    return _owner(_update(connection, "owner", owner_id, changes, _OWNER))


# Vehicles


def register_vehicle(
    connection: Connection,
    *,
    owner_id: UUID,
    label: str,
    profile: str,
    vin: str | None = None,
    in_service_since: date | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> Vehicle:
    """Add a vehicle of an owner. The VIN has 17 characters (ISO 3779) and is unique."""
    values = {
        "id": id,
        "owner_id": owner_id,
        "label": label,
        "profile": profile,
        "vin": vin,
        "in_service_since": in_service_since,
    }
    return Vehicle(**_insert(connection, "vehicle", values, _VEHICLE))


def vehicle_by_id(connection: Connection, vehicle_id: UUID) -> Vehicle:
    """The vehicle, or RegistryError."""
    return Vehicle(**_one(connection, "vehicle", vehicle_id, _VEHICLE))


def vehicles(connection: Connection) -> list[Vehicle]:
    """All vehicles, by label."""
    return [Vehicle(**row) for row in _all(connection, "vehicle", _VEHICLE, order="label, id")]


def vehicles_of_owner(connection: Connection, owner_id: UUID) -> list[Vehicle]:
    """Vehicles of one owner, by label."""
    return [
        Vehicle(**row)
        for row in _all(connection, "vehicle", _VEHICLE, where="owner_id", key=owner_id, order="label, id")
    ]


def update_vehicle(connection: Connection, vehicle_id: UUID, **changes: object) -> Vehicle:
    """Change the fields named (those of :func:`register_vehicle`)."""
    return Vehicle(**_update(connection, "vehicle", vehicle_id, changes, _VEHICLE))


# Devices


def register_device(
    connection: Connection,
    *,
    id: str,  # noqa: A002 - the column's name
    vehicle_id: UUID,
    hardware: str,
    enabled: bool = True,
) -> Device:
    """Add a device and say which vehicle it is in. RegistryError when the id is taken or not usable in a topic."""
    try:
        require_device_id(id)
    except ValueError as error:
        raise RegistryError(str(error)) from error
    values = {"id": id, "vehicle_id": vehicle_id, "hardware": hardware, "enabled": enabled}
    return Device(**_insert(connection, "device", values, _DEVICE))


def device_by_id(connection: Connection, device_id: str) -> Device:
    """The device, or RegistryError."""
    return Device(**_one(connection, "device", device_id, _DEVICE))


def devices(connection: Connection) -> list[Device]:
    """All devices, by id."""
    return [Device(**row) for row in _all(connection, "device", _DEVICE, order="id")]


def devices_of_vehicle(connection: Connection, vehicle_id: UUID) -> list[Device]:
    """Devices of one vehicle, by id."""
    return [
        Device(**row) for row in _all(connection, "device", _DEVICE, where="vehicle_id", key=vehicle_id, order="id")
    ]


def update_device(connection: Connection, device_id: str, **changes: object) -> Device:
    """Change vehicle, hardware or ``enabled``: a disabled device's messages are rejected."""
    return Device(**_update(connection, "device", device_id, changes, _DEVICE))


# Workshops


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
    return Workshop(**_insert(connection, "workshop", values, _WORKSHOP))


def workshop_by_id(connection: Connection, workshop_id: UUID) -> Workshop:
    """The workshop, or RegistryError."""
    return Workshop(**_one(connection, "workshop", workshop_id, _WORKSHOP))


def workshops(connection: Connection) -> list[Workshop]:
    """All workshops, by name."""
    return [Workshop(**row) for row in _all(connection, "workshop", _WORKSHOP, order="name, id")]


def update_workshop(connection: Connection, workshop_id: UUID, **changes: object) -> Workshop:
    """Change the fields named (those of :func:`register_workshop`)."""
    return Workshop(**_update(connection, "workshop", workshop_id, changes, _WORKSHOP))


# Shared

# What a broken constraint means to whoever registers, by the constraint's name in the schema.
_CONSTRAINTS = {
    "owner_language_check": "the language must be en or zh",
    "owner_latitude_check": "the latitude must be degrees between -90 and 90",
    "owner_longitude_check": "the longitude must be degrees between -180 and 180",
    "vehicle_vin_check": "a VIN has 17 characters, digits and capital letters without I, O and Q (ISO 3779)",
    "vehicle_vin_key": "a vehicle with this VIN is registered already; use that one",
    "vehicle_owner_id_fkey": "there is no such owner; register the owner first",
    "device_vehicle_id_fkey": "there is no such vehicle; register the vehicle first",
    "device_pkey": "a device of this id is registered already; update it or choose another id",
    "workshop_latitude_check": "the latitude must be degrees between -90 and 90",
    "workshop_longitude_check": "the longitude must be degrees between -180 and 180",
    "workshop_rating_check": "the rating must be between 1 and 5",
}
_FIXED = {"id", "created_at"}


def _owner(row: dict[str, Any]) -> Owner:
    owner = Owner(**row)
    return replace(owner, notify_urls=tuple(owner.notify_urls))


def _insert(
    connection: Connection, table: LiteralString, values: Mapping[str, object], columns: LiteralString
) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if not (name == "id" and value is None)}
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, given)),
        sql.SQL(", ").join(map(sql.Placeholder, given)),
        sql.SQL(columns),
    )
    row = _write(connection, table, statement, given)
    assert row is not None
    return row


def _update(
    connection: Connection, table: LiteralString, key: object, changes: Mapping[str, object], columns: LiteralString
) -> dict[str, Any]:
    known = {column.split("::")[0].strip() for column in columns.split(",")} - _FIXED
    unknown = sorted(set(changes) - known)
    if unknown or not changes:
        what = repr(unknown[0]) if unknown else "nothing"
        raise RegistryError(f"{table}: cannot change {what}; choose of {', '.join(sorted(known))}")
    statement = sql.SQL("UPDATE {} SET {} WHERE id = {} RETURNING {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(c), sql.Placeholder(c)) for c in changes),
        sql.Placeholder("id"),
        sql.SQL(columns),
    )
    return _found(table, key, _write(connection, table, statement, {**changes, "id": key}))


def _write(
    connection: Connection, table: str, statement: sql.Composed, values: Mapping[str, object]
) -> dict[str, Any] | None:
    zone = values.get("time_zone", "UTC")
    if zone not in available_timezones():
        raise RegistryError(f"{table}: {zone!r} is no time zone; use an IANA name such as 'Europe/Berlin'")
    email = values.get("email")
    if isinstance(email, str) and not is_mail_address(email):
        raise RegistryError(f"{table}: the e-mail address is none; give it as name@example.org")
    if "notify_urls" in values:
        values = {**values, "notify_urls": list(values["notify_urls"])}  # type: ignore[call-overload]  # psycopg adapts lists
    try:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, values).fetchone()
    except psycopg.IntegrityError as error:
        # The server's own text repeats the row, and with it personal data.
        name = error.diag.constraint_name or ""
        column = error.diag.column_name
        what = _CONSTRAINTS.get(name) or (f"{column} must be given" if column else f"constraint {name} does not hold")
        raise RegistryError(f"{table}: {what}") from None


def _one(connection: Connection, table: LiteralString, key: object, columns: LiteralString) -> dict[str, Any]:
    rows = _all(connection, table, columns, where="id", key=key, order="id")
    return _found(table, key, rows[0] if rows else None)


def _found(table: str, key: object, row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None:
        raise RegistryError(f"there is no {table} {key}; list what is registered with `wearcast ingest {table} list`")
    return row


def _all(
    connection: Connection,
    table: LiteralString,
    columns: LiteralString,
    *,
    order: LiteralString,
    where: LiteralString | None = None,
    key: object = None,
) -> list[dict[str, Any]]:
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
        sql.SQL(columns),
        sql.Identifier(table),
        sql.SQL("true") if where is None else sql.SQL("{} = {}").format(sql.Identifier(where), key),
        sql.SQL(order),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()
