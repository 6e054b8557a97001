"""What can still be read of a damaged outbox, row by row, into a new one; and an outbox of a former version likewise.

Only rows that the damaged file itself counts as its own are taken: a freed page may hold an earlier form of a batch
that was sent since, and raising it would store its samples twice. What was published keeps its key, so that the backend
drops what it has; what was not gets a number of the next run. So no key is ever given to other data.
"""

import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.outbox_content import checksum, pack_values
from edge_agent.outbox_file import (
    PAGE_BYTES,
    SCHEMA_VERSION,
    FormerVersionError,
    finish_replacement,
    is_damage,
    open_database,
    put_aside,
    put_in_place,
    remove,
    replacement,
    schema,
    was_emptied,
)

log = logging.getLogger(__name__)

_PROBES: Final = 200_000  # ids tried one by one between rows that can be read; some seconds at most
_PROBES_BEYOND: Final = 20_000  # the same where nothing can be read from above

# Columns of this version, as each version has them.
_BATCH: Final = {
    1: "id, 0, channel, created_ms, NULL, items, 0, boot, sequence, 0, NULL, payload",
    2: "id, run, channel, created_ms, clock_ms, items, level, boot, sequence, waits, crc, payload",
}
_SAMPLE: Final = {
    1: "id, 0, time_ms, monotonic_ms, recorded, NULL, readings",
    2: "id, run, time_ms, monotonic_ms, recorded, crc, content",
}
_REJECTED: Final = "id, boot, sequence, channel, created_ms, reason, payload"

Row = tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class Salvage:
    """What was saved of a damaged outbox, in rows; ``lost_batches`` by its own counters, None where those are lost."""

    aside: Path
    batches: int = 0
    samples: int = 0  # that waited for their batch
    lost_batches: int | None = None


def open_or_replace(
    path: Path, max_bytes: int, repairing: Callable[[], object]
) -> tuple[sqlite3.Connection, Salvage | None]:
    """A checked connection, and what was saved of a damaged file. Raises sqlite3.Error, OSError, OutboxError."""
    finish_replacement(path)
    salvage = replace_damaged(path, max_bytes) if was_emptied(path) else None
    for _ in range(2):  # a file of a former version may be damaged too
        try:
            return open_database(path, max_bytes), salvage
        except FormerVersionError:
            log.info("%s is of a former version; it is brought up to date", path)
            repairing()
            bring_up_to_date(path, max_bytes)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            repairing()
            salvage = replace_damaged(path, max_bytes)
    return open_database(path, max_bytes), salvage


def replace_damaged(path: Path, max_bytes: int) -> Salvage:
    """Build a successor of what can be read, put the damaged file aside, and the successor in its place.

    A power cut at any moment leaves either the damaged file, to be replaced again, or the successor. Where the disk is
    too full for both, the damaged file is put aside as it is, to be read elsewhere.
    """
    saved: tuple[int, int, int | None] = (0, 0, None)
    successor = replacement(path)
    try:
        saved = _rebuild(path, successor, max_bytes)
    except (OSError, sqlite3.Error) as error:
        log.error("nothing can be saved of the damaged outbox: %s", error)  # noqa: TRY400 - the error says it all
        remove(successor)
    aside = put_aside(path)
    if successor.exists():
        put_in_place(path)
    batches, samples, lost = saved
    log.error(
        "the outbox was damaged: %d batches and %d samples were saved, %s batches are lost; it was put aside as %s",
        batches,
        samples,
        "an unknown number of" if lost is None else lost,
        aside,
    )
    return Salvage(aside=aside, batches=batches, samples=samples, lost_batches=lost)


def bring_up_to_date(path: Path, max_bytes: int) -> None:
    """Give an undamaged outbox of a former version the tables of this one. Raises sqlite3.Error and OSError."""
    _rebuild(path, replacement(path), max_bytes)
    remove(path)
    put_in_place(path)


def _rebuild(path: Path, successor: Path, max_bytes: int) -> tuple[int, int, int | None]:
    """Read a copy, so that the evidence stays as it is: closing a database would checkpoint it."""
    remove(successor)
    copy = path.with_name(path.name + ".copy")
    remove(copy)
    try:
        for suffix in ("", "-wal"):
            if (part := path.with_name(path.name + suffix)).exists():
                shutil.copyfile(part, copy.with_name(copy.name + suffix))
        with closing(open_database(successor, max_bytes)) as new:
            new.execute(
                "PRAGMA journal_mode=MEMORY"
            )  # one large transaction: a WAL of its size would not fit beside it
            new.execute("PRAGMA synchronous=FULL")
            with closing(_open_damaged(copy)) as old:
                new.execute("BEGIN")
                saved = _copy(old, new)
                new.execute("COMMIT")
    finally:
        remove(copy)
    return saved


