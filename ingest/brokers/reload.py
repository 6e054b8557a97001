"""Telling a broker that runs of what changed, without anybody losing the connection who may stay.

Both brokers read their files again on SIGHUP. NATS refuses a configuration that it cannot read and goes on with the one
before; the files are then put back, so that a restart finds what works.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest.brokers import mosquitto, nats
from ingest.brokers.branch import Access
from ingest.brokers.folder import Kind, Setup, read_files, registry_files, write_files
from ingest.errors import BrokerError

logger = logging.getLogger(__name__)

_PROGRAM: Final[dict[Kind, str]] = {"nats": "nats-server", "mosquitto": "mosquitto"}
_VALIDATION_SECONDS: Final = 60
_ACL_USER: Final = "user CN="


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an application did."""

    changed: bool  # files were written
    told: bool = False  # a broker that runs was told; otherwise it reads the files when it starts
    dropped: tuple[str, ...] = ()  # Mosquitto: users let in before and no longer


def apply(folder: Path, setup: Setup, access: Access) -> Applied:
    """Write the files again that depend on the registry, and tell the broker. Nothing happens where nothing changed.

    BrokerError where the broker would not take them: the files are then as they were.
    """
    after = registry_files(setup, access)
    before = read_files(folder, after)
    if after == before:
        return Applied(changed=False)
    if setup.kind == "nats":
        _validate(folder, after)
    write_files(folder, after)
    try:
        told = tell(setup)
    except BrokerError:
        write_files(folder, before)
        raise
    return Applied(changed=True, told=told, dropped=_dropped(before, after) if setup.kind == "mosquitto" else ())


def tell(setup: Setup) -> bool:
    """Send SIGHUP to the broker of the pid file; False where none runs. BrokerError where we may not."""
    try:
        pid = int(setup.pid_file.read_text(encoding="ascii"))
        program = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return False
    if program != _PROGRAM[setup.kind]:
        return False  # the number belongs to another process by now
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise BrokerError(
            f"process {pid} ({program}) cannot be told to read its files again; run it as who runs the broker"
        ) from error
    return True


def _validate(folder: Path, files: Mapping[str, str]) -> None:
    """Let the server's own check read the configuration as it would be."""
    program = shutil.which("nats-server") or shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if program is None:
        logger.info("nats-server is not on the path: its users are not checked before it reads them")
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="check-") as name:  # mode 0700
        beside = Path(name)
        shutil.copy2(folder / nats.MAIN_FILE, beside / nats.MAIN_FILE)
        write_files(beside, files)
        done = subprocess.run(
            [program, "-t", "-c", str(beside / nats.MAIN_FILE)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_VALIDATION_SECONDS,
        )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BrokerError(f"nats-server refuses the configuration ({said[-1] if said else 'no reason given'})")


def _dropped(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    kept = set(_users(after.get(mosquitto.ACL_FILE, "")))
    return tuple(user for user in _users(before.get(mosquitto.ACL_FILE, "")) if user not in kept)


def _users(acl: str) -> list[str]:
    return [line.removeprefix("user ") for line in acl.splitlines() if line.startswith(_ACL_USER)]
