"""One device's excesses are its own: attacks by volume and by broken packets, with a neighbour beside. Both brokers."""

import itertools
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from ingest.brokers.nats import MAX_PAYLOAD_BYTES
from tests.noting_client import HOST, SECONDS
from tests.security.fortress import Client, Fortress, attack

pytestmark = [pytest.mark.broker, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

_numbers = itertools.count(100)


@contextmanager
def undisturbed(fortress: Fortress) -> Iterator[Client]:
    """A neighbour and the backend, who talk before, and after, and are never disconnected; yields the backend."""
    ack = "wearcast/v1/car-1/acks"
    with (
        fortress.service(subscribe=["wearcast/v1/+/readings"]) as backend,
        fortress.device("car-1", subscribe=[ack]) as neighbour,
    ):

        def talk(said: bytes, heard: int) -> None:
            neighbour.publish("wearcast/v1/car-1/readings", said)
            backend.until(lambda: ("wearcast/v1/car-1/readings", said) in backend.received)
            backend.publish(ack, said)
            neighbour.until(lambda: len(neighbour.received) == heard)

        talk(b"before", 1)
        before = (list(neighbour.events), list(backend.events))
        yield backend
        talk(b"after", 2)
        assert (neighbour.events, backend.events) == before
    with fortress.device("car-2") as device:
        assert device.is_connected, "the broker still lets in"


@attack("a payload above the limit", answer="disconnected; not delivered")
def test_an_oversized_payload(fortress: Fortress) -> None:
    with undisturbed(fortress) as backend:
        device = fortress.device("car-2", again=False)
        device.mqtt.publish("wearcast/v1/car-2/readings", bytes(MAX_PAYLOAD_BYTES + 2000), qos=1)
        device.until(lambda: device.disconnections > 0)
        device.close()
        assert all(topic != "wearcast/v1/car-2/readings" for topic, _ in backend.received)


@contextmanager
def raw(fortress: Fortress) -> Iterator[ssl.SSLSocket]:
    """A TLS connection with a good certificate, on which anything can be said."""
    context = ssl.create_default_context(cafile=str(fortress.tls.ca))
    context.load_cert_chain(*fortress.of("car-2"))
    with (
        socket.create_connection((HOST, fortress.port), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        yield secure


def connect() -> bytes:
    """A CONNECT under a client id of its own: NATS ends who comes again before it has seen the one before go."""
    client_id = f"raw-{next(_numbers)}".encode()
    rest = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(client_id).to_bytes(2) + client_id
    return b"\x10" + bytes([len(rest)]) + rest


def publication(topic: bytes, payload: bytes = b"broken") -> bytes:
    rest = len(topic).to_bytes(2) + topic + payload
    assert len(rest) < 128
    return b"\x30" + bytes([len(rest)]) + rest


BROKEN = {
    "NUL in the topic": publication(b"wearcast/v1/car-2/readings\x00"),
    "NUL for a level": publication(b"wearcast/v1/car-1\x00/readings"),
    "no UTF-8 in the topic": publication(b"wearcast/v1/car-2/\xff\xfe"),
    "wildcard in the topic": publication(b"wearcast/v1/+/readings"),
    "hash in the topic": publication(b"wearcast/v1/#"),
    "space in the topic": publication(b"wearcast/v1/car-2/rea dings"),
    "dot in the topic": publication(b"wearcast/v1/car-1.readings"),
    "NATS wildcards in the topic": publication(b"wearcast/v1/*/readings"),
    "empty topic": publication(b""),
    "a second CONNECT": connect(),
    "QoS 3": b"\x36" + publication(b"wearcast/v1/car-2/readings")[1:],
    "a length that lies": b"\x30\x7f\x00\x05abc",
    "a length without end": b"\x30\xff\xff\xff\xff\xff",
    "a kind that is none": b"\xf0\x00" * 20,
    "SUBSCRIBE without a filter": b"\x82\x02\x00\x01",
    "an acknowledgement of nothing": b"\x40\x02\xff\xff" * 50,
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@attack("packets that break MQTT: NUL, wildcards, spaces, lengths that lie", answer="disconnected or dropped")
def test_broken_packets(fortress: Fortress) -> None:
    with undisturbed(fortress) as backend:
        for packet in BROKEN.values():
            with raw(fortress) as secure:
                secure.sendall(connect())
                assert secure.recv(4) == b"\x20\x02\x00\x00"
                secure.sendall(packet)
                secure.settimeout(0.05)
                with suppress(OSError):  # it waits for more, or has ended the connection
                    secure.recv(100)
        assert [topic for topic, _ in backend.received if "car-1/" not in topic] == []
        assert all(payload != b"broken" for _, payload in backend.received)


@attack("many connections: silent ones, handshakes of rubbish, handshakes without end", answer="neighbours not harmed")
def test_a_flood_of_connections(fortress: Fortress) -> None:
    """How many one address may open is a firewall's business: docs/security.md has a rule."""
    with undisturbed(fortress), ExitStack() as stack:
        for number in range(300):
            plain = stack.enter_context(socket.create_connection((HOST, fortress.port), timeout=SECONDS))
            if number % 3 == 1:
                plain.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # a ClientHello that never ends
            elif number % 3 == 2:
                plain.sendall(b"\x00rubbish" * 10)
        with fortress.device("car-2") as device:
            device.publish("wearcast/v1/car-2/readings", b"in between")


@attack("read nothing of what it is sent", answer="its own messages wait or are dropped; neighbours not harmed")
def test_a_slow_reader(fortress: Fortress) -> None:
    with undisturbed(fortress) as backend, raw(fortress) as slow:
        slow.sendall(connect())
        assert slow.recv(4) == b"\x20\x02\x00\x00"
        topic = b"wearcast/v1/car-2/acks"
        slow.sendall(b"\x82" + bytes([len(topic) + 5]) + b"\x00\x01" + len(topic).to_bytes(2) + topic + b"\x00")
        assert slow.recv(5)[:1] == b"\x90"
        for _ in range(64):
            backend.publish(topic.decode(), bytes(512 * 1024))
