"""Who maintains the storage, on the editions there are.

The Apache edition is tested always. A server with the full licence is not packaged by Debian: give one as
TIMESCALE_TEST_URL (a superuser's, of a server for tests: its licence is switched) and its tests run too.
"""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from typer.testing import CliRunner

import ingest.migrate
from ingest.database import Connection, connect
from ingest.errors import StorageError
from ingest.rollups.decision import Found, decide
from ingest.rollups.maintenance import MaintenanceConfig, run_maintenance, run_round
from ingest.rollups.retention import Retention
from ingest.rollups.server import found
from ingest.rollups.status import storage_status
from tests.integration.rollup_support import every, expected, put, stored
from wearcast.cli import app

pytestmark = pytest.mark.database

FULL = os.environ.get("TIMESCALE_TEST_URL", "")
needs_full_edition = pytest.mark.skipif(not FULL, reason="TIMESCALE_TEST_URL names no server with the full licence")

OLD = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=40)
BARE = Found(license="apache", job=False, compression_policy=False, compression=False, compressed_chunks=0)


def config(url: str, **fields: object) -> MaintenanceConfig:
    return MaintenanceConfig(database_url=url, **fields)  # type: ignore[arg-type]  # by name


def test_on_apache_a_round_rolls_up_and_drops(connection: Connection, database_url: str) -> None:
    vehicle = uuid4()
    values = every(3600, OLD, 24 * 39)
    put(connection, vehicle, values)
    assert found(connection) == BARE
    decision = run_round(connection, config(database_url, retention=Retention(reading=10)))
    assert (decision.scheduler, decision.actions) == ("process", ())
    assert stored(connection, vehicle, "hour") == expected(values, "hour")
    status = storage_status(connection)
    assert (status.scheduler, status.pending_hours, status.pending_since) == ("process", 0, None)
    assert status.last_run_buckets is not None
    assert status.raw_dropped_before is not None
    assert OLD < status.raw_dropped_before <= datetime.now(UTC) - timedelta(days=10)
    tables = {table.name: table for table in status.tables}
    assert (tables["reading"].kept_days, tables["estimate"].kept_days) == (10, None)
    assert tables["reading"].oldest is not None
    assert tables["reading"].oldest >= status.raw_dropped_before
    assert 0 < tables["reading"].rows < len(values)


def test_the_job_of_the_other_scheduler_does_nothing(connection: Connection) -> None:
    put(connection, uuid4(), every(60, OLD, 3))
    connection.execute('CALL maintain_storage(0, \'{"scheduler": "database"}\')')
    assert storage_status(connection).pending_hours == 1


def test_the_command_shows_what_was_decided(connection: Connection, database_url: str) -> None:
    put(connection, uuid4(), every(60, OLD, 3))
    environment = {"WEARCAST_DATABASE_URL": database_url, "WEARCAST_RETENTION": "reading=20d"}
    shown = CliRunner().invoke(app, ["db", "status"], env=environment).output
    assert "no maintenance has run yet" in shown
    assert "licence apache: wearcast db maintain runs everything" in (
        CliRunner().invoke(app, ["db", "maintain", "--once"], env=environment).output
    )
    shown = CliRunner().invoke(app, ["db", "status"], env=environment).output
    assert "process" in shown
    assert "licence apache: wearcast db maintain runs everything" in shown
    assert "20 days" in shown


def test_the_command_shows_a_long_period(connection: Connection, database_url: str) -> None:
    vehicle = uuid4()
    put(connection, vehicle, every(3600, OLD + timedelta(days=30), 100, first=1))
    result = CliRunner().invoke(
        app, ["db", "rollup", str(vehicle), "speed", "--json"], env={"WEARCAST_DATABASE_URL": database_url}
    )
    assert '"mean_km/h"' in result.output
    assert result.output.count('"day"') in {5, 6}


def test_of_several_processes_one_works_and_all_stop(connection: Connection, database_url: str) -> None:
    vehicle = uuid4()
    values = every(3600, OLD, 50)
    stop = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(run_maintenance, config(database_url, every_seconds=0.02), stop) for _ in range(2)]
        try:
            for part in (values[:20], values[20:]):
                put(connection, vehicle, part)
                deadline = time.monotonic() + 60
                while storage_status(connection).pending_hours and time.monotonic() < deadline:
                    time.sleep(0.02)
        finally:
            stop.set()
    assert [process.result() for process in running] == [None, None]
    assert stored(connection, vehicle, "hour") == expected(values, "hour")


