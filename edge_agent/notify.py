"""Tells systemd how the agent is (sd_notify): ready, alive, stopping. Without systemd every call does nothing.

The protocol is one datagram of ``KEY=value`` lines to the socket named by ``NOTIFY_SOCKET`` (sd_notify(3)); no library
is needed for it.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

BROKER_SECONDS: Final = 5.0  # how long being ready waits for the broker
REPAIR_SECONDS: Final = 600  # more than reading and writing a full outbox takes the slowest card

WORK_SECONDS: Final = 60  # until such work speaks again


class Notifier:
    """Sends to the socket of the environment, if there is one."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: abstract namespace
        self._watchdog_s = _watchdog(env)

    @property
    def watchdog_seconds(self) -> float | None:
        """How often to call :meth:`alive`: half the time after which systemd restarts a silent service."""
        return None if self._watchdog_s is None else self._watchdog_s / 2

    def ready(self, status: str) -> None:
        """The self-test is done; a broker away or a silent car is said in ``status`` and is no failure."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """What ``systemctl status`` shows."""
        self._send(f"STATUS={_one_line(status)}")

    def repairing(self) -> None:
        """The start takes long for a reason: a damaged outbox of 200 MB takes a slow card more than a minute."""
        self._send(f"EXTEND_TIMEOUT_USEC={REPAIR_SECONDS * 1_000_000}\nSTATUS=repairing the outbox")

    def working(self) -> None:
        """What keeps the main loop from turning goes on: putting a week of batches right takes a slow card minutes."""
        self._send(f"EXTEND_TIMEOUT_USEC={WORK_SECONDS * 1_000_000}\nWATCHDOG=1")

    def alive(self) -> None:
        """The main loop still turns."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The agent is about to end on purpose."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
            datagram.sendto(message.encode(), self._address)


def _watchdog(environment: Mapping[str, str]) -> float | None:
    """Seconds of ``WATCHDOG_USEC``, where it is meant for this process (sd_watchdog_enabled(3))."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6


def _one_line(text: str) -> str:
    return " ".join(text.split())


class Heartbeat:
    """Says that the loop turns, and once that all is ready; what has not changed is not said again."""

    def __init__(self, notifier: Notifier, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier = notifier
        self._clock = clock
        self._started_at = clock()
        self._alive_at = float("-inf")
        self._told: str | None = None  # None: not even that it is ready

    def beat(self, status: str, *, ready: bool) -> None:
        """Called each turn. What is not ``ready`` (a broker away) delays being ready only a little."""
        now = self._clock()
        if self._notifier.watchdog_seconds is not None and now - self._alive_at >= self._notifier.watchdog_seconds:
            self._alive_at = now
            self._notifier.alive()
        if self._told is None and not ready and now - self._started_at < BROKER_SECONDS:
            return
        if self._told is None:
            self._notifier.ready(status)
        elif status != self._told:
            self._notifier.status(status)
        self._told = status

    def stopping(self) -> None:
        """The agent ends."""
        self._notifier.stopping()