def _open_damaged(copy: Path) -> sqlite3.Connection:
    """A connection that reads what there is; a first page that is no longer one is replaced by that of a new outbox."""
    if copy.stat().st_size < PAGE_BYTES:  # SQLite would take it for new, and delete its WAL
        return _lenient(_with_first_page(copy))
    connection = _lenient(copy)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'batch'").fetchone()[0]:
            return connection
    except sqlite3.DatabaseError:
        pass
    connection.close()
    return _lenient(_with_first_page(copy))


def _with_first_page(copy: Path) -> Path:
    """The first page names the roots of all tables; those of an outbox lie where they lie in every new one."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        fresh.executescript(schema())
        first_page = bytearray(fresh.serialize()[:PAGE_BYTES])
    first_page[18:20] = b"\x02\x02"  # read and written with a WAL (SQLite file format, 1.3.3)
    first_page[28:32] = bytes(4)  # the number of pages is that of the file (1.3.7)
    with copy.open("r+b") as file:
        file.write(first_page)
    return copy


def _lenient(copy: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("PRAGMA writable_schema=ON")  # opens a file that is shorter than its header says
    return connection


def _copy(old: sqlite3.Connection, new: sqlite3.Connection) -> tuple[int, int, int | None]:
    version = SCHEMA_VERSION
    with suppress(sqlite3.DatabaseError):
        version = old.execute("PRAGMA user_version").fetchone()[0] or SCHEMA_VERSION
    counters = list(_plain_rows(old, "counter", "name, count"))
    batches = 0
    for row in _rows_by_id(old, "batch", _BATCH[version]):
        batches += _insert(new, "batch", _sound_batch(row))
    samples = 0
    for row in _rows_by_id(old, "pending_sample", _SAMPLE[version]):
        samples += _insert(new, "pending_sample", _sound_sample(row, version))
    for row in _rows_by_id(old, "rejected", _REJECTED):
        _insert(new, "rejected", row)
    for row in _plain_rows(old, "state", "name, content"):
        if _is_json(row[1]):
            _insert(new, "state", row)
    for row in counters:
        if row[0] != "batches_waiting":
            _insert(new, "counter", row)
    _insert(new, "counter", ("batches_waiting", batches))
    if version == SCHEMA_VERSION:
        for row in _plain_rows(old, "run", "id, boot, kernel, next_sequence, clock_ms, clock_from"):
            _insert(new, "run", row)
    return batches, samples, _lost(dict(counters), batches)  # type: ignore[arg-type]  # rows of name and count


def _lost(counters: dict[str, int], saved: int) -> int | None:
    """By what was sealed, committed, rejected and given up."""
    if "batches_sealed" not in counters:
        return None
    gone = ("batches_committed", "batches_rejected", "batches_joined", "batches_given_up", "batches_damaged")
    return max(0, counters["batches_sealed"] - sum(counters.get(name, 0) for name in gone) - saved)


def _rows_by_id(old: sqlite3.Connection, table: str, columns: str) -> Iterator[Row]:
    """Every row that can be read: from below until the damage, from above until the damage, then one by one between."""
    below = 0
    ended = False
    with suppress(sqlite3.DatabaseError):
        for row in old.execute(f"SELECT {columns} FROM {table} ORDER BY id"):  # noqa: S608 - constants of this file
            if not isinstance(row[0], int):
                break
            below = row[0]
            yield row
        else:
            ended = True
    if ended:
        return
    above: int | None = None
    with suppress(sqlite3.DatabaseError):
        for row in old.execute(f"SELECT {columns} FROM {table} WHERE id > ? ORDER BY id DESC", [below]):  # noqa: S608 - as above
            if not isinstance(row[0], int):
                break
            above = row[0]
            yield row
    last = min(above, below + _PROBES) if above is not None else below + _PROBES_BEYOND
    for number in range(below + 1, last):
        with suppress(sqlite3.DatabaseError):
            yield from old.execute(f"SELECT {columns} FROM {table} WHERE id = ?", [number]).fetchall()  # noqa: S608 - as above


def _plain_rows(old: sqlite3.Connection, table: str, columns: str) -> Iterator[Row]:
    with suppress(sqlite3.DatabaseError):
        yield from old.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - constants of this file


def _sound_batch(row: Row) -> Row | None:
    *others, crc, payload = row
    if not isinstance(payload, bytes) or crc not in {None, checksum(payload)}:
        return None
    return (*others, checksum(payload), payload)


def _sound_sample(row: Row, version: int) -> Row | None:
    *others, crc, content = row
    if not isinstance(content, bytes) or crc not in {None, checksum(content)}:
        return None
    if version == 1:
        try:
            content = pack_values(msgspec.json.decode(content, type=dict[str, float]))
        except msgspec.DecodeError:
            return None
    return (*others, checksum(content), content)


def _is_json(content: object) -> bool:
    try:
        msgspec.json.decode(content if isinstance(content, bytes) else b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _insert(new: sqlite3.Connection, table: str, row: Sequence[object] | None) -> int:
    """1 where the row was taken; one that breaks a rule of the table came from a damaged page."""
    if row is None:
        return 0
    try:
        return new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})", row).rowcount  # noqa: S608 - a name of this file
    except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, OverflowError):
        return 0
