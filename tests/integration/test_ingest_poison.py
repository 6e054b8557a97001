"""Messages made to break the worker: each ends as rejected, with its neighbours stored and the state readable."""

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from ingest import reading_store
from ingest.database import Connection, connect
from ingest.decoding.decode import Accepted, Incoming, decode
from ingest.storing.writer import store, store_decoded
from telemetry import compact
from telemetry.digest import digest
from telemetry.records import BatchKey, Estimate, Quantity, ReadingsBatch
from telemetry.topics import Channel, publish_topic
from telemetry.wire import encode_readings
from tests.integration.ingest_support import START, readings, register_car

pytestmark = pytest.mark.database
NOW = datetime.now(UTC)


def incoming(payload: bytes, channel: Channel = "readings") -> Incoming:
    return Incoming(topic=publish_topic("d1", channel), payload=payload, received_at=NOW)


def event(data: str) -> Incoming:
    payload = (
        f'{{"schema": "wearcast.events/1", "boot": "{uuid4()}", "sequence": 1,'
        f' "events": [{{"time": "2026-03-01T08:00:00Z", "kind": "dtc.appeared", "data": {data}}}]}}'
    )
    return incoming(payload.encode(), "events")


def endless_estimate() -> Incoming:
    estimate = Estimate(time=START, quantity=Quantity.OIL_LIFE, value=50, low=40, high=60, source="ecu", method="ecu")
    batch = ReadingsBatch(key=BatchKey(device="d1", boot=uuid4(), sequence=1), samples=(), estimates=(estimate,))
    fields = msgspec.json.decode(encode_readings(batch, "json"))
    fields["estimates"][0]["high"] = 1e300
    return incoming(json.dumps(fields).encode())


def nested() -> Incoming:
    payload = compact.encode(readings("d1", uuid4(), 1), compact.STORED)
    # One more field than there are, which the reader skips: nested deeper than Python goes.
    return incoming(payload[:4] + bytes([payload[4] + 1]) + payload[5:] + b"\x91" * 200_000 + b"\xc0")


POISON = {
    "status that is a list": event('{"code": "P0301", "status": []}'),
    "NUL in an event": event(r'{"code": "P0301", "status": "pending", "note": "a\u0000b"}'),
    "estimate without end": endless_estimate(),
    "nested beyond depth": nested(),
    "an event nested deeper than a reader goes": event(
        f'{{"code": "P0301", "status": "pending", "a": {"[" * 900 + "]" * 900}}}'
    ),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_rejected_and_its_neighbours_are_stored(name: str, database_url: str, connection: Connection) -> None:
    vehicle = register_car(connection, "d1")
    boot = uuid4()
    good = [incoming(encode_readings(readings("d1", boot, number))) for number in (1, 2)]
    with connect(database_url, autocommit=True) as own:
        outcome = store(own, [good[0], POISON[name], good[1]], NOW)
        assert (outcome.batches, outcome.rejected) == (2, 1)
        state = reading_store.latest_state(own, vehicle)  # can still be read, and merged into
        assert state.signals
        later = incoming(encode_readings(readings("d1", boot, 3)))
        assert store(own, [later], NOW).batches == 1


def test_data_beyond_a_limit_of_the_database_is_rejected_and_not_tried_for_ever(
    database_url: str, connection: Connection
) -> None:
    register_car(connection, "d1")
    # The wire lets no such text through; should anything else ever, PostgreSQL answers with an "operational" error.
    endless = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(4000))
    estimate = Estimate(
        time=START, quantity=Quantity.OIL_LIFE, position=endless, value=50, low=40, high=60, source="ecu", method="x"
    )
    key = BatchKey(device="d1", boot=UUID(int=1), sequence=1)
    message = incoming(b"")
    culprit = Accepted(
        message=message, record=ReadingsBatch(key=key, samples=(), estimates=(estimate,)), digest=digest(b"")
    )
    good = decode(incoming(encode_readings(readings("d1", UUID(int=2), 1))))
    with connect(database_url, autocommit=True) as own:
        outcome = store_decoded(own, [culprit, good], NOW)
    assert (outcome.batches, outcome.rejected) == (1, 1)
    (refused,) = [ack for ack in outcome.acknowledgements if ack.boot == key.boot]
    assert refused.rejected[0].reason == "unstorable"
