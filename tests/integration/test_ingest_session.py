"""A session opened while the database took nothing does not stay as it was opened."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ingest.database import KEEPALIVE, Connection, connect
from ingest.session import Session
from tests.integration.ingest_support import connected_device, readings, register_car, running_worker, until
from tests.integration.watch_support import eventually
from wearcast.embedded.nats import Broker

pytestmark = pytest.mark.database


def set_read_only(connection: Connection, *, on: bool) -> None:
    name = connection.info.dbname
    connection.execute("SET default_transaction_read_only = off")
    change = "SET default_transaction_read_only = on" if on else "RESET default_transaction_read_only"
    connection.execute(f'ALTER DATABASE "{name}" {change}'.encode())
    connection.commit()


def end_others(connection: Connection) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    connection.commit()


def write(session: Session) -> None:
    with session.connection() as opened:
        opened.execute("CREATE TABLE written ()")


def test_a_failure_ends_the_session(connection: Connection, database_url: str) -> None:
    session = Session(database_url, application_name="a test")
    set_read_only(connection, on=True)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        write(session)
    set_read_only(connection, on=False)
    write(session)
    session.close()
    session.close()


def test_a_session_that_is_asked_is_closed_by_who_asks(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stops does not wait for ever, and libpq must not free what its thread works with."""
    session = Session(database_url, application_name="a-slow-test")
    closed_by: list[int] = []
    close = psycopg.Connection.close

    def noted(one: Connection) -> None:
        closed_by.append(threading.get_ident())
        close(one)

    def ask() -> None:
        with session.connection() as opened:
            opened.execute("SELECT pg_sleep(3600)")

    asked = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name = 'a-slow-test'"
    with ThreadPoolExecutor(1) as threads:
        asker = threads.submit(threading.get_ident).result(60)
        asking = threads.submit(ask)
        eventually(lambda: connection.execute(asked).fetchone() is not None, "it is asked")
        monkeypatch.setattr(psycopg.Connection, "close", noted)
        session.close()
        with pytest.raises(psycopg.OperationalError):
            asking.result(60)
    assert closed_by == [asker]


@pytest.mark.broker
async def test_a_worker_stores_again_once_the_database_is_no_longer_read_only(
    broker: Broker, connection: Connection, database_url: str
) -> None:
    register_car(connection, "d1")
    connection.commit()
    async with running_worker(broker, database_url), connected_device(broker, "d1") as device:
        await device.send(readings("d1", device.boot, 1))
        await until(lambda: device.committed() == {1}, "acknowledgement")
        set_read_only(connection, on=True)
        end_others(connection)
        await device.send(readings("d1", device.boot, 2))
        refused = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ingest-test'"

        def opened_again() -> bool:
            row = connection.execute(refused).fetchone()
            connection.commit()
            return row is not None and int(row[0]) > 0

        await until(opened_again, "the worker opens a session that is read-only")
        set_read_only(connection, on=False)
        await until(lambda: device.committed() == {1, 2}, "acknowledgement")


def test_every_session_notices_a_host_that_is_gone(database_url: str) -> None:
    with connect(database_url) as opened:
        given = conninfo_to_dict(opened.info.dsn)
    assert {name: int(str(given[name])) for name in KEEPALIVE} == KEEPALIVE
    with connect(f"{database_url}?keepalives_idle=7") as opened:
        assert conninfo_to_dict(opened.info.dsn)["keepalives_idle"] == "7"
