"""What the rules and the delivery need: a workshop, owners of sick cars, two engines, a delivery, and who is told.

The delivery is one process, as its messages are told apart by what arrives and not by who sent them.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from ingest import registry
from ingest.database import Connection
from rules.booking.workshops import add_bay, add_job, set_opening_hours, weekly_hours
from rules.delivery.webhook import new_secret
from tests.faults.receivers import WORKSHOP, Receivers
from tests.faults.service import Service
from tests.faults.sick_cars import SICK, SickCar, SickCars
from tests.faults.wire import HOST, Wire, Wires
from wearcast.embedded.processes import ManagedProcess

ENGINES: Final = ("rules 1", "rules 2")
DELIVERY: Final = "delivery"
PORTAL_URL: Final = "http://portal.example"
_PLACE: Final = (52.5, 13.4)  # degrees WGS 84, of owners and workshop
_JOBS: Final = ("diagnosis", "battery_check")
_BAYS: Final = 8
_MOST_WESTERN: Final = 12  # Etc/GMT+12 is UTC-12


class StartService(Protocol):
    """Starts ``python -m …`` of the backend over a wire to the database."""

    def __call__(
        self, name: str, *command: str | Path, database: Wire, environment: Mapping[str, str]
    ) -> ManagedProcess:
        """Start it."""
        ...


@dataclass(frozen=True, kw_only=True)
class RulesSide:
    """Engines and delivery, whom they judge, and whom they tell."""

    engines: Sequence[Service]
    delivery: Service
    cars: SickCars
    receivers: Receivers
    webhook: Wire
    mail: Path
    link_secret: str


@contextlib.contextmanager
def rules_side(
    *,
    folder: Path,
    seed: int,
    wires: Wires,
    database: Callable[[], Wire],
    connect: Callable[[], AbstractContextManager[Connection]],
    start: StartService,
    send: Callable[[str, bytes], None],
) -> Iterator[RulesSide]:
    """Register everybody and listen for what they are told; nothing is started. ``send``: to the broker.

    ``database``: makes a wire to the database.
    """
    link_secret, webhook_secret = secrets.token_urlsafe(32), new_secret()
    secret_file = folder / "secret"
    secret_file.write_text(link_secret, encoding="ascii")
    secret_file.chmod(0o600)
    environment = {
        "WEARCAST_SECRET_FILE": str(secret_file),
        "WEARCAST_MAIL_DIR": str(folder / "mail"),
        "WEARCAST_PORTAL_URL": PORTAL_URL,
    }
    with Receivers(webhook_secret, link_secret) as receivers:
        webhook = receivers.wire = wires.wire(lambda: [(HOST, receivers.port)])
        with connect() as connection:
            vehicles = register_people(connection, f"{HOST}:{webhook.port}", webhook_secret)
        cars = SickCars(
            [SickCar(device=device, vehicle=vehicle, seed=seed, send=send) for device, vehicle in vehicles.items()],
            connect,
        )
        side = RulesSide(
            engines=[
                _service(name, ("wearcast.cli", "rules", "run"), database(), start, environment) for name in ENGINES
            ],
            delivery=_service(
                DELIVERY, ("tests.faults.quick_delivery", "rules", "deliver"), database(), start, environment
            ),
            cars=cars,
            receivers=receivers,
            webhook=webhook,
            mail=folder / "mail",
            link_secret=link_secret,
        )
        try:
            yield side
        finally:
            cars.close()


def _service(
    name: str, command: Sequence[str], database: Wire, start: StartService, environment: Mapping[str, str]
) -> Service:
    return Service(
        name=name, database=database, start=lambda: start(name, *command, database=database, environment=environment)
    )


def register_people(connection: Connection, receiver: str, webhook_secret: str) -> dict[str, UUID]:
    """The sick cars with their owners, by device, and one workshop whose first free slot all of them want."""
    vehicles: dict[str, UUID] = {}
    for device in SICK:
        owner = registry.register_owner(
            connection,
            name=f"Owner of {device}",
            notify_urls=(f"json://{receiver}/owner/{device}",),
            latitude=_PLACE[0],
            longitude=_PLACE[1],
        )
        vehicle = registry.register_vehicle(connection, owner_id=owner.id, label=device, profile="generic")
        registry.register_device(connection, id=device, vehicle_id=vehicle.id, hardware="virtual")
        vehicles[device] = vehicle.id
    workshop = registry.register_workshop(
        connection,
        name="Workshop",
        time_zone=zone_of_midnight(datetime.now(UTC)),
        latitude=_PLACE[0],
        longitude=_PLACE[1],
        rating=4.5,
        email="workshop@workshops.example",
        webhook_url=f"http://{receiver}/workshop/{WORKSHOP}",
        webhook_secret=webhook_secret,
    )
    for bay in range(1, _BAYS + 1):
        add_bay(connection, workshop.id, f"Bay {bay}", ("mechanical",))
    set_opening_hours(connection, workshop.id, weekly_hours(range(1, 8), time(0), time(23, 30)))
    for job in _JOBS:
        add_job(connection, workshop.id, job, skill="mechanical", duration=timedelta(hours=1), price=Decimal(89))
    return vehicles


def zone_of_midnight(now: datetime) -> str:
    """Where a day has just begun: work can be reported on its own day only, and the day has room for the most of it."""
    hour = now.astimezone(UTC).hour
    return f"Etc/GMT+{hour}" if hour <= _MOST_WESTERN else f"Etc/GMT-{24 - hour}"
