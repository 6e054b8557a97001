"""A device reaches its own branch and nothing else: attacks by topics. Real clients with certificates, both brokers."""

import ssl

import nats
import nats.errors
import pytest

from tests.noting_client import HOST
from tests.security.fortress import Client, Fortress, attack

pytestmark = [pytest.mark.broker, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

OWN = "wearcast/v1/car-2/readings"


@attack("publish on another's branch", answer="dropped by the broker; the backend never sees it")
def test_publishing_outside_the_branch_reaches_nobody(fortress: Fortress) -> None:
    foreign = [
        "wearcast/v1/car-1/readings",
        "wearcast/v1/car-1/events",
        "wearcast/v1/car-1/status",
        "wearcast/v1/car-1/results/dtc",
        "wearcast/v1/car-2/readings/more",
        "wearcast/v1/CAR-2/readings",
        "wearcast/v1//readings",
        "wearcast/v2/car-2/readings",
        "other",
        "$SYS/broker/version",
        "$MQTT/msgs/wearcast/v1/car-1/readings",
        "$JS/API/STREAM/PURGE/$MQTT_msgs",
        "$share/x/wearcast/v1/car-1/readings",
    ]
    with fortress.service(subscribe=["wearcast/#"]) as backend, fortress.device("car-2") as device:
        for topic in foreign:
            device.mqtt.publish(topic, b"foreign", qos=1)
        device.until(lambda: len(device.acknowledged) == len(foreign))
        device.publish(OWN, b"own")
        assert backend.hears_only((OWN, b"own"))


@attack("forge an acknowledgement or a command, to itself or another", answer="dropped by the broker")
def test_the_backends_part_of_a_branch_is_not_the_devices(fortress: Fortress) -> None:
    filters = ["wearcast/v1/car-1/acks", "wearcast/v1/car-1/commands/#"]
    with fortress.device("car-1", subscribe=filters) as victim, fortress.device("car-2") as device:
        for branch in ("car-1", "car-2"):
            for leaf in ("acks", "commands/dtc", "commands"):
                device.publish(f"wearcast/v1/{branch}/{leaf}", b"forged")
        victim.publish("wearcast/v1/car-1/acks", b"forged to itself")
        assert victim.hears_nothing()
        with fortress.service() as backend:
            backend.publish("wearcast/v1/car-1/acks", b"true")
            assert victim.hears_only(("wearcast/v1/car-1/acks", b"true"))


@attack("leave a retained message on a foreign topic", answer="nothing is retained")
def test_nothing_is_retained_on_a_foreign_topic(fortress: Fortress) -> None:
    with fortress.device("car-2") as device:
        for topic in ("wearcast/v1/car-1/status", "wearcast/v1/car-1/acks", "wearcast/v1/car-1/commands/dtc"):
            device.publish(topic, b"retained", retain=True)
        device.publish("wearcast/v1/car-2/status", b"mine", retain=True)
    with fortress.service(subscribe=["wearcast/#"]) as backend:
        assert backend.hears_only(("wearcast/v1/car-2/status", b"mine"))
    with fortress.device("car-1", subscribe=["wearcast/v1/car-1/acks", "wearcast/v1/car-1/commands/#"]) as victim:
        assert victim.hears_nothing()
    with fortress.device("car-2") as device:
        device.publish("wearcast/v1/car-2/status", b"", retain=True)


@attack("a last will on a foreign topic", answer="not published; the broker may refuse the connection")
def test_a_will_on_a_foreign_topic_is_not_published(fortress: Fortress) -> None:
    with fortress.service(subscribe=["wearcast/#"]) as backend:
        device = fortress.device("car-2", will="wearcast/v1/car-1/status", again=False)
        device.vanish()
        assert backend.hears_nothing(1.0)
        own = fortress.device("car-2", will="wearcast/v1/car-2/status", again=False)
        assert own.is_connected
        own.vanish()
        backend.until(lambda: ("wearcast/v1/car-2/status", b"will") in backend.received)
    with fortress.device("car-2") as again:
        again.publish("wearcast/v1/car-2/status", b"", retain=True)


LISTENED = [
    "#",
    "+/#",
    "wearcast/#",
    "wearcast/+/+/acks",
    "wearcast/v1/+/readings",
    "wearcast/v1/+/acks",
    "wearcast/v1/car-1/acks",
    "wearcast/v1/car-1/#",
    "wearcast/v1/car-1/commands/+",
    "wearcast/v1/car-2/#",
    "wearcast/v1/car-2/+",
    "wearcast/v1/car-2/readings",
    "$SYS/#",
    "$MQTT/#",
    "$MQTT/sub/#",
    "$MQTT/msgs/wearcast/#",
    "$JS/#",
    "$JS/API/#",
    "$KV/#",
    "_INBOX/#",
    "$share/x/wearcast/v1/+/readings",
    "$share/x/wearcast/v1/car-1/acks",
]


@attack("listen to others: #, wildcards, shared subscriptions, the broker's own topics", answer="refused, or silent")
def test_listening_outside_the_branch_brings_nothing(fortress: Fortress) -> None:
    """Mosquitto grants any subscription and then delivers nothing (it checks each delivery); NATS refuses it."""
    with (
        fortress.device("car-2") as spy,
        fortress.device("car-1") as victim,
        fortress.service() as backend,
    ):
        granted = [topic for topic in LISTENED if spy.subscribe(topic)]
        assert fortress.kind == "mosquitto" or granted == []
        victim.publish("wearcast/v1/car-1/readings", b"private")
        victim.publish("wearcast/v1/car-1/status", b"private")
        backend.publish("wearcast/v1/car-1/acks", b"private")
        backend.publish("wearcast/v1/car-1/commands/dtc", b"private")
        assert spy.hears_nothing(0.5)
        backend.publish("wearcast/v1/car-2/acks", b"mine")
        if "wearcast/v1/car-2/+" not in granted:
            assert spy.subscribe("wearcast/v1/car-2/acks")
            backend.publish("wearcast/v1/car-2/acks", b"mine")
        spy.until(lambda: bool(spy.received))
        assert {payload for _, payload in spy.received} == {b"mine"}


@attack("ask for what waits for another", answer="refused, or silent")
def test_what_waits_for_another_is_not_had(fortress: Fortress) -> None:
    acks = "wearcast/v1/car-1/acks"
    with fortress.device("car-1", subscribe=[acks], clean=False):
        pass
    with fortress.service() as backend:
        backend.publish(acks, b"waits")
    with fortress.device("car-2") as spy:
        for topic in (acks, "wearcast/v1/+/acks"):
            spy.subscribe(topic)
        assert spy.hears_nothing()
    with fortress.device("car-1", subscribe=[acks], clean=False) as victim:
        victim.until(lambda: (acks, b"waits") in victim.received)
    with fortress.device("car-1"):
        pass


@attack("come in where services do", answer="NATS: not authorized; Mosquitto: no device has a password")
async def test_the_services_entrance_is_closed_to_devices(fortress: Fortress) -> None:
    certificate, key = fortress.of("car-2")
    if fortress.kind == "nats":
        context = ssl.create_default_context(cafile=fortress.tls.ca)
        context.load_cert_chain(certificate, key)
        with pytest.raises(nats.errors.Error, match=r"Authorization Violation|no servers"):
            await nats.connect(
                f"tls://{HOST}:{fortress.services_port}",
                tls=context,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
            )
    else:
        for login in (None, ("CN=car-2", ""), ("ingest", ""), ("doorkeeper", "doorkeeper")):
            client = Client(
                fortress.services_port, fortress.tls.ca, (certificate, key), client_id="car-2", login=login, again=False
            )
            assert client.was_refused
            client.close()
