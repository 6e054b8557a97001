"""The folder of backups: sealed dumps, the persons' keys apart from them, and the list of who was erased.

A dump holds no person's key. All keys are in one file that each backup writes anew, so a key that is erased opens what
is sealed in no backup, however old. A rotation gives everybody another key: the one before stays in the file as long as
a dump needs it. The list of erasures has numbers alone; each restore applies it.
"""

import base64
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from ingest.errors import PersonalDataError
from ingest.outbound.wipes import OrderedWipe
from ingest.personal.envelope import key_id_of
from ingest.personal.keyring import KeyRing
from ingest.personal.stream import master_key_id, seal_stream, unseal_stream
from rules.personal.subject import Erased, Subject
from wearcast.embedded.paths import locked, make_folder

_STAMP: Final = "wearcast-%Y%m%dT%H%M%SZ.backup"
_KEYS: Final = "person-keys.sealed"
_ERASURES: Final = "erasures.jsonl"
_UNFINISHED: Final = ".unfinished"


@dataclass(frozen=True, kw_only=True)
class Backup:
    """One sealed dump."""

    path: Path
    taken_at: datetime
    size: int  # bytes


class BackupFolder:
    """A folder, made when it is first written to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only one at it: an erasure waits for a backup under way, and the other way round."""
        make_folder(self.path)
        with locked(self.path / "lock"):
            for left in self.path.glob(f"*{_UNFINISHED}"):  # by one that was killed; nobody would ever prune it
                left.unlink()
            yield

    def name_for(self, now: datetime) -> Path:
        """Path of a backup taken now."""
        return self.path / now.astimezone(UTC).strftime(_STAMP)

    def backups(self) -> list[Backup]:
        """All dumps here, from old to new."""
        found = []
        for path in sorted(self.path.glob("wearcast-*.backup")):
            try:
                taken_at = datetime.strptime(path.name, _STAMP).replace(tzinfo=UTC)
            except ValueError:
                continue  # somebody's own file
            found.append(Backup(path=path, taken_at=taken_at, size=path.stat().st_size))
        return found

    def prune(self, now: datetime, keep: timedelta) -> list[Backup]:
        """Delete dumps older than that, but never the newest; those deleted."""
        old = [backup for backup in self.backups()[:-1] if now - backup.taken_at > keep]
        for backup in old:
            backup.path.unlink()
        return old

    def master_keys_in_use(self, ring: KeyRing) -> set[bytes]:
        """Ids of the master keys without which something here cannot be opened."""
        files = [backup.path for backup in self.backups()]
        if (self.path / _KEYS).exists():
            files.append(self.path / _KEYS)
        used = set()
        for file in files:
            with file.open("rb") as source:
                used.add(master_key_id(source))
        return used | {key_id_of(wrapped) for keys in self.read_keys(ring).values() for wrapped in keys}

    def keep_keys(self, keys: Mapping[UUID, bytes], taken_at: datetime, ring: KeyRing) -> None:
        """Keep the wrapped keys of a dump taken then, beside those that older dumps here still need."""
        needed_since = min((backup.taken_at for backup in self.backups()), default=taken_at)
        kept = self.read_keys(ring)
        for owner_id, wrapped in keys.items():
            kept.setdefault(owner_id, {})[wrapped] = taken_at
        self._write_keys(
            {
                owner_id: {wrapped: last for wrapped, last in dated.items() if last >= needed_since}
                for owner_id, dated in kept.items()
            },
            ring,
        )

    def _write_keys(self, keys: Mapping[UUID, Mapping[bytes, datetime]], ring: KeyRing) -> None:
        gone = {erased.subject.owner_id for erased in self.erasures()}
        document = {
            str(owner_id): {base64.b64encode(wrapped).decode(): last.isoformat() for wrapped, last in dated.items()}
            for owner_id, dated in keys.items()
            if dated and owner_id not in gone
        }
        with replacing(self.path / _KEYS) as file:
            seal_stream(io.BytesIO(json.dumps(document).encode()), file, ring)

    def read_keys(self, ring: KeyRing) -> dict[UUID, dict[bytes, datetime]]:
        """Of each person the wrapped keys, each with when the last dump was taken that needs it."""
        path = self.path / _KEYS
        if not path.exists():
            return {}
        plain = io.BytesIO()
        with path.open("rb") as file:
            unseal_stream(file, plain, ring)
        return {
            UUID(owner): {base64.b64decode(wrapped): datetime.fromisoformat(last) for wrapped, last in dated.items()}
            for owner, dated in json.loads(plain.getvalue()).items()
        }

    def require_whole(self) -> None:
        """PersonalDataError where the folder is not one of backups: without its list nobody would stay erased."""
        if not (self.path / _KEYS).exists():
            raise PersonalDataError(
                f"{self.path} holds no persons' keys, so it is not the folder of backups with the list of erasures;"
                " give that with --dir"
            )

    def remember(self, erased: Erased, ring: KeyRing) -> None:
        """Enter a person into the list of erasures, and drop their key: from here on no backup opens it."""
        with self.turn():
            entry = {
                "owner_id": str(erased.subject.owner_id),
                "vehicle_ids": [str(vehicle) for vehicle in erased.subject.vehicle_ids],
                "device_ids": list(erased.subject.device_ids),
                "erased_at": erased.erased_at.isoformat(),
                "reason": erased.reason,
                "wipes": [
                    {
                        "id": str(wipe.id),
                        "device": wipe.device_id,
                        "generation": wipe.generation,
                        "deadline": wipe.deadline.isoformat(),
                        "shut_out": wipe.shut_out,
                    }
                    for wipe in erased.wipes
                ],
            }
            self.erasures()  # a damaged list is not written over
            path = self.path / _ERASURES
            with replacing(path) as file:  # a line that is torn by a crash would keep everything else from being read
                file.write(path.read_bytes() if path.exists() else b"")
                file.write(f"{json.dumps(entry)}\n".encode())
            self._write_keys(self.read_keys(ring), ring)

    def erasures(self) -> list[Erased]:
        """Who was erased. PersonalDataError where the list cannot be read: then nothing may be restored."""
        path = self.path / _ERASURES
        if not path.exists():
            return []
        try:
            return [_erased(json.loads(line)) for line in path.read_text().splitlines() if line.strip()]
        except (ValueError, KeyError, TypeError) as error:
            raise PersonalDataError(
                f"{path} is damaged ({type(error).__name__}); put its last whole copy there"
            ) from error


