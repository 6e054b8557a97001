"""The files of one broker: written once as a whole, and again where they depend on the registry.

Every file is replaced at once and readable by its owner alone: some hold passwords. The owner is who runs the broker.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ingest.brokers import mosquitto, nats
from ingest.brokers.branch import Access, Account
from ingest.errors import BrokerError
from telemetry.subject import service_subject

Kind = Literal["nats", "mosquitto"]
SETUP_FILE: Final = "broker.json"
# Users that a change took away, while it is not known that the broker has read it and disconnected them.
UNFINISHED_FILE: Final = "unfinished.json"
# What `watch` enters Mosquitto as, to disconnect others. It may neither publish nor subscribe.
DOORKEEPER: Final = "doorkeeper"
ROUTES: Final = "routes"  # what the nodes of a cluster know each other by


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What must be known of a broker to tell it of a change."""

    kind: Kind
    pid_file: Path
    services: tuple[str, ...]
    # Where it is asked: of NATS the monitoring page, of Mosquitto the services' listener; host:port.
    control: str
    ca: Path  # who vouches for its certificate


def write_broker(folder: Path, setup: Setup, main_file: str, main_text: str, access: Access) -> tuple[str, ...]:
    """Write a broker's whole folder; the names of its files. A password that is there already is kept."""
    for name in setup.services:
        _require_service(name)
    _make_folder(folder)
    files = {main_file: main_text, **registry_files(setup, access)}
    if setup.kind == "mosquitto":
        files[mosquitto.PASSWORDS_FILE] = mosquitto.passwords_text(_accounts(folder, setup))
    files[SETUP_FILE] = json.dumps(
        {
            "kind": setup.kind,
            "pid_file": str(setup.pid_file),
            "services": setup.services,
            "control": setup.control,
            "ca": str(setup.ca),
        },
        indent=1,
    )
    if (folder / SETUP_FILE).exists():  # a broker may run with what is there
        write_change(folder, read_files(folder, files), files)
    else:
        write_files(folder, files)
    return (*files, *(password_file(folder, account.name).name for account in _accounts(folder, setup)))


def routes_secret(folder: Path) -> str:
    """What the nodes of a cluster know each other by, kept beside their folders; made on first use."""
    _make_folder(folder)
    return _account(folder, ROUTES).password


def read_setup(folder: Path) -> Setup:
    """What is known of the broker of a folder. BrokerError where it is not one."""
    file = folder / SETUP_FILE
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if found["kind"] not in get_args(Kind):
            raise ValueError(f"kind {found['kind']!r}")  # noqa: TRY301 - told with the others
        return Setup(
            kind=found["kind"],
            pid_file=Path(found["pid_file"]),
            services=tuple(found["services"]),
            control=found["control"],
            ca=Path(found["ca"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokerError(f"{file} cannot be read ({error}); make the folder with: wearcast broker config") from error


def registry_files(setup: Setup, access: Access) -> dict[str, str]:
    """Text by name of the files that depend on the registry."""
    if setup.kind == "nats":
        return {nats.USERS_FILE: nats.users_text(access, setup.services)}
    files = {mosquitto.ACL_FILE: mosquitto.acl_text(access, setup.services)}
    if access.revocation_lists:
        files[mosquitto.REVOCATION_FILE] = "".join(access.revocation_lists)
    return files


def read_files(folder: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Text by name of those of the files that are there. BrokerError where one cannot be read."""
    try:
        present = [name for name in names if (folder / name).is_file()]
        # Whatever stands there: it is compared, and written again where it is something else.
        return {name: (folder / name).read_text(encoding="utf-8", errors="replace") for name in present}
    except OSError as error:
        raise BrokerError(
            f"{error.filename or folder} cannot be read ({error.strerror}); run it as who runs the broker"
        ) from error


def write_change(folder: Path, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Replace files of a broker that may run, and remember until :func:`finish` whom that shuts out."""
    kept = set(mosquitto.users(after.get(mosquitto.ACL_FILE, "")))
    known = (*(unfinished(folder) or ()), *mosquitto.users(before.get(mosquitto.ACL_FILE, "")))
    shut_out = [user for user in dict.fromkeys(known) if user not in kept]
    write_files(folder, {UNFINISHED_FILE: json.dumps(shut_out)})
    write_files(folder, after)


def unfinished(folder: Path) -> tuple[str, ...] | None:
    """Users shut out by changes that the broker may not have followed yet; None where it has followed all."""
    try:
        return tuple(json.loads((folder / UNFINISHED_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BrokerError(f"{folder / UNFINISHED_FILE} cannot be read ({error}); remove it, then apply") from error


def finish(folder: Path) -> None:
    """The broker has followed every change."""
    (folder / UNFINISHED_FILE).unlink(missing_ok=True)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Replace files, each at once. BrokerError where the folder cannot be written to."""
    try:
        for name, text in files.items():
            _replace(folder / name, text)
    except OSError as error:
        raise BrokerError(
            f"{error.filename or folder} cannot be written ({error.strerror}); run it as who runs the broker"
        ) from error


def password_file(folder: Path, service: str) -> Path:
    """Where a service's password is."""
    return folder / f"{service}.password"


def doorkeeper(folder: Path) -> Account:
    """The account by which others are disconnected from Mosquitto."""
    return _account(folder, DOORKEEPER)


def _require_service(name: str) -> None:
    try:
        service_subject(name)
    except ValueError as error:
        raise BrokerError(str(error)) from error
    if name in {DOORKEEPER, ROUTES, nats.ADMINISTRATOR}:
        raise BrokerError(f"service {name!r}: this name has another use; choose one, for example ingest")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BrokerError(f"{folder} cannot be made ({error.strerror}); name a folder that you may write to") from error


def _accounts(folder: Path, setup: Setup) -> tuple[Account, ...]:
    """Who signs in with a password: on NATS nobody does."""
    if setup.kind == "nats":
        return ()
    return tuple(_account(folder, name) for name in (*setup.services, DOORKEEPER))


def _account(folder: Path, name: str) -> Account:
    """An account with its password, made on first use."""
    file = password_file(folder, name)
    if not file.exists():
        write_files(folder, {file.name: secrets.token_urlsafe(32) + "\n"})
    return Account(name=name, password=file.read_text(encoding="utf-8").strip())


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
