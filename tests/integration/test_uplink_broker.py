"""The uplink and a whole agent against the real broker, with an acknowledging backend in the test."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.agent import run_agent
from edge_agent.config import AgentConfig, MqttConfig, SourceConfig, UplinkConfig
from edge_agent.errors import UplinkError
from edge_agent.outbox import Outbox
from edge_agent.sources.base import Reading
from edge_agent.testing import FakeClock, ScriptedSource
from edge_agent.uplink import MqttUplink
from telemetry.records import (
    Acknowledgement,
    BatchKey,
    DeviceStatus,
    EventKind,
    EventsBatch,
    ReadingsBatch,
    RejectedBatch,
    Sample,
    VehicleEvent,
    ms_from_utc,
)
from telemetry.topics import acks_topic, parse_device_topic
from telemetry.wire import decode_message, encode_ack
from wearcast.embedded.nats import Broker, BrokerUser, private_broker

pytestmark = pytest.mark.broker

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
DEVICE = "car-1"
FAST = UplinkConfig(window=4, ack_timeout_seconds=0.3, reconnect_min_seconds=0.1, reconnect_max_seconds=0.2)


def eventually(condition: Callable[[], bool], what: str, step: Callable[[], object] = lambda: None) -> None:
    """Wait until the condition holds: the deadline only ends a test that has failed."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        step()
        time.sleep(0.01)


class Backend:
    """Commits each batch once, and acknowledges every delivery while ``answering``."""

    def __init__(self, broker: Broker, *, username: str | None = None, password: str | None = None) -> None:
        self.answering = True
        self.reject: set[int] = set()
        self.deliveries: list[BatchKey] = []
        self.committed: dict[BatchKey, ReadingsBatch | EventsBatch] = {}
        self.statuses: list[DeviceStatus] = []
        self.subscribed = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, client_id="backend", clean_session=False)
        if username is not None:
            client.username_pw_set(username, password)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda client, *_: client.subscribe("wearcast/v1/#", qos=1)
        client.on_subscribe = lambda *_: self.subscribed.set()
        client.on_message = self._on_message
        client.connect(broker.host, broker.port)
        self.client = client

    def _on_message(self, client: Client, _userdata: object, message: MQTTMessage) -> None:
        if message.topic.endswith("/acks"):
            return
        record = decode_message(parse_device_topic(message.topic), bytes(message.payload))
        if isinstance(record, DeviceStatus):
            self.statuses.append(record)
            return
        key = record.key
        self.deliveries.append(key)
        if not self.answering:
            return
        if key.sequence in self.reject:
            ack = Acknowledgement(
                device=key.device,
                boot=key.boot,
                rejected=(RejectedBatch(sequence=key.sequence, reason="out-of-range"),),
            )
        else:
            assert self.committed.setdefault(key, record) == record
            ack = Acknowledgement(device=key.device, boot=key.boot, committed=((key.sequence, key.sequence),))
        client.publish(acks_topic(key.device), encode_ack(ack), qos=1)


@contextmanager
def backend_on(broker: Broker, *, username: str | None = None, password: str | None = None) -> Iterator[Backend]:
    backend = Backend(broker, username=username, password=password)
    backend.client.loop_start()
    assert backend.subscribed.wait(60)
    try:
        yield backend
    finally:
        backend.client.disconnect()
        backend.client.loop_stop()
        backend.client._reset_sockets()  # paho leaves them to the garbage collector


@pytest.fixture
def backend(broker: Broker) -> Iterator[Backend]:
    with backend_on(broker) as running:
        yield running


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000) as opened:
        yield opened


@contextmanager
def uplink_to(broker: Broker, outbox: Outbox, clock: FakeClock) -> Iterator[MqttUplink]:
    mqtt = MqttConfig(host=broker.host, port=broker.port)
    uplink = MqttUplink(device=DEVICE, mqtt=mqtt, uplink=FAST, outbox=outbox, clock=clock)
    uplink.start()
    try:
        yield uplink
    finally:
        uplink.stop()


def fill(outbox: Outbox, clock: FakeClock, count: int, *, clock_ms: int | None = None) -> None:
    """Batches of a sample each; with ``clock_ms`` each stamped by another clock, so that they are not joined."""
    for number in range(count):
        sample = Sample(time=NOW + timedelta(seconds=number), monotonic_ms=number, values={"Vehicle.Speed": number})
        stamp = None if clock_ms is None else clock_ms + number
        outbox.add_readings([sample], [], created_ms=ms_from_utc(NOW), clock_ms=stamp)


