"""Brokers that accept a connection and then do not do their part: the agent waits for them, and ends without them."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from edge_agent.config import MqttConfig, TlsConfig, UplinkConfig
from edge_agent.outbox import Outbox
from edge_agent.testing import FakeClock
from edge_agent.uplink import MqttUplink
from tests.unit.edge_agent.outbox_support import seal

DEVICE = "car-1"
CONNACK = bytes.fromhex("20020000")


@contextmanager
def server(answer: bytes) -> Iterator[tuple[int, threading.Event]]:
    """Port of a server that gives each client one answer and nothing more; the event is set once one spoke."""
    spoken = threading.Event()
    clients: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                clients.append(client)
                client.recv(4096)
                client.sendall(answer)
                spoken.set()
                threading.Thread(target=swallow, args=(client,)).start()

        def swallow(client: socket.socket) -> None:
            try:
                while client.recv(65536):
                    pass
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], spoken
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for client in clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
                client.close()


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000) as opened:
        yield opened


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# paho leaves the socket of a broken handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_end_does_not_wait_for_a_handshake_that_nobody_answers(outbox: Outbox, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    with server(b"") as (port, spoken):
        uplink = MqttUplink(
            device=DEVICE,
            mqtt=MqttConfig(port=port, tls=TlsConfig(ca=ca)),
            uplink=UplinkConfig(),
            outbox=outbox,
            clock=FakeClock(),
        )
        uplink.start()
        assert spoken.wait(30)
        before = {thread for thread in threading.enumerate() if "paho" in thread.name}
        uplink.stop()
        assert before
        assert all(thread.is_alive() for thread in before)  # left behind, not waited for
        assert all(thread.daemon for thread in before)
    for thread in before:
        thread.join(30)


def test_a_broker_that_withholds_pubacks_is_told_once_and_left_in_peace(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    outbox.begin_boot(clock.boot)
    for number in range(3):
        seal(outbox, number)
    config = UplinkConfig(window=1, ack_timeout_seconds=0.001)
    with server(CONNACK) as (port, _), caplog.at_level(logging.WARNING):
        uplink = MqttUplink(device=DEVICE, mqtt=MqttConfig(port=port), uplink=config, outbox=outbox, clock=clock)
        uplink.start()
        eventually(lambda: uplink.connected)
        for number in range(40):  # more than paho is allowed to hold
            uplink._window.reconnected(-1.0 - number)
            uplink.tick()
        assert [record.getMessage() for record in caplog.records] == ["the broker withholds its PUBACKs; batches wait"]
        (first,) = (flight for flight in uplink._window._flights.values())
        attempts = first.attempts
        first.resend_at = time.monotonic() + 3600
        for _ in range(10):
            uplink.tick()
        assert first.attempts == attempts
        uplink.stop()
    assert outbox.pending_batches() == 3
