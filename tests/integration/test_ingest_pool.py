"""A pool of database connections after the database went away, and while it is away."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from ingest.database import Connection, Pool, open_pool
from tests.integration.test_ingest_session import set_read_only
from tests.integration.watch_support import eventually

pytestmark = pytest.mark.database


def test_a_pool_gives_no_dead_connection_away(connection: Connection, database_url: str) -> None:
    with open_pool(database_url, max_size=4) as pool:
        with ExitStack() as all_of_them:
            first = [all_of_them.enter_context(pool.connection()) for _ in range(4)]
        connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with ExitStack() as all_of_them:
            second = [all_of_them.enter_context(pool.connection()) for _ in range(4)]
            assert [one.execute("SELECT 1").fetchone() for one in second] == [(1,)] * 4
        assert not set(map(id, first)) & set(map(id, second))


def test_nobody_waits_for_a_connection_to_a_database_that_is_away(connection: Connection, database_url: str) -> None:
    away = False
    with open_pool(database_url, max_size=1, timeout=600, is_away=lambda: away) as pool:
        with pool.connection():
            away = True
            with pytest.raises(PoolTimeout):
                pool.getconn()
        with pool.connection() as again:
            assert again.execute("SELECT 1").fetchone() == (1,)


def test_no_connection_stays_read_only_when_the_database_no_longer_is(
    connection: Connection, database_url: str
) -> None:
    set_read_only(connection, on=True)
    with open_pool(database_url, max_size=2) as pool:
        with pool.connection(), pool.connection():  # both were opened now
            pass
        set_read_only(connection, on=False)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), pool.connection() as one:
            one.execute("CREATE TABLE written ()")
        with pool.connection() as one, pool.connection() as other:
            one.execute("CREATE TABLE written ()")
            other.execute("CREATE TABLE also_written ()")


def test_no_question_keeps_a_pool_from_ending(connection: Connection, database_url: str) -> None:
    asked = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"

    def ask(pool: Pool) -> None:
        with pool.connection() as one:
            one.execute("SELECT pg_sleep(3600)")

    with ThreadPoolExecutor(1) as threads:
        with open_pool(database_url, max_size=1) as pool:
            asking = threads.submit(ask, pool)
            eventually(lambda: connection.execute(asked).fetchone() is not None, "it is asked")
        with pytest.raises(psycopg.OperationalError):
            asking.result(60)
