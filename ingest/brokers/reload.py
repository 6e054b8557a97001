"""Telling a broker that runs of what changed, without anybody losing the connection who may stay.

Both brokers read their files again on SIGHUP. NATS refuses a configuration that it cannot read and goes on with the one
before; ours are checked by its own program first, so that a restart finds what works.

What was written and not yet told stands in a file of its own, and what was told and not yet disconnected: whoever ends
in between (a crash, the power) goes on there.
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
from ingest.brokers.folder import Kind, Setup, finish, read_files, registry_files, unfinished, write_change, write_files
from ingest.errors import BrokerError

logger = logging.getLogger(__name__)

_PROGRAM: Final[dict[Kind, str]] = {"nats": "nats-server", "mosquitto": "mosquitto"}
_VALIDATION_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an application did."""

    changed: bool  # files were written
    told: bool = False  # a broker that runs was told, now or of what was written before
    dropped: tuple[str, ...] = ()  # Mosquitto: users let in before and no longer; disconnect them, then `finish`


def apply(folder: Path, setup: Setup, access: Access) -> Applied:
    """Write the files again that depend on the registry, and tell the broker. Nothing happens where nothing changed.

    BrokerError where the broker would not take them: the files are then as they were. Where it cannot be told, they
    are written, and it is told the next time.
    """
    after = registry_files(setup, access)
    before = read_files(folder, after)
    changed = after != before
    if changed:
        if before and not access.in_use:
            raise BrokerError(
                "the registry never had a device, and the broker lets some in: look whether WEARCAST_DATABASE_URL "
                "names the right database. If it does, write the folder anew: wearcast broker config"
            )
        if setup.kind == "nats":
            _validate(folder, after)
        write_change(folder, before, after)
    waiting = unfinished(folder)
    if waiting is None:
        return Applied(changed=False)
    if not tell(setup):
        return Applied(changed=changed)
    kept = set(mosquitto.users(after.get(mosquitto.ACL_FILE, "")))
    dropped = tuple(user for user in waiting if user not in kept)
    if not dropped:
        finish(folder)
    return Applied(changed=changed, told=True, dropped=dropped)


def tell(setup: Setup) -> bool:
    """Send SIGHUP to the broker of the pid file; False where none runs. BrokerError where we may not."""
    try:
        pid = int(setup.pid_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return False
    program = _program(pid)
    if program is None and _exists(pid):
        raise BrokerError(
            f"process {pid} of {setup.pid_file} hides what it is (ProtectProc of the unit, hidepid of /proc): let "
            "whoever runs this see it. If it is no broker, remove the file"
        )
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


def _program(pid: int) -> str | None:
    """Name of a process; None where there is none, or it is hidden from us."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0


def _validate(folder: Path, files: Mapping[str, str]) -> None:
    """Let the server's own check read the configuration as it would be."""
    program = shutil.which("nats-server") or shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if program is None:
        logger.info("nats-server is not on the path: its users are not checked before it reads them")
        return
    try:
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
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerError(
            f"the users cannot be checked in {folder} ({error}); nothing was changed: run it as who runs the broker"
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BrokerError(f"nats-server refuses the configuration ({said[-1] if said else 'no reason given'})")
