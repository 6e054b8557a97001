"""Rows of the latest state: only what changes is read and written, and one that cannot be read keeps nothing out."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from ingest import reading_store
from ingest.database import Connection
from ingest.decoding.decode import Incoming
from ingest.storing.writer import store
from telemetry.records import Estimate, EventKind, EventsBatch, Quantity, ReadingsBatch
from telemetry.topics import publish_topic
from telemetry.wire import encode_events, encode_readings
from tests.integration.ingest_support import SPEED, START, readings, register_car, trouble_code

pytestmark = pytest.mark.database
BOOT = UUID(int=7)
ESTIMATE = Estimate(time=START, quantity=Quantity.OIL_LIFE, value=50, low=40, high=60, source="ecu", method="ecu")


def send(connection: Connection, *batches: ReadingsBatch | EventsBatch) -> int:
    """Store batches as one group; how many were new."""
    now = datetime.now(UTC)
    messages = [Incoming(topic=topic, payload=payload, received_at=now) for topic, payload in map(_published, batches)]
    return store(connection, messages, now).batches


def _published(batch: ReadingsBatch | EventsBatch) -> tuple[str, bytes]:
    if isinstance(batch, EventsBatch):
        return publish_topic(batch.key.device, "events"), encode_events(batch)
    return publish_topic(batch.key.device, "readings"), encode_readings(batch)


def test_readings_leave_estimates_and_codes_as_they_are(connection: Connection) -> None:
    vehicle = register_car(connection, "d1")
    told = replace(readings("d1", BOOT, 1), estimates=(ESTIMATE,))
    appeared = trouble_code("d1", BOOT, 2, EventKind.DTC_APPEARED, seconds=5)
    cleared = trouble_code("d1", BOOT, 3, EventKind.DTC_CLEARED, seconds=4, code="P0420")
    assert send(connection, told, appeared, cleared) == 3
    before = reading_store.latest_state(connection, vehicle)
    assert send(connection, readings("d1", BOOT, 4)) == 1
    after = reading_store.latest_state(connection, vehicle)
    assert after.estimates == before.estimates
    assert after.estimates
    assert after.trouble_codes == before.trouble_codes
    assert [entry.code for entry in after.trouble_codes] == ["P0301"]
    assert after.cleared_codes == before.cleared_codes
    assert after.cleared_codes
    assert (before.value("speed"), after.value("speed")) == (1.0, 4.0)
    assert after.version == before.version + 1


def test_events_and_estimates_leave_signals_as_they_are(connection: Connection) -> None:
    vehicle = register_car(connection, "d1")
    send(connection, readings("d1", BOOT, 1))
    send(connection, trouble_code("d1", BOOT, 2, EventKind.DTC_APPEARED, seconds=5))
    send(connection, ReadingsBatch(key=readings("d1", BOOT, 3).key, samples=(), estimates=(ESTIMATE,)))
    state = reading_store.latest_state(connection, vehicle)
    assert state.value("speed") == 1.0
    assert len(state.trouble_codes) == len(state.estimates) == 1
    assert state.version == 3


@pytest.mark.parametrize(
    ("column", "broken"),
    [
        ("signals", '{"speed": {"value": "fast"}}'),
        ("estimates", '{"oil_life/ecu": 5}'),
        ("trouble_codes", '{"no": "list"}'),
        ("cleared_codes", '{"P0301": "once"}'),
    ],
)
def test_a_document_that_cannot_be_read_begins_anew_and_the_others_stay(
    column: str, broken: str, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    vehicle, other = register_car(connection, "d1"), register_car(connection, "d2")
    boot = uuid4()
    send(connection, replace(readings("d1", BOOT, 1), estimates=(ESTIMATE,)), readings("d2", boot, 1))
    before = reading_store.latest_state(connection, vehicle)
    connection.execute(
        f"UPDATE vehicle_state SET {column} = %s WHERE vehicle_id = %s",  # noqa: S608 - a column above
        [broken, vehicle],
    )
    appeared = trouble_code("d1", BOOT, 3, EventKind.DTC_APPEARED, seconds=90)
    with caplog.at_level(logging.ERROR):
        late = readings("d1", BOOT, 2, values={SPEED: 7.0})
        assert send(connection, late, appeared, readings("d2", boot, 2)) == 3
    assert f"{column} in the state of vehicle {vehicle} cannot be read" in caplog.text
    state = reading_store.latest_state(connection, vehicle)
    assert state.value("speed") == 7.0
    assert set(state.signals) == ({"speed"} if column == "signals" else set(before.signals))
    assert state.estimates == ({} if column == "estimates" else before.estimates)
    assert [entry.code for entry in state.trouble_codes] == ["P0301"]
    assert reading_store.latest_state(connection, other).value("speed") == 2.0
