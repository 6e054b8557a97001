"""When the portal takes its database to be away: refused, or without an answer for too long."""

import errno
import socket
from typing import cast

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ingest.database import Connection
from ingest.pulse import Pulse
from portal.reach import Line, Reach, probing_url


class Standing:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pulse(monkeypatch: pytest.MonkeyPatch) -> Pulse:
    pulse = Pulse()
    monkeypatch.setattr("portal.reach.PULSE", pulse)
    return pulse


def test_a_refusal_counts_until_the_next_answer(pulse: Pulse) -> None:
    reach = Reach()
    with pytest.raises(psycopg.OperationalError), reach.asking():
        raise psycopg.OperationalError("refused\nand more")
    assert reach.is_away()
    assert pulse.problems() == ["database: refused"]
    with reach.asking():
        assert reach.is_away(), "a question is no answer"
    assert not reach.is_away()
    assert pulse.problems() == []


def test_silence_counts_while_it_lasts() -> None:
    clock = Standing()
    reach = Reach(clock)
    with reach.asking():
        clock.now = 2.0
        assert not reach.is_away()
        clock.now = 2.1
        assert reach.is_away()
    clock.now = 100.0
    assert not reach.is_away()


def test_what_the_url_says_of_its_waiting_counts() -> None:
    probing = conninfo_to_dict(probing_url("postgresql://u@h/d?connect_timeout=30"))
    assert (probing["connect_timeout"], probing["tcp_user_timeout"]) == ("30", "5000")
    assert conninfo_to_dict(probing_url("postgresql://u@h/d"))["connect_timeout"] == "5"


def test_where_nobody_asks_any_more_pages_find_out_for_themselves(pulse: Pulse) -> None:
    reach = Reach()
    with pytest.raises(psycopg.OperationalError), reach.asking():
        raise psycopg.OperationalError("refused")
    with pytest.raises(ValueError, match="unforeseen"), reach.asking():
        raise ValueError("unforeseen")
    assert not reach.is_away()
    assert pulse.problems() == ["database: refused"]


def test_a_question_without_an_answer_is_given_up() -> None:
    clock = Standing()
    line = Line(reach := Reach(clock))
    line.end_silence()  # nothing was asked yet
    (former, gone), (ours, server) = socket.socketpair(), socket.socketpair()
    with former, gone, ours, server:
        server.setblocking(False)
        for opened in (former, ours):
            line.hold(cast("Connection", opened))
        with reach.asking():
            clock.now = 5.0
            line.end_silence()
            with pytest.raises(BlockingIOError):
                server.recv(1)
            clock.now = 5.1
            line.end_silence()
            assert server.recv(1) == b"", "it has ended"
            line.end_silence()
        line.close()
        line.end_silence()


def test_too_many_open_files_keep_nobody_from_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_number: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("os.dup", full)
    clock = Standing()
    line = Line(reach := Reach(clock))
    ours, server = socket.socketpair()
    with ours, server, reach.asking():
        line.hold(cast("Connection", ours))
        clock.now = 5.1
        line.end_silence()
        server.sendall(b"well")
        assert ours.recv(4) == b"well"
