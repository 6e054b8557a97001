"""Personal data of before it was sealed: the migration seals it, and leaves no plain text in the database's files."""

import contextlib
import shutil
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import ingest.migrate
from ingest import registry
from ingest.database import Connection, connect
from ingest.errors import PersonalDataError, RegistryError
from ingest.personal.seal_rows import seal_existing
from ingest.personal.vault import the_vault
from tests.integration.booking_scene import add_alert, add_owner
from wearcast.database import migrate
from wearcast.embedded.timescaledb import Database

pytestmark = pytest.mark.database

BEFORE = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0101", "0102", "0103")
PLAIN = ("Ada Beispiel", "ada@example.org", "tgram://token/12345", "WVWZZZ6RZHY123456", "52.520812")


@pytest.fixture
def older_database_url(empty_database_url: str, migration_folders: tuple[Path, ...], tmp_path: Path) -> str:
    """A database of before personal data was sealed, with some."""
    for folder in migration_folders:
        for file in folder.glob("*.sql"):
            if file.name.startswith(BEFORE):
                shutil.copy(file, tmp_path)
    ingest.migrate.apply(empty_database_url, [tmp_path])
    with closing(connect(empty_database_url, autocommit=True)) as connection:
        connection.execute(
            "INSERT INTO owner (name, notify_urls, email, latitude, longitude) VALUES"
            " ('Ada Beispiel', '{tgram://token/12345}', 'ada@example.org', 52.520812, 13.405),"
            " ('Bo', '{}', NULL, NULL, NULL)"
        )
        connection.execute(
            "INSERT INTO vehicle (owner_id, label, vin, profile)"
            " SELECT id, 'Blue', 'WVWZZZ6RZHY123456', 'generic' FROM owner WHERE name = 'Ada Beispiel'"
        )
        connection.execute("UPDATE owner SET name = 'Ada Beispiel' WHERE email IS NOT NULL")  # leaves a dead row
        connection.execute(
            "INSERT INTO vehicle_event (vehicle_id, time, kind, data) SELECT id, now(), 'vehicle.identified',"
            ' \'{"vin": "WVWZZZ6RZHY123456", "profile": "generic"}\' FROM vehicle'
        )
        connection.execute(
            "INSERT INTO workshop (id, name, time_zone, latitude, longitude, rating, email)"
            " VALUES (gen_random_uuid(), 'Werk', 'UTC', 1, 1, 4, 'werk@example.com')"
        )
        connection.execute(
            "INSERT INTO outgoing (kind, idempotency_key, workshop_id, payload, created_at, next_attempt_at)"
            ' SELECT \'workshop_webhook\', \'k\', id, \'{"customer": "Ada Beispiel", "vin": "WVWZZZ6RZHY123456"}\','
            " now(), now() FROM workshop"
        )
    return empty_database_url


def files_with(server: Database, connection: Connection, text: str) -> list[str]:
    """The database's files that hold a text anywhere, dead rows too."""
    connection.execute("CHECKPOINT")
    row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    assert row is not None
    found = []
    for path in (server.data / "base" / str(row[0])).iterdir():
        with contextlib.suppress(FileNotFoundError):  # the server has removed it meanwhile
            if text.encode() in path.read_bytes():
                found.append(path.name)
    return found


def test_older_rows_are_sealed_and_nothing_plain_is_left(older_database_url: str, timescaledb: Database) -> None:
    with closing(connect(older_database_url, autocommit=True)) as connection:
        assert files_with(timescaledb, connection, PLAIN[0])
        migrate(older_database_url)
        ada, bo = registry.owners(connection)
        (vehicle,) = registry.vehicles(connection)
        for text in PLAIN:
            assert files_with(timescaledb, connection, text) == [], text
        assert connection.execute("SELECT payload FROM outgoing").fetchone() == ({},)
        assert connection.execute("SELECT data FROM vehicle_event").fetchone() == (
            {"vin": "…123456", "profile": "generic"},
        )
    assert (ada.name, ada.email, ada.notify_urls) == ("Ada Beispiel", "ada@example.org", ("tgram://token/12345",))
    assert (ada.latitude, ada.longitude) == (52.520812, 13.405)
    assert (bo.name, bo.email, bo.notify_urls, bo.latitude) == ("Bo", None, (), None)
    assert vehicle.vin == "WVWZZZ6RZHY123456"


def test_a_migration_that_broke_off_is_finished_by_the_next(
    older_database_url: str, migration_folders: tuple[Path, ...]
) -> None:
    ingest.migrate.apply(older_database_url, migration_folders)
    with closing(connect(older_database_url, autocommit=True)) as connection:
        with pytest.raises(PersonalDataError, match="wearcast db migrate"):
            registry.owners(connection)
        with pytest.raises(psycopg.errors.UndefinedTable):  # all rows are sealed, and then it breaks off
            seal_existing(connection, ["nowhere"])
        assert [owner.name for owner in registry.owners(connection)] == ["Ada Beispiel", "Bo"]
        connection.execute(
            "VACUUM personal_unsealed"
        )  # takes no page away: they say that the rest has still to be done
        assert connection.execute("SELECT pg_relation_size('personal_unsealed') > 0").fetchone() == (True,)
        migrate(older_database_url)
        assert connection.execute("SELECT pg_relation_size('personal_unsealed')").fetchone() == (0,)


def test_a_car_that_changes_hands_gets_the_next_owners_key(connection: Connection) -> None:
    owner = add_owner(connection)
    add_alert(connection, owner)
    (vehicle,) = registry.vehicles(connection)
    registry.update_vehicle(connection, vehicle.id, vin=PLAIN[3])
    bo = registry.register_owner(connection, name="Bo")
    assert registry.update_vehicle(connection, vehicle.id, owner_id=bo.id).vin == PLAIN[3]
    row = connection.execute(
        "SELECT vehicle.vin, wrapped FROM vehicle, personal_key WHERE personal_key.owner_id = %s", [owner]
    ).fetchone()
    assert row is not None
    with pytest.raises(PersonalDataError):
        the_vault().person(owner, row[1]).unseal("vehicle", "vin", vehicle.id, row[0])
    with pytest.raises(RegistryError, match="registered already"):
        registry.register_vehicle(connection, owner_id=owner, label="Twin", profile="generic", vin=PLAIN[3])
    with pytest.raises(RegistryError, match="give both"):
        registry.update_owner(connection, owner, longitude=None)
    assert registry.update_owner(connection, owner, latitude=None, longitude=None).latitude is None
