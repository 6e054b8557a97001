"""The agent obeys: no source is open and no broker connected while the power plan does not allow it."""

import threading
from collections.abc import Callable
from pathlib import Path

from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.notify import Notifier
from edge_agent.outbox import Outbox
from edge_agent.power.keeper import LOW_VOLTAGE
from edge_agent.sources.base import Reading
from edge_agent.testing import FakeClock, LoopbackUplink, ScriptedSource
from telemetry.records import Acknowledgement, BatchKey
from telemetry.topics import Channel


class Plan:
    """A power plan in the test's hands; each rest runs the next step of its script."""

    def __init__(self, *steps: Callable[[], Reading | None]) -> None:
        self.talks = self.sends = True
        self.status = None
        self.heard_readings: list[Reading | None] = []
        self.closed = False
        self._steps = list(steps)

    def heard(self, reading: Reading | None) -> None:
        self.heard_readings.append(reading)

    def rest(self, seconds: float) -> Reading | None:
        assert seconds > 0
        return self._steps.pop(0)()

    def burst(self) -> tuple[Reading, ...]:
        return ()

    def close(self) -> None:
        self.closed = True


def commit(key: BatchKey, channel: Channel, payload: bytes) -> Acknowledgement:
    assert channel in {"readings", "events"}
    assert payload
    return Acknowledgement(device=key.device, boot=key.boot, committed=((key.sequence, key.sequence),))


def test_parked_the_source_is_closed_and_the_broker_left_and_both_come_back() -> None:
    states: list[tuple[bool, bool]] = []  # source open, connected

    def look(*, talks: bool, sends: bool, gives: Reading | None = None) -> Callable[[], Reading | None]:
        def step() -> Reading | None:
            states.append((source.is_open, uplink.connected))
            plan.talks, plan.sends = talks, sends
            return gives

        return step

    def park() -> None:
        plan.talks = False

    measured = Reading(values={LOW_VOLTAGE: 12.6})
    plan = Plan(
        look(talks=False, sends=False),
        look(talks=False, sends=True),
        look(talks=False, sends=False, gives=measured),
        look(talks=True, sends=True),
    )
    source = ScriptedSource(
        [
            Reading(values={"Vehicle.Speed": 50}),
            park,
            Reading(values={"Vehicle.Speed": 0}),
            Reading(values={"Vehicle.Speed": 9}),
        ]
    )
    config = AgentConfig(device="car-1", source=SourceConfig(kind="obd_can"), outbox_path=Path("unused"))
    with Outbox.open(":memory:", device="car-1", max_bytes=10_000_000) as outbox:
        uplink = LoopbackUplink(device="car-1", outbox=outbox, backend=commit)
        Agent(
            config=config,
            source=source,
            estimators=[],
            outbox=outbox,
            uplink=uplink,
            clock=FakeClock(),
            notifier=Notifier({}),
            power=plan,
        ).run(threading.Event())
        assert outbox.counters()["samples_sealed"] == 4  # of the drive, the parked battery, and the drive after it
    assert states == [(False, True), (False, False), (False, True), (False, False)]
    assert source.opened == 2
    assert [reading.values["Vehicle.Speed"] for reading in plan.heard_readings if reading is not None] == [50, 0, 9]
    assert plan.closed