@pytest.fixture
def full_url(migration_folders: tuple[Path, ...]) -> Iterator[str]:
    """A migrated database on the server with the full licence, which has that licence before and after."""
    name = f"wearcast_{uuid4().hex}"
    switch(FULL, "timescale")
    with closing(psycopg.connect(FULL, autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        url = urlsplit(FULL)._replace(path=f"/{name}").geturl()
        try:
            ingest.migrate.apply(url, migration_folders)
            yield url
        finally:
            switch(FULL, "timescale")
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def switch(url: str, licence: str) -> None:
    """Switch the server's edition, as its operator would; sessions opened from now on have it."""
    with closing(psycopg.connect(url, autocommit=True)) as admin:
        admin.execute(f"ALTER SYSTEM SET timescaledb.license = '{licence}'")
        admin.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with closing(psycopg.connect(url)) as session:
            if session.execute("SELECT current_setting('timescaledb.license')").fetchone() == (licence,):
                return
        time.sleep(0.05)
    raise AssertionError(f"the server keeps its licence; {licence} was asked for")


def jobs(url: str) -> set[str]:
    with closing(connect(url)) as session:
        rows = session.execute(
            "SELECT proc_name FROM timescaledb_information.jobs"
            " WHERE proc_name IN ('maintain_storage', 'policy_compression')"
        ).fetchall()
    return {row[0] for row in rows}


def compress_all(session: Connection) -> int:
    row = session.execute("SELECT count(compress_chunk(chunk)) FROM show_chunks('reading') AS chunk").fetchone()
    assert row is not None
    return int(row[0])


@needs_full_edition
def test_on_timescale_the_database_maintains_itself(full_url: str) -> None:
    vehicle = uuid4()
    values = every(3600, OLD, 500)
    with closing(connect(full_url, autocommit=True)) as session:
        put(session, vehicle, values)
        decision = run_round(session, config(full_url, retention=Retention(reading=25)))
        assert decision.scheduler == "database"
        assert jobs(full_url) == {"maintain_storage", "policy_compression"}
        deadline = time.monotonic() + 60
        while stored(session, vehicle, "hour") != expected(values, "hour") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert stored(session, vehicle, "hour") == expected(values, "hour")  # by a job of the server
        while (status := storage_status(session)).last_run_at is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert status.scheduler == "database"
        assert status.raw_dropped_before is not None
        assert decide(found(session)).actions == ()


@needs_full_edition
def test_late_rows_reach_compressed_chunks(full_url: str) -> None:
    vehicle = uuid4()
    values = every(3600, OLD, 500)
    late = every(3600, OLD + timedelta(seconds=9), 200, first=1000)
    with closing(connect(full_url, autocommit=True)) as session:
        run_round(session, config(full_url))
        put(session, vehicle, values)
        assert compress_all(session) > 2
        put(session, vehicle, late)
        session.execute('CALL maintain_storage(0, \'{"scheduler": "database"}\')')
        assert stored(session, vehicle, "day") == expected([*values, *late], "day")


@needs_full_edition
def test_switching_to_apache_and_back(full_url: str) -> None:
    """First the other mechanism is removed, then the licence; each edition then rolls up what came meanwhile."""
    vehicle = uuid4()
    one, two, three = (every(3600, OLD + timedelta(seconds=second), 300, first=second) for second in (0, 5, 9))
    with closing(connect(full_url, autocommit=True)) as session:
        run_round(session, config(full_url))
        put(session, vehicle, one)
        compress_all(session)
        run_round(session, config(full_url, policies="own"))
        assert found(session) == Found(
            license="timescale", job=False, compression_policy=False, compression=False, compressed_chunks=0
        )
        assert stored(session, vehicle, "hour") == expected(one, "hour")
    assert jobs(full_url) == set()
    switch(FULL, "apache")
    with closing(connect(full_url, autocommit=True)) as session:
        put(session, vehicle, two)
        assert run_round(session, config(full_url)).scheduler == "process"
        assert found(session) == BARE
        assert stored(session, vehicle, "hour") == expected([*one, *two], "hour")
    switch(FULL, "timescale")
    with closing(connect(full_url, autocommit=True)) as session:
        put(session, vehicle, three)
        assert run_round(session, config(full_url)).scheduler == "database"
        session.execute('CALL maintain_storage(0, \'{"scheduler": "database"}\')')
        assert stored(session, vehicle, "hour") == expected([*one, *two, *three], "hour")
    assert jobs(full_url) == {"maintain_storage", "policy_compression"}


@needs_full_edition
def test_a_licence_switched_too_early_stops_maintenance_before_it_does_harm(full_url: str) -> None:
    vehicle = uuid4()
    values = every(3600, OLD, 300)
    with closing(connect(full_url, autocommit=True)) as session:
        run_round(session, config(full_url))
        put(session, vehicle, values)
        session.execute('CALL maintain_storage(0, \'{"scheduler": "database"}\')')
        compress_all(session)
    switch(FULL, "apache")
    with closing(connect(full_url, autocommit=True)) as session:
        assert session.execute("SELECT count(*) FROM reading").fetchone() == (0,)  # what that edition makes of them
        with pytest.raises(StorageError, match="compressed and read as empty under this licence"):
            run_round(session, config(full_url))
        assert "read as empty" in storage_status(session).reason
    switch(FULL, "timescale")
    with closing(connect(full_url, autocommit=True)) as session:
        run_round(session, config(full_url, policies="own"))
        assert session.execute("SELECT count(*) FROM reading").fetchone() == (300,)
        assert stored(session, vehicle, "hour") == expected(values, "hour")
