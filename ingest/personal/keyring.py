"""The key ring: master keys by id in a file only its user can read. The newest encrypts, all of them open.

The file is the one thing that must be kept apart from database and backups: with both, everything can be read; without
it, no name, address or backup can.
"""

import base64
import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from ingest.errors import PersonalDataError
from ingest.personal import envelope

_FORMAT: Final = "wearcast.keys/1"


@dataclass(frozen=True, kw_only=True)
class MasterKey:
    """A key that wraps others."""

    id: bytes
    created: datetime
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class KeyRing:
    """Master keys, of which the last encrypts, and the key of the blind index, which stays."""

    keys: tuple[MasterKey, ...]
    index_key: bytes = field(repr=False)

    @property
    def newest(self) -> MasterKey:
        """The key that wraps."""
        return self.keys[-1]

    def key(self, key_id: bytes) -> MasterKey | None:
        """The key of that id, if it is here."""
        return next((key for key in self.keys if key.id == key_id), None)

    @property
    def prepared(self) -> MasterKey | None:
        """A key that opens already and does not wrap yet."""
        latest = max(self.keys, key=lambda key: key.created)
        return latest if latest.created > self.newest.created else None

    def with_prepared(self, now: datetime) -> "KeyRing":
        """The ring with a fresh key that waits for its turn, so that every machine can have it before it is used."""
        return replace(self, keys=(self._coming(now), *self.keys))

    def with_another(self, now: datetime) -> "KeyRing":
        """The ring with another newest key: the prepared one if there is one, otherwise a fresh one."""
        coming = self.prepared or self._coming(now)
        return replace(self, keys=(*(key for key in self.keys if key.id != coming.id), coming))

    def _coming(self, now: datetime) -> MasterKey:
        """A fresh key, younger than all others by its date too, whatever the clock says: it tells which one waits."""
        return _new_master(max(now, max(key.created for key in self.keys) + timedelta.resolution))

    def without(self, key_id: bytes) -> "KeyRing":
        """The ring without a key that is not the newest."""
        if key_id == self.newest.id:
            raise PersonalDataError("the newest key encrypts; run `wearcast privacy rotate` before removing it")
        if self.key(key_id) is None:
            raise PersonalDataError(f"there is no key {key_id.hex()} in the ring; see: wearcast privacy keys")
        return replace(self, keys=tuple(key for key in self.keys if key.id != key_id))


def new_ring(now: datetime) -> KeyRing:
    """A ring with one fresh key."""
    return KeyRing(keys=(_new_master(now),), index_key=envelope.new_key())


def _new_master(now: datetime) -> MasterKey:
    return MasterKey(id=envelope.new_key_id(), created=now, key=envelope.new_key())


class KeyRings(Protocol):
    """Where the ring is kept."""

    def read(self) -> KeyRing:
        """The ring as it is now."""


class KeyRingFile:
    """The ring in a file of mode 0600; made on first use, and read again when another process has changed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[tuple[int, int, int], KeyRing] | None = None

    def read(self) -> KeyRing:
        """The ring as it is now. PersonalDataError where it cannot be read, or others can read it."""
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _write(self.path, new_ring(datetime.now(UTC)), replacing=False)
            status = self.path.stat()
            if status.st_mode & 0o077:
                raise PersonalDataError(f"{self.path} can be read by others; run: chmod 600 {self.path}")
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._known is None or self._known[0] != version:
                self._known = (version, _parse(self.path))
        except OSError as error:
            raise PersonalDataError(
                f"the key ring {self.path} cannot be used ({error.strerror}); set WEARCAST_PERSONAL_KEY_FILE"
            ) from error
        return self._known[1]

    def change(self, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
        """Put what ``change`` makes of the ring in its place, whole or not at all; the ring as it is then.

        One at a time: of two changes made side by side the later would drop the other's key, and all sealed with it.
        """
        self.read()  # makes it on first use
        try:
            lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                before = self.read()
                after = change(before)
                if after != before:
                    _write(self.path, after, replacing=True)
            finally:
                os.close(lock)
        except OSError as error:
            raise PersonalDataError(f"the key ring {self.path} cannot be written ({error.strerror})") from error
        return after


class MemoryKeyRing:
    """The twin: a ring that ends with its process."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    def read(self) -> KeyRing:
        """The ring."""
        return self.ring

    def change(self, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
        """Put what ``change`` makes of the ring in its place."""
        self.ring = change(self.ring)
        return self.ring


def _write(path: Path, ring: KeyRing, *, replacing: bool) -> None:
    """Give the file its name when it is whole and on the disk: a lost master key loses everything it wraps."""
    handle, unfinished = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(_document(ring), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        if replacing:
            Path(unfinished).replace(path)
        else:
            with contextlib.suppress(FileExistsError):  # of processes that start at once, all read what one made
                os.link(unfinished, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        Path(unfinished).unlink(missing_ok=True)


def _document(ring: KeyRing) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "index_key": _text(ring.index_key),
        "keys": [{"id": key.id.hex(), "created": key.created.isoformat(), "key": _text(key.key)} for key in ring.keys],
    }


def _parse(path: Path) -> KeyRing:
    try:
        ring = _ring(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError):
        ring = None  # the error's own text might repeat a part of a key
    if ring is None or not ring.keys:
        raise PersonalDataError(
            f"{path} holds no key ring that this version reads; put the right file there (a new one opens nothing old)"
        )
    return ring


def _ring(document: Mapping[str, Any]) -> KeyRing | None:
    if document["format"] != _FORMAT:
        return None
    return KeyRing(
        keys=tuple(_master(entry) for entry in document["keys"]),
        index_key=_bytes(document["index_key"], envelope.KEY_BYTES),
    )


def _master(entry: Mapping[str, Any]) -> MasterKey:
    key_id = bytes.fromhex(entry["id"])
    if len(key_id) != envelope.KEY_ID_BYTES:
        raise ValueError("id")
    created = datetime.fromisoformat(entry["created"])
    return MasterKey(id=key_id, created=created, key=_bytes(entry["key"], envelope.KEY_BYTES))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str, length: int) -> bytes:
    data = base64.b64decode(text, validate=True)
    if len(data) != length:
        raise ValueError("length")
    return data
