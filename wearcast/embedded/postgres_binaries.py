"""Finds the binaries of a PostgreSQL with TimescaleDB on this machine, or fetches them without root.

Fetched ones are Debian packages unpacked below the cache and made to run from there with the C library they were
built for, so that they work on an older Debian too.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wearcast.embedded.apt import PrivateApt
from wearcast.embedded.errors import DatabaseUnavailableError, EmbeddedError
from wearcast.embedded.paths import cache_root, locked, make_folder
from wearcast.embedded.relocation import relocate

Progress = Callable[[str], None]

_SYSTEM = Path("/usr/lib/postgresql")
_PACKAGES = ("postgresql-17", "postgresql-17-timescaledb")
_CLIENT_PACKAGES = ("postgresql-client-17",)
_CLIENT_PROGRAMS = ("pg_dump", "pg_restore")
_LAYOUT = 1  # raise it when what is fetched or patched changes: everyone's copy is then made anew
_EXTENSIONS = ("timescaledb", "btree_gist")
_FETCHED_MAJOR = 17
_OLDEST_SERVER = 14  # what current TimescaleDB releases support
_OWN_DATABASE = "or set WEARCAST_DATABASE_URL to a PostgreSQL that has TimescaleDB"


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """A server's programs, and a text that changes whenever they do."""

    bin: Path
    major: int
    identity: str

    def program(self, name: str) -> Path:
        """Return the path of one of the server's programs."""
        return self.bin / name


def ensure_binaries(progress: Progress | None = None) -> Binaries:
    """Return the machine's own server with TimescaleDB, otherwise the cached one, otherwise fetch it.

    Raises DatabaseUnavailableError where that fails, saying why and what to do.
    """
    found = find_installed()
    return found if found is not None else _fetched(progress or (lambda _text: None))


def ensure_client(server_major: int, progress: Progress | None = None, *, system: Path = _SYSTEM) -> Path:
    """Return the folder of a pg_dump and a pg_restore that suit a server; fetched where the machine has none.

    They read servers as old as they like and none that is newer than they are. Raises DatabaseUnavailableError.
    """
    own = [
        folder / "bin" for folder in system.glob("*") if folder.name.isdecimal() and int(folder.name) >= server_major
    ]
    for folder in sorted(own):
        if all((folder / program).is_file() for program in _CLIENT_PROGRAMS):
            return folder
    if server_major > _FETCHED_MAJOR:
        raise DatabaseUnavailableError(
            f"There is no pg_dump {server_major} here: install postgresql-client-{server_major}."
        )
    return _fetched(progress or (lambda _text: None), "postgresql-client", _CLIENT_PACKAGES).bin


def find_installed(system: Path = _SYSTEM, *, use_path: bool = True) -> Binaries | None:
    """Return the newest PostgreSQL, below `system` or that of PATH, that has the extensions we need, if any."""
    candidates = [folder / "bin" for folder in system.glob("*") if folder.name.isdecimal()]
    if use_path and (config := shutil.which("pg_config")) is not None:
        candidates.append(Path(_ask(config, "--bindir") or "/nonexistent"))
    found = []
    for folder in candidates:
        config = str(folder / "pg_config")
        if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
            continue
        version = re.search(r"PostgreSQL\) (\d+)", _ask(str(folder / "postgres"), "--version"))
        share = _ask(config, "--sharedir") or f"/usr/share/postgresql/{folder.parent.name}"
        complete = all((Path(share) / "extension" / f"{name}.control").is_file() for name in _EXTENSIONS)
        if version is not None and complete and int(version[1]) >= _OLDEST_SERVER:
            control = (Path(share) / "extension" / "timescaledb.control").read_text()
            found.append(
                Binaries(bin=folder, major=int(version[1]), identity=f"{folder} {version[0]} {control}"),
            )
    return max(found, key=lambda item: item.major, default=None)


def _ask(program: str, option: str) -> str:
    try:
        return subprocess.run([program, option], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _needed(package: str) -> bool:
    """Say whether a dependency is a library the server loads, not a maintainer's tool, LLVM (JIT) or perl."""
    is_library = package.startswith(("lib", "zlib"))
    return is_library and not package.startswith(("libllvm", "libperl")) and not package.endswith("-perl")


def _fetched(progress: Progress, folder: str = "postgresql", packages: tuple[str, ...] = _PACKAGES) -> Binaries:
    cache = cache_root()
    home = make_folder(cache / folder, private=False)
    root = home / "root"
    stamp_path = home / "complete.json"
    with locked(home / "lock"):
        stamp = json.loads(stamp_path.read_text()) if stamp_path.is_file() else {}
        if stamp.get("layout") != _LAYOUT or not root.is_dir():
            stamp_path.unlink(missing_ok=True)
            stamp = {"layout": _LAYOUT, "packages": _fetch(cache, root, progress, packages)}
        if stamp.get("path") != str(root):
            stamp_path.unlink(missing_ok=True)
            progress("Making the programs run from their folder")
            _relocate(root)
            stamp["path"] = str(root)
            stamp_path.write_text(json.dumps(stamp, indent=1))
    programs = root / "usr/lib/postgresql/17/bin"
    return Binaries(bin=programs, major=_FETCHED_MAJOR, identity=json.dumps(stamp))


def _fetch(cache: Path, root: Path, progress: Progress, names: tuple[str, ...]) -> dict[str, str]:
    """Fetch and unpack the packages; return their versions."""
    shutil.rmtree(root, ignore_errors=True)
    try:
        with locked(cache / "apt.lock"):
            apt = PrivateApt(make_folder(cache / "apt", private=False))
            progress("Reading Debian's package lists (10 MB)")
            apt.update()
            packages = apt.resolve(names, follow=_needed)
            size = sum(package.size for package in packages)
            progress(f"Fetching {names[-1]}: {len(packages)} packages, {size / 1e6:.0f} MB")
            debs = apt.download(packages)
            progress("Unpacking them")
            make_folder(root, private=False)
            apt.unpack(debs, root)
        shutil.rmtree(cache / "apt", ignore_errors=True)  # 100 MB that only the next version would need
    except EmbeddedError as error:
        raise DatabaseUnavailableError(
            f"{names[-1]} cannot be fetched: check the network, {_OWN_DATABASE}. {error}"
        ) from error
    return {package.name: package.version for package in packages}


def _relocate(root: Path) -> None:
    for bitcode in root.glob("usr/lib/postgresql/*/lib/llvmjit*.so"):
        bitcode.unlink()  # JIT is off without it; it would load LLVM, which is not fetched
    try:
        relocate(root, sorted((root / "usr/lib/postgresql/17/bin").iterdir()))
    except EmbeddedError as error:
        raise DatabaseUnavailableError(f"The database server cannot be used, {_OWN_DATABASE}. {error}") from error
