"""Where a wire is cut: after what was said in turn, however it came in pieces; and what it counts."""

import socket
import socketserver
import threading
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.site import wait_until
from tests.faults.wire import _COMMITTED, HOST, Wires, _end_of_last

SAID = b"INSERT INTO other; COMMIT; INSERT INTO alert; INSERT INTO booking; COMMIT; COMMIT"
TRIGGERS = (b"alert", b"COMMIT")
END = SAID.index(b"COMMIT", SAID.index(b"alert")) + len(b"COMMIT")


@given(st.lists(st.integers(0, len(SAID)), max_size=8))
def test_it_is_cut_after_the_last_of_the_triggers_that_came_in_turn(places: list[int]) -> None:
    triggers = list(TRIGGERS)
    bounds = sorted({0, *places, len(SAID)})
    seen = b""
    for begin, end in pairwise(bounds):
        found = _end_of_last(triggers, seen + SAID[begin:end])
        if found is not None:
            assert begin - len(seen) + found == END
            return
        seen = (seen + SAID[begin:end])[-len(triggers[0]) :]
    raise AssertionError("it was said and not seen")


def test_nothing_is_cut_before_the_first_of_the_triggers() -> None:
    triggers = list(TRIGGERS)
    assert _end_of_last(triggers, b"COMMIT; COMMIT") is None
    assert tuple(triggers) == TRIGGERS


class _Committing(socketserver.BaseRequestHandler):
    """A server that answers whatever it is told with a commit."""

    def handle(self) -> None:
        while self.request.recv(1000):
            self.request.sendall(_COMMITTED)


@pytest.mark.parametrize(("name", "commits"), [("ingest-1", 1), ("ingest-1-courier", 0), ("ingest-1-warden", 0)])
def test_only_the_connections_that_store_count_as_storing(name: str, commits: int) -> None:
    with socketserver.ThreadingTCPServer((HOST, 0), _Committing) as server, Wires().running() as wires:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        wire = wires.wire(lambda: [(HOST, server.server_address[1])])
        with socket.create_connection((HOST, wire.port), timeout=60) as client:
            client.sendall(f"application_name\0{name}\0".encode())
            assert client.recv(1000) == _COMMITTED
        assert wire.commits == commits
        server.shutdown()


@pytest.mark.parametrize(("silent", "counted"), [(True, (0, 1)), (False, (1, 0))])
def test_what_meets_a_closed_way_is_counted(silent: bool, counted: tuple[int, int]) -> None:
    with socketserver.ThreadingTCPServer((HOST, 0), _Committing) as server, Wires().running() as wires:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        wire = wires.wire(lambda: [(HOST, server.server_address[1])])
        (wire.stall if silent else wire.refuse)(True)
        with socket.create_connection((HOST, wire.port), timeout=60) as client, suppress(ConnectionError):
            client.sendall(b"a message")
            if silent:
                wait_until(lambda: wire.held > 0, "held back", 60)
                wire.stall(False)
            client.recv(1000)
        assert (wire.turned_away, wire.held) == counted
        server.shutdown()
