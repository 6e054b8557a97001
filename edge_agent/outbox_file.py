"""The outbox's file: opened, checked, held by one agent, put aside when damaged. No rows are read or written."""

import fcntl
import logging
import os
import sqlite3
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import IO

from edge_agent.errors import OutboxError

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def open_database(path: Path | str) -> sqlite3.Connection:
    """A checked connection with the schema in it; sqlite3.DatabaseError where the file is damaged.

    The check reads the whole file once per start: some seconds for a full outbox on flash, for knowing what one has.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path | str) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise OutboxError(
            f"outbox {path} is of version {version}, this agent knows {SCHEMA_VERSION}; install a newer agent"
        )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA journal_size_limit=4194304")  # bytes; the WAL shrinks again after an outage
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    if version == 0:
        schema = resources.files("edge_agent").joinpath("outbox.sql").read_text(encoding="utf-8")
        connection.executescript(f"BEGIN; {schema}\nPRAGMA user_version={SCHEMA_VERSION}; COMMIT;")


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether SQLite found the file damaged, rather than busy, full or forbidden."""
    return error.sqlite_errorcode & 0xFF in _DAMAGE


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
    """Whether the file is there and empty, which SQLite would take for a new one."""
    wal = path.with_name(path.name + "-wal")
    return path.exists() and path.stat().st_size == 0 and not (wal.exists() and wal.stat().st_size)


def put_aside(path: Path) -> Path:
    """Rename a damaged outbox with its journal, so that it can be examined, and make room for a new one."""
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, aside.with_name(aside.name + suffix))  # noqa: PTH105 - the atomic rename, by its name in POSIX
    log.error("the damaged outbox was put aside as %s; what it held was not sent", aside)
    return aside
