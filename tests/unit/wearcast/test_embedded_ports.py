"""A port that was given is its taker's alone, before its server listens and while it is restarted."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from wearcast.embedded.ports import HOST, free_port


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def listening(sockets: ExitStack, port: int) -> socket.socket:
    """As servers listen: NATS, Mosquitto, PostgreSQL and asyncio all set the option."""
    server = sockets.enter_context(socket.socket())
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((HOST, port))
    server.listen()
    return server


def test_a_server_listens_and_is_restarted_on_it(sockets: ExitStack) -> None:
    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=60)
    for _ in range(2):
        with listening(sockets, port) as server:
            client = sockets.enter_context(socket.create_connection((HOST, port), timeout=60))
            taken, _ = server.accept()
            taken.close()
            assert client.recv(1) == b""


@pytest.mark.parametrize("reuse", [0, 1])
def test_nobody_else_gets_it(sockets: ExitStack, reuse: int) -> None:
    """Neither who asks for that port, nor, of all the others there are, who asks for any."""
    ours = {free_port() for _ in range(50)}
    assert len(ours) == 50
    taken = set()
    for _ in range(1000):
        other = sockets.enter_context(socket.socket())
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        other.bind((HOST, 0))
        taken.add(other.getsockname()[1])
    assert not taken & ours
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, ours.pop()))


def test_a_port_of_datagrams_is_shared_with_who_shares_it() -> None:
    """As python-can does on a multicast group."""
    port = free_port(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bus:
        bus.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bus.bind(("", port))
