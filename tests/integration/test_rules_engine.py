"""The engine on a real TimescaleDB: one alert per episode, whoever looks and however often it restarts."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from ingest.database import Connection, connect
from ingest.registry import register_owner, register_vehicle, register_workshop
from ingest.state import merge
from ingest.state_rows import lock_states, write_states
from rules.alerts import explain, list_alerts, read_alert
from rules.backtest import backtest
from rules.booking import desk, workshops
from rules.booking.errors import BookingError
from rules.engine import EngineConfig, run_engine, run_once
from rules.errors import AlertNotFoundError
from rules.rule import parse_rule, rulebook
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

pytestmark = pytest.mark.database

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
            write_states(self.connection, [merge(before, [batch], self.clock.now)])

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


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    asked, clock = Desk(), Clock()
    config = EngineConfig(
        database_url=database_url,
        rules=(*rulebook(), HELD),
        poll_s=0.01,
        clock=clock,
        propose=asked.propose,
        announce=asked.announce,
    )
    with closing(connect(database_url, autocommit=True)) as connection:
        yield Bench(connection=connection, config=config, clock=clock, desk=asked, car=register_car(connection))


def test_an_alert_opens_once_and_a_booking_is_proposed_once(bench: Bench) -> None:
    bench.oil(5)
    assert bench.run() == 1
    assert bench.alerts() == [("oil_life_low", "", True)]
    for _ in range(3):
        bench.oil(4)
        bench.run()
    assert bench.alerts() == [("oil_life_low", "", True)]
    assert len(bench.desk.proposed) == 1
    assert bench.desk.announced == []


def test_nothing_new_is_nothing_to_do(bench: Bench) -> None:
    bench.oil(50)
    assert bench.run() == 1
    assert bench.run() == 0


def test_without_an_offer_the_owner_is_told_of_the_alert_alone(bench: Bench) -> None:
    bench.desk.books = False
    bench.oil(5)
    bench.run()
    assert bench.desk.announced == bench.desk.proposed
    assert len(bench.desk.announced) == 1


def test_a_rule_without_a_job_only_announces(bench: Bench) -> None:
    bench.coolant(120)
    bench.run()
    bench.clock.advance(minutes=10)
    bench.coolant(120)
    bench.run()
    assert bench.desk.proposed == []
    assert len(bench.desk.announced) == 1


def test_what_is_only_worth_mentioning_occupies_no_bay(bench: Bench) -> None:
    bench.code("P0456")
    bench.run()
    assert bench.alerts() == [("trouble_code_confirmed", "P0456", True)]
    assert bench.desk.proposed == []
    assert len(bench.desk.announced) == 1


def test_hysteresis_and_a_second_episode(bench: Bench) -> None:
    for value, alerts in ((5, [True]), (15, [True]), (100, [False]), (15, [False]), (5, [False, True])):
        bench.clock.advance(days=1)
        bench.oil(value)
        bench.run()
        assert sorted(is_open for _, _, is_open in bench.alerts()) == alerts
    assert len(bench.desk.proposed) == 2


def test_silence_is_unknown_and_keeps_the_alert(bench: Bench) -> None:
    bench.oil(5)
    bench.run()
    bench.clock.advance(days=13)
    assert bench.run() == 0
    bench.clock.advance(days=1)
    assert bench.run() == 1, "the silence itself makes the vehicle due"
    assert bench.rule_state("oil_life_low") == "unknown"
    assert bench.alerts() == [("oil_life_low", "", True)]
    assert bench.run() == 0
    bench.oil(6)
    bench.run()
    assert bench.rule_state("oil_life_low") == "firing"
    assert len(bench.alerts()) == 1


def test_old_data_of_a_backlog_does_not_fire(bench: Bench) -> None:
    bench.oil(5, at=NOW - 60 * DAY)
    bench.run()
    assert bench.alerts() == []
    assert bench.rule_state("oil_life_low") == "unknown"


def test_a_restart_keeps_timers(bench: Bench) -> None:
    bench.coolant(120)
    bench.run()
    assert bench.rule_state("engine_hot") == "pending"
    bench.clock.advance(minutes=9)
    bench.coolant(120)
    with closing(connect(bench.config.database_url, autocommit=True)) as after_restart:
        run_once(after_restart, bench.config)
        assert bench.alerts() == []
        bench.clock.advance(minutes=1)
        bench.coolant(120)
        run_once(after_restart, bench.config)
    assert bench.alerts() == [("engine_hot", "", True)]


def test_codes_are_episodes_of_their_own(bench: Bench) -> None:
    bench.code("P0301")
    bench.code("P0420")
    bench.run()
    bench.code("P0301", EventKind.DTC_CLEARED)
    bench.run()
    assert bench.alerts() == [("trouble_code_confirmed", "P0301", False), ("trouble_code_confirmed", "P0420", True)]
    bench.code("P0301")
    bench.run()
    assert len(bench.alerts()) == 3


def test_two_engines_at_once_make_one_alert_per_car(bench: Bench) -> None:
    cars = [bench.car, *(register_car(bench.connection) for _ in range(20))]
    for car in cars:
        bench.oil(5, car=car)
    start = threading.Barrier(4)
    claimed: list[int] = []

    def engine() -> None:
        with closing(connect(bench.config.database_url, autocommit=True)) as connection:
            start.wait()
            claimed.append(run_once(connection, bench.config))

    threads = [threading.Thread(target=engine) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alerts = list_alerts(bench.connection)
    assert len(alerts) == len(cars)
    assert {alert.vehicle_id for alert in alerts} == set(cars)
    assert len(bench.desk.proposed) == len(cars)
    assert sum(claimed) == len(cars), "each car was judged by one engine"


def test_the_index_refuses_a_second_alert_even_if_the_state_was_lost(bench: Bench) -> None:
    bench.oil(5)
    bench.run()
    bench.connection.execute("DELETE FROM rule_state")
    bench.oil(4)
    bench.run()
    assert bench.alerts() == [("oil_life_low", "", True)]
    assert len(bench.desk.proposed) == 1


def test_a_failing_desk_leaves_no_half_done_alert_and_is_tried_again(bench: Bench) -> None:
    def refuse(connection: Connection, alert_id: UUID, now: datetime) -> object | None:
        raise BookingError("no calendar today")

    bench.oil(5)
    run_once(bench.connection, replace(bench.config, propose=refuse))
    failures, due_at, error = bench.progress()
    assert (failures, error) == (1, "BookingError: no calendar today")
    assert due_at is not None
    assert due_at > bench.clock.now
    assert bench.alerts() == []
    assert bench.run() == 0, "not before its time"
    bench.clock.now = due_at
    assert bench.run() == 1
    assert bench.alerts() == [("oil_life_low", "", True)]
    assert bench.progress()[0] == 0


def test_a_car_with_bad_data_is_recorded_and_the_others_go_on(bench: Bench) -> None:
    good = register_car(bench.connection)
    bench.spoil()
    bench.oil(5, car=good)
    assert bench.run() == 2
    assert len(list_alerts(bench.connection, vehicle_id=good)) == 1
    failures, _, error = bench.progress()
    assert failures == 1
    assert error is not None
    assert error.startswith("StateError: the stored state of vehicle")


def test_back_off_grows_to_a_limit(bench: Bench) -> None:
    bench.spoil()
    waits = []
    for _ in range(12):
        bench.run()
        due_at = bench.progress()[1]
        assert due_at is not None
        waits.append(due_at - bench.clock.now)
        bench.clock.now = due_at
    assert waits == sorted(waits)
    assert waits[0] == timedelta(seconds=2)
    assert waits[-1] == timedelta(minutes=5)


def test_one_rule_that_cannot_be_computed_leaves_the_others_working(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.oil(5)
    dividing = parse_rule(
        """
