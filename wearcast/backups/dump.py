"""Taking a backup and putting one back: PostgreSQL's own pg_dump and pg_restore, and the sealing around them."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import scalar_row, tuple_row

from ingest.database import Connection, connect
from ingest.errors import DatabaseError
from ingest.personal.envelope import key_id_of
from ingest.personal.keyring import KeyRing, MemoryKeyRing
from ingest.personal.stream import seal_stream, unseal_stream
from ingest.personal.vault import Vault
from rules.personal.erase import erase_again
from wearcast.backups.folder import Backup, BackupFolder, in_force, replacing
from wearcast.database import migrate

# libpq's own variables: a password in an argument would stand in the list of processes.
_VARIABLES: Final = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "passfile": "PGPASSFILE",
}
_UNFINISHED: Final = "_restoring"


def take_backup(url: str, folder: BackupFolder, ring: KeyRing, programs: Path, now: datetime) -> Backup:
    """Dump the database into a sealed file; whole under its name, or not there. DatabaseError with pg_dump's words."""
    with folder.turn():
        path = folder.name_for(now)
        command: list[str | Path] = [programs / "pg_dump", "--format=custom", "--no-owner", "--no-privileges"]
        with replacing(path) as target, _one_instant(url) as (snapshot, keys):
            options = ["--exclude-table-data=personal_key", f"--snapshot={snapshot}"]
            with _Program([*command, *options], url) as program:
                seal_stream(program.output, target, ring)
            folder.keep_keys(keys, now, ring)
        return Backup(path=path, taken_at=now, size=path.stat().st_size)


@contextmanager
def _one_instant(url: str) -> Iterator[tuple[str, dict[UUID, bytes]]]:
    """A snapshot for pg_dump, and the persons' wrapped keys in it: a rotation meanwhile makes others."""
    # The name by which an erasure knows that it need not wait for it.
    with closing(connect(url, application_name="pg_dump")) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        with connection.cursor(row_factory=scalar_row) as cursor:
            snapshot = str(cursor.execute("SELECT pg_export_snapshot()").fetchone())
        with connection.cursor(row_factory=tuple_row) as cursor:
            yield snapshot, dict(cursor.execute("SELECT owner_id, wrapped FROM personal_key").fetchall())


def restore_backup(
    url: str, name: str, file: Path, folder: BackupFolder, ring: KeyRing, programs: Path
) -> tuple[str, int]:
    """Put a backup into a new database of that server; its URL, and how many erasures were applied again.

    The database gets its name at the very end: whoever finds it finds nobody who was erased. DatabaseError where there
    is one of that name, or the backup cannot be put back; then nothing is left of it.
    """
    folder.require_whole()
    restoring = name + _UNFINISHED
    target = _url_of(url, restoring)
    with folder.turn(), closing(connect(url, autocommit=True)) as server:
        _create(server, name, restoring)
        try:
            with closing(connect(target, autocommit=True)) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
                connection.execute("SELECT timescaledb_pre_restore()")
            _fill(target, file, ring, programs)
            with closing(connect(target, autocommit=True)) as connection:
                connection.execute("SELECT timescaledb_post_restore()")
                _load_keys(connection, folder.read_keys(ring), ring)
            migrate(target)
            erasures = in_force(folder.erasures())
            with closing(connect(target, autocommit=True)) as connection:
                for erased in erasures.values():
                    erase_again(connection, erased)
                connection.execute("ANALYZE")
            _rename(server, restoring, name)
        except BaseException:
            _drop(server, restoring)
            raise
    return _url_of(url, name), len(erasures)


class _Program:
    """A program of PostgreSQL's on a database, one of whose ends is ours. DatabaseError where it does not end well."""

    def __init__(self, command: Sequence[str | Path], url: str) -> None:
        given = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
        environment = {variable: str(given[name]) for name, variable in _VARIABLES.items() if name in given}
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._name = Path(command[0]).name
        self._process = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **environment, "PGAPPNAME": self._name, "PGTZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if self._name == "pg_dump" else subprocess.DEVNULL,
            stderr=self._words,
        )

    @property
    def input(self) -> BinaryIO:
        return cast("BinaryIO", self._process.stdin)

    @property
    def output(self) -> BinaryIO:
        return cast("BinaryIO", self._process.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        broken = isinstance(error, BrokenPipeError)  # it ended first, and says itself why
        with self._words:
            if kind is not None and not broken:
                self._process.kill()
            with suppress(BrokenPipeError):
                self._process.communicate()
            if (kind is None or broken) and self._process.returncode != 0:
                self._words.seek(0)
                said = self._words.read().decode(errors="replace").strip()[-400:]
                raise DatabaseError(f"{self._name} failed: {said}") from None


def _create(server: Connection, name: str, restoring: str) -> None:
    with server.cursor(row_factory=scalar_row) as cursor:
        if cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            raise DatabaseError(f"there is a database {name!r} already; choose another name with --database")
    _drop(server, restoring)  # of a restore that was killed
    server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(restoring)))


def _fill(url: str, file: Path, ring: KeyRing, programs: Path) -> None:
    command: list[str | Path] = [programs / "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error"]
    database = str(conninfo_to_dict(url)["dbname"])
    with file.open("rb") as source, _Program([*command, f"--dbname={database}"], url) as program:
        unseal_stream(source, program.input, ring)


def _load_keys(connection: Connection, keys: Mapping[UUID, Iterable[bytes]], ring: KeyRing) -> None:
    """Give the keys back to those who are there; a backup of before there were keys has no table for them."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        if cursor.execute("SELECT to_regclass('personal_key')").fetchall() == [(None,)]:
            return
        owners = cursor.execute("SELECT id, name FROM owner").fetchall()
        found = ((owner_id, _key_that_opens(owner_id, name, keys.get(owner_id, ()), ring)) for owner_id, name in owners)
        cursor.executemany(
            "INSERT INTO personal_key (owner_id, wrapped) VALUES (%s, %s)",
            [(owner_id, wrapped) for owner_id, wrapped in found if wrapped is not None],
        )


def _key_that_opens(owner_id: UUID, sealed: bytes | None, keys: Iterable[bytes], ring: KeyRing) -> bytes | None:
    """Which of a person's wrapped keys opens what is sealed in this backup; any where nothing is sealed yet."""
    vault = Vault(MemoryKeyRing(ring))
    for wrapped in keys:
        if sealed is None or vault.person(owner_id, wrapped).key_id == key_id_of(sealed):
            return wrapped
    return None


def _rename(server: Connection, before: str, after: str) -> None:
    # TimescaleDB's scheduler visits every database, and one that is visited cannot be renamed.
    server.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
        [before],
    )
    server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after)))


def _drop(server: Connection, name: str) -> None:
    with suppress(psycopg.errors.InvalidCatalogName):
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _url_of(url: str, database: str) -> str:
    return make_conninfo(url, dbname=database)