def samples_of(backend: Backend) -> list[int]:
    readings = [batch for batch in backend.committed.values() if isinstance(batch, ReadingsBatch)]
    return sorted(int(sample.values["Vehicle.Speed"]) for batch in readings for sample in batch.samples)


def test_of_a_backlog_the_newest_arrives_first_then_the_events_then_the_rest_in_order(
    broker: Broker, backend: Backend, outbox: Outbox
) -> None:
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    fill(outbox, clock, 100)
    for number in range(3):
        event = VehicleEvent(time=NOW, kind=EventKind.TRIP_STARTED, data={"number": number})
        outbox.add_events([event], created_ms=ms_from_utc(NOW), clock_ms=None)
    with uplink_to(broker, outbox, clock) as uplink:
        eventually(lambda: outbox.pending_batches() == 0, "all acknowledged", uplink.tick)
    keys = list(dict.fromkeys(backend.deliveries))
    assert [key.sequence for key in keys] == list(range(1, len(keys) + 1))  # no gap
    arrived: list[object] = []
    for batch in (backend.committed[key] for key in keys):
        if isinstance(batch, ReadingsBatch):
            arrived += [int(sample.values["Vehicle.Speed"]) for sample in batch.samples]
        else:
            arrived += [event.data["number"] for event in batch.events]
    assert arrived == [99, 0, 1, 2, *range(99)]


def test_while_the_clock_is_unsure_nothing_is_published(broker: Broker, backend: Backend, outbox: Outbox) -> None:
    clock = FakeClock()
    clock.unsure = True
    outbox.begin_boot(clock.boot)
    fill(outbox, clock, 3)
    with uplink_to(broker, outbox, clock) as uplink:
        eventually(lambda: len(backend.statuses) == 1, "online", uplink.tick)
        for _ in range(10):
            uplink.tick()
        assert {batch.published for batch in outbox.waiting("readings", 10)} == {False}
        clock.unsure = False
        eventually(lambda: outbox.pending_batches() == 0, "all acknowledged", uplink.tick)
        eventually(lambda: len(backend.statuses) == 2, "online, with the right time", uplink.tick)


def test_unanswered_the_first_comes_again_and_no_second(broker: Broker, backend: Backend, outbox: Outbox) -> None:
    backend.answering = False
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    fill(outbox, clock, 20)
    with uplink_to(broker, outbox, clock) as uplink:
        eventually(lambda: len(backend.deliveries) >= 3, "three deliveries", uplink.tick)
        assert {key.sequence for key in backend.deliveries} == {1}
        backend.answering = True
        eventually(lambda: outbox.pending_batches() == 0, "all acknowledged", uplink.tick)
    assert samples_of(backend) == list(range(20))


def test_a_rejected_batch_is_put_aside(broker: Broker, backend: Backend, outbox: Outbox) -> None:
    backend.reject = {2}
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    fill(outbox, clock, 3, clock_ms=0)
    with uplink_to(broker, outbox, clock) as uplink:
        eventually(lambda: outbox.pending_batches() == 0, "all answered", uplink.tick)
    assert [(entry.sequence, entry.reason) for entry in outbox.rejected()] == [(2, "out-of-range")]
    assert {key.sequence for key in backend.committed} == {1, 3}


def test_a_killed_broker_loses_nothing(broker: Broker, backend: Backend, outbox: Outbox) -> None:
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    with uplink_to(broker, outbox, clock) as uplink:
        for _ in range(3):
            fill(outbox, clock, 40)
            uplink.tick()
            eventually(lambda: len(backend.deliveries) > 0, "something under way", uplink.tick)
            broker.kill()
            fill(outbox, clock, 10)
            uplink.tick()
            broker.start()
        eventually(lambda: outbox.pending_batches() == 0, "all acknowledged", uplink.tick)
    assert samples_of(backend) == sorted([*range(40), *range(10)] * 3)
    assert {key.sequence for key in backend.committed} == set(range(1, len(backend.committed) + 1))


def test_status_is_retained_online_then_offline(broker: Broker, backend: Backend, outbox: Outbox) -> None:
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    backend.answering = False
    fill(outbox, clock, 3, clock_ms=0)
    with uplink_to(broker, outbox, clock) as uplink:
        eventually(lambda: len(backend.statuses) == 1, "online", uplink.tick)
    eventually(lambda: len(backend.statuses) == 2, "offline")
    assert [(status.state, status.pending_batches) for status in backend.statuses] == [("online", 3), ("offline", 3)]
    assert {status.boot for status in backend.statuses} == {clock.boot}


