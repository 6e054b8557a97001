"""Devices: a dongle's id is its certificate's CN and its branch of topics."""

from typing import LiteralString
from uuid import UUID

from ingest.database import Connection
from ingest.errors import RegistryError
from ingest.outbound.wipes import require_emptied
from ingest.registry.records import Device
from ingest.registry.table import all_of, insert, one, update
from telemetry.topics import require_device_id

_COLUMNS: LiteralString = "id, vehicle_id, hardware, enabled, created_at"


def register_device(
    connection: Connection,
    *,
    id: str,  # noqa: A002 - the column's name
    vehicle_id: UUID,
    hardware: str,
    enabled: bool = True,
) -> Device:
    """Add a device and say which vehicle it is in.

    RegistryError when the id is taken or not usable in a topic, or still has to empty itself of a former owner's data.
    """
    try:
        require_device_id(id)
    except ValueError as error:
        raise RegistryError(str(error)) from error
    values = {"id": id, "vehicle_id": vehicle_id, "hardware": hardware, "enabled": enabled}
    with connection.transaction():
        require_emptied(connection, id)
        # A dongle that was an erased person's may serve another: from here on its messages are theirs.
        connection.execute("DELETE FROM erased_device WHERE device_id = %s", [id])
        return Device(**insert(connection, "device", values, _COLUMNS))


def device_by_id(connection: Connection, device_id: str) -> Device:
    """The device, or RegistryError."""
    return Device(**one(connection, "device", device_id, _COLUMNS))


def devices(connection: Connection) -> list[Device]:
    """All devices, by id."""
    return [Device(**row) for row in all_of(connection, "device", _COLUMNS, order="id")]


def devices_of_vehicle(connection: Connection, vehicle_id: UUID) -> list[Device]:
    """Devices of one vehicle, by id."""
    return [
        Device(**row) for row in all_of(connection, "device", _COLUMNS, where="vehicle_id", key=vehicle_id, order="id")
    ]


def update_device(connection: Connection, device_id: str, **changes: object) -> Device:
    """Change vehicle, hardware or ``enabled``: a disabled device's messages are rejected."""
    return Device(**update(connection, "device", device_id, changes, _COLUMNS))
