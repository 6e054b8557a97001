"""Vehicles. The VIN is sealed with the owner's key; a keyed hash beside it keeps it unique."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

from ingest.database import Connection
from ingest.errors import RegistryError
from ingest.personal.persons import open_person
from ingest.personal.vault import Person, the_vault
from ingest.registry.records import Vehicle
from ingest.registry.table import all_of, insert, one, require_known, rewrite

_COLUMNS: LiteralString = (
    "id, owner_id, label, vin, profile, in_service_since, created_at,"
    " (SELECT wrapped FROM personal_key WHERE owner_id = vehicle.owner_id) AS wrapped"
)
_FIELDS: Final = {"owner_id", "label", "vin", "profile", "in_service_since"}
_VIN: Final = re.compile(r"[A-HJ-NPR-Z0-9]{17}")  # ISO 3779


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
    vehicle_id = id or uuid4()
    with connection.transaction():
        values = {
            "id": vehicle_id,
            "owner_id": owner_id,
            "label": label,
            "profile": profile,
            "in_service_since": in_service_since,
            **_sealed(_owner_of(connection, owner_id), vehicle_id, vin),
        }
        return _vehicle(insert(connection, "vehicle", values, _COLUMNS))


def vehicle_by_id(connection: Connection, vehicle_id: UUID) -> Vehicle:
    """The vehicle, or RegistryError."""
    return _vehicle(one(connection, "vehicle", vehicle_id, _COLUMNS))


def vehicles(connection: Connection) -> list[Vehicle]:
    """All vehicles, by label."""
    return [_vehicle(row) for row in all_of(connection, "vehicle", _COLUMNS, order="label, id")]


def vehicles_of_owner(connection: Connection, owner_id: UUID) -> list[Vehicle]:
    """Vehicles of one owner, by label."""
    rows = all_of(connection, "vehicle", _COLUMNS, where="owner_id", key=owner_id, order="label, id")
    return [_vehicle(row) for row in rows]


def update_vehicle(connection: Connection, vehicle_id: UUID, **changes: object) -> Vehicle:
    """Change the fields named (those of :func:`register_vehicle`). With another owner it gets their key."""
    require_known("vehicle", changes, _FIELDS)
    with connection.transaction():
        if {"owner_id", "vin"} & set(changes):
            changes = _resealed(connection, vehicle_by_id(connection, vehicle_id), changes)
        return _vehicle(rewrite(connection, "vehicle", vehicle_id, changes, _COLUMNS))


def _resealed(connection: Connection, before: Vehicle, changes: Mapping[str, Any]) -> dict[str, object]:
    person = _owner_of(connection, changes.get("owner_id", before.owner_id))
    return {**changes, **_sealed(person, before.id, changes.get("vin", before.vin))}


def _owner_of(connection: Connection, owner_id: UUID) -> Person:
    person = open_person(connection, owner_id, lock=True)
    if person is None:
        raise RegistryError("vehicle: there is no such owner; register the owner first")
    return person


def _sealed(person: Person, vehicle_id: UUID, vin: str | None) -> dict[str, object]:
    if vin is None:
        return {"vin": None, "vin_index": None}
    if _VIN.fullmatch(vin) is None:
        raise RegistryError(
            "vehicle: a VIN has 17 characters, digits and capital letters without I, O and Q (ISO 3779)"
        )
    return {
        "vin": person.seal("vehicle", "vin", vehicle_id, vin),
        "vin_index": the_vault().index("vin", vin),
    }


def _vehicle(row: dict[str, Any]) -> Vehicle:
    wrapped, sealed = row.pop("wrapped"), row.pop("vin")
    if sealed is None:
        return Vehicle(**row, vin=None)
    person = the_vault().person(row["owner_id"], wrapped)
    return Vehicle(**row, vin=person.unseal_text("vehicle", "vin", row["id"], sealed))
