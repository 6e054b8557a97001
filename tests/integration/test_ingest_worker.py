"""The worker between a real broker and a real database."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ingest import reading_store, registry
from ingest.database import Connection
from telemetry.catalogue import catalogue
from telemetry.records import (
    BatchKey,
    DeviceStatus,
    Estimate,
    EventKind,
    Quantity,
    ReadingsBatch,
    Sample,
)
from telemetry.wire import MAX_PAYLOAD_BYTES, encode_readings, encode_status
from tests.integration.ingest_support import (
    COOLANT,
    SPEED,
    START,
    connected_device,
    readings,
    register_car,
    running_worker,
    trouble_code,
    until,
)
from wearcast.embedded.nats import Broker

pytestmark = [pytest.mark.database, pytest.mark.broker]


async def test_every_signal_arrives_with_its_value(broker: Broker, database_url: str, connection: Connection) -> None:
    vehicle = register_car(connection, "d1")
    values = {signal.path: float(signal.minimum + signal.resolutions[0]) for signal in catalogue()}
    values |= {signal.path: 1.0 for signal in catalogue() if signal.datatype == "boolean"}
    sample = Sample(time=START, monotonic_ms=1, values=values)
    estimate = Estimate(
        time=START, quantity=Quantity.PAD_WEAR, position="Row1.Left", value=62.5, low=60, high=65,
        source="estimated", method="test/1",
    )  # fmt: skip
    async with running_worker(broker, database_url), connected_device(broker, "d1") as device:
        key = BatchKey(device="d1", boot=device.boot, sequence=1)
        await device.send(ReadingsBatch(key=key, samples=(sample,), estimates=(estimate,)))
        await until(lambda: device.committed() == {1}, "acknowledgement")
    end = START + timedelta(seconds=1)
    for signal in catalogue():
        ((time, value),) = reading_store.series(connection, vehicle, signal.column, START, end)
        assert time == START
        assert value == pytest.approx(values[signal.path], rel=2**-23), signal.path
    state = reading_store.latest_state(connection, vehicle)
    assert {column: entry.value for column, entry in state.signals.items()} == {
        signal.column: pytest.approx(values[signal.path], rel=1e-12) for signal in catalogue()
    }
    assert state.last_sample_at == START
    assert state.version == 1
    assert state.estimates["pad_wear@Row1.Left/estimated"].value == 62.5
    (point,) = reading_store.estimate_series(connection, vehicle, "pad_wear", "Row1.Left", START, end)
    assert (point.value, point.low, point.high, point.source) == (62.5, 60, 65, "estimated")


async def test_a_batch_sent_again_is_acknowledged_again_and_stored_once(
    broker: Broker, database_url: str, connection: Connection
) -> None:
    register_car(connection, "d1")
    async with running_worker(broker, database_url), connected_device(broker, "d1") as device:
        batch = readings("d1", device.boot, 1)
        for _ in range(3):
            await device.send(batch)
        await until(lambda: device.committed() == {1}, "acknowledgement")
        before = len(device.acknowledgements)
        await device.send(batch)
        await until(lambda: len(device.acknowledgements) > before, "acknowledgement of a repetition")
        # That may be of the second or the third: those after it are still on their way.
        await until(lambda: reading_store.counts(connection).boots[0].resent == 3, "all repetitions")
    counted = reading_store.counts(connection)
    assert (counted.samples, counted.batches, counted.rejected) == (3, 1, 0)


async def test_late_batches_do_not_overwrite_the_latest_state(
    broker: Broker, database_url: str, connection: Connection
) -> None:
    vehicle = register_car(connection, "d1")
    async with running_worker(broker, database_url), connected_device(broker, "d1") as device:
        await device.send(readings("d1", device.boot, 7, seconds=600, values={SPEED: 70.0}))
        await until(lambda: device.committed() == {7}, "acknowledgement")
        await device.send(readings("d1", device.boot, 1, seconds=0, values={SPEED: 10.0, COOLANT: 20.0}))
        await until(lambda: device.committed() == {1, 7}, "acknowledgement")
        await device.send(trouble_code("d1", device.boot, 9, EventKind.DTC_CLEARED, seconds=900))
        await device.send(trouble_code("d1", device.boot, 8, EventKind.DTC_APPEARED, seconds=800))
        await device.send(trouble_code("d1", device.boot, 10, EventKind.DTC_APPEARED, seconds=800, code="P0420"))
        await until(lambda: device.committed() == {1, 7, 8, 9, 10}, "acknowledgement")
    state = reading_store.latest_state(connection, vehicle)
    assert (state.value("speed"), state.value("coolant_temperature")) == (70.0, 20.0)
    assert state.last_sample_at == START + timedelta(seconds=602)
    assert [entry.code for entry in state.trouble_codes] == ["P0420"]
    kinds = [event.kind for event in reading_store.events(connection, vehicle)]
    assert kinds == ["dtc.cleared", "dtc.appeared", "dtc.appeared"]


async def test_each_kind_of_bad_message_is_stored_with_its_reason_and_the_worker_goes_on(
    broker: Broker, database_url: str, connection: Connection
) -> None:
    register_car(connection, "d1")
    register_car(connection, "off")
    registry.update_device(connection, "off", enabled=False)
    far = datetime.now(UTC) + timedelta(hours=1)
    async with running_worker(broker, database_url), connected_device(broker, "d1") as device:
        boot = device.boot
        await device.send(readings("d1", boot, 1))
        await until(lambda: device.committed() == {1}, "acknowledgement")
        await device.publish("readings", b"{not json")
        await device.publish("readings", b"\x00" * (MAX_PAYLOAD_BYTES + 1))
        await device.publish("readings", json.dumps({"schema": "wearcast.readings/99"}).encode())
        await device.publish("readings", encode_readings(readings("d2", boot, 2), "json"))
        await device.publish("readings", encode_readings(_at(readings("d1", boot, 3), far)))
        await device.publish(
            "readings", encode_readings(_at(readings("d1", boot, 4), datetime(1970, 1, 2, tzinfo=UTC)))
        )
        await device.publish("readings", encode_readings(readings("d1", boot, 1, values={SPEED: 99.0})))
        plain = json.loads(encode_readings(readings("d1", boot, 5), "json"))
        plain["samples"][0]["values"][SPEED] = 1e6
        await device.publish("readings", json.dumps(plain).encode())
        plain["samples"][0]["values"] = {"Vehicle.Nonsense": 1}
        await device.publish("readings", json.dumps({**plain, "sequence": 6}).encode())
        await device.publish("events", _event_with_nul(str(boot)))
        await device.client.publish("wearcast/v1/d1/gossip", b"x", qos=1)
        await device.client.publish("wearcast/v2/d1/readings", b"x", qos=1)
        await device.client.publish("wearcast/v1/nobody/readings", encode_readings(readings("nobody", boot, 1)), qos=1)
        await device.client.publish("wearcast/v1/off/readings", encode_readings(readings("off", boot, 1)), qos=1)
        await device.send(readings("d1", boot, 8))
        await until(lambda: device.committed() == {1, 8}, "acknowledgement of the good batch after the bad ones")
        await until(lambda: len(device.rejected()) == 6, "refusals")
    assert device.rejected() == {
        1: "replayed", 3: "far-future", 4: "too-old", 5: "out-of-range", 6: "unknown-signal", 7: "unstorable",
    }  # fmt: skip
    assert Counter(message.reason for message in reading_store.rejected(connection)) == {
        "malformed": 1, "oversized": 1, "wrong-schema": 1, "wrong-device": 1, "far-future": 1, "too-old": 1,
        "replayed": 1, "out-of-range": 1, "unknown-signal": 1, "unstorable": 1, "foreign-topic": 2,
        "unknown-device": 1, "disabled-device": 1,
    }  # fmt: skip
    counted = reading_store.counts(connection)
    assert (counted.samples, counted.batches, counted.rejected) == (6, 2, 14)


async def test_a_device_registered_later_loses_nothing(
    broker: Broker, database_url: str, connection: Connection
) -> None:
    async with running_worker(broker, database_url), connected_device(broker, "new") as device:
        batch = readings("new", device.boot, 1)
        await device.send(batch)
        await until(lambda: reading_store.counts(connection).rejected == 1, "rejection")
        assert device.acknowledgements == []
        register_car(connection, "new")
        await device.send(batch)
        await until(lambda: device.committed() == {1}, "acknowledgement")
    assert reading_store.counts(connection).samples == 3


async def test_the_last_will_counts_although_its_time_is_old(
    broker: Broker, database_url: str, connection: Connection
) -> None:
    register_car(connection, "d1")
    boot, other = uuid4(), uuid4()
    statuses = [
        ("online", boot, 60, 5),
        ("online", boot, 30, 9),  # delivered late
        ("offline", other, 10, 0),  # the will of an earlier boot
    ]

    def state() -> list[tuple[str, int]]:
        return [(entry.state, entry.pending_batches) for entry in reading_store.device_states(connection)]

    async with running_worker(broker, database_url), connected_device(broker, "d1") as device:
        for kind, of, seconds, pending in statuses:
            await device.publish("status", _status(kind, of, seconds, pending))
        await device.send(readings("d1", device.boot, 1))
        await until(lambda: device.committed() == {1}, "acknowledgement")
        await until(lambda: state() == [("online", 5)], "status")
        await device.publish("status", _status("offline", boot, 0, 0))
        await until(lambda: state() == [("offline", 5)], "last will")
        await device.publish("status", _status("online", boot, 90, 1))
        await until(lambda: state() == [("online", 1)], "status after a reconnection")


async def test_two_workers_receive_everything_and_store_it_once(
    broker: Broker, database_url: str, connection: Connection
) -> None:
    vehicle = register_car(connection, "d1")
    async with (
        running_worker(broker, database_url, "ingest-a"),
        running_worker(broker, database_url, "ingest-b"),
        connected_device(broker, "d1") as device,
    ):
        for sequence in range(1, 201):
            await device.send(readings("d1", device.boot, sequence))
        await until(lambda: device.committed() == set(range(1, 201)), "acknowledgements")
        await until(lambda: reading_store.counts(connection).boots[0].resent == 200, "both have seen everything")
    counted = reading_store.counts(connection)
    assert (counted.samples, counted.batches, counted.rejected) == (600, 200, 0)
    state = reading_store.latest_state(connection, vehicle)
    assert state.value("speed") == 0.0  # of sequence 200
    assert state.last_sample_at == START + timedelta(seconds=602)


async def test_a_broker_killed_and_back_is_found_again(
    broker: Broker, database_url: str, connection: Connection
) -> None:
    register_car(connection, "d1")
    async with running_worker(broker, database_url):
        broker.kill()
        await asyncio.to_thread(broker.restart)
        async with connected_device(broker, "d1") as device:

            async def send_until_acknowledged() -> None:
                while not device.committed():
                    await device.send(readings("d1", device.boot, 1))
                    await asyncio.sleep(0.2)

            await asyncio.wait_for(send_until_acknowledged(), 60)
    assert reading_store.counts(connection).samples == 3


async def test_a_database_that_goes_away_is_waited_for(
    broker: Broker, database_url: str, connection: Connection
) -> None:
    register_car(connection, "d1")
    async with running_worker(broker, database_url), connected_device(broker, "d1") as device:
        await device.send(readings("d1", device.boot, 1))
        await until(lambda: device.committed() == {1}, "acknowledgement")
        connection.execute("ALTER TABLE batch RENAME TO batch_away")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ingest-test'"
        )
        await device.send(readings("d1", device.boot, 2))
        await asyncio.sleep(0.5)
        assert device.committed() == {1}
        connection.execute("ALTER TABLE batch_away RENAME TO batch")
        await until(lambda: device.committed() == {1, 2}, "acknowledgement without sending again")
    counted = reading_store.counts(connection)
    assert (counted.samples, counted.batches) == (6, 2)


def _at(batch: ReadingsBatch, time: datetime) -> ReadingsBatch:
    return ReadingsBatch(key=batch.key, samples=(Sample(time=time, monotonic_ms=0, values={SPEED: 1.0}),))


def _status(state: str, boot: object, seconds: float, pending: int) -> bytes:
    status = DeviceStatus(
        device="d1",
        boot=boot,  # type: ignore[arg-type]  # a UUID
        state=state,  # type: ignore[arg-type]  # online or offline
        time=START + timedelta(seconds=seconds),
        version="1",
        pending_batches=pending,
    )
    return encode_status(status)


def _event_with_nul(boot: str) -> bytes:
    # JSON can carry U+0000, PostgreSQL's jsonb cannot.
    event = {"time": START.isoformat(), "kind": "trip.started", "data": {"note": "a\0b"}}
    return json.dumps({"schema": "wearcast.events/1", "boot": boot, "sequence": 7, "events": [event]}).encode()
