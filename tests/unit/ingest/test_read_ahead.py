"""Reading ahead changes how often the socket is asked, and nothing of what comes."""

import socket
from collections.abc import Iterator

import pytest

from ingest.sources.read_ahead import ReadAhead


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


def test_bytes_come_in_their_order_and_are_told_of_while_they_wait(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    ahead = ReadAhead(near)
    far.sendall(b"0123456789")
    assert (ahead.recv(1), ahead.pending()) == (b"0", 9)
    far.sendall(b"abc")
    assert (ahead.recv(4), ahead.recv(100), ahead.pending()) == (b"1234", b"56789", 0)
    assert (ahead.recv(2), ahead.recv(2)) == (b"ab", b"c")


def test_nothing_there_and_the_end_are_told_apart(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    ahead = ReadAhead(near)
    with pytest.raises(BlockingIOError):
        ahead.recv(1)
    far.sendall(b"x")
    far.close()
    assert (ahead.recv(1), ahead.recv(1), ahead.recv(1)) == (b"x", b"", b"")


def test_what_is_long_is_not_copied_twice(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    ahead = ReadAhead(near)
    far.sendall(b"h" + bytes(100_000))
    assert ahead.recv(1) == b"h"
    received = 1
    while received < 100_001:
        received += len(ahead.recv(100_001))
    assert (received, ahead.pending()) == (100_001, 0)
