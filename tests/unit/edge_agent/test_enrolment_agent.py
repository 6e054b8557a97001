"""The agent without a certificate reads the car and waits; with another one it connects anew."""

import threading
from collections.abc import Callable
from pathlib import Path

from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.notify import Notifier
from edge_agent.outbox import Outbox
from edge_agent.sources.base import Reading
from edge_agent.testing import FakeClock, LoopbackUplink, ScriptedSource
from telemetry.records import Acknowledgement, BatchKey
from telemetry.topics import Channel


class Identity:
    """An identity in the test's hands."""

    def __init__(self) -> None:
        self.present = False
        self.trouble = ""
        self.changed = False
        self.seen: list[bool] = []  # connected, at each look
        self.closed = False

    def tick(self, *, connected: bool) -> bool:
        self.seen.append(connected)
        changed, self.changed = self.changed, False
        return changed

    def come(self) -> None:
        """A certificate is there, or another one."""
        self.present = self.changed = True

    def close(self) -> None:
        self.closed = True


class Uplink(LoopbackUplink):
    """Counts its connections."""

    starts = stops = 0

    def start(self) -> None:
        self.starts += 1
        super().start()

    def stop(self) -> None:
        self.stops += 1
        super().stop()


class Told(Notifier):
    """What systemd was told."""

    def __init__(self) -> None:
        super().__init__({})
        self.said: list[str] = []

    def ready(self, status: str) -> None:
        self.said.append(status)

    def status(self, status: str) -> None:
        self.said.append(status)


def commit(key: BatchKey, _channel: Channel, _payload: bytes) -> Acknowledgement:
    return Acknowledgement(device=key.device, boot=key.boot, committed=((key.sequence, key.sequence),))


def run(identity: Identity, *steps: Reading | Callable[[], None]) -> tuple[Uplink, list[str]]:
    """An agent over this script, to its end; all it read must have arrived."""
    config = AgentConfig(device="car-1", source=SourceConfig(kind="obd_can"), outbox_path=Path("unused"))
    told = Told()
    with Outbox.open(":memory:", device="car-1", max_bytes=10_000_000) as outbox:
        uplink = Uplink(device="car-1", outbox=outbox, backend=commit)
        Agent(
            config=config,
            source=ScriptedSource(steps),
            estimators=[],
            outbox=outbox,
            uplink=uplink,
            clock=FakeClock(),
            notifier=told,
            identity=identity,
        ).run(threading.Event())
        assert outbox.pending_batches() == 0
    assert identity.closed
    return uplink, told.said


def speed(value: float) -> Reading:
    return Reading(values={"Vehicle.Speed": value})


def test_it_reads_without_a_certificate_and_connects_once_there_is_one() -> None:
    identity = Identity()
    uplink, _ = run(identity, speed(1), speed(2), identity.come, speed(3))
    assert identity.seen[:3] == [False, False, False]
    assert identity.seen[-1]
    assert uplink.starts == 1


def test_all_that_was_read_is_sent_also_where_the_certificate_comes_after_the_source_has_ended() -> None:
    identity = Identity()
    looks = identity.tick

    def later(*, connected: bool) -> bool:
        if len(identity.seen) == 3:
            identity.come()
        return looks(connected=connected)

    identity.tick = later  # type: ignore[method-assign]  # the twin's own
    uplink, _ = run(identity, speed(1))
    assert uplink.starts == 1


def test_another_certificate_is_shown_by_connecting_anew() -> None:
    identity = Identity()
    identity.present = True
    uplink, _ = run(identity, speed(1), identity.come, speed(2), speed(3))
    assert (uplink.starts, uplink.stops) == (2, 2)


def test_a_failing_renewal_is_in_the_status() -> None:
    identity = Identity()
    identity.present = True

    def fail() -> None:
        identity.trouble = "the service is away"

    _, said = run(identity, speed(1), fail, speed(2))
    assert said == ["connected to the broker", "connected to the broker; no certificate: the service is away"]
