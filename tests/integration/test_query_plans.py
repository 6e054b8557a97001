"""No question asked all day reads a whole table: plans as they ran, with every table that grows too large to scan."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from ingest import reading_store
from ingest.database import Connection
from ingest.decoding.decode import Incoming
from ingest.history import first_sample_time, last_estimates
from ingest.rollups.read import fleet_days, vehicle_rollup
from ingest.storing.writer import store
from telemetry.wire import encode_readings
from tests.integration.ingest_support import readings, register_car
from tests.integration.rollup_support import every, put, refresh
from tests.plan_support import full_scans, scans_of

pytestmark = pytest.mark.database

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 40
END = START + timedelta(days=DAYS)


@pytest.fixture
def cars(connection: Connection) -> list[UUID]:
    """Three cars with forty days of values; a plan may scan nothing it has an index for, however little."""
    vehicles = [register_car(connection, f"d{number}") for number in range(3)]
    for vehicle in vehicles:
        put(connection, vehicle, every(3 * 3600, START, 8 * DAYS))
    refresh(connection, most=100_000)
    connection.execute("UPDATE storage_state SET settled_before = %s", [END - timedelta(hours=5)])
    connection.execute("ANALYZE")
    connection.execute("SET enable_seqscan = off")
    return vehicles


def test_what_is_asked_all_day_scans_no_table(connection: Connection, cars: list[UUID]) -> None:
    car = cars[1]
    questions: dict[str, Callable[[], object]] = {
        "latest state": lambda: reading_store.latest_state(connection, car),
        "a day": lambda: reading_store.series(connection, car, "speed", START, START + timedelta(days=1)),
        "a day, averaged": lambda: reading_store.series(
            connection, car, "speed", START, START + timedelta(days=1), max_points=5
        ),
        "a month per day": lambda: vehicle_rollup(connection, car, "speed", START, END),
        "a month per hour": lambda: vehicle_rollup(connection, car, "speed", START, END, by="hour"),
        "a fleet's month": lambda: fleet_days(connection, cars, "speed", START, END),
        "a health curve": lambda: reading_store.estimate_series(connection, car, "oil_life", "", START, END),
        "the last estimates": lambda: last_estimates(connection, car, END),
        "the first sample": lambda: first_sample_time(connection, car),
        "events": lambda: reading_store.events(connection, car),
    }
    for name, ask in questions.items():
        assert full_scans(scans_of(connection, ask)) == [], name


def test_a_day_reads_the_chunk_of_that_day_alone(connection: Connection, cars: list[UUID]) -> None:
    def ask() -> object:
        return reading_store.series(connection, cars[0], "speed", START, START + timedelta(days=1))

    assert len({scan.relation for scan in scans_of(connection, ask)}) == 1


def test_a_month_is_read_from_roll_ups(connection: Connection, cars: list[UUID]) -> None:
    def of_days() -> object:
        return vehicle_rollup(connection, cars[0], "speed", START, END)

    def of_the_past() -> object:
        return vehicle_rollup(connection, cars[0], "speed", START, START + timedelta(days=30))

    assert {scan.parent for scan in scans_of(connection, of_the_past)} == {"storage_state", "rollup_day"}
    scans = scans_of(connection, of_days)
    assert {scan.parent for scan in scans} == {"storage_state", "rollup_day", "rollup_hour", "reading"}
    assert len({scan.relation for scan in scans if scan.parent == "reading"}) == 1  # the last hours


def test_storing_and_rolling_up_scan_no_table(connection: Connection, cars: list[UUID]) -> None:
    batch = readings("d1", uuid4(), 1)
    message = Incoming(topic="wearcast/v1/d1/readings", payload=encode_readings(batch), received_at=END)
    assert full_scans(scans_of(connection, lambda: store(connection, [message], END))) == []
    put(connection, cars[0], [(START + timedelta(days=3, minutes=1), 1.0)])
    scans = scans_of(connection, lambda: refresh(connection))
    assert full_scans(scans) == []
    chunks = {scan.relation for scan in scans if scan.parent == "reading"} - {"reading"}  # itself always empty
    assert len(chunks) == 2  # of the two hours, of six in all


def test_a_missing_index_would_be_seen(connection: Connection, cars: list[UUID]) -> None:
    connection.execute("DROP INDEX reading_vehicle_time")
    scans = scans_of(
        connection, lambda: reading_store.series(connection, cars[0], "speed", START, START + timedelta(days=1))
    )
    assert [scan.parent for scan in full_scans(scans)] == ["reading"]