def test_a_dead_device_is_said_offline_by_the_broker(broker: Broker, backend: Backend, outbox: Outbox) -> None:
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    mqtt = MqttConfig(host=broker.host, port=broker.port)
    uplink = MqttUplink(device=DEVICE, mqtt=mqtt, uplink=FAST, outbox=outbox, clock=clock)
    uplink.start()
    try:
        eventually(lambda: len(backend.statuses) == 1, "online")
        connection = uplink._client.socket()
        assert isinstance(connection, socket.socket)
        uplink._client._reconnect_on_failure = False
        connection.shutdown(socket.SHUT_RDWR)  # the connection ends without a farewell, as in a power cut
        eventually(lambda: len(backend.statuses) == 2, "offline by the last will")
    finally:
        uplink.stop()
    assert backend.statuses[-1].state == "offline"


def test_an_error_on_the_network_thread_reaches_the_agent(
    broker: Broker, backend: Backend, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # pytest would fail the test for the thread's end
    with uplink_to(broker, outbox, clock) as uplink:
        eventually(lambda: uplink.connected, "connected")
        monkeypatch.setattr(outbox, "acknowledge", lambda _: 1 // 0)
        ack = encode_ack(Acknowledgement(device=DEVICE, boot=clock.boot, committed=((1, 1),)))

        def fails() -> bool:
            backend.client.publish(acks_topic(DEVICE), ack, qos=1)  # again, until the dongle is subscribed
            try:
                uplink.tick()
            except UplinkError as error:
                return isinstance(error.__cause__, ZeroDivisionError)
            return False

        eventually(fails, "tick raises")


def test_nonsense_on_the_acks_topic_is_ignored(broker: Broker, backend: Backend, outbox: Outbox) -> None:
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    with uplink_to(broker, outbox, clock) as uplink:
        eventually(lambda: uplink.connected, "connected")
        backend.client.publish(acks_topic(DEVICE), b"\xff{", qos=1)
        fill(outbox, clock, 2)
        eventually(lambda: outbox.pending_batches() == 0, "all acknowledged", uplink.tick)


@pytest.mark.parametrize("form", ["compact", "json"])
def test_a_whole_agent_with_a_password_of_its_own(tmp_path: Path, form: str) -> None:
    users = [BrokerUser.with_new_password(DEVICE, device=DEVICE), BrokerUser.with_new_password("backend")]
    with (
        private_broker(fresh=True, users=users) as broker,
        backend_on(broker, username="backend", password=users[1].password) as backend,
    ):
        config = AgentConfig(
            device=DEVICE,
            source=SourceConfig(kind="replay_csv"),
            outbox_path=tmp_path / "outbox.sqlite",
            last_known_time_path=tmp_path / "last-known-time",
            mqtt=MqttConfig(host=broker.host, port=broker.port, username=DEVICE, password=users[0].password),
            uplink=FAST,
            form=form,  # type: ignore[arg-type]  # one of the forms, from the test
        )
        script = [
            Reading(values={"Vehicle.Speed": n % 200, "Vehicle.OBD.RunTime": n}, time=NOW + timedelta(seconds=n))
            for n in range(1000)
        ]
        run_agent(config, ScriptedSource(script), [], threading.Event())
        numbers = [
            sample.values["Vehicle.OBD.RunTime"]
            for batch in backend.committed.values()
            if isinstance(batch, ReadingsBatch)
            for sample in batch.samples
        ]
        assert sorted(numbers) == list(range(1000))
        assert (tmp_path / "last-known-time").exists()
        eventually(lambda: backend.statuses[-1].state == "offline", "offline")


def test_without_a_broker_the_agent_reads_on_and_stops_when_told(tmp_path: Path) -> None:
    stop = threading.Event()
    config = AgentConfig(
        device=DEVICE,
        source=SourceConfig(kind="obd_can"),
        outbox_path=tmp_path / "outbox.sqlite",
        mqtt=MqttConfig(port=1),  # nothing listens there
        uplink=FAST,
    )
    run_agent(config, ScriptedSource([Reading(values={"Vehicle.Speed": 1}), stop.set]), [], stop)
    with Outbox.open(config.outbox_path, device=DEVICE, max_bytes=1_000_000) as outbox:
        assert (len(outbox.waiting("events", 10)), len(outbox.waiting("readings", 10))) == (1, 1)
