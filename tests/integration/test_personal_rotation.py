"""Rotation beside another one, with a ring that is not theirs, and what backups of before it still open."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ingest import registry
from ingest.database import Connection, connect
from ingest.errors import PersonalDataError
from ingest.personal.keyring import KeyRingFile
from ingest.personal.rotate import only_rotation, persons_by_key, reseal_all
from ingest.personal.vault import using_keys
from tests.integration.personal_scene import DONE, VIN, add_person
from wearcast.backups.dump import restore_backup, take_backup
from wearcast.backups.folder import BackupFolder
from wearcast.embedded.postgres_binaries import ensure_client
from wearcast.embedded.timescaledb import Database

pytestmark = pytest.mark.database


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyRingFile]:
    """A ring of this test alone."""
    ring = KeyRingFile(tmp_path / "keys")
    with using_keys(lambda: ring):
        yield ring


def rotate(connection: Connection, keys: KeyRingFile) -> None:
    keys.change(lambda ring: ring.with_another(datetime.now(UTC)))
    for _ in reseal_all(connection):
        pass


def test_a_second_rotation_is_refused_while_one_runs(database_url: str) -> None:
    with closing(connect(database_url, autocommit=True)) as one, closing(connect(database_url, autocommit=True)) as two:
        with only_rotation(one), pytest.raises(PersonalDataError, match="under way"), only_rotation(two):
            pass
        with only_rotation(two):
            pass


def test_a_key_that_comes_meanwhile_ends_the_rotation_with_it(database_url: str, keys: KeyRingFile) -> None:
    """As when the ring's file is copied from another machine at that moment."""
    with closing(connect(database_url, autocommit=True)) as connection:
        for name in ("Ada", "Bo", "Chen"):
            registry.register_owner(connection, name=name)
        keys.change(lambda ring: ring.with_another(datetime.now(UTC)))
        steps = reseal_all(connection)
        next(steps)
        keys.change(lambda ring: ring.with_another(datetime.now(UTC)))
        assert sum(1 for _, _ in zip(range(10), steps, strict=False)) == 3
        assert persons_by_key(connection) == {keys.read().newest.id: 3}


@pytest.mark.usefixtures("keys")
def test_nobody_is_sealed_with_a_ring_that_is_not_that_of_the_others(connection: Connection, tmp_path: Path) -> None:
    ada = registry.register_owner(connection, name="Ada")
    with using_keys(lambda: KeyRingFile(tmp_path / "made-anew")):
        with pytest.raises(PersonalDataError, match="it is not theirs"):
            registry.register_owner(connection, name="Bo")
        with pytest.raises(PersonalDataError, match="lacks master key"):
            registry.owner_by_id(connection, ada.id)
    assert [owner.name for owner in registry.owners(connection)] == ["Ada"]


def test_a_backup_of_before_a_rotation_still_opens(
    connection: Connection, database_url: str, keys: KeyRingFile, tmp_path: Path, timescaledb: Database
) -> None:
    ada = add_person(connection)
    connection.commit()
    folder, programs = BackupFolder(tmp_path / "backups"), ensure_client(17)
    before = take_backup(database_url, folder, keys.read(), programs, DONE)
    with closing(connect(database_url, autocommit=True)) as rotating:
        rotate(rotating, keys)
    after = take_backup(database_url, folder, keys.read(), programs, DONE + timedelta(days=1))
    try:
        for backup in (before, after):
            url, _ = restore_backup(database_url, "rotated", backup.path, folder, keys.read(), programs)
            with closing(connect(url, autocommit=True)) as restored:
                assert registry.owner_by_id(restored, ada.owner).name == "Ada Beispiel"
                assert registry.vehicle_by_id(restored, ada.vehicle).vin == VIN
            with psycopg.connect(timescaledb.url, autocommit=True) as server:
                server.execute("DROP DATABASE rotated WITH (FORCE)")
    finally:
        with psycopg.connect(timescaledb.url, autocommit=True) as server:
            server.execute("DROP DATABASE IF EXISTS rotated WITH (FORCE)")
