"""The read side over what the writer stored."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from ingest import reading_store
from ingest.database import Connection
from ingest.decoding.decode import Incoming
from ingest.errors import ReadingStoreError
from ingest.storing.writer import store
from telemetry.records import (
    BatchKey,
    Estimate,
    EventKind,
    EventsBatch,
    Quantity,
    ReadingsBatch,
    Sample,
    Source,
    VehicleEvent,
)
from telemetry.wire import encode_events, encode_readings
from tests.integration.ingest_support import SPEED, START, register_car
from tests.integration.personal_scene import tables_with

pytestmark = pytest.mark.database

MIL = "Vehicle.OBD.Status.IsMILOn"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def keep(connection: Connection, batch: ReadingsBatch) -> None:
    message = Incoming(
        topic=f"wearcast/v1/{batch.key.device}/readings", payload=encode_readings(batch), received_at=NOW
    )
    assert store(connection, [message], NOW).batches == 1


def test_of_the_vin_in_an_event_only_its_end_is_kept(connection: Connection) -> None:
    vehicle = register_car(connection, "d")
    event = VehicleEvent(
        time=START, kind=EventKind.VEHICLE_IDENTIFIED, data={"vin": "WVWZZZ6RZHY123456", "profile": "generic"}
    )
    batch = EventsBatch(key=BatchKey(device="d", boot=uuid4(), sequence=1), events=(event,))
    message = Incoming(topic="wearcast/v1/d/events", payload=encode_events(batch), received_at=NOW)
    assert store(connection, [message], NOW).batches == 1
    (kept,) = reading_store.events(connection, vehicle)
    assert kept.data == {"vin": "…123456", "profile": "generic"}
    assert tables_with(connection, "WVWZZZ6RZHY123456") == set()


def estimate(seconds: float, value: float, source: Source = "estimated") -> Estimate:
    return Estimate(
        time=at(seconds), quantity=Quantity.OIL_LIFE, value=value, low=value - 1, high=value + 1, source=source,
        method="test/1",
    )  # fmt: skip


@pytest.fixture
def car(connection: Connection) -> UUID:
    """A car with a thousand seconds of speed (0, 1, 2, …), the lamp on from second 500, and oil estimates."""
    vehicle = register_car(connection, "d1")
    samples = tuple(
        Sample(time=at(second), monotonic_ms=0, values={SPEED: float(second % 250), MIL: float(second >= 500)})
        for second in range(1000)
    )
    estimates = (*(estimate(second, 90 - second / 100) for second in range(0, 1000, 10)), estimate(5, 80, "ecu"))
    key = BatchKey(device="d1", boot=uuid4(), sequence=1)
    keep(connection, ReadingsBatch(key=key, samples=samples, estimates=estimates))
    return vehicle


def test_few_values_come_as_they_are(connection: Connection, car: UUID) -> None:
    found = reading_store.series(connection, car, "speed", at(10), at(13))
    assert found == [(at(10), 10.0), (at(11), 11.0), (at(12), 12.0)]


def test_many_values_are_averaged_over_equal_stretches(connection: Connection, car: UUID) -> None:
    found = reading_store.series(connection, car, "speed", at(0), at(200), max_points=20)
    assert len(found) == 20
    assert found[0] == (at(0), 4.5)
    assert found[1] == (at(10), 14.5)


def test_a_boolean_signal_is_a_series_of_zero_and_one(connection: Connection, car: UUID) -> None:
    assert reading_store.series(connection, car, "mil_on", at(499), at(501)) == [(at(499), 0.0), (at(500), 1.0)]
    assert len(reading_store.series(connection, car, "mil_on", at(0), at(1000), max_points=10)) == 10


def test_a_signal_never_read_has_no_values(connection: Connection, car: UUID) -> None:
    assert reading_store.series(connection, car, "oil_life", at(0), at(1000)) == []


def test_questions_without_sense_are_refused(connection: Connection, car: UUID) -> None:
    with pytest.raises(ReadingStoreError, match="did you mean 'speed'"):
        reading_store.series(connection, car, "sped", at(0), at(1))
    with pytest.raises(ReadingStoreError, match="is empty"):
        reading_store.series(connection, car, "speed", at(1), at(1))
    with pytest.raises(ReadingStoreError, match="at least one point"):
        reading_store.series(connection, car, "speed", at(0), at(1), max_points=0)
    with pytest.raises(ValueError, match="time zone"):
        reading_store.series(connection, car, "speed", at(0).replace(tzinfo=None), at(1))


def test_estimates_come_by_source_and_thinned_without_inventing_any(connection: Connection, car: UUID) -> None:
    everything = reading_store.estimate_series(connection, car, "oil_life", "", at(0), at(1000))
    assert len(everything) == 101
    assert [point.value for point in everything[:3]] == [90, 80, pytest.approx(89.9)]
    (read,) = reading_store.estimate_series(connection, car, Quantity.OIL_LIFE, "", at(0), at(1000), source="ecu")
    assert (read.time, read.value, read.low, read.high, read.source) == (at(5), 80, 79, 81, "ecu")
    thinned = reading_store.estimate_series(
        connection, car, "oil_life", "", at(0), at(1000), source="estimated", max_points=10
    )
    assert [point.time for point in thinned] == [at(second) for second in range(90, 1000, 100)]
    assert set(thinned) <= set(everything)
    assert reading_store.estimate_series(connection, car, "oil_life", "Row1.Left", at(0), at(1000)) == []


def test_the_state_of_many_cars_at_once(connection: Connection, car: UUID) -> None:
    silent = register_car(connection, "d2")
    states = reading_store.latest_states(connection, [car, silent])
    assert states[car] == reading_store.latest_state(connection, car)
    assert (states[car].value("speed"), states[car].value("mil_on")) == (249.0, 1.0)
    assert states[silent] == reading_store.VehicleState(vehicle_id=silent)
    assert states[silent].value("speed") is None


def test_counts_tell_what_is_there_and_what_is_missing(connection: Connection, car: UUID) -> None:
    boot = uuid4()
    for sequence in (1, 2, 4):
        sample = Sample(time=at(2000 + sequence), monotonic_ms=0, values={SPEED: 1.0})
        keep(connection, ReadingsBatch(key=BatchKey(device="d1", boot=boot, sequence=sequence), samples=(sample,)))
    counted = reading_store.counts(connection)
    assert (counted.samples, counted.estimates, counted.events, counted.batches) == (1003, 101, 0, 4)
    (gap,) = [entry for entry in counted.boots if entry.boot == boot]
    assert (gap.batches, gap.items, gap.first_sequence, gap.last_sequence, gap.resent) == (3, 3, 1, 4, 0)
