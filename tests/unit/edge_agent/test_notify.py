"""The datagrams systemd gets, received on a real socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


def test_each_word_reaches_systemd(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    notifier.ready("reading the car;\nbroker away")
    notifier.status("all is well")
    notifier.alive()
    notifier.stopping()
    received = [systemd.recv(200).decode() for _ in range(4)]
    assert received == [
        "READY=1\nSTATUS=reading the car; broker away",
        "STATUS=all is well",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_the_abstract_namespace_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        name = f"wearcast-test-{os.getpid()}"
        receiver.bind("\0" + name)
        receiver.settimeout(5)
        Notifier({"NOTIFY_SOCKET": "@" + name}).alive()
        assert receiver.recv(100) == b"WATCHDOG=1"


def test_without_systemd_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.ready("by hand")
    assert notifier.watchdog_seconds is None


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_per_period(environment: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environment).watchdog_seconds == seconds


def test_work_of_minutes_keeps_the_watchdog_and_the_start_from_running_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).working()
        assert systemd.recv(1000).decode() == "EXTEND_TIMEOUT_USEC=60000000\nWATCHDOG=1"


def test_a_repair_asks_systemd_for_patience(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).repairing()
        assert systemd.recv(1000).decode() == "EXTEND_TIMEOUT_USEC=600000000\nSTATUS=repairing the outbox"
