"""A small world for the portal's tests: two owners, three workshops, cars with months of health behind them."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from threading import Thread
from time import monotonic, sleep
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from ingest import registry
from ingest.database import Connection
from ingest.storing.state import EstimateState, SignalState, TroubleCode
from portal.config import PortalConfig
from portal.server import make_server, portal_address
from rules.booking import desk, workshops
from rules.clock import Clock as AnyClock

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday, 10:00 in Berlin
SECRET = "a secret for the portal's tests alone"  # noqa: S105 - signs nothing outside the tests
BERLIN = (52.52, 13.405)  # degrees
DAY = timedelta(days=1)
WHEELS = ("Row1.Left", "Row1.Right", "Row2.Left", "Row2.Right")


class Clock:
    """The portal's clock, set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def agrees(self, _connection: Connection) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Whom and what there is."""

    owner: UUID
    other_owner: UUID
    car: UUID  # of owner: worn pads, an alert with a proposed booking
    other_car: UUID  # of other_owner
    workshop: UUID  # where the booking is held
    workshops: tuple[UUID, ...]
    alert: UUID
    booking: UUID  # proposed, held
    device: str


def make_scene(connection: Connection, *, portrait: bool = False) -> Scene:
    """Register everybody, store health, open an alert and have the desk propose a slot for it.

    ``portrait`` adds more cars and curves, for looking at the pages.
    """
    garages = tuple(
        _workshop(connection, name, north=north, price=price, rating=rating)
        for name, north, price, rating in (
            ("Autohaus Linden", 0.03, "189.00", 4.7),
            ("Werkstatt Nord", 0.12, "164.50", 4.2),
            ("Garage Süd", -0.08, "205.00", 4.9),
        )
    )
    owner = _owner(connection, "Ada Beispiel", "en", "Europe/Berlin")
    other_owner = _owner(connection, "陈伟", "zh", "Asia/Shanghai")
    car = registry.register_vehicle(
        connection, owner_id=owner, label="Blue Kona", profile="hyundai_kona_electric", vin="KMHK581GFKU000001"
    ).id
    other_car = registry.register_vehicle(connection, owner_id=other_owner, label="White Polo", profile="generic").id
    registry.register_device(connection, id="dongle-0001", vehicle_id=car, hardware="pi-zero-2w")
    registry.register_device(connection, id="dongle-0002", vehicle_id=other_car, hardware="pi-zero-2w")
    connection.execute(
        "INSERT INTO device_status VALUES ('dongle-0001', gen_random_uuid(), 'online', %s, '0.1.0', 3)", [NOW]
    )
    _kona(connection, car)
    _polo(connection, other_car)
    alert = open_alert(connection, car)
    proposed = desk.propose_booking(connection, alert, NOW)
    assert proposed is not None
    if portrait:
        open_alert(connection, other_car, rule="oil_life_low", subject="", job="oil_change", severity="urgent")
        for number in range(4):
            label = ("Silver Leaf", "Red Golf", "Old Transit", "Grey Ceed")[number]
            extra = registry.register_vehicle(connection, owner_id=other_owner, label=label, profile="generic").id
            if number < 3:
                store_curve(connection, extra, "oil_life", start=90.0, per_day=-0.2, days=60, noise=0.5)
                write_state(connection, extra, {"speed": 0.0}, seen=NOW - number * 5 * DAY)
    return Scene(
        owner=owner,
        other_owner=other_owner,
        car=car,
        other_car=other_car,
        workshop=proposed.workshop_id,
        workshops=garages,
        alert=alert,
        booking=proposed.id,
        device="dongle-0001",
    )


def open_alert(
    connection: Connection,
    vehicle: UUID,
    *,
    rule: str = "brake_pads_worn",
    subject: str = "Row1.Left",
    job: str | None = "brake_pads",
    severity: str = "soon",
) -> UUID:
    """An alert as the rules open it."""
    title = "Brake pads worn (front left)" if rule == "brake_pads_worn" else "Oil change is due"
    row = connection.execute(
        """
        INSERT INTO alert (vehicle_id, rule_id, rule_version, subject, severity, title_en, title_zh, text_en, text_zh,
                           job, evidence, opened_at)
        VALUES (%s, %s, '1', %s, %s, %s, '刹车片磨损（左前轮）',
                'The brake pads of the front left wheel are 86 %% worn. Have the pads of this axle replaced within '
                'two weeks.', '左前轮刹车片已磨损 86%%。请在两周内更换。', %s, '{}', %s)
        RETURNING id
        """,
        (vehicle, rule, subject, severity, title, job, NOW - timedelta(hours=3)),
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)
    return row[0]


def store_curve(
    connection: Connection,
    vehicle: UUID,
    quantity: str,
    *,
    start: float,
    per_day: float,
    days: int,
    noise: float,
    position: str = "",
    source: str = "estimated",
    width: float = 3.0,
) -> EstimateState:
    """Months of a health value, one estimate a day, and the newest one as the state has it."""
    dice = random.Random(f"{quantity}{position}{source}")
    curve = []
    for number in range(days + 1):
        moment = NOW - (days - number) * DAY - timedelta(hours=2)
        value = start + per_day * number + dice.gauss(0, noise)
        half = width * (0.4 + 0.6 * math.exp(-number / 40))
        curve.append(
            EstimateState(
                quantity=quantity,
                position=position,
                value=value,
                low=value - half,
                high=value + half,
                source="ecu" if source == "ecu" else "estimated",
                method="scene/1",
                time=moment,
            )
        )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO estimate VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (one.time, vehicle, quantity, position, one.value, one.low, one.high, source, one.method)
                for one in curve
            ],
        )
    _remember(connection, vehicle, curve[-1])
    return curve[-1]


