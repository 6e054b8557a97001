"""Devices that may be asked, and somebody who may ask them."""

from datetime import UTC, datetime, timedelta

from ingest import registry
from ingest.database import Connection
from ingest.outbound import commands
from ingest.outbound.commands import Denied
from telemetry.commands import Command, CommandKind

DEVICE, OTHER = "car-1", "car-2"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def register_devices(connection: Connection) -> None:
    owner = registry.register_owner(connection, name="Ann")
    vehicle = registry.register_vehicle(connection, owner_id=owner.id, label="car", profile="generic")
    for device in (DEVICE, OTHER):
        registry.register_device(connection, id=device, vehicle_id=vehicle.id, hardware="none")


def grant(
    connection: Connection, *kinds: CommandKind, device: str | None = None, days: int = 1, now: datetime = NOW
) -> str:
    return commands.allow(
        connection, operator="anna", kinds=kinds or CommandKind, device=device, valid_for=timedelta(days=days), now=now
    )[1]


def issue(
    connection: Connection,
    token: str,
    *,
    device: str = DEVICE,
    kind: CommandKind = CommandKind.DTC,
    now: datetime = NOW,
    database_now: datetime | None = None,
) -> str | None:
    """Why it was denied; None if it was not."""
    decision = commands.issue(
        connection,
        token=token,
        device=device,
        kind=kind,
        seconds=0,
        patience=timedelta(seconds=5),
        now=now,
        database_now=now if database_now is None else database_now,
    )
    return decision.reason if isinstance(decision, Denied) else None


def issued(connection: Connection) -> Command:
    """A command that may be sent."""
    command = commands.issue(
        connection,
        token=grant(connection),
        device=DEVICE,
        kind=CommandKind.DTC,
        seconds=0,
        patience=timedelta(seconds=5),
        now=NOW,
        database_now=NOW,
    )
    assert not isinstance(command, Denied)
    return command
