"""``wearcast ingest``: the worker, and the registry of who may send what."""

import asyncio
import signal
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import typer

from wearcast.commands.common import JsonOption, connection, database_url, log_operator_access
from wearcast.output import print_rows
from wearcast.settings import SettingsError, load_settings

Source = Literal["mqtt", "jetstream"]

app = typer.Typer(
    no_args_is_help=True,
    help="""MQTT -> TimescaleDB.

    The worker takes batches from the broker, commits them, and only then acknowledges them to the device. The registry
    says which device sits in which vehicle of which owner, and which workshops there are.""",
    short_help="The worker from MQTT to TimescaleDB, and the registry.",
)
owner = typer.Typer(no_args_is_help=True, help="Owners: who is told about a vehicle.")
vehicle = typer.Typer(no_args_is_help=True, help="Vehicles and the profile each is read by.")
device = typer.Typer(no_args_is_help=True, help="Dongles: the id is the CN of the certificate.")
workshop = typer.Typer(no_args_is_help=True, help="Workshops that can be booked.")
app.add_typer(owner, name="owner")
app.add_typer(vehicle, name="vehicle")
app.add_typer(device, name="device")
app.add_typer(workshop, name="workshop")


@app.command()
def run(
    name: Annotated[str, typer.Option(help="Name of this worker: its MQTT session waits under it.")] = "ingest-1",
    source: Annotated[
        Source,
        typer.Option(help="mqtt: one worker at any broker. jetstream: any number of workers at a NATS cluster."),
    ] = "mqtt",
) -> None:
    """Run a worker until it is stopped (SIGTERM finishes the group at hand)."""
    from ingest.tuning import spare_collector
    from ingest.worker import run_worker
    from wearcast.services import worker_config
    from wearcast.watch.observed import observed

    settings = load_settings()
    with database_url(settings) as url:

        async def main() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            spare_collector()
            await run_worker(worker_config(settings, url, name, source), stop)

        with observed("ingest", settings, url, instance=name):
            asyncio.run(main())


@app.command()
def prepare(
    replicas: Annotated[int, typer.Option(min=1, max=5, help="Nodes that keep each message; 1 on a single node.")] = 3,
    gibibytes: Annotated[
        int, typer.Option(min=1, help="What each node keeps at most; beyond it devices keep what they have.")
    ] = 64,
) -> None:
    """Make the stream and the consumer that workers with --source jetstream share, before devices connect.

    May be repeated: it changes what differs. docs/scaling.md says how much each number has to be.
    """
    from ingest.sources.nats_stream import StreamLimits
    from ingest.sources.nats_stream import prepare as make
    from wearcast.services import nats_config

    limits = StreamLimits(replicas=replicas, most_bytes=gibibytes * 1024**3)
    asyncio.run(make(nats_config(load_settings()), limits))
    print("stream and consumer are ready; run: wearcast ingest run --source jetstream")


@app.command()
def rejected(
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20, as_json: JsonOption = False
) -> None:
    """Show messages that were not taken, with the reason."""
    from ingest.reading_store import rejected as read

    with connection() as conn:
        rows = read(conn, limit)
    print_rows(
        [
            {
                "last": row.last_received_at,
                "times": row.times,
                "topic": row.topic,
                "reason": row.reason,
                "detail": row.detail,
                "bytes": row.payload_size,
            }
            for row in rows
        ],
        as_json=as_json,
        empty="nothing was rejected",
    )


@owner.command("add")
def add_owner(
    name: Annotated[str | None, typer.Argument(help="Name of the owner.")] = None,
    language: Annotated[str, typer.Option(help="Language of messages: en or zh.")] = "en",
    time_zone: Annotated[str, typer.Option(help="IANA time zone.")] = "UTC",
    notify: Annotated[list[str] | None, typer.Option(help="Apprise address; repeat for several.")] = None,
    email: Annotated[str | None, typer.Option(help="Mail address.")] = None,
    position: Annotated[tuple[float, float] | None, typer.Option(help="Latitude and longitude of home.")] = None,
    file: Annotated[
        typer.FileText | None, typer.Option("--from", help="JSON with name, email, notify, position; - for the input.")
    ] = None,
) -> None:
    """Register an owner and print the id.

    Command lines are seen by all users of the machine: with --from, name, addresses and position come from a file.
    """
    from ingest.errors import RegistryError
    from ingest.registry import register_owner
    from wearcast.owner_file import OwnerData, read_owner

    if file is not None and (name or notify or email or position):
        raise SettingsError("--from says all of the owner: leave out the name, --notify, --email and --position")
    if file is None and name is None:
        raise SettingsError("give the owner's name, or --from a file")
    given = (
        OwnerData(name=name or "", email=email, notify=tuple(notify or ()), position=position)
        if file is None
        else read_owner(file.read())
    )
    if language not in {"en", "zh"}:
        raise RegistryError(f"language {language!r}: texts exist in en and zh")
    with connection() as conn:
        added = register_owner(
            conn,
            name=given.name,
            language="zh" if language == "zh" else "en",
            time_zone=time_zone,
            notify_urls=given.notify,
            email=given.email,
            latitude=given.position[0] if given.position else None,
            longitude=given.position[1] if given.position else None,
        )
    print(added.id)


