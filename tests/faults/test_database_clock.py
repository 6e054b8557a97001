"""What a moved clock of the database moves, and what it does not."""

from contextlib import closing
from datetime import datetime, timedelta

import pytest

from ingest.clock import BackendClock
from ingest.database import Connection, connect
from tests.faults.database_clock import make_movable, move

pytestmark = pytest.mark.database


def test_sessions_go_by_the_moved_clock_and_the_server_by_its_own(connection: Connection, database_url: str) -> None:
    make_movable(connection, database_url.rpartition("/")[2])
    with closing(connect(database_url, autocommit=True)) as session:
        for ahead in (timedelta(0), timedelta(days=30), timedelta(hours=-5)):
            move(connection, ahead)
            asked = "SELECT now(), clock_timestamp(), CURRENT_TIMESTAMP, pg_catalog.clock_timestamp()"
            row: tuple[datetime, ...] | None = session.execute(asked).fetchone()
            assert row is not None
            started, now, current, server = row
            assert started - current == ahead
            assert abs(now - server - ahead) < timedelta(minutes=1)
            clock = BackendClock()
            clock.compare(session)
            assert abs(clock.now() - server - ahead) < timedelta(minutes=1)


def test_tables_and_their_defaults_stay_where_they_were(connection: Connection, database_url: str) -> None:
    make_movable(connection, database_url.rpartition("/")[2])
    move(connection, timedelta(days=30))
    with closing(connect(database_url, autocommit=True)) as session:
        session.execute("INSERT INTO owner (id) VALUES (gen_random_uuid())")
        row = session.execute("SELECT max(created_at) < CURRENT_TIMESTAMP + interval '1 day' FROM owner").fetchone()
    assert row == (True,)
