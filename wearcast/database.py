"""The schema as a whole: the migrations of every package that has some, in one order."""

from contextlib import closing
from pathlib import Path
from types import ModuleType

import ingest.migrate
import rules
from ingest.database import connect
from ingest.personal.seal_rows import seal_existing

_HELD_PLAIN = (
    "owner",
    "vehicle",
    "outgoing",
    "vehicle_event",
)  # tables that held personal data in plain before it was sealed


def migration_folders() -> tuple[Path, ...]:
    """Folders with migrations: ingest's first, the rules' build on them."""
    return tuple(_folder(package) for package in (ingest, rules))


def migrate(url: str) -> None:
    """Bring the database's schema up to date, and seal personal data that is not; nothing happens where it is so."""
    ingest.migrate.apply(url, migration_folders())
    with closing(connect(url, autocommit=True)) as connection:
        seal_existing(connection, _HELD_PLAIN)


def _folder(package: ModuleType) -> Path:
    assert package.__file__ is not None
    return Path(package.__file__).parent / "migrations"