@owner.command("list")
def list_owners(
    owner_id: Annotated[UUID | None, typer.Argument(help="Only this owner.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show one owner in plain; it is logged.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why, with --reveal.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List owners, masked.

    Example: wearcast ingest owner list 5f0c… --reveal --reason "cannot be reached, calls back"
    """
    from ingest.errors import PersonalDataError
    from ingest.registry import owner_by_id, owners
    from wearcast.owner_rows import FIELDS, masked_row, plain_row

    if reveal and (owner_id is None or not (reason or "").strip()):
        raise PersonalDataError("--reveal shows one owner, and says why: give the id and --reason")
    with connection() as conn:
        rows = owners(conn) if owner_id is None else [owner_by_id(conn, owner_id)]
        if reveal and owner_id is not None and reason is not None:
            log_operator_access(conn, owner_id, FIELDS, reason.strip())
    print_rows([plain_row(row) if reveal else masked_row(row) for row in rows], as_json=as_json)


@vehicle.command("add")
def add_vehicle(
    owner_id: Annotated[UUID, typer.Argument(help="Id of the owner.")],
    label: Annotated[str, typer.Argument(help="What the owner calls the car.")],
    profile: Annotated[str, typer.Option(help="Vehicle profile (wearcast flash profiles).")] = "generic",
    vin: Annotated[str | None, typer.Option(help="Vehicle identification number, 17 characters.")] = None,
    registered: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day of first registration: the car's age.")
    ] = None,
) -> None:
    """Register a vehicle and print the id."""
    from ingest.registry import register_vehicle

    since = None if registered is None else registered.date()
    with connection() as conn:
        added = register_vehicle(conn, owner_id=owner_id, label=label, profile=profile, vin=vin, in_service_since=since)
    print(added.id)


@vehicle.command("list")
def list_vehicles(as_json: JsonOption = False) -> None:
    """List vehicles."""
    from ingest.registry import vehicles

    with connection() as conn:
        rows = vehicles(conn)
    print_rows(
        [{"id": row.id, "label": row.label, "profile": row.profile, "owner": row.owner_id} for row in rows],
        as_json=as_json,
    )


@device.command("add")
def add_device(
    device_id: Annotated[str, typer.Argument(help="Device id, as in its certificate.")],
    vehicle_id: Annotated[UUID, typer.Argument(help="Id of the vehicle it sits in.")],
    hardware: Annotated[str, typer.Option(help="Hardware profile (wearcast flash profiles).")] = "pi_zero_2w_mcp2515",
) -> None:
    """Register a device: from now on its messages are taken."""
    from ingest.registry import register_device

    with connection() as conn:
        register_device(conn, id=device_id, vehicle_id=vehicle_id, hardware=hardware)
    print(device_id)


@device.command("list")
def list_devices(as_json: JsonOption = False) -> None:
    """List devices."""
    from ingest.registry import devices

    with connection() as conn:
        rows = devices(conn)
    print_rows(
        [{"id": row.id, "vehicle": row.vehicle_id, "hardware": row.hardware, "enabled": row.enabled} for row in rows],
        as_json=as_json,
    )


@device.command("disable")
def disable_device(device_id: Annotated[str, typer.Argument(help="Device id.")]) -> None:
    """Take no more messages of a device; they are stored as rejected."""
    from ingest.registry import update_device

    with connection() as conn:
        update_device(conn, device_id, enabled=False)
    print(f"{device_id} is disabled")


@workshop.command("add")
def add_workshop(
    name: Annotated[str, typer.Argument(help="Name of the workshop.")],
    position: Annotated[tuple[float, float], typer.Option(help="Latitude and longitude.")],
    email: Annotated[str, typer.Option(help="Where calendar invitations go.")],
    time_zone: Annotated[str, typer.Option(help="IANA time zone of the opening hours.")] = "UTC",
    rating: Annotated[float, typer.Option(help="1 to 5.")] = 4.0,
    webhook_url: Annotated[str | None, typer.Option(help="Where signed events go.")] = None,
    webhook_secret_file: Annotated[
        typer.FileText | None, typer.Option(help="File with the Standard Webhooks secret (whsec_…).")
    ] = None,
) -> None:
    """Register a workshop and print the id; bays, hours and prices: `wearcast rules workshop`."""
    from ingest.registry import register_workshop

    with connection() as conn:
        added = register_workshop(
            conn,
            name=name,
            time_zone=time_zone,
            latitude=position[0],
            longitude=position[1],
            rating=rating,
            email=email,
            webhook_url=webhook_url,
            webhook_secret=webhook_secret_file.read().strip() if webhook_secret_file else None,
        )
    print(added.id)


@workshop.command("list")
def list_workshops(as_json: JsonOption = False) -> None:
    """List workshops."""
    from ingest.registry import workshops

    with connection() as conn:
        rows = workshops(conn)
    print_rows(
        [{"id": row.id, "name": row.name, "rating": row.rating, "time_zone": row.time_zone} for row in rows],
        as_json=as_json,
    )
