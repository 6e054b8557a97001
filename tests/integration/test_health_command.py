"""``wearcast health`` over a real database: what is shown, the past replayed beside it, services entered."""

import json
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner, Result

from health.registry import build_estimators
from ingest import history, registry
from ingest.database import Connection
from ingest.decoding.decode import Incoming
from ingest.errors import ReadingStoreError
from ingest.outbound import services
from ingest.storing.writer import store
from rules.services import ServiceError
from telemetry.records import BatchKey, Estimate, Quantity, ReadingsBatch, Sample
from telemetry.topics import publish_topic
from telemetry.wire import encode_readings
from tests.integration.ingest_support import register_car
from tests.integration.service_support import a_record, keep
from wearcast.cli import app
from wearcast.health_replay import replay

pytestmark = pytest.mark.database

DEVICE = "car-1"
START = datetime(2026, 3, 1, 8, tzinfo=UTC)
LATER = START + timedelta(days=30)
VALUES = {
    "Vehicle.Speed": 60.0,
    "Vehicle.Powertrain.CombustionEngine.Speed": 2200.0,
    "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature": 90.0,
    "Vehicle.TraveledDistance": 120_000_000.0,
}


@pytest.fixture
def vehicle(connection: Connection) -> UUID:
    return register_car(connection, DEVICE)


def send(connection: Connection, samples: list[Sample], *estimates: Estimate, sequence: int = 1) -> None:
    batch = ReadingsBatch(
        key=BatchKey(device=DEVICE, boot=uuid4(), sequence=sequence), samples=tuple(samples), estimates=estimates
    )
    message = Incoming(topic=publish_topic(DEVICE, "readings"), payload=encode_readings(batch), received_at=LATER)
    assert store(connection, [message], LATER).batches == 1


def drive(seconds: int, start: datetime = START) -> list[Sample]:
    return [Sample(time=start + timedelta(seconds=n), monotonic_ms=1000 * n, values=VALUES) for n in range(seconds)]


def an_estimate(quantity: Quantity, value: float, *, time: datetime = START, limited_by: str = "") -> Estimate:
    return Estimate(
        time=time,
        quantity=quantity,
        value=value,
        low=value - 2,
        high=value + 2,
        source="estimated",
        method="told/1",
        measurements=23,
        limited_by=limited_by,
    )


def wearcast(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["health", *arguments], env={"WEARCAST_DATABASE_URL": database_url, "COLUMNS": "300", "TERM": "dumb"}
    )


def test_what_is_known_is_shown_with_what_it_rests_on(connection: Connection, vehicle: UUID, database_url: str) -> None:
    battery = an_estimate(Quantity.TRACTION_BATTERY_SOH, 91.0, limited_by="few_measurements")
    send(connection, drive(3), battery)
    today = datetime.now(UTC).date()
    registry.update_vehicle(connection, vehicle, in_service_since=date(today.year - 3, 1, 1))
    keep(connection, vehicle, a_record(START, Quantity.PAD_WEAR, position="Row1", value=6.5), now=START)
    told = json.loads(wearcast(database_url, "show", DEVICE, "--json").stdout)
    (row,) = told["estimates"]
    assert (row["value"], row["low"], row["high"], row["measurements"]) == (91, 89, 93, 23)
    assert (row["limited_by"], row["source"], row["method"]) == ("few_measurements", "estimated", "told/1")
    assert told["durability"]["stage"]["required"] == 72  # three years, but 120,000 km
    assert told["durability"]["margin"] == 19
    assert told["services"][0]["value"] == 6.5
    table = wearcast(database_url, "show", str(vehicle)).stdout
    assert "few_measurements" in table
    assert "Euro 7 (M1): 72 % required up to 8 years or 160,000 km; margin +19.0 points (+17.0 to +21.0)" in table
    assert "6.5 mm" in table
    assert "on its way" in table


def test_nothing_known_is_said(vehicle: UUID, database_url: str) -> None:
    assert "nothing is estimated yet" in wearcast(database_url, "show", str(vehicle)).stdout
    assert "no sample is stored" in wearcast(database_url, "replay", str(vehicle)).stdout
    unknown = wearcast(database_url, "show", "dongle-9")
    assert "dongle-9" in str(unknown.exception)


def test_the_past_replayed_is_what_the_estimators_say_of_it(
    connection: Connection, vehicle: UUID, database_url: str
) -> None:
    samples = drive(300)
    for start in range(0, 300, 100):
        send(connection, samples[start : start + 100], sequence=1)
    send(connection, drive(1, START + timedelta(days=2)), an_estimate(Quantity.OIL_LIFE, 77.0))
    keep(connection, vehicle, a_record(START + timedelta(seconds=100)), now=START)
    arguments = ("replay", DEVICE, "--from", "2026-03-01", "--to", "2026-03-02", "--json")
    told = json.loads(wearcast(database_url, *arguments).stdout)
    service = services.services(connection, vehicle)[0].record
    expected = replay(samples, [service], build_estimators("generic"))
    assert told["samples"] == 300
    assert [(row["quantity"], row["value"]) for row in told["estimates"]] == [
        (str(entry.quantity), round(entry.value, 2)) for entry in expected.estimates
    ]
    oil = next(row for row in told["estimates"] if row["quantity"] == "oil_life")
    assert oil["dongle_value"] == 77
    assert oil["dongle_method"] == "told/1"
    assert "samples from" in wearcast(database_url, *arguments[:-1]).stdout


def test_samples_are_read_in_time_order_within_their_period(connection: Connection, vehicle: UUID) -> None:
    send(connection, drive(5, START + timedelta(hours=1)))
    send(connection, drive(5))
    with connection.transaction():
        found = list(history.samples(connection, vehicle, START, START + timedelta(hours=1, seconds=3)))
        assert [sample.time for sample in found] == sorted(sample.time for sample in found)
        assert len(found) == 8
        assert found[0].values == VALUES
        with pytest.raises(ReadingStoreError, match="empty"):
            list(history.samples(connection, vehicle, START, START))
    assert history.first_sample_time(connection, vehicle) == START


def test_an_engineer_enters_a_service(connection: Connection, vehicle: UUID, database_url: str) -> None:
    entered = wearcast(
        database_url,
        *("service", DEVICE, "pad_wear", "--action", "measured", "--position", "Row2", "--value", "7", "--unit", "mm"),
        *("--when", "2026-03-01", "--by", "Anna", "--reason", "seen on the lift"),
    )
    assert entered.exit_code == 0, entered.output
    (stored,) = services.services(connection, vehicle)
    assert str(stored.id) == entered.stdout.strip()
    assert (stored.by_role, stored.by_name, stored.reason) == ("engineer", "Anna", "seen on the lift")
    assert (stored.quantity, stored.position, stored.value, stored.unit) == ("pad_wear", "Row2", 7.0, "mm")
    assert stored.time == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pad_wear", "--action", "measured", "--value", "70", "--unit", "mm"), "give 0.5 to 25"),
        (("pad_wear", "--action", "replaced", "--position", "front"), "position 'front'"),
        (("oil_life", "--action", "measured"), "give a value with what was measured"),
        (("oil_life", "--action", "replaced", "--when", "2999-01-01"), "lies in the future"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_give(
    connection: Connection, vehicle: UUID, database_url: str, arguments: tuple[str, ...], told: str
) -> None:
    result = wearcast(database_url, "service", DEVICE, *arguments, "--reason", "seen")
    assert isinstance(result.exception, ServiceError)
    assert told in str(result.exception)
    assert services.services(connection, vehicle) == []
