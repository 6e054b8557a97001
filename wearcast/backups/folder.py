"""The folder of backups: sealed dumps, the persons' keys apart from them, and the list of who was erased.

A dump holds no person's key. All keys are in one file that each backup writes anew, so a key that is erased opens what
is sealed in no backup, however old. The list of erasures has numbers alone; each restore applies it.
"""

import base64
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from ingest.errors import PersonalDataError
from ingest.personal.keyring import KeyRing
from ingest.personal.stream import master_key_id, seal_stream, unseal_stream
from rules.personal.subject import Erased, Subject
from wearcast.embedded.paths import locked, make_folder

_STAMP: Final = "wearcast-%Y%m%dT%H%M%SZ.backup"
_KEYS: Final = "person-keys.sealed"
_ERASURES: Final = "erasures.jsonl"


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

    def master_keys_in_use(self) -> set[bytes]:
        """Ids of the master keys without which something here cannot be opened."""
        files = [backup.path for backup in self.backups()]
        if (self.path / _KEYS).exists():
            files.append(self.path / _KEYS)
        used = set()
        for file in files:
            with file.open("rb") as source:
                used.add(master_key_id(source))
        return used

    def write_keys(self, keys: Mapping[UUID, bytes], ring: KeyRing) -> None:
        """Keep the wrapped keys of all persons but the erased, in place of those before."""
        gone = {erased.subject.owner_id for erased in self.erasures()}
        document = {
            str(owner_id): base64.b64encode(wrapped).decode()
            for owner_id, wrapped in keys.items()
            if owner_id not in gone
        }
        unfinished = self.path / f"{_KEYS}.unfinished"
        with private_file(unfinished, os.O_TRUNC) as file:
            seal_stream(io.BytesIO(json.dumps(document).encode()), file, ring)
        unfinished.replace(self.path / _KEYS)

    def read_keys(self, ring: KeyRing) -> dict[UUID, bytes]:
        """The wrapped keys as the last backup or erasure left them."""
        path = self.path / _KEYS
        if not path.exists():
            return {}
        plain = io.BytesIO()
        with path.open("rb") as file:
            unseal_stream(file, plain, ring)
        return {UUID(owner): base64.b64decode(wrapped) for owner, wrapped in json.loads(plain.getvalue()).items()}

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
            }
            with private_file(self.path / _ERASURES, os.O_APPEND) as file:
                file.write(f"{json.dumps(entry)}\n".encode())
            self.write_keys(self.read_keys(ring), ring)

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
    return Erased(subject=subject, erased_at=erased_at, reason=str(entry["reason"]))


@contextmanager
def private_file(path: Path, flag: int) -> Iterator[io.BufferedWriter]:
    """A file that only we can read, to append to or to write anew; on the disk at the end of the block."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
