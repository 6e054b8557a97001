"""Who there is: owners, their vehicles, the devices in them, and workshops.

All functions take an open connection and leave the transaction to the caller. Personal data (names, addresses,
positions, secrets) is kept out of ``repr`` and of error texts: a record can be logged. In the database it is sealed;
these functions give and take it plain.
"""

from ingest.registry.devices import device_by_id, devices, devices_of_vehicle, register_device, update_device
from ingest.registry.mail_address import is_mail_address
from ingest.registry.owners import owner_by_id, owners, register_owner, update_owner
from ingest.registry.records import Device, Language, Owner, Vehicle, Workshop
from ingest.registry.vehicles import register_vehicle, update_vehicle, vehicle_by_id, vehicles, vehicles_of_owner
from ingest.registry.workshops import register_workshop, update_workshop, workshop_by_id, workshops

__all__ = [
    "Device",
    "Language",
    "Owner",
    "Vehicle",
    "Workshop",
    "device_by_id",
    "devices",
    "devices_of_vehicle",
    "is_mail_address",
    "owner_by_id",
    "owners",
    "register_device",
    "register_owner",
    "register_vehicle",
    "register_workshop",
    "update_device",
    "update_owner",
    "update_vehicle",
    "update_workshop",
    "vehicle_by_id",
    "vehicles",
    "vehicles_of_owner",
    "workshop_by_id",
    "workshops",
]