def write_state(
    connection: Connection,
    vehicle: UUID,
    signals: dict[str, float],
    *,
    seen: datetime = NOW,
    codes: tuple[str, ...] = (),
) -> None:
    """Newest readings and trouble codes of a vehicle."""
    values = {column: SignalState(value=value, time=seen) for column, value in signals.items()}
    present = [
        TroubleCode(code=code, ecu="7E8", status="confirmed", mil=True, first_seen=seen - DAY, last_seen=seen)
        for code in codes
    ]
    connection.execute(
        """
        INSERT INTO vehicle_state (vehicle_id, last_sample_at, signals, trouble_codes) VALUES (%s, %s, %s, %s)
        ON CONFLICT (vehicle_id) DO UPDATE SET last_sample_at = excluded.last_sample_at,
            signals = excluded.signals, trouble_codes = excluded.trouble_codes
        """,
        [vehicle, seen, Jsonb(msgspec.to_builtins(values)), Jsonb(msgspec.to_builtins(present))],
    )


@contextmanager
def running_portal(database_url: str, clock: AnyClock) -> Iterator[str]:
    """The portal on a free loopback port, for the time of the block; yields its address."""
    config = PortalConfig(database_url=database_url, secret=SECRET, portal_url="http://127.0.0.1:8080", clock=clock)
    server = make_server(config, "127.0.0.1", 0)
    thread = Thread(target=server.run, name="portal")
    thread.start()
    deadline = monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the portal ended while starting"
        assert monotonic() < deadline, "the portal did not start"
        sleep(0.01)
    try:
        yield portal_address(server)
    finally:
        server.should_exit = True
        thread.join(20)


def _owner(connection: Connection, name: str, language: registry.Language, zone: str) -> UUID:
    return registry.register_owner(
        connection,
        name=name,
        language=language,
        time_zone=zone,
        email="someone@example.org",
        latitude=BERLIN[0],
        longitude=BERLIN[1],
    ).id


def _workshop(connection: Connection, name: str, *, north: float, price: str, rating: float) -> UUID:
    workshop = registry.register_workshop(
        connection,
        name=name,
        time_zone="Europe/Berlin",
        latitude=BERLIN[0] + north,
        longitude=BERLIN[1],
        rating=rating,
        email="workshop@example.org",
    )
    for number in range(2):
        workshops.add_bay(connection, workshop.id, f"Bay {number + 1}", ["mechanical"])
    workshops.set_opening_hours(connection, workshop.id, workshops.weekly_hours(range(1, 6), time(8), time(17)))
    for job in ("brake_pads", "oil_change"):
        workshops.add_job(
            connection, workshop.id, job, skill="mechanical", duration=timedelta(minutes=90), price=Decimal(price)
        )
    return workshop.id


def _remember(connection: Connection, vehicle: UUID, estimate: EstimateState) -> None:
    key = f"{estimate.quantity}@{estimate.position}/{estimate.source}"
    connection.execute(
        """
        INSERT INTO vehicle_state (vehicle_id, last_sample_at, estimates) VALUES (%s, %s, %s)
        ON CONFLICT (vehicle_id) DO UPDATE SET estimates = vehicle_state.estimates || excluded.estimates
        """,
        [vehicle, estimate.time, Jsonb({key: msgspec.to_builtins(estimate)})],
    )


def _kona(connection: Connection, car: UUID) -> None:
    for wheel, worn in zip(WHEELS, (54.0, 50.0, 30.0, 28.0), strict=True):
        store_curve(connection, car, "pad_wear", start=worn, per_day=0.27, days=120, noise=0.6, position=wheel)
    store_curve(connection, car, "traction_battery_soh", start=85.0, per_day=-0.022, days=150, noise=0.15, width=2.0)
    store_curve(
        connection,
        car,
        "traction_battery_soh",
        start=84.5,
        per_day=-0.02,
        days=150,
        noise=0.05,
        source="ecu",
        width=0.5,
    )
    store_curve(connection, car, "low_voltage_battery_health", start=88.0, per_day=-0.05, days=150, noise=1.0)
    store_curve(
        connection,
        car,
        "tire_pressure_loss",
        start=0.3,
        per_day=0.0,
        days=60,
        noise=0.05,
        position="Row1.Left",
        width=0.3,
    )
    write_state(
        connection,
        car,
        {
            "traveled_distance": 68_412_000.0,
            "low_voltage_battery_voltage": 12.6,
            "traction_battery_soc": 71.0,
            "tire_pressure_row1_left": 236.0,
            "tire_pressure_row1_right": 238.0,
            "tire_pressure_row2_left": 231.0,
            "tire_pressure_row2_right": 233.0,
        },
        seen=NOW - timedelta(minutes=12),
    )
    for hours, kind in ((1, "trip.ended"), (2, "trip.started"), (9, "charge.ended"), (15, "charge.started")):
        connection.execute(
            "INSERT INTO vehicle_event (vehicle_id, time, kind, data) VALUES (%s, %s, %s, '{}')",
            [car, NOW - timedelta(hours=hours), kind],
        )


def _polo(connection: Connection, car: UUID) -> None:
    store_curve(connection, car, "oil_life", start=60.0, per_day=-0.45, days=100, noise=0.8)
    write_state(connection, car, {"traveled_distance": 91_000_000.0}, seen=NOW - timedelta(hours=5), codes=("P0301",))
