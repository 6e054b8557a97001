"""What the acceptance tests share: a site, which is a database, a broker and processes of the real command line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from ingest import registry
from ingest.database import Connection, connect
from wearcast.embedded.nats import Broker, BrokerUser
from wearcast.embedded.processes import ManagedProcess

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0  # a deadline, on a machine that does much else


@dataclass
class Site:
    """One test's installation. What it starts is stopped at its end, see :meth:`stop_all`."""

    folder: Path
    database_url: str
    broker: Broker
    users: Mapping[str, BrokerUser] = field(default_factory=dict)  # by device, and "backend"; empty: no sign-in
    processes: list[ManagedProcess] = field(default_factory=list)

    def environment(self, device: str | None = None) -> dict[str, str]:
        """Settings of the backend's processes; of a device's own, with its password and nothing of the backend."""
        if device is not None:
            password = self.users[device].password if self.users else None
            return {} if password is None else {"WEARCAST_MQTT_PASSWORD": password}
        sign_in = f"backend:{self.users['backend'].password}@" if self.users else ""
        return {
            "WEARCAST_DATABASE_URL": self.database_url,
            "WEARCAST_BROKER_URL": f"mqtt://{sign_in}{self.broker.host}:{self.broker.port}",
            "WEARCAST_SECRET_FILE": str(self.folder / "secret"),
            "WEARCAST_MAIL_DIR": str(self.folder / "mail"),
        }

    def start(self, name: str, *arguments: str | Path, device: str | None = None) -> ManagedProcess:
        """Start ``wearcast …`` in the background, on a device or at the backend."""
        process = ManagedProcess.start(
            [sys.executable, "-m", "wearcast.cli", *arguments],
            name=name,
            log_path=self.folder / f"{name}.log",
            env=self.environment(device),
            cwd=ROOT,
        )
        self.processes = [running for running in self.processes if running.alive]
        self.processes.append(process)
        return process

    def start_ready(self, name: str, *arguments: str | Path, line: str) -> ManagedProcess:
        """Start and wait for the line by which it says that it is ready."""
        process = self.start(name, *arguments)
        process.wait_for_line(line, START_SECONDS)
        return process

    def start_ingest(self) -> ManagedProcess:
        """A worker that is subscribed."""
        return self.start_ready("ingest", "ingest", "run", line="ingest worker ready")

    def run(self, *arguments: str | Path, device: str | None = None) -> str:
        """Run ``wearcast …`` to its end; what it printed. It must succeed."""
        done = run_wearcast(*arguments, environment=self.environment(device))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_json(self, *arguments: str | Path, device: str | None = None) -> Any:
        """What ``wearcast … --json`` printed."""
        return json.loads(self.run(*arguments, "--json", device=device))

    def connect(self) -> "closing[Connection]":
        """A connection to the site's database, for the time of a block."""
        return closing(connect(self.database_url, autocommit=True))

    def register(self, device: str) -> UUID:
        """Register a device in a car of its own; the vehicle's id."""
        with self.connect() as connection:
            owner = registry.register_owner(connection, name=f"Owner of {device}")
            vehicle = registry.register_vehicle(connection, owner_id=owner.id, label=device, profile="generic")
            registry.register_device(connection, id=device, vehicle_id=vehicle.id, hardware="virtual")
        return vehicle.id

    def write_agent(
        self, device: str, source: Mapping[str, object], *, name: str = "agent", **settings: object
    ) -> Path:
        """The agent's configuration of a device, whose folder holds its outbox."""
        folder = self.folder / device
        folder.mkdir(exist_ok=True)
        mqtt = {"host": self.broker.host, "port": self.broker.port, **({"username": device} if self.users else {})}
        document = {
            "device": device,
            "source": dict(source),
            "outbox": {"path": "outbox.sqlite"},
            "mqtt": mqtt,
            # quicker than on the road: nothing here is away for long
            "uplink": {"window": 32, "ack_timeout": "1s", "reconnect_min": "200ms", "reconnect_max": "1s"},
            **settings,
        }
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        return path

    def outbox(self, device: str) -> Path:
        """Where the outbox of a device is."""
        return self.folder / device / "outbox.sqlite"

    def stop_all(self) -> None:
        """End every process that still runs, the last one first."""
        for process in reversed(self.processes):
            process.stop(5.0)


def ended_in_order(process: ManagedProcess) -> bool:
    """Ask it to end; whether it did so by itself, without an error."""
    return process.stop(START_SECONDS) == 0


def run_wearcast(*arguments: str | Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``wearcast …`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "wearcast.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def wait_until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait for a condition, or fail saying what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {seconds:g} s: {what}"
        time.sleep(0.05)


def count(connection: Connection, query: str, parameters: Sequence[object] = ()) -> int:
    """The one number a query gives."""
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return int(row[0])
