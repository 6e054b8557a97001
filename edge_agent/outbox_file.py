"""The outbox's file: opened, checked, held by one agent, replaced when damaged. Its rows are read in outbox_salvage.

The file and its WAL together stay within the configured size: the WAL is checkpointed at an eighth of it or at 4 MB,
and the database may use the rest (:func:`database_bytes`).
"""

import fcntl
import logging
import os
import shutil
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import IO, Final

from edge_agent.errors import OutboxError

log = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 2
PAGE_BYTES: Final = 4096
SMALLEST_BYTES: Final = 1_000_000  # the least bound that is kept; a smaller one is taken for it
CHECKED_BYTES: Final = (
    32_000_000  # a larger file is checked in part: 1 s of reading from an SD card, before any reading
)
MAX_ASIDE: Final = 2  # damaged files kept: a dying card must not be filled with them
_SMALL_TABLES: Final = ("run", "pending_sample", "rejected", "state", "counter")
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PARTS: Final = ("", "-wal", "-shm")


def wal_pages(max_bytes: int) -> int:
    """At how many pages the WAL is checkpointed."""
    return min(1000, max(max_bytes, SMALLEST_BYTES) // 8 // PAGE_BYTES)


def database_bytes(max_bytes: int) -> int:
    """What the database may use for file and WAL to stay within ``max_bytes``: two WALs' worth is left for the WAL.

    A WAL is reset at the first commit after its checkpoint, and grows by one transaction beyond its limit. A sixteenth
    more is left because making room frees pages only once all batches that share one have moved.
    """
    largest = max(max_bytes, SMALLEST_BYTES)
    return largest - largest // 16 - 2 * wal_pages(max_bytes) * PAGE_BYTES


def affordable(path: Path, max_bytes: int) -> int:
    """``max_bytes``, or what the disk has room for: an outbox that fills it could not even be emptied any more."""
    own = sum(part.stat().st_size for suffix in _PARTS if (part := path.with_name(path.name + suffix)).exists())
    room = (own + shutil.disk_usage(path.parent).free) * 9 // 10
    if room >= max_bytes:
        return max_bytes
    log.warning("the disk has room for %d MB of the %d MB of outbox.max_size", room // 10**6, max_bytes // 10**6)
    return room


def open_database(path: Path | str, max_bytes: int) -> sqlite3.Connection:
    """A checked connection with the schema in it; sqlite3.DatabaseError where the file is damaged.

    Files up to CHECKED_BYTES are checked whole, larger ones without their batches, each of which carries a checksum:
    after a long outage the agent must not read the whole card before it reads the car. Damage met later is
    remembered (:func:`suspect`) and the next start checks everything.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # A flipped bit may make a text of bytes: its checksum tells, no exception.
    connection.text_factory = lambda content: content.decode(errors="replace")
    try:
        _prepare(connection, path, max_bytes)
    except BaseException:
        connection.close()
        raise
    return connection


class FormerVersionError(Exception):
    """The file is sound and of a former version: :func:`edge_agent.outbox_salvage.bring_up_to_date`."""


def schema() -> str:
    """The tables of a new outbox, as one transaction."""
    text = resources.files("edge_agent").joinpath("outbox.sql").read_text(encoding="utf-8")
    return f"BEGIN; {text}\nPRAGMA user_version={SCHEMA_VERSION}; COMMIT;"


def _prepare(connection: sqlite3.Connection, path: Path | str, max_bytes: int) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise OutboxError(
            f"outbox {path} is of version {version}, this agent knows {SCHEMA_VERSION}; install a newer agent"
        )
    connection.execute("PRAGMA journal_mode=WAL")
    pages = wal_pages(max_bytes)
    connection.execute(f"PRAGMA wal_autocheckpoint={pages}")
    connection.execute(f"PRAGMA journal_size_limit={pages * PAGE_BYTES}")  # the WAL shrinks again after an outage
    if version == 0:
        connection.executescript(schema())
        return
    whole = isinstance(path, str) or path.stat().st_size <= CHECKED_BYTES or _suspicion(path).exists()
    for check in (
        ["quick_check(1)"]
        if whole or version < SCHEMA_VERSION
        else [f"quick_check({table})" for table in _SMALL_TABLES]
    ):
        verdict = connection.execute(f"PRAGMA {check}").fetchone()[0]
        if verdict != "ok":
            error = sqlite3.DatabaseError(verdict)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
    if isinstance(path, Path):
        _suspicion(path).unlink(missing_ok=True)
    if version < SCHEMA_VERSION:
        raise FormerVersionError


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found the file damaged, rather than busy, full or forbidden."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def suspect(path: Path) -> None:
    """Have the next start check everything."""
    with suppress(OSError):  # a disk that refuses even this: the damage will be met again
        _suspicion(path).touch()


def _suspicion(path: Path) -> Path:
    return path.with_name(path.name + ".suspect")


def hold(path: Path) -> IO[str]:
    """Hold the outbox for this process; the kernel lets go of it however the process ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock_file = path.with_name(path.name + ".lock").open("w", encoding="ascii")
    except OSError as error:
        raise OutboxError(f"outbox {path} cannot be created: {error}; check the folder and its rights") from error
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.close()
        raise OutboxError(f"outbox {path} is in use by another agent; give each device an outbox of its own") from None
    return lock_file


def was_emptied(path: Path) -> bool:
    """Whether the file is there and empty, which SQLite would take for a new one and delete the WAL beside it."""
    return path.exists() and path.stat().st_size == 0


def put_aside(path: Path) -> Path:
    """Rename an outbox with its journal, so that it can be examined.

    The database goes first: should the power fail in between, nothing opens it without its journal.
    """
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for suffix in _PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, aside.with_name(aside.name + suffix))  # noqa: PTH105 - the atomic rename, by its name in POSIX
    _forget_oldest(path)
    return aside


def replacement(path: Path) -> Path:
    """Where the successor of a damaged outbox is built before it takes its place."""
    return path.with_name(path.name + ".new")


def remove(path: Path) -> None:
    """Remove a database with its journal, where they exist."""
    for suffix in _PARTS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def put_in_place(path: Path) -> None:
    """Give the successor the name of the outbox, which was put aside; on the disk when this returns."""
    os.replace(replacement(path), path)  # noqa: PTH105 - the atomic rename, by its name in POSIX
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def finish_replacement(path: Path) -> None:
    """Complete or undo a replacement that a power cut interrupted.

    The successor is complete once the damaged file has lost its name; before, it is half a copy.
    """
    successor = replacement(path)
    if not successor.exists():
        return
    if path.exists():
        remove(successor)
        return
    for suffix in _PARTS[1:]:  # the rest of what was being put aside
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    put_in_place(path)


def _forget_oldest(path: Path) -> None:
    found = sorted(path.parent.glob(f"{path.name}.damaged-*"))
    for old in [file for file in found if not file.name.endswith(_PARTS[1:])][:-MAX_ASIDE]:
        log.warning("%s is removed: two newer damaged outboxes are kept", old)
        remove(old)
