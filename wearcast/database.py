"""The schema as a whole: the migrations of every package that has some, in one order."""

from pathlib import Path
from types import ModuleType

import ingest.migrate
import rules


def migration_folders() -> tuple[Path, ...]:
    """Folders with migrations: ingest's first, the rules' build on them."""
    return tuple(_folder(package) for package in (ingest, rules))


def migrate(url: str) -> None:
    """Bring the database's schema up to date; nothing happens where it is."""
    ingest.migrate.apply(url, migration_folders())


def _folder(package: ModuleType) -> Path:
    assert package.__file__ is not None
    return Path(package.__file__).parent / "migrations"
