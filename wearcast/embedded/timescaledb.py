"""A private TimescaleDB for one machine: started when asked for, gone with the process that started it.

``private_database`` is the way in; ``open_database`` prefers a configured one. A cluster is made once per version as
a template, with the extensions in place, and copied from then on.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from wearcast.embedded.errors import DatabaseUnavailableError
from wearcast.embedded.instances import instance_home, sweep
from wearcast.embedded.paths import (
    ServiceUser,
    cache_root,
    locked,
    make_folder,
    memory_root,
    service_user,
    write_private,
)
from wearcast.embedded.postgres_binaries import Binaries, Progress, ensure_binaries
from wearcast.embedded.postgres_server import (
    NAME,
    Database,
    JoinedDatabase,
    release_shared_memory,
    wait_until_ended,
)

__all__ = ["Database", "ensure_binaries", "open_database", "prepare", "private_database"]

_LAYOUT = "1"  # raise it when the template's content changes
_JOIN_SECONDS = 60.0


@contextlib.contextmanager
def open_database(
    configured_url: str | None, instance: str = "default", *, progress: Progress | None = None
) -> Iterator[str]:
    """Give the connection string of the configured database, otherwise of a private one for the time of the block."""
    if configured_url:
        yield configured_url
        return
    with private_database(instance, progress=progress) as database:
        yield database.url


@contextlib.contextmanager
def private_database(
    instance: str = "default",
    *,
    fresh: bool = False,
    durable: bool = True,
    in_memory: bool = False,
    progress: Progress | None = None,
) -> Iterator[Database]:
    """Run a private TimescaleDB for the time of the block.

    `instance` names data that is kept for the next time; where another process runs it already, that one is used.
    `fresh` gives a new, empty database in a folder of its own, deleted at the end. `durable=False` turns fsync
    off, for tests that crash nothing. `in_memory` keeps a fresh one's data in the machine's memory where there is room
    for it: ext4 does not give a deleted file's inode away for some seconds, and searches ever longer for another one
    where databases of 400 files come and go. The database has the extensions timescaledb and btree_gist and no tables.
    Raises DatabaseUnavailableError, saying what to do.
    """
    prepared = prepare(progress)
    binaries, owner = prepared.binaries, prepared.owner
    memory = memory_root(sweep=lambda root: sweep(root, _has_ended)) if in_memory and fresh else None
    with instance_home(
        memory or prepared.base, f"{instance}-{binaries.major}", fresh=fresh, owner=owner, may_remove=_has_ended
    ) as (
        home,
        is_ours,
    ):
        if not is_ours:
            yield _join(home, binaries)
            return
        (home / "url").unlink(missing_ok=True)
        database = Database(
            binaries=binaries,
            home=home,
            password=prepared.password,
            durable=durable,
            disposable=fresh,
            in_memory=memory is not None,
        )
        is_new = _copy_template(prepared.template, database.data, binaries, owner, sync=not fresh)
        database.start()
        try:
            if not is_new:
                _update_extension(database.url)
            write_private(home / "url", database.url)
            yield database
        finally:
            database.stop()
            (home / "url").unlink(missing_ok=True)
            release_shared_memory(home)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What every private database of this user starts from."""

    base: Path  # the folder of all databases
    binaries: Binaries
    owner: ServiceUser | None  # whom the servers run as, where we are root
    template: Path  # a data folder to copy
    password: str = field(repr=False)


def prepare(progress: Progress | None = None) -> Prepared:
    """Find or fetch the programs and make the template, so that a start takes no time later.

    Raises DatabaseUnavailableError, saying what to do.
    """
    report = progress or (lambda _text: None)
    binaries = ensure_binaries(report)
    owner = service_user()
    base = make_folder(cache_root() / "databases", private=False)
    template, password = _template(base, binaries, owner, report)
    return Prepared(base=base, binaries=binaries, owner=owner, template=template, password=password)


def _has_ended(home: Path) -> bool:
    """Say whether a left-behind folder may go: no server shuts down in it any more, nothing of it is in memory."""
    if not wait_until_ended(home / "data", seconds=0):
        return False
    release_shared_memory(home)
    return True


def _join(home: Path, binaries: Binaries) -> Database:
    """Use the server another process runs from this folder; it may be starting just now."""
    deadline = time.monotonic() + _JOIN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            return JoinedDatabase(url=(home / "url").read_text(), home=home, binaries=binaries)
        time.sleep(0.1)
    raise DatabaseUnavailableError(f"Another process holds {home} and runs no database there: end that process.")


def _template(base: Path, binaries: Binaries, owner: ServiceUser | None, report: Progress) -> tuple[Path, str]:
    """Return the data folder to copy and the role's password, making both the first time."""
    key = hashlib.sha256(f"{_LAYOUT} {binaries.identity}".encode()).hexdigest()[:12]
    password_path = base / "password"
    home = base / f"template-{key}"
    with locked(base / "template.lock"):
        if not password_path.is_file():
            write_private(password_path, secrets.token_urlsafe(24))
        password = password_path.read_text()
        if not home.is_dir():
            report("Preparing an empty database")
            unfinished = base / f"template-{key}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            make_folder(unfinished, owner=owner)
            _initialise(unfinished, binaries, owner, password)
            unfinished.rename(home)
    return home / "data", password


def _initialise(home: Path, binaries: Binaries, owner: ServiceUser | None, password: str) -> None:
    # PostgreSQL's own C.UTF-8 needs no locale of the machine's; before 17 the C library's had to do.
    locale = ["--locale=C.UTF-8", *(["--locale-provider=builtin"] if binaries.major >= 17 else [])]
    password_file = home / "initial-password"
    write_private(password_file, password)
    if owner is not None:
        os.chown(password_file, owner.uid, owner.gid)
    options = ["--encoding=UTF8", *locale, f"--username={NAME}", f"--pwfile={password_file}", "--no-sync"]
    _run([binaries.program("initdb"), "-D", home / "data", *options, "--auth=scram-sha-256"], home, owner)
    password_file.unlink()
    database = Database(binaries=binaries, home=home, password=password, durable=True, disposable=False)
    database.start()
    try:
        with psycopg.connect(database.url_of("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE wearcast")
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION timescaledb")
            connection.execute("CREATE EXTENSION btree_gist")
    finally:
        database.stop()


def _update_extension(url: str) -> None:
    """Bring kept data to the fetched version of the extension: it must be the first command of a session."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER EXTENSION timescaledb UPDATE")


def _copy_template(template: Path, data: Path, binaries: Binaries, owner: ServiceUser | None, *, sync: bool) -> bool:
    """Copy the template unless the data is there already; say whether it was copied."""
    if data.is_dir():
        return False
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _run(["cp", "-a", "--reflink=auto", template, unfinished], data.parent, owner)
    if sync:
        _run([binaries.program("initdb"), "--sync-only", "-D", unfinished], data.parent, owner)
    unfinished.rename(data)
    return True


def _run(command: list[str | Path], cwd: Path, user: ServiceUser | None) -> None:
    identity = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **identity,  # type: ignore[call-overload]  # either all three or none
    )
    if done.returncode != 0:
        raise DatabaseUnavailableError(
            f"Preparing the private database failed: set WEARCAST_DATABASE_URL to use another. "
            f"{command[0]} said: {(done.stderr or done.stdout).strip()[-400:]}"
        )
