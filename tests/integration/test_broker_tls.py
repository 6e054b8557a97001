"""A whole agent over mutual TLS: its certificate is its name; a wrong authority or none is refused and explained."""

import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.agent import run_agent
from edge_agent.config import AgentConfig, MqttConfig, SourceConfig, TlsConfig, UplinkConfig
from edge_agent.outbox import Outbox
from edge_agent.sources.base import Reading
from edge_agent.testing import ScriptedSource
from firmware_profiles.authority import Authority, Credentials
from telemetry.records import Acknowledgement, BatchKey, EventsBatch, ReadingsBatch, Sample
from telemetry.topics import acks_topic, parse_device_topic, publish_topic
from telemetry.wire import decode_message, encode_ack, encode_readings
from wearcast.embedded.nats import Broker, BrokerTls, BrokerUser, private_broker

pytestmark = pytest.mark.broker

DEVICE, OTHER = "car-1", "car-2"
HOST = "127.0.0.1"
SECONDS = 60.0


def stored(folder: Path, name: str, credentials: Credentials) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    certificate.write_bytes(credentials.certificate_pem)
    key.write_bytes(credentials.key_pem)
    return certificate, key


class Keys:
    """An authority with certificates of a broker, a backend and a device; minted for each run."""

    def __init__(self, folder: Path, *, broker_names: tuple[str, ...] = (HOST,)) -> None:
        folder.mkdir()
        self.authority = Authority.open_or_create(folder / "authority")
        self.ca = folder / "authority" / "ca.pem"
        self.broker = stored(folder, "broker", self.authority.issue_server_certificate(broker_names))
        self.backend = stored(folder, "ingest", self.authority.issue_device_certificate("ingest"))
        self.device = stored(folder, "device", self.authority.issue_device_certificate(DEVICE))

    @property
    def tls_of_broker(self) -> BrokerTls:
        return BrokerTls(certificate=self.broker[0], key=self.broker[1], ca=self.ca)

    @property
    def tls_of_device(self) -> TlsConfig:
        return TlsConfig(ca=self.ca, certificate=self.device[0], key=self.device[1])


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "ours")


@contextmanager
def tls_broker(keys: Keys) -> Iterator[Broker]:
    users = [BrokerUser(name="ingest"), *(BrokerUser(name=name, device=name) for name in (DEVICE, OTHER))]
    with private_broker(fresh=True, users=users, tls=keys.tls_of_broker) as broker:
        yield broker


