"""The private broker: QoS 1 delivery, what a device may do, and that a crash loses no acknowledged message."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.noting_client import WILL, NotingClient
from wearcast.embedded.errors import BrokerUnavailableError
from wearcast.embedded.nats import Broker, BrokerUser, private_broker

pytestmark = pytest.mark.broker

BACKEND = BrokerUser.with_new_password("backend")
ONE = BrokerUser.with_new_password("dongle-1", device="dongle-1")
TWO = BrokerUser.with_new_password("dongle-2", device="dongle-2")


class Client(NotingClient):
    """With name and password; it has connected, or the test fails."""

    def __init__(self, broker: Broker, user: BrokerUser, client_id: str, **options: Any) -> None:
        super().__init__(broker.port, client_id=client_id, login=(user.name, user.password or ""), **options)
        assert self.is_connected, self.events


@pytest.fixture
def broker() -> Iterator[Broker]:
    with private_broker("test", fresh=True, users=[BACKEND, ONE, TWO]) as running:
        yield running


def test_a_device_reaches_the_backend_and_the_backend_the_device(broker: Broker) -> None:
    backend_filters = [f"wearcast/v1/+/{leaf}" for leaf in ("readings", "events", "status", "results/#")]
    device_filters = ["wearcast/v1/dongle-1/acks", "wearcast/v1/dongle-1/commands/#"]
    with (
        Client(broker, BACKEND, "ingest", subscribe=backend_filters) as backend,
        Client(broker, ONE, "dongle-1", subscribe=device_filters) as device,
    ):
        sent = [
            (f"wearcast/v1/dongle-1/{leaf}", leaf.encode()) for leaf in ("readings", "events", "status", "results/7")
        ]
        for topic, payload in sent:
            device.publish(topic, payload)
        backend.until(lambda: len(backend.received) == len(sent))
        assert sorted(backend.received) == sorted(sent)
        answers = [("wearcast/v1/dongle-1/acks", b"ack"), ("wearcast/v1/dongle-1/commands/ping", b"ping")]
        for topic, payload in answers:
            backend.publish(topic, payload)
        device.until(lambda: len(device.received) == len(answers))
        assert sorted(device.received) == answers


def test_a_device_cannot_publish_outside_its_branch(broker: Broker) -> None:
    with Client(broker, BACKEND, "all", subscribe=["#"]) as backend, Client(broker, TWO, "dongle-2") as device:
        for topic in (
            "wearcast/v1/dongle-1/readings",
            "wearcast/v1/dongle-2/acks",
            "wearcast/v1/dongle-2/commands/dtc",  # not even to itself
            "wearcast/v1/dongle-1/commands/dtc",
            "wearcast/v1/dongle-1/results/dtc",  # an answer in another's name
            "wearcast/v1/dongle-2/readings/more",
            "other",
        ):
            # MQTT 3.1.1 has no answer for a refusal: the message is acknowledged and goes nowhere.
            device.mqtt.publish(topic, b"foreign", qos=1)
        device.publish("wearcast/v1/dongle-2/readings", b"own")
        backend.until(lambda: len(backend.received) > 0)
        assert backend.received == [("wearcast/v1/dongle-2/readings", b"own")]


@pytest.mark.parametrize(
    "topic",
    [
        "#",
        "wearcast/#",
        "wearcast/v1/dongle-1/acks",
        "wearcast/v1/+/acks",
        "wearcast/v1/dongle-1/commands/#",
        "wearcast/v1/+/commands/+",
        "wearcast/v1/dongle-1/results/#",
        "wearcast/v1/dongle-2/results/#",
        "$MQTT/sub/#",
        "$MQTT/#",
        "$JS/#",
    ],
)
def test_a_device_cannot_listen_outside_its_branch(broker: Broker, topic: str) -> None:
    with Client(broker, TWO, "dongle-2", subscribe=[topic, "wearcast/v1/dongle-2/acks"]) as device:
        assert list(device.granted.values()) == [False, True]


def test_what_is_sent_to_an_absent_device_waits_in_its_session(broker: Broker) -> None:
    filters = ["wearcast/v1/dongle-1/acks"]
    with Client(broker, ONE, "dongle-1", subscribe=filters, clean=False):
        pass
    with Client(broker, BACKEND, "ingest") as backend:
        backend.publish("wearcast/v1/dongle-1/acks", b"while away")
    broker.kill()
    broker.restart()
    with Client(broker, ONE, "dongle-1", subscribe=filters, clean=False) as device:
        device.until(lambda: bool(device.received))
        assert device.received[0] == ("wearcast/v1/dongle-1/acks", b"while away")


def test_a_vanished_devices_will_is_published_and_retained(broker: Broker) -> None:
    topic = "wearcast/v1/dongle-1/status"
    with Client(broker, BACKEND, "ingest", subscribe=["wearcast/v1/+/status"]) as backend:
        device = Client(broker, ONE, "dongle-1", will=topic)
        device.publish(topic, b"here", retain=True)
        backend.until(lambda: (topic, b"here") in backend.received)
        device.vanish()
        backend.until(lambda: (topic, WILL) in backend.received)
    with Client(broker, BACKEND, "late", subscribe=["wearcast/v1/+/status"]) as late:
        late.until(lambda: late.received == [(topic, WILL)])


def test_acknowledged_messages_survive_kill_and_restart_at_the_same_address(broker: Broker) -> None:
    topic = "wearcast/v1/dongle-1/readings"
    with Client(broker, BACKEND, "ingest", subscribe=["wearcast/v1/+/readings"], clean=False):
        pass
    port = broker.port
    with Client(broker, ONE, "dongle-1") as device:
        for number in range(200):
            device.mqtt.publish(topic, str(number).encode(), qos=1)
        device.until(lambda: len(device.acknowledged) == 200)
        broker.kill()
        broker.restart()
        assert broker.port == port
        with Client(broker, BACKEND, "ingest", subscribe=["wearcast/v1/+/readings"], clean=False) as backend:
            backend.until(lambda: len({payload for _, payload in backend.received}) == 200)
            device.until(lambda: device.connections >= 2)


def test_users_can_be_replaced_while_it_runs(broker: Broker) -> None:
    new = BrokerUser.with_new_password("dongle-3", device="dongle-3")
    broker.set_users([BACKEND, new])
    with Client(broker, new, "dongle-3") as device:
        device.publish("wearcast/v1/dongle-3/readings", b"first")
    removed = NotingClient(broker.port, client_id="dongle-1", login=(ONE.name, ONE.password or ""), again=False)
    removed.close()
    assert removed.was_refused


def test_a_store_is_kept_and_used_by_one_broker_at_a_time() -> None:
    name = f"test-{os.getpid()}"
    with private_broker(name) as running:
        with pytest.raises(BrokerUnavailableError, match="Another process runs"), private_broker(name):
            pass
        home = running.log_path.parent
    assert home.is_dir(), "a named store is kept"
    shutil.rmtree(home)
