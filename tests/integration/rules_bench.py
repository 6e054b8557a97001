"""A car in a real database, an engine to look at it, and a desk that notes what it is asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from uuid import UUID, uuid4

from ingest.database import Connection
from ingest.registry import register_owner, register_vehicle
from ingest.storing.state import merge
from ingest.storing.state_rows import lock_states, write_states
from rules.alerts import list_alerts
from rules.engine import EngineConfig, run_engine, run_once
from rules.rule import parse_rule
from telemetry.catalogue import catalogue
from telemetry.records import (
    BatchKey,
    Estimate,
    EventKind,
    EventsBatch,
    Quantity,
    ReadingsBatch,
    Sample,
    VehicleEvent,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = BatchKey(device="dongle", boot=uuid4(), sequence=1)
HELD = parse_rule(
    """
for_each: vehicle
when: signal.coolant_temperature > 115.0
clear: signal.coolant_temperature < 105.0
for: 10min
needs: {signal.coolant_temperature: 1h}
severity: stop
title: {en: "Engine is hot", zh: "发动机过热"}
text: {en: "Stop.", zh: "停车。"}
examples: [{name: a, given: {}, expect: unknown}]
""",
    "engine_hot.yaml",
)


@dataclass
class Desk:
    """Records what the engine asks of the booking desk."""

    books: bool = True
    proposed: list[UUID] = field(default_factory=list)
    announced: list[UUID] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def propose(self, connection: Connection, alert_id: UUID, now: datetime) -> object | None:  # noqa: ARG002 - the desk's signature
        with self.lock:
            self.proposed.append(alert_id)
        return object() if self.books else None

    def announce(self, connection: Connection, alert_id: UUID, now: datetime) -> None:  # noqa: ARG002 - the desk's signature
        with self.lock:
            self.announced.append(alert_id)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def agrees(self, _connection: Connection) -> bool:
        return True

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@dataclass(frozen=True)
class Bench:
    """A car in a database, and an engine to look at it."""

    connection: Connection
    config: EngineConfig
    clock: Clock
    desk: Desk
    car: UUID

    def run(self) -> int:
        return run_once(self.connection, self.config)

    def alerts(self) -> list[tuple[str, str, bool]]:
        found = list_alerts(self.connection, vehicle_id=self.car)
        return sorted((alert.rule_id, alert.subject, alert.closed_at is None) for alert in found)

    def oil(self, value: float, *, car: UUID | None = None, at: datetime | None = None) -> None:
        self.estimate(Quantity.OIL_LIFE, value, car=car, at=at)

    def estimate(
        self, quantity: Quantity, value: float, *, car: UUID | None = None, at: datetime | None = None
    ) -> None:
        estimate = Estimate(
            time=at or self.clock.now,
            quantity=quantity,
            value=value,
            low=value,
            high=value,
            source="estimated",
            method="test/1",
        )
        self.ingest(ReadingsBatch(key=KEY, samples=(), estimates=(estimate,)), car)

    def coolant(self, value: float) -> None:
        path = catalogue().by_column("coolant_temperature").path
        sample = Sample(time=self.clock.now, monotonic_ms=0, values={path: value})
        self.ingest(ReadingsBatch(key=KEY, samples=(sample,)))

    def code(self, code: str, kind: EventKind = EventKind.DTC_APPEARED) -> None:
        data = {"code": code, "ecu": "7E8", "status": "confirmed", "mil": True}
        self.ingest(
            EventsBatch(key=KEY, events=(VehicleEvent(time=self.clock.advance(seconds=1), kind=kind, data=data),))
        )

    def ingest(self, batch: ReadingsBatch | EventsBatch, car: UUID | None = None) -> None:
        """What the intake does to the latest state of a vehicle."""
        car = car or self.car
        with self.connection.transaction():
            before = lock_states(self.connection, [car])[car]
            write_states(self.connection, [(before, merge(before, [batch], self.clock.now))])

    def spoil(self) -> None:
        """Leave a state that no intake writes."""
        self.oil(5)
        self.connection.execute(
            """UPDATE vehicle_state SET signals = '{"speed": {"value": "fast"}}' WHERE vehicle_id = %s""", [self.car]
        )

    def rule_state(self, rule_id: str) -> str:
        row = self.connection.execute(
            "SELECT state FROM rule_state WHERE vehicle_id = %s AND rule_id = %s", [self.car, rule_id]
        ).fetchone()
        assert row is not None
        return str(row[0])

    def progress(self) -> tuple[int, datetime | None, str | None]:
        row = self.connection.execute(
            "SELECT failures, due_at, last_error FROM rule_progress WHERE vehicle_id = %s", [self.car]
        ).fetchone()
        assert row is not None
        failures, due_at, last_error = row
        return failures, due_at, last_error


def register_car(connection: Connection) -> UUID:
    owner = register_owner(connection, name="Ada", time_zone="Europe/Berlin", latitude=52.52, longitude=13.4)
    return register_vehicle(connection, owner_id=owner.id, label="Blue", profile="generic").id


def book(connection: Connection, car: UUID, alert_id: UUID, *, job: str, start: datetime) -> None:
    row = connection.execute(
        "INSERT INTO workshop (name, time_zone, latitude, longitude, rating, email)"
        " VALUES ('W', 'UTC', 0, 0, 4, 'w@example.org') RETURNING id"
    ).fetchone()
    assert row is not None
    bay = connection.execute(
        "INSERT INTO bay (workshop_id, name, skills) VALUES (%s, 'A', '{mechanical}') RETURNING id", row
    ).fetchone()
    assert bay is not None
    connection.execute(
        """
        INSERT INTO booking (alert_id, vehicle_id, workshop_id, bay_id, job, period, price, currency, state, created_at,
                             changed_at)
        VALUES (%s, %s, %s, %s, %s, tstzrange(%s, %s), 10, 'EUR', 'confirmed', %s, %s)
        """,
        [alert_id, car, row[0], bay[0], job, start, start + timedelta(hours=1), NOW, NOW],
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + 60
    while not condition():
        assert monotonic() < deadline, "it did not happen within 60 s"
        sleep(0.02)


@contextmanager
def running_engine(config: EngineConfig) -> Iterator[threading.Thread]:
    """The engine in the background for the time of the block; it is stopped at the end."""
    stop = threading.Event()
    engine = threading.Thread(target=run_engine, args=(config, stop), name="engine")
    engine.start()
    try:
        yield engine
    finally:
        stop.set()
        engine.join(timeout=60)
        assert not engine.is_alive()
