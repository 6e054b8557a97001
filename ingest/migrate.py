"""Bringing the schema up to date: plain SQL files, each with a ``-- depends:`` header, run by yoyo-migrations.

Which folders there are is the caller's business: packages above this one have migrations of their own.
Several processes may start at once: an advisory lock of the database lets one migrate and the others wait. (yoyo's
own lock is a row, which stays behind when its process is killed.)
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.exceptions import BadMigration
from yoyo.migrations import default_migration_table, topological_sort

from ingest.database import Connection, connect
from ingest.errors import MigrationError

FOLDER: Final = Path(__file__).parent / "migrations"  # of this package
_LOCK: Final = 0x57656172  # "Wear": any number that nobody else uses in this database


@dataclass(frozen=True, kw_only=True)
class MigrationStatus:
    """One migration and whether the database has it."""

    id: str
    applied: bool


def apply(url: str, folders: Sequence[Path] = (FOLDER,)) -> tuple[str, ...]:
    """Apply what is missing, in the order of dependencies; returns the ids applied.

    Raises DatabaseError where the database cannot be reached, MigrationError where a migration fails: it leaves
    nothing behind, those before it stay.
    """
    applied: list[str] = []
    with _locked(url) as backend:
        for migration in backend.to_apply(_read(folders)):
            try:
                backend.apply_in_one_transaction(migration)
            except psycopg.Error as error:
                raise MigrationError(f"migration {migration.id} failed: {str(error).strip()}") from error
            applied.append(migration.id)
    return tuple(applied)


def status(url: str, folders: Sequence[Path] = (FOLDER,)) -> tuple[MigrationStatus, ...]:
    """All migrations in the order of dependencies, and whether the database has them."""
    with _locked(url) as backend:
        migrations = _read(folders)
        missing = {migration.id for migration in backend.to_apply(migrations)}
        return tuple(MigrationStatus(id=entry.id, applied=entry.id not in missing) for entry in migrations)


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo ships no types
    """yoyo's backend, opened as all our connections are: any libpq URL works, also one over a Unix socket."""

    def connect(self, dburi: str) -> Connection:
        return connect(dburi, autocommit=True)

    def list_tables(self, **_: object) -> list[str]:
        """Tables of the current schema; yoyo's own asks its parsed URL for the database."""
        return [row[0] for row in self.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")]

    def apply_in_one_transaction(self, migration: Any) -> None:
        """Apply and mark together: a kill between the two leaves nothing half done."""
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "apply")
            self.mark_one(migration)

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:
        """As yoyo's, without the names of user and machine: they do not belong here, and a user may have none."""
        return {
            "id": str(uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": "",
            "hostname": "",
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),  # yoyo's column has no time zone
            "operation": operation,
        }


@contextmanager
def _locked(url: str) -> Iterator[_Backend]:
    with closing(connect(url, autocommit=True)) as lock:
        lock.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        with _Backend(url, default_migration_table) as backend:
            backend.init_database()
            yield backend


def _read(folders: Sequence[Path]) -> Any:
    for folder in folders:
        if not folder.is_dir():
            raise MigrationError(f"there is no folder of migrations {folder}; install the package again")
    migrations = read_migrations(*map(str, folders))
    try:
        return migrations.replace(topological_sort(migrations))
    except BadMigration as error:
        raise MigrationError(f"a migration cannot be read: {error}") from error
