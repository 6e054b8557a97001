"""Registering owners, vehicles, devices and workshops; what is wrong is said, and nothing personal is."""

from datetime import date
from uuid import uuid4

import pytest

from ingest import registry
from ingest.database import Connection
from ingest.errors import RegistryError

pytestmark = pytest.mark.database

VIN = "WVWZZZ1JZXW000001"


def some_owner(connection: Connection, name: str = "Ada") -> registry.Owner:
    return registry.register_owner(
        connection, name=name, language="zh", time_zone="Asia/Shanghai", notify_urls=("sms://+8613800000000",),
        email="ada@example.org", latitude=31.2, longitude=121.5,
    )  # fmt: skip


def some_workshop(connection: Connection, name: str = "North", rating: float = 4.5) -> registry.Workshop:
    return registry.register_workshop(
        connection, name=name, time_zone="Europe/Berlin", latitude=52.5, longitude=13.4, rating=rating,
        email="desk@example.org", webhook_url="http://127.0.0.1/hook", webhook_secret="whsec_c2VjcmV0",  # noqa: S106 - guards nothing
    )  # fmt: skip


def test_what_is_registered_is_found(connection: Connection) -> None:
    owner = some_owner(connection)
    vehicle = registry.register_vehicle(
        connection, owner_id=owner.id, label="Blue", profile="generic", vin=VIN, in_service_since=date(2020, 5, 1)
    )
    device = registry.register_device(connection, id="dongle-1", vehicle_id=vehicle.id, hardware="pi_zero_2w")
    workshop = some_workshop(connection)
    assert registry.owners(connection) == [registry.owner_by_id(connection, owner.id)] == [owner]
    assert registry.vehicles(connection) == registry.vehicles_of_owner(connection, owner.id) == [vehicle]
    assert registry.vehicle_by_id(connection, vehicle.id) == vehicle
    assert registry.devices(connection) == registry.devices_of_vehicle(connection, vehicle.id) == [device]
    assert registry.device_by_id(connection, "dongle-1") == device
    assert registry.workshops(connection) == [registry.workshop_by_id(connection, workshop.id)] == [workshop]
    assert owner.notify_urls == ("sms://+8613800000000",)
    assert workshop.rating == 4.5


def test_an_id_may_be_given(connection: Connection) -> None:
    wanted = uuid4()
    assert registry.register_owner(connection, name="Ada", id=wanted).id == wanted


def test_nobody_sees_the_vehicles_of_others(connection: Connection) -> None:
    ada, ben = some_owner(connection), some_owner(connection, "Ben")
    registry.register_vehicle(connection, owner_id=ada.id, label="Blue", profile="generic")
    assert registry.vehicles_of_owner(connection, ben.id) == []


def test_only_the_fields_named_change(connection: Connection) -> None:
    owner = some_owner(connection)
    changed = registry.update_owner(connection, owner.id, notify_urls=("mailto://a@b",), language="en")
    assert (changed.notify_urls, changed.language, changed.name) == (("mailto://a@b",), "en", owner.name)
    vehicle = registry.register_vehicle(connection, owner_id=owner.id, label="Blue", profile="generic")
    assert registry.update_vehicle(connection, vehicle.id, label="Red").label == "Red"
    registry.register_device(connection, id="d", vehicle_id=vehicle.id, hardware="virtual")
    assert not registry.update_device(connection, "d", enabled=False).enabled
    workshop = some_workshop(connection)
    assert registry.update_workshop(connection, workshop.id, rating=3.0).rating == 3.0


def test_what_is_wrong_is_said(connection: Connection) -> None:
    owner = some_owner(connection)
    vehicle = registry.register_vehicle(connection, owner_id=owner.id, label="Blue", profile="generic", vin=VIN)
    registry.register_device(connection, id="d", vehicle_id=vehicle.id, hardware="virtual")
    with pytest.raises(RegistryError, match="IANA name"):
        registry.register_owner(connection, name="Ada", time_zone="Berlin")
    with pytest.raises(RegistryError, match="latitude must be degrees"):
        registry.register_owner(connection, name="Ada", latitude=100, longitude=0)
    for address in ("json://[::1", "+491701234567"):  # the first is one that urlsplit itself raises on
        with pytest.raises(RegistryError, match="notification address"):
            registry.update_owner(connection, owner.id, notify_urls=(address,))
    with pytest.raises(RegistryError, match="17 characters"):
        registry.register_vehicle(connection, owner_id=owner.id, label="X", profile="generic", vin="SHORT")
    with pytest.raises(RegistryError, match="this VIN is registered already"):
        registry.register_vehicle(connection, owner_id=owner.id, label="X", profile="generic", vin=VIN)
    with pytest.raises(RegistryError, match="register the owner first"):
        registry.register_vehicle(connection, owner_id=uuid4(), label="X", profile="generic")
    with pytest.raises(RegistryError, match="use 1 to 63 letters"):
        registry.register_device(connection, id="a/b", vehicle_id=vehicle.id, hardware="virtual")
    with pytest.raises(RegistryError, match="registered already; update it"):
        registry.register_device(connection, id="d", vehicle_id=vehicle.id, hardware="virtual")
    with pytest.raises(RegistryError, match="register the vehicle first"):
        registry.register_device(connection, id="e", vehicle_id=uuid4(), hardware="virtual")
    with pytest.raises(RegistryError, match="rating must be between 1 and 5"):
        some_workshop(connection, rating=6)
    with pytest.raises(RegistryError, match="e-mail address is none"):
        registry.register_owner(connection, name="Ada", email="ada@")
    with pytest.raises(RegistryError, match="e-mail address is none"):
        registry.update_owner(connection, vehicle.owner_id, email="")
    with pytest.raises(RegistryError, match="there is no device nobody"):
        registry.device_by_id(connection, "nobody")
    with pytest.raises(RegistryError, match="there is no vehicle"):
        registry.update_vehicle(connection, uuid4(), label="X")
    with pytest.raises(RegistryError, match="cannot change 'colour'; choose of in_service_since, label"):
        registry.update_vehicle(connection, vehicle.id, colour="red")
    with pytest.raises(RegistryError, match="cannot change nothing"):
        registry.update_vehicle(connection, vehicle.id)


def test_records_and_errors_show_nothing_personal_or_secret(connection: Connection) -> None:
    owner = some_owner(connection)
    vehicle = registry.register_vehicle(connection, owner_id=owner.id, label="Blue", profile="generic", vin=VIN)
    shown = repr([owner, vehicle, some_workshop(connection)])
    for secret in ("Ada", "138000", "ada@", "31.2", "121.5", VIN, "whsec_", "hook", "desk@"):
        assert secret not in shown
    with pytest.raises(RegistryError) as caught:
        registry.register_vehicle(connection, owner_id=owner.id, label="X", profile="generic", vin=VIN)
    assert VIN not in str(caught.value)
    assert caught.value.__cause__ is None