for_each: vehicle
when: 10 / int(estimate.oil_life.value * 3.0 - 15.0) > 1 # fails at 5
needs: {estimate.oil_life: 1d}
severity: info
title: {en: a, zh: 甲}
text: {en: a, zh: 甲}
examples: [{name: a, given: {}, expect: unknown}]
""",
        "divides.yaml",
    )
    run_once(bench.connection, replace(bench.config, rules=(*rulebook(), dividing)))
    assert bench.alerts() == [("oil_life_low", "", True)]
    failures, due_at, error = bench.progress()
    assert failures == 0
    assert error is not None
    assert error.startswith("rule divides: EvaluationError")
    assert due_at == bench.clock.now + timedelta(minutes=5)
    bench.oil(5, at=NOW + timedelta(seconds=1))
    run_once(bench.connection, replace(bench.config, rules=(*rulebook(), dividing)))
    assert [record.message for record in caplog.records if "rule divides" in record.message] == [
        f"vehicle {bench.car}: {error}"
    ], "the same error is logged once"


def test_a_second_alert_of_the_same_job_needs_no_second_visit(bench: Bench) -> None:
    bench.oil(5)
    bench.run()
    alert = list_alerts(bench.connection)[0]
    book(bench.connection, bench.car, alert.id, job="diagnosis", start=NOW + DAY)
    bench.code("P0301")
    bench.run()
    assert bench.desk.proposed == [alert.id]
    assert len(bench.desk.announced) == 1


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


def open_a_workshop(bench: Bench) -> None:
    workshop = register_workshop(
        bench.connection,
        name="Werk",
        time_zone="Europe/Berlin",
        latitude=52.5,
        longitude=13.4,
        rating=4.5,
        email="werk@example.org",
    )
    workshops.add_bay(bench.connection, workshop.id, "Bay 1", ["mechanical"])
    hours = workshops.weekly_hours(range(1, 6), time(8), time(17))
    workshops.set_opening_hours(bench.connection, workshop.id, hours)
    workshops.add_job(
        bench.connection,
        workshop.id,
        "oil_change",
        skill="mechanical",
        duration=timedelta(hours=1),
        price=Decimal("89.00"),
    )


def test_alert_booking_and_message_are_committed_together(bench: Bench) -> None:
    open_a_workshop(bench)
    config = replace(bench.config, propose=desk.propose_booking, announce=desk.announce_alert)
    bench.oil(5)
    run_once(bench.connection, config)
    bench.oil(4)
    run_once(bench.connection, config)
    row = bench.connection.execute(
        """
        SELECT count(*), min(booking.state), min(booking.job),
               (SELECT count(*) FROM outgoing WHERE outgoing.kind = 'owner_message')
        FROM booking JOIN alert ON alert.id = booking.alert_id
        """
    ).fetchone()
    assert row == (1, "proposed", "oil_change", 1)


def test_a_slot_nobody_answers_for_is_given_back_by_the_loop(bench: Bench) -> None:
    open_a_workshop(bench)
    config = replace(bench.config, propose=desk.propose_booking, announce=desk.announce_alert)
    bench.oil(5)
    run_once(bench.connection, config)
    bench.clock.advance(days=2)
    stop = threading.Event()
    engine = threading.Thread(target=run_engine, args=(config, stop), name="engine")
    engine.start()
    try:
        wait_for(lambda: bench.connection.execute("SELECT state FROM booking").fetchall() == [("expired",)])
    finally:
        stop.set()
        engine.join(timeout=10)


def test_the_loop_works_until_it_is_stopped_and_survives_a_lost_connection(bench: Bench) -> None:
    stop = threading.Event()
    engine = threading.Thread(target=run_engine, args=(bench.config, stop), name="engine")
    engine.start()
    try:
        bench.oil(5)
        wait_for(lambda: len(bench.alerts()) == 1)
        bench.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'wearcast rules' AND datname = current_database()"
        )
        bench.code("P0301")
        wait_for(lambda: len(bench.alerts()) == 2)
    finally:
        stop.set()
        engine.join(timeout=10)
    assert not engine.is_alive()


def wait_for(condition: object) -> None:
    assert callable(condition)
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail("it did not happen within ten seconds")


def test_a_forecast_is_made_from_the_stored_curve(bench: Bench) -> None:
    rows = [(NOW - (100 - day) * DAY, 91 - 0.1 * day) for day in range(101)]
    with bench.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO estimate VALUES (%s, %s, 'traction_battery_soh', '', %s, %s, %s, 'estimated', 'test/1')",
            [(time, bench.car, value, value - 1, value + 1) for time, value in rows],
        )
    bench.estimate(Quantity.TRACTION_BATTERY_SOH, 81.0)
    bench.run()
    assert bench.alerts() == [("traction_battery_soh_forecast", "", True)]
    alert = list_alerts(bench.connection)[0]
    assert "March 2026" in alert.text_en
    due_at = bench.progress()[1]
    assert due_at == NOW + DAY, "a forecast is looked at again the next day"


def test_an_alert_can_be_explained(bench: Bench) -> None:
    bench.oil(5)
    bench.run()
    alert = list_alerts(bench.connection)[0]
    why = explain(bench.connection, alert.id)
    assert why.condition == "estimate.oil_life.value < limit"
    assert why.limit == 10
    assert why.rule_is_current
    assert why.held_since == NOW
    (seen,) = why.inputs
    assert (seen.name, seen.time, seen.source, seen.method) == ("estimate.oil_life", NOW, "estimated", "test/1")
    assert seen.fields["value"] == 5
    bench.clock.advance(days=1)
    bench.oil(100)
    bench.run()
    closed = read_alert(bench.connection, alert.id)
    assert closed.closed_at == bench.clock.now
    assert closed.evidence["closed_by"]["estimate.oil_life"]["fields"]["value"] == 100


def test_an_unknown_alert_is_named(bench: Bench) -> None:
    with pytest.raises(AlertNotFoundError, match="there is no alert"):
        explain(bench.connection, UUID(int=0))


def test_backtest_over_stored_history(bench: Bench) -> None:
    with bench.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO estimate VALUES (%s, %s, 'oil_life', '', %s, %s, %s, 'estimated', 'test/1')",
            [(NOW - (60 - day) * DAY, bench.car, v, v, v) for day in range(60) if (v := 50 - day if day < 45 else 100)],
        )
        cursor.executemany(
            "INSERT INTO reading (time, vehicle_id, tire_pressure_row1_left) VALUES (%s, %s, %s)",
            [(NOW - 3 * DAY + timedelta(hours=hour), bench.car, 230 - 2 * hour) for hour in range(73)],
        )
        cursor.executemany(
            "INSERT INTO vehicle_event (vehicle_id, time, kind, data) VALUES (%s, %s, %s, %s)",
            [
                (
                    bench.car,
                    NOW - 9 * DAY,
                    "dtc.appeared",
                    Jsonb({"code": "P0301", "ecu": "7E8", "status": "confirmed"}),
                ),
                (bench.car, NOW - 4 * DAY, "dtc.cleared", Jsonb({"code": "P0301", "ecu": "7E8"})),
            ],
        )
    rules = {rule.id: rule for rule in rulebook()}

    def episodes(rule_id: str) -> list[tuple[str, datetime, datetime | None]]:
        found = backtest(bench.connection, rules[rule_id], [bench.car], NOW - 60 * DAY, NOW)
        return [(firing.subject, firing.opened_at, firing.closed_at) for firing in found]

    assert episodes("oil_life_low") == [("", NOW - 19 * DAY, NOW - 15 * DAY)]
    assert episodes("trouble_code_confirmed") == [("P0301", NOW - 9 * DAY, NOW - 4 * DAY)]
    assert [subject for subject, _, _ in episodes("tire_losing_pressure")] == ["Row1.Left"]
    assert list_alerts(bench.connection) == [], "a backtest writes nothing"


def test_no_personal_data_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bench.oil(5)
    bench.run()
    bench.spoil()
    bench.run()
    assert "alert" in caplog.text
    for secret in ("Ada", "Blue", "52.5", "13.4", bench.config.database_url):
        assert secret not in caplog.text
    assert bench.config.database_url not in repr(bench.config)


def test_state_that_is_not_ours_is_refused_by_the_database(bench: Bench) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        bench.connection.execute(
            "INSERT INTO rule_state (rule_id, vehicle_id, subject, state, since, rule_version)"
            " VALUES ('a', %s, '', 'maybe', now(), 'v')",
            [bench.car],
        )
