"""The demo's processes: which there are, how each is started, and that all are gone at the end.

Everything runs as it would for a user: the same commands, the same settings, one process each.
"""

import contextlib
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from wearcast.demo.cars import Past, bus, write_garage
from wearcast.demo.errors import DemoError
from wearcast.demo.story import STORIES
from wearcast.embedded.nats import Broker, BrokerUser, private_broker
from wearcast.embedded.paths import open_lock, try_lock, write_private
from wearcast.embedded.ports import free_port
from wearcast.embedded.processes import ManagedProcess

# name -> arguments of `wearcast`, and the line by which it says that it is ready
SERVICES = {
    "ingest": (("ingest", "run", "--name", "ingest-1"), "ingest worker ready"),
    "rules": (("rules", "run"), "rules engine ready"),
    "delivery": (("rules", "deliver"), "delivery ready"),
    "portal": (("portal", "run"), "portal ready"),
}
START_SECONDS = 120.0  # for a service to be ready, on a slow and busy machine


def new_folder(path: Path) -> Path:
    """An empty folder, whatever an earlier run left there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@contextlib.contextmanager
def only_one_in(folder: Path) -> Iterator[None]:
    """Keep a second demo from clearing away the folder of a first; DemoError says what to do."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open_lock(folder.with_suffix(".lock")) as lock:
        if not try_lock(lock):
            raise DemoError(f"another demo runs in {folder.absolute()}; end that one, or start this one elsewhere")
        yield


@dataclass
class Stage:
    """Starts, kills and stops processes; use :func:`open_stage`."""

    folder: Path
    environment: dict[str, str]
    users: tuple[BrokerUser, ...]
    broker_port: int
    portal_port: int
    mail: Path
    processes: dict[str, ManagedProcess] = field(default_factory=dict)

    @property
    def garage(self) -> Path:
        """The garage file of the live cars."""
        return self.folder / "garage.yaml"

    def start(self, name: str, arguments: Iterable[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start ``wearcast …`` under a name; its output goes to ``logs/<name>.log``."""
        self.processes[name] = ManagedProcess.start(
            [sys.executable, "-m", "wearcast.cli", *arguments],
            name=name,
            log_path=self.folder / "logs" / f"{name}.log",
            env={**self.environment, **(environment or {})},
        )

    def start_service(self, name: str) -> None:
        """Start a service of the backend; :meth:`await_service` waits until it is ready."""
        arguments, _ = SERVICES[name]
        extra = ("--port", str(self.portal_port)) if name == "portal" else ()
        self.start(name, (*arguments, *extra))

    def await_service(self, name: str) -> None:
        """Wait until a service says that it is ready; ProcessError with the end of its output if it does not."""
        self.processes[name].wait_for_line(SERVICES[name][1], START_SECONDS)

    def start_agent(self, device: str, config: Path) -> None:
        """Start the agent of a device with a configuration; the password goes by the environment."""
        password = next(user.password for user in self.users if user.device == device)
        assert password is not None
        self.start(f"agent-{device}", ("agent", "run", config), {"WEARCAST_MQTT_PASSWORD": password})

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        self.processes[name].kill()

    def stop(self, names: Iterable[str], timeout: float) -> None:  # seconds
        """Ask processes to end, all at once, and wait for each; one that takes longer is killed."""
        processes = [self.processes[name] for name in names]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.stop(timeout)

    def check_alive(self) -> None:
        """DemoError if a process has ended that nobody ended."""
        for name, process in self.processes.items():
            if not process.alive and process.returncode != -9 and not name.startswith("agent-"):
                raise DemoError(f"{name} ended with status {process.returncode}; see {process.log_path}")

    @contextlib.contextmanager
    def broker(self) -> Iterator[Broker]:
        """The broker, for the time of the block."""
        with private_broker(fresh=True, users=self.users, port=self.broker_port) as broker:
            yield broker


@contextlib.contextmanager
def open_stage(folder: Path, database_url: str) -> Iterator[Stage]:
    """A stage in an empty folder. At the end every process it started is stopped."""
    new_folder(folder)
    (folder / "logs").mkdir()
    users = (
        BrokerUser.with_new_password("backend"),
        *(BrokerUser.with_new_password(story.device, device=story.device) for story in STORIES),
    )
    broker_port, portal_port = free_port(), free_port()
    write_private(folder / "secret", secrets.token_urlsafe(32))
    stage = Stage(
        folder=folder,
        environment={
            "WEARCAST_DATABASE_URL": database_url,
            "WEARCAST_BROKER_URL": f"mqtt://backend:{users[0].password}@127.0.0.1:{broker_port}",
            "WEARCAST_PORTAL_URL": f"http://127.0.0.1:{portal_port}",
            "WEARCAST_SECRET_FILE": str(folder / "secret"),
            "WEARCAST_PERSONAL_KEY_FILE": str(folder / "personal-keys"),
            "WEARCAST_MAIL_DIR": str(folder / "mail"),
            "WEARCAST_WATCH_LISTEN": "off",
            "PYTHONUNBUFFERED": "1",
        },
        users=users,
        broker_port=broker_port,
        portal_port=portal_port,
        mail=folder / "mail",
    )
    try:
        yield stage
    finally:
        stage.stop(stage.processes, 5.0)


def write_agents(stage: Stage, pasts: list[Past]) -> dict[str, tuple[Path, Path]]:
    """Write garage and agents' configurations; by device, the one that uploads the past and the one that reads the car.

    Both have one outbox: the past is a backlog that waits in it while the dongle reads on.
    """
    ports = {story.device: free_port(socket.SOCK_DGRAM) for story in STORIES}
    write_garage(stage.garage, pasts, ports)
    return {
        past.story.device: (
            _agent_yaml(stage, past, "backlog", {"kind": "replay_csv", "path": str(past.recording)}),
            _agent_yaml(stage, past, "agent", {"kind": "obd_can", **_bus(ports[past.story.device])}),
        )
        for past in pasts
    }


def _bus(port: int) -> dict[str, object]:
    garage = bus(port)
    return {
        "interface": garage["interface"],
        "channel": garage["channel"],
        "options": {"port": garage["port"]},
        "timeout": "500ms",
    }


def _agent_yaml(stage: Stage, past: Past, name: str, source: Mapping[str, object]) -> Path:
    device = past.story.device
    path = stage.folder / "dongles" / device / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    document: dict[str, object] = {
        "device": device,
        "vehicle_profile": past.story.profile,
        "source": dict(source),
        "outbox": {"path": "outbox.sqlite"},
        "mqtt": {"host": "127.0.0.1", "port": stage.broker_port, "username": device},
        "uplink": {"window": 64, "ack_timeout": "4s", "reconnect_min": "500ms", "reconnect_max": "2s"},
    }
    if name == "backlog":
        # Nothing to wait for: the broker is away. The history's rows are two minutes apart, which ends no trip.
        document |= {"drain": "0s", "trip_gap": "15min"}
    else:
        document |= {"batch": "2s", "estimates": "4s"}
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path
