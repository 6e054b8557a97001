"""The portal hears the database's time before its first request and from then on, whatever becomes of the database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from ingest.database import Connection
from ingest.pulse import Pulse
from portal.clock import heard


class Session:
    autocommit = False


class Pool:
    """One whose database is away at some of the attempts, by their number."""

    def __init__(self, *away: int) -> None:
        self.away = away
        self.attempts = 0
        self.enough = threading.Event()

    @contextmanager
    def connection(self) -> Iterator[Session]:
        self.attempts += 1
        if self.attempts == 5:
            self.enough.set()
        if self.attempts in self.away:
            raise psycopg.OperationalError("away")
        yield Session()


class Asked:
    """A clock that notes whether it asked in a transaction."""

    def __init__(self) -> None:
        self.autocommit: list[bool] = []

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def agrees(self, connection: Connection) -> bool:
        self.autocommit.append(connection.autocommit)
        return False


def used(pool: Pool) -> ConnectionPool[Connection]:
    return cast("ConnectionPool[Connection]", pool)


def test_the_time_is_heard_at_once_and_again_after_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.clock._PERIOD_S", 0.001)
    pool, clock = Pool(2, 3), Asked()
    with heard(used(pool), clock):
        assert clock.autocommit
        assert pool.enough.wait(60)
    assert len(clock.autocommit) >= 2
    assert all(clock.autocommit)


def test_a_portal_does_not_start_by_its_machines_clock() -> None:
    with pytest.raises(psycopg.OperationalError), heard(used(Pool(1)), Asked()):
        pytest.fail("it started")


class Broken(Asked):
    """A clock that fails in a way nobody foresaw, from its second question on."""

    def agrees(self, connection: Connection) -> bool:
        if self.autocommit:
            raise ValueError("unforeseen")
        return super().agrees(connection)


def test_it_is_noticed_where_the_time_is_heard_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.clock._PERIOD_S", 0.001)
    pulse, ended = Pulse(), threading.Event()
    monkeypatch.setattr("portal.clock.PULSE", pulse)
    monkeypatch.setattr("threading.excepthook", lambda _: ended.set())
    with heard(used(Pool()), Broken()):
        assert ended.wait(60)
    (problem,) = pulse.problems()
    assert problem.startswith("the database's time: heard no more")
    assert "ValueError" in problem
