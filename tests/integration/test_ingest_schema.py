"""The schema: replaying all migrations, by several processes at once, and what it must share with the catalogue."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ingest.migrate
from ingest import database
from ingest.database import Connection
from ingest.errors import DatabaseError, MigrationError
from ingest.storing.rows import column_type
from telemetry.catalogue import catalogue

pytestmark = pytest.mark.database


def test_replaying_all_migrations_on_an_empty_database(
    empty_database_url: str, migration_folders: tuple[Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = ingest.migrate.status(empty_database_url, migration_folders)
    applied = ingest.migrate.apply(empty_database_url, migration_folders)
    after = ingest.migrate.status(empty_database_url, migration_folders)
    assert [entry.id for entry in before] == list(applied)
    assert applied[:2] == ("0001.registry", "0002.telemetry")
    assert not any(entry.applied for entry in before)
    assert all(entry.applied for entry in after)
    assert ingest.migrate.apply(empty_database_url, migration_folders) == ()
    assert capsys.readouterr().out == ""


def test_several_processes_may_migrate_at_once(empty_database_url: str, migration_folders: tuple[Path, ...]) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(ingest.migrate.apply, empty_database_url, migration_folders) for _ in range(4)]
        applied = [run.result() for run in runs]
    assert sorted(map(len, applied))[:3] == [0, 0, 0]
    assert len(max(applied, key=len)) == len(ingest.migrate.status(empty_database_url, migration_folders))


def test_a_failing_migration_leaves_nothing_behind(empty_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "0001.good.sql").write_text("-- depends:\nCREATE TABLE good (x int);\n")
    (tmp_path / "0002.bad.sql").write_text("-- depends: 0001.good\nCREATE TABLE half (x int);\nSELECT 1 / 0;\n")
    with pytest.raises(MigrationError, match=r"0002\.bad failed: division by zero"):
        ingest.migrate.apply(empty_database_url, [tmp_path])
    with database.connect(empty_database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE tablename IN ('good', 'half')").fetchall()
    assert tables == [("good",)]
    (tmp_path / "0002.bad.sql").write_text("-- depends: 0001.good\nCREATE TABLE half (x int);\n")
    assert ingest.migrate.apply(empty_database_url, [tmp_path]) == ("0002.bad",)


def test_a_missing_dependency_is_named(empty_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "0002.orphan.sql").write_text("-- depends: 0001.nowhere\nSELECT 1;\n")
    with pytest.raises(MigrationError, match=r"0002\.orphan"):
        ingest.migrate.apply(empty_database_url, [tmp_path])


def test_reading_columns_are_those_of_the_catalogue(connection: Connection) -> None:
    rows = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'reading'"
        " ORDER BY ordinal_position"
    ).fetchall()
    expected = [("time", "timestamp with time zone"), ("vehicle_id", "uuid")]
    expected += [(signal.column, column_type(signal)) for signal in catalogue()]
    assert rows == expected


def test_sessions_run_in_utc_and_say_who_they_are(database_url: str) -> None:
    with database.connect(database_url, application_name="test") as connection:
        row = connection.execute("SELECT current_setting('TimeZone'), current_setting('application_name')").fetchone()
        assert row == ("UTC", "test")
        assert database.license(connection) in {"apache", "timescale"}
    with database.open_pool(database_url) as pool, pool.connection() as connection:
        assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)


async def test_asynchronous_sessions_run_in_utc(database_url: str) -> None:
    async with await database.connect_async(database_url) as connection:
        cursor = await connection.execute("SHOW TimeZone")
        assert await cursor.fetchone() == ("UTC",)


def test_an_unreachable_database_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseError, match=r"cannot open database 'cars' on 127\.0\.0\.1 port 1") as caught:
        database.connect("postgresql://someone:secret@127.0.0.1:1/cars")
    assert "secret" not in str(caught.value)
    with pytest.raises(DatabaseError, match="cannot open database 'cars'"):
        database.open_pool("postgresql://someone:secret@127.0.0.1:1/cars", timeout=0.5)


def test_a_wrong_url_does_not_show_its_password() -> None:
    with pytest.raises(DatabaseError, match="cannot be read") as caught:
        database.connect("mysql://someone:secret@127.0.0.1/cars")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