@contextmanager
def backend(keys: Keys, broker: Broker) -> Iterator[list[ReadingsBatch | EventsBatch]]:
    """Takes what comes and acknowledges it."""
    received: list[ReadingsBatch | EventsBatch] = []
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id="ingest")
    context = ssl.create_default_context(cafile=str(keys.ca))
    context.load_cert_chain(*keys.backend)
    client.tls_set_context(context)

    def subscribe(*_: object) -> None:
        client.subscribe([("wearcast/v1/+/readings", 1), ("wearcast/v1/+/events", 1)])

    def take(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        topic = parse_device_topic(message.topic)
        batch = decode_message(topic, bytes(message.payload))
        if isinstance(batch, ReadingsBatch | EventsBatch):
            received.append(batch)
            key = batch.key
            ack = Acknowledgement(device=key.device, boot=key.boot, committed=((key.sequence, key.sequence),))
            client.publish(acks_topic(key.device), encode_ack(ack), qos=1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = take
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(SECONDS)
        yield received
    finally:
        client.disconnect()
        client.loop_stop()
        client.on_message = client.on_connect = None  # which refer to the client: it would close its sockets too late


def agent_config(folder: Path, broker: Broker, tls: TlsConfig | None, *, host: str = HOST) -> AgentConfig:
    return AgentConfig(
        device=DEVICE,
        source=SourceConfig(kind="replay_csv"),
        outbox_path=folder / "outbox.sqlite",
        mqtt=MqttConfig(host=host, port=broker.port, tls=tls),
        uplink=UplinkConfig(reconnect_min_seconds=0.1, reconnect_max_seconds=0.2),
    )


def test_a_certificate_is_the_device_and_its_data_arrives(tmp_path: Path, keys: Keys) -> None:
    with tls_broker(keys) as broker, backend(keys, broker) as received:
        config = agent_config(tmp_path, broker, keys.tls_of_device)
        run_agent(config, ScriptedSource([Reading(values={"Vehicle.Speed": 50.0})]), [], threading.Event())
        samples = [sample.values for batch in received if isinstance(batch, ReadingsBatch) for sample in batch.samples]
        assert samples == [{"Vehicle.Speed": 50.0}]
        assert {batch.key.device for batch in received} == {DEVICE}
        with Outbox.open(config.outbox_path, device=DEVICE, max_bytes=10**8) as outbox:
            assert outbox.pending_batches() == 0


def test_a_certificate_is_no_other_device(tmp_path: Path, keys: Keys) -> None:
    """What it publishes under another's name goes nowhere, although the broker acknowledges it (MQTT 3.1.1)."""
    with tls_broker(keys) as broker, backend(keys, broker) as received:
        sample = Sample(time=datetime(2026, 1, 31, tzinfo=UTC), monotonic_ms=1, values={"Vehicle.Speed": 99.0})
        foreign = encode_readings(
            ReadingsBatch(key=BatchKey(device=OTHER, boot=uuid4(), sequence=1), samples=(sample,))
        )
        client = Client(CallbackAPIVersion.VERSION2, client_id="cheat")
        context = ssl.create_default_context(cafile=str(keys.ca))
        context.load_cert_chain(*keys.device)
        client.tls_set_context(context)
        client.connect(broker.host, broker.port)
        client.loop_start()
        client.publish(publish_topic(OTHER, "readings"), foreign, qos=1).wait_for_publish(SECONDS)
        client.disconnect()
        client.loop_stop()
        run_agent(
            agent_config(tmp_path, broker, keys.tls_of_device),
            ScriptedSource([Reading(values={"Vehicle.Speed": 1.0})]),
            [],
            threading.Event(),
        )
        assert {batch.key.device for batch in received} == {DEVICE}


def refused(tmp_path: Path, broker: Broker, tls: TlsConfig | None, caplog: pytest.LogCaptureFixture, host: str) -> str:
    """Run an agent until it has said why it cannot connect; it must not end by itself, nor lose its reading."""
    config = replace(agent_config(tmp_path, broker, tls, host=host), batch_seconds=0.1)
    stop = threading.Event()

    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if "no connection to the broker" in record.message]

    def wait() -> None:
        deadline = time.monotonic() + SECONDS
        while not said():
            assert time.monotonic() < deadline, "it never said why"
            time.sleep(0.01)
        time.sleep(0.5)  # and does not repeat it at each of the attempts that follow
        stop.set()

    script: list[Reading | Callable[[], None]] = [Reading(values={"Vehicle.Speed": 50.0}), wait]
    with caplog.at_level(logging.INFO, "edge_agent"):
        run_agent(config, ScriptedSource(script), [], stop)
    with Outbox.open(config.outbox_path, device=DEVICE, max_bytes=10**8) as outbox:
        assert outbox.pending_batches() > 0
    (told,) = said()
    return told


# paho leaves a socket whose handshake failed to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_that_ended_is_told_and_the_renewed_one_is_used_without_a_restart(
    tmp_path: Path, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    past = Authority.open_or_create(keys.ca.parent, clock=lambda: datetime.now(UTC) - timedelta(days=10))
    certificate, key = stored(tmp_path, "mine", past.issue_device_certificate(DEVICE, valid_days=1))
    told = "this device's certificate has expired: make it a new one"

    def renew() -> None:
        deadline = time.monotonic() + SECONDS
        while told not in caplog.text:
            assert time.monotonic() < deadline, "it never said why"
            time.sleep(0.01)
        for old, new in zip((certificate, key), keys.device, strict=True):
            beside = old.with_suffix(".new")
            beside.write_bytes(new.read_bytes())
            beside.replace(old)

    with tls_broker(keys) as broker, backend(keys, broker) as received:
        config = agent_config(tmp_path, broker, TlsConfig(ca=keys.ca, certificate=certificate, key=key))
        script: list[Reading | Callable[[], None]] = [Reading(values={"Vehicle.Speed": 50.0}), renew]
        with caplog.at_level(logging.INFO, "edge_agent"):
            run_agent(replace(config, drain_seconds=SECONDS), ScriptedSource(script), [], threading.Event())
        assert [batch for batch in received if isinstance(batch, ReadingsBatch)]


# paho leaves a socket whose handshake failed to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("foreign broker", "not of the authority in .*theirs/authority/ca.pem: is it the right broker"),
        ("no certificate", "the broker wants to see a certificate: give mqtt.tls.certificate"),
        ("foreign device", "does not accept the certificate .*theirs/device.pem: it must be of the authority"),
        ("no tls", r"does the broker want TLS at 127.0.0.1:[0-9]+\? Then mqtt.tls is missing"),
        ("ended broker", "the broker's certificate has expired, or the clock of this machine is ahead"),
        ("other name", "the broker's certificate is not for localhost: give mqtt.host as it says"),
    ],
)
def test_what_is_refused_is_explained_once_and_nothing_is_lost(
    tmp_path: Path, keys: Keys, caplog: pytest.LogCaptureFixture, case: str, message: str
) -> None:
    theirs = Keys(tmp_path / "theirs")
    tls: dict[str, TlsConfig | None] = {
        "foreign broker": replace(keys.tls_of_device, ca=theirs.ca),
        "no certificate": TlsConfig(ca=keys.ca),
        "foreign device": TlsConfig(ca=keys.ca, certificate=theirs.device[0], key=theirs.device[1]),
        "no tls": None,
        "other name": keys.tls_of_device,
        "ended broker": keys.tls_of_device,
    }
    if case == "ended broker":
        past = Authority.open_or_create(keys.ca.parent, clock=lambda: datetime.now(UTC) - timedelta(days=10))
        keys.broker = stored(tmp_path, "ended", past.issue_server_certificate([HOST], valid_days=1))
    with tls_broker(keys) as broker:
        told = refused(tmp_path, broker, tls[case], caplog, "localhost" if case == "other name" else HOST)
    assert re.search(message, told), told
