"""Backups: sealed, without persons' keys, and an erased person stays erased when one is put back."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from ingest import registry
from ingest.database import Connection, connect
from ingest.errors import DatabaseError, PersonalDataError
from ingest.personal.keyring import KeyRing, KeyRingFile, MemoryKeyRing
from ingest.personal.vault import Vault
from rules.personal.erase import erase_person
from rules.personal.subject import Erased, find_subject
from tests.integration.personal_scene import DONE, EMAIL, NAME, VIN, Scene, add_person, tables_with
from wearcast.backups.dump import restore_backup, take_backup
from wearcast.backups.folder import BackupFolder
from wearcast.embedded.postgres_binaries import ensure_client
from wearcast.embedded.timescaledb import Database

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def programs() -> Path:
    return ensure_client(17)


@pytest.fixture
def ring(personal_keys: KeyRingFile) -> KeyRing:
    return personal_keys.read()


@pytest.fixture
def folder(tmp_path: Path) -> BackupFolder:
    return BackupFolder(tmp_path / "backups")


@pytest.fixture
def restored_name(timescaledb: Database) -> Iterator[str]:
    yield "restored"
    with psycopg.connect(timescaledb.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")


def erase(connection: Connection, scene: Scene, folder: BackupFolder, ring: KeyRing) -> None:
    erased = Erased(subject=find_subject(connection, scene.owner), erased_at=DONE, reason="request")
    folder.remember(erased, ring)
    erase_person(connection, erased, DONE)


def test_an_erased_person_is_not_in_what_is_restored(
    connection: Connection,
    database_url: str,
    folder: BackupFolder,
    ring: KeyRing,
    programs: Path,
    restored_name: str,
) -> None:
    ada = add_person(connection)
    bo = registry.register_owner(connection, name="Bo", email="bo@example.org")
    backup = take_backup(database_url, folder, ring, programs, DONE)
    content = backup.path.read_bytes()
    assert all(text.encode() not in content for text in (NAME, EMAIL, VIN, "PGDMP", str(ada.vehicle)))
    assert set(folder.read_keys(ring)) == {ada.owner, bo.id}

    erase(connection, ada, folder, ring)
    assert set(folder.read_keys(ring)) == {bo.id}

    url, applied = restore_backup(database_url, restored_name, backup.path, folder, ring, programs)
    assert applied == 1
    with closing(connect(url, autocommit=True)) as restored:
        assert [owner.name for owner in registry.owners(restored)] == ["Bo"]
        assert tables_with(restored, str(ada.vehicle)) == set()
        assert restored.execute("SELECT count(*) FROM reading").fetchone() == (0,)
        assert restored.execute("SELECT count(*) FROM workshop").fetchone() == (1,)
        assert restored.execute("SELECT device_id FROM erased_device").fetchall() == [(ada.device,)]
        restored.execute("INSERT INTO reading (time, vehicle_id) VALUES (now(), gen_random_uuid())")  # it works
    with pytest.raises(DatabaseError, match="already"):
        restore_backup(database_url, restored_name, backup.path, folder, ring, programs)


def test_what_cannot_be_restored_leaves_nothing(
    database_url: str, folder: BackupFolder, ring: KeyRing, programs: Path, restored_name: str, timescaledb: Database
) -> None:
    backup = take_backup(database_url, folder, ring, programs, DONE)
    broken = folder.path / "broken"
    broken.mkdir()
    (broken / "pg_dump").write_text("#!/bin/sh\necho no room >&2; exit 1\n")
    (broken / "pg_dump").chmod(0o755)
    content = bytearray(backup.path.read_bytes())
    content[-20] ^= 1
    backup.path.write_bytes(content)
    with pytest.raises(PersonalDataError, match="damaged or cut off"):
        restore_backup(database_url, restored_name, backup.path, folder, ring, programs)
    with pytest.raises(DatabaseError, match="pg_dump failed: no room"):
        take_backup(database_url, folder, ring, broken, DONE + timedelta(days=1))
    with pytest.raises(DatabaseError, match="nowhere"):
        take_backup(timescaledb.url_of("nowhere"), folder, ring, programs, DONE + timedelta(days=1))
    assert [entry.path for entry in folder.backups()] == [backup.path]
    assert {path.name for path in folder.path.iterdir()} == {"lock", "person-keys.sealed", "broken", backup.path.name}
    with psycopg.connect(timescaledb.url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'restored%'").fetchone() == (0,)


def test_old_backups_go_and_the_newest_stays(folder: BackupFolder) -> None:
    folder.path.mkdir()
    days = [DONE - timedelta(days=age) for age in (90, 60, 31)]
    for taken_at in days:
        folder.name_for(taken_at).write_bytes(b"")
    (folder.path / "wearcast-notes.backup").write_bytes(b"")
    assert [entry.taken_at for entry in folder.prune(DONE, timedelta(days=30))] == days[:2]
    assert [entry.taken_at for entry in folder.backups()] == days[2:]
    assert (folder.path / "wearcast-notes.backup").exists()


def test_what_a_killed_backup_left_goes_with_the_next(
    database_url: str, folder: BackupFolder, ring: KeyRing, programs: Path
) -> None:
    folder.path.mkdir()
    (folder.path / "wearcast-20260101T000000Z.backup.unfinished").write_bytes(b"readings of somebody")
    backup = take_backup(database_url, folder, ring, programs, DONE)
    assert {path.name for path in folder.path.iterdir()} == {"lock", "person-keys.sealed", backup.path.name}


def test_a_key_goes_with_the_last_backup_that_needs_it(folder: BackupFolder, ring: KeyRing) -> None:
    folder.path.mkdir()
    owner, vault = uuid4(), Vault(MemoryKeyRing(ring))
    first, second = (vault.wrap(vault.new_person(owner)) for _ in range(2))
    days = [DONE + timedelta(days=number) for number in range(3)]
    for day, key in zip(days, (first, second, second), strict=True):
        folder.keep_keys({owner: key}, day, ring)
        folder.name_for(day).write_bytes(b"")
    assert set(folder.read_keys(ring)[owner]) == {first, second}
    folder.name_for(days[0]).unlink()
    folder.keep_keys({owner: second}, DONE + timedelta(days=3), ring)
    assert set(folder.read_keys(ring)[owner]) == {second}


def test_a_damaged_list_of_erasures_stops_a_restore(folder: BackupFolder) -> None:
    folder.path.mkdir()
    (folder.path / "erasures.jsonl").write_text('{"owner_id": "half')
    with pytest.raises(PersonalDataError, match="put its last whole copy there"):
        folder.erasures()
