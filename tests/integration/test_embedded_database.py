"""The private TimescaleDB: what it offers, that a crash loses nothing committed, and that it leaves nothing behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from wearcast.embedded.errors import DatabaseUnavailableError
from wearcast.embedded.paths import cache_root, memory_root
from wearcast.embedded.postgres_binaries import find_installed
from wearcast.embedded.timescaledb import Database, open_database, private_database

pytestmark = pytest.mark.database

PARENT = """
import time
from wearcast.embedded.timescaledb import private_database
with private_database("orphan", fresh=True) as database:
    print(database.pid, database.data, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with private_database("test", fresh=True) as running:
        yield running


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def test_the_extensions_are_there_and_say_their_licence(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        names = {row[0] for row in connection.execute("SELECT extname FROM pg_extension")}
    assert {"timescaledb", "btree_gist"} <= names
    assert one(database.url, "SELECT current_setting('timescaledb.license', true)") in {"apache", "timescale"}
    assert one(database.url, "SELECT current_setting('timescaledb.telemetry_level')") == "off"


def test_hypertables_and_exclusion_constraints_work(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE sample (at timestamptz NOT NULL, value float8)")
        connection.execute("SELECT create_hypertable('sample', by_range('at', interval '1 day'))")
        connection.execute("INSERT INTO sample SELECT now() - i * interval '1 hour', i FROM generate_series(1, 100) i")
        connection.execute(
            "CREATE TABLE slot (bay integer, during tstzrange, EXCLUDE USING gist (bay WITH =, during WITH &&))"
        )
        connection.execute("INSERT INTO slot VALUES (1, '[2024-01-01 10:00+00, 2024-01-01 11:00+00)')")
        with pytest.raises(psycopg.errors.ExclusionViolation):
            connection.execute("INSERT INTO slot VALUES (1, '[2024-01-01 10:30+00, 2024-01-01 11:30+00)')")
    assert one(database.url, "SELECT count(*) >= 4 FROM show_chunks('sample')") is True


def test_time_zones_of_the_workshops_are_known(database: Database) -> None:
    query = "SELECT '2024-07-01 12:00+00'::timestamptz AT TIME ZONE 'Europe/Berlin' = '2024-07-01 14:00'"
    assert one(database.url, query) is True


def test_it_listens_on_the_loopback_interface_only_and_asks_for_the_password(database: Database) -> None:
    assert one(database.url, "SELECT current_setting('listen_addresses')") == "127.0.0.1"
    stranger = database.url.replace("wearcast:", "wearcast:not-", 1)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stranger)


def test_committed_rows_survive_kill_and_restart_at_the_same_address() -> None:
    with private_database("crash", fresh=True) as crashing:
        url = crashing.url
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE ledger (n integer)")
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO ledger SELECT generate_series(1, 1000)")
            connection.commit()
            connection.execute("INSERT INTO ledger VALUES (1001)")
            crashing.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.commit()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        crashing.restart()
        assert crashing.url == url
        assert one(url, "SELECT count(*) FROM ledger") == 1000


def test_fresh_databases_run_side_by_side_and_leave_nothing(database: Database) -> None:
    with private_database("test", fresh=True, durable=False, in_memory=True) as other:
        assert other.url != database.url
        assert other.data.is_relative_to(memory_root() or cache_root())
        assert database.data.is_relative_to(cache_root())
        assert one(other.url, "SELECT current_setting('fsync')") == "off"
        assert one(database.url, "SELECT current_setting('fsync')") == "on"
        folder = other.data
        assert folder.is_dir()
    assert not folder.parent.exists()


def test_a_named_instance_keeps_its_data_and_is_shared() -> None:
    name = f"test-{os.getpid()}"
    folder: Path | None = None
    try:
        with private_database(name) as first:
            folder = first.data.parent
            with psycopg.connect(first.url) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            with private_database(name) as joined:
                assert one(joined.url, "SELECT answer FROM kept") == 42
                with pytest.raises(DatabaseUnavailableError, match="not started here"):
                    joined.kill()
        with private_database(name) as again:
            assert one(again.url, "SELECT answer FROM kept") == 42
    finally:
        if folder is not None:
            subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_a_configured_database_goes_before_a_private_one(database: Database) -> None:
    with open_database(database.url) as url:
        assert url == database.url


def test_the_server_is_gone_after_its_parent_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, data = parent.stdout.readline().split(maxsplit=1)
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    home = Path(data.strip()).parent
    assert not (home / "data" / "postmaster.pid").exists(), "an orderly end leaves no lock file"
    with private_database("test", fresh=True, durable=False):
        assert not home.exists(), "the next start removes what the killed one left"


def test_a_server_without_the_extension_is_not_taken(tmp_path: Path) -> None:
    programs = tmp_path / "16" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / "share" / "extension").mkdir(parents=True)
    for name, says in (
        ("postgres", "postgres (PostgreSQL) 16.4"),
        ("initdb", ""),
        ("pg_config", str(tmp_path / "share")),
    ):
        (programs / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (programs / name).chmod(0o755)
    assert find_installed(tmp_path, use_path=False) is None
    for extension in ("timescaledb", "btree_gist"):
        (tmp_path / "share" / "extension" / f"{extension}.control").write_text("default_version = '2.19.3'\n")
    found = find_installed(tmp_path, use_path=False)
    assert found is not None
    assert (found.major, found.bin) == (16, programs)