def in_force(erasures: Sequence[Erased]) -> dict[UUID, Erased]:
    """What is to be applied, by person: of several entries the last.

    A dongle that two erased people had one after the other is asked for the later one alone: it was emptied of the
    former's data before it was given on, and has certificates of a later generation since.
    """
    last_asked = {wipe.device_id: entry.subject.owner_id for entry in erasures for wipe in entry.wipes}
    return {
        owner: replace(
            entry, wipes=tuple(wipe for wipe in entry.wipes if last_asked[wipe.device_id] == entry.subject.owner_id)
        )
        for owner, entry in {entry.subject.owner_id: entry for entry in erasures}.items()
    }


def _erased(entry: Mapping[str, object]) -> Erased:
    vehicles, devices = entry["vehicle_ids"], entry["device_ids"]
    if not isinstance(vehicles, list) or not isinstance(devices, list):
        raise TypeError("lists")
    subject = Subject(
        owner_id=UUID(str(entry["owner_id"])),
        vehicle_ids=tuple(UUID(vehicle) for vehicle in vehicles),
        device_ids=tuple(map(str, devices)),
    )
    erased_at = datetime.fromisoformat(str(entry["erased_at"]))
    wipes = entry.get("wipes", ())  # lists of before have none
    if not isinstance(wipes, list | tuple):
        raise TypeError("wipes")
    return Erased(
        subject=subject, erased_at=erased_at, reason=str(entry["reason"]), wipes=tuple(map(_ordered_wipe, wipes))
    )


def _ordered_wipe(entry: Mapping[str, object]) -> OrderedWipe:
    return OrderedWipe(
        id=UUID(str(entry["id"])),
        device_id=str(entry["device"]),
        generation=int(str(entry["generation"])),
        deadline=datetime.fromisoformat(str(entry["deadline"])),
        shut_out=bool(entry["shut_out"]),
    )


@contextmanager
def replacing(path: Path) -> Iterator[io.BufferedWriter]:
    """Write a file that only we can read; it takes its name at the end of the block, whole and on the disk."""
    unfinished = path.with_name(path.name + _UNFINISHED)
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # otherwise a power cut may bring back the file of before, with the key of an erased person
    finally:
        os.close(folder)
