"""The portal hears the database's time before its first request and from then on, whatever becomes of the database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

import psycopg
import pytest

from ingest.database import Connection
from ingest.errors import DatabaseError
from ingest.pulse import Pulse
from ingest.session import Session
from portal.clock import heard
from portal.reach import Reach


class Opened:
    """A connection, which is cut at some of the questions."""

    def __init__(self, *, is_cut: bool) -> None:
        self.is_cut = is_cut

    def execute(self, _query: str) -> None:
        if self.is_cut:
            raise psycopg.OperationalError("cut")


class Database:
    """One that is away, or cuts the connection, at some of the attempts, by their number."""

    def __init__(self, *, away: tuple[int, ...] = (), cut: tuple[int, ...] = ()) -> None:
        self.away = away
        self.cut = cut
        self.attempts = 0
        self.enough = threading.Event()
        self.closed = False

    @contextmanager
    def connection(self) -> Iterator[Opened]:
        self.attempts += 1
        if self.attempts == 5:
            self.enough.set()
        if self.attempts in self.away:
            raise DatabaseError("away")
        yield Opened(is_cut=self.attempts in self.cut)

    def close(self) -> None:
        self.closed = True


class Noting(Reach):
    """Notes after each question whether the database was taken to be away."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[bool] = []

    @contextmanager
    def asking(self) -> Iterator[None]:
        try:
            with super().asking():
                yield
        finally:
            self.noted.append(self.is_away())


class Asked:
    """A clock that counts how often it asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def agrees(self, _connection: Connection) -> bool:
        self.asked += 1
        return False


class Broken(Asked):
    """A clock that fails in a way nobody foresaw, from its second question on."""

    def agrees(self, connection: Connection) -> bool:
        if self.asked:
            raise ValueError("unforeseen")
        return super().agrees(connection)


def used(database: Database) -> Session:
    return cast("Session", database)


def test_the_time_is_heard_at_once_and_again_after_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.clock._PERIOD_S", 0.001)
    database, clock, reach = Database(away=(2, 3)), Asked(), Noting()
    with heard(used(database), clock, reach):
        assert clock.asked
        assert database.enough.wait(60)
    assert clock.asked >= 2
    assert reach.noted[:4] == [False, True, True, False]
    assert database.closed


def test_a_connection_that_was_cut_does_not_say_that_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.clock._PERIOD_S", 0.001)
    database, clock, reach = Database(cut=(2,)), Asked(), Noting()
    with heard(used(database), clock, reach):
        assert database.enough.wait(60)
    assert not any(reach.noted)


def test_a_portal_does_not_start_by_its_machines_clock() -> None:
    with pytest.raises(DatabaseError), heard(used(Database(away=(1,))), Asked(), Reach()):
        pytest.fail("it started")


def test_it_is_noticed_where_the_time_is_heard_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.clock._PERIOD_S", 0.001)
    pulse, ended = Pulse(), threading.Event()
    monkeypatch.setattr("portal.clock.PULSE", pulse)
    monkeypatch.setattr("threading.excepthook", lambda _: ended.set())
    with heard(used(Database()), Broken(), Reach()):
        assert ended.wait(60)
    (problem,) = pulse.problems()
    assert problem.startswith("the database's time: heard no more")
    assert "ValueError" in problem
