"""Where the private services keep their files, and as whom they run. Standard library only."""

import contextlib
import fcntl
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wearcast.embedded.errors import EmbeddedError

_SYSTEM_CACHE = Path("/var/cache/wearcast")
_MEMORY = Path("/dev/shm")  # noqa: S108 - what we make there is closed to others, and only ours is used
_MEMORY_BYTES = 2 * 1024**3  # a server's data and its journal, several times over
_UNPRIVILEGED_USERS = ("nobody", "daemon")


@dataclass(frozen=True, kw_only=True)
class ServiceUser:
    """The unprivileged user a service runs as when we are root (PostgreSQL refuses to run as root)."""

    name: str
    uid: int
    gid: int


def service_user() -> ServiceUser | None:
    """Return the user to drop to, or None where we are an ordinary user already.

    Raises EmbeddedError where root has no such user: initdb looks its user up in passwd.
    """
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED_USERS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return ServiceUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise EmbeddedError("Root needs an unprivileged user to run PostgreSQL as: add the user 'nobody' to /etc/passwd.")


def cache_root() -> Path:
    """Return (and create) the folder for fetched binaries and private data.

    Root's own home is closed to the unprivileged service user, so root uses the system's cache folder.
    """
    if os.geteuid() == 0:
        root = _SYSTEM_CACHE
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        root = (Path(base) if base.startswith("/") else Path.home() / ".cache") / "wearcast"
    make_folder(root, private=os.geteuid() != 0)
    return root


def memory_root(
    memory: Path = _MEMORY, *, least_bytes: int = _MEMORY_BYTES, sweep: Callable[[Path], None] = lambda _root: None
) -> Path | None:
    """Return (and create) a folder of ours in the machine's memory; None where there is none, or little room in it.

    `sweep` is given the folder first, to delete what killed processes left: without room for more it would stay for
    good.
    """
    root = memory / f"wearcast-{os.geteuid()}"
    try:
        if _is_our_folder(root):
            sweep(root)
        room = os.statvfs(memory)
        if room.f_bavail * room.f_frsize < least_bytes:
            return None
        make_folder(root, private=os.geteuid() != 0)
    except (OSError, EmbeddedError):
        return None
    return root if _is_our_folder(root) else None


def _is_our_folder(path: Path) -> bool:
    """Everybody may write beside it, and make it before us."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return False


def make_folder(path: Path, *, private: bool = True, owner: ServiceUser | None = None) -> Path:
    """Create a folder whatever the umask says: 0700 where private, else 0755; owned by `owner` if given."""
    if not path.is_dir():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedError(
                f"The folder {path} cannot be created ({error.strerror}): make its parent writable."
            ) from error
        path.chmod(0o700 if private else 0o755)
    if owner is not None and path.stat().st_uid != owner.uid:
        os.chown(path, owner.uid, owner.gid)
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file for the time of the block, waiting for another process to end its own.

    The kernel drops the lock with the process, however that ends.
    """
    with open_lock(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def open_lock(path: Path) -> Iterator[int]:
    """Open a lock file without locking it; closing it at the end drops the lock."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be opened ({error.strerror}): make its folder writable.") from error
    try:
        yield handle
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Take the exclusive lock if nobody holds it; say whether it was taken."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.rename(path)
