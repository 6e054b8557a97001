"""What the dongle knows of its being emptied: a small file beside the outbox, written whole and synced.

It outlives what it empties. A wipe is written down before the first file goes: a power cut in the middle is noticed at
the next start, before anything is opened. Afterwards it says that nothing may be collected until a new service begins,
and which orders are done or too old to be obeyed.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import msgspec

from edge_agent.errors import OutboxError
from telemetry.wipe import Wipe

_REMEMBERED: Final = 16  # wipes; a dongle sees one in each of its services


class WipeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``begun``: files may be left. ``done``: empty, and quiet. ``served``: a new service has begun since.

    ``batches`` and ``files``: what went with the last wipe. ``known``: ids of the wipes that were done, the last one at
    the end; empty where it was done by hand. ``generation``: of the certificate it was done under. ``since``: when the
    present service began; what was issued before is not for it.
    """

    state: Literal["begun", "done", "served"]
    generation: int = 0
    known: tuple[UUID, ...] = ()
    batches: int = 0
    files: int = 0
    since: datetime | None = None

    def begun(self, wipe: Wipe, *, batches: int) -> "WipeRecord":
        """A wipe was accepted."""
        known = (*(known for known in self.known if known != wipe.id), wipe.id)[-_REMEMBERED:]
        return WipeRecord(state="begun", generation=wipe.generation, known=known, batches=batches, since=self.since)

    def done(self, files: int) -> "WipeRecord":
        """The files are gone; of a wipe that was broken off ``files`` counts what the last attempt found."""
        return msgspec.structs.replace(self, state="done", files=self.files + files)

    def served(self, since: datetime | None) -> "WipeRecord":
        """A new service begins; ``since`` None: its certificate tells it from the former one."""
        return msgspec.structs.replace(self, state="served", since=since)


NEVER: Final = WipeRecord(state="served")  # never emptied, or flashed anew


def record_path(outbox: Path) -> Path:
    """Where the record of the dongle with this outbox is. Not beneath the outbox's own name: that is what goes."""
    return outbox.with_name(f"wiped-{outbox.name}.json")


def read_record(outbox: Path) -> WipeRecord:
    """The record; :data:`NEVER` without one. OutboxError where it cannot be read: then nothing may be opened."""
    path = record_path(outbox)
    try:
        return msgspec.json.decode(path.read_bytes(), type=WipeRecord)
    except FileNotFoundError:
        return NEVER
    except (OSError, msgspec.DecodeError) as error:
        raise OutboxError(
            f"{path} cannot be read ({error}): it says whether this dongle was emptied. Run `wearcast agent forget`,"
            " which empties it and writes it anew"
        ) from error


def write_record(outbox: Path, record: WipeRecord) -> None:
    """Keep it, on the disk when this returns. OutboxError where the disk refuses."""
    path = record_path(outbox)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, msgspec.json.encode(record))
    except OSError as error:
        raise OutboxError(f"{path} cannot be written: {error}; check the folder and its rights") from error


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all, also after a power cut."""
    beside = path.with_name(path.name + ".unfinished")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring names that came or went onto the disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
