"""A parked car asked from afar: the source stays closed, and what was last known and measured is told."""

import threading
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.notify import Notifier
from edge_agent.outbox import Outbox
from edge_agent.power.keeper import LOW_VOLTAGE
from edge_agent.remote.service import RemoteService
from edge_agent.sources.base import Reading, TroubleCode
from edge_agent.testing import FakeClock, LoopbackUplink, ScriptedSource
from telemetry.commands import Command, CommandKind, CommandResult, decode_result, encode_command
from tests.unit.edge_agent.test_power_agent import Plan, commit

DEVICE, SPEED = "car-1", "Vehicle.Speed"
MISFIRE = TroubleCode(code="P0301", ecu="7E8", status="confirmed")


class Answers:
    """Where the answers go."""

    def __init__(self) -> None:
        self.said: list[CommandResult] = []

    def publish_result(self, kind: str, payload: bytes) -> None:
        self.said.append(decode_result(DEVICE, kind, payload))


@pytest.fixture
def asked() -> dict[CommandKind, CommandResult]:
    """The answers of a car that drove, was parked, whose voltage was measured since, and that was then asked."""
    clock, stop, answers = FakeClock(), threading.Event(), Answers()

    def park() -> None:
        plan.talks = False

    def measure() -> Reading:
        return Reading(values={LOW_VOLTAGE: 12.4})

    def ask() -> None:
        for kind in CommandKind:
            now = clock.now()
            seconds = 5.0 if kind is CommandKind.LIVE else 0.0
            command = Command(
                id=uuid4(),
                device=DEVICE,
                kind=kind,
                issued=now,
                expires=now + timedelta(seconds=60),
                seconds=seconds,
            )
            service.receive(kind, encode_command(command))

    def end() -> None:
        stop.set()

    plan = Plan(measure, ask, end)
    source = ScriptedSource([Reading(values={SPEED: 7.0}, trouble_codes=(MISFIRE,)), park, Reading()])
    service = RemoteService(
        device=DEVICE,
        allowed=CommandKind,
        source=source,
        channel=answers,
        clock=clock,
        asleep=lambda: not plan.talks,
    )
    config = AgentConfig(device=DEVICE, source=SourceConfig(kind="obd_can"), outbox_path=Path("unused"))
    with Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000) as outbox:
        Agent(
            config=config,
            source=source,
            estimators=[],
            outbox=outbox,
            uplink=LoopbackUplink(device=DEVICE, outbox=outbox, backend=commit),
            clock=clock,
            notifier=Notifier({}),
            remote=service,
            power=plan,
        ).run(stop)
    assert source.opened == 1, "it was not woken"
    return {result.kind: result for result in answers.said}


def test_a_parked_car_tells_its_last_values_and_what_was_measured_since(
    asked: dict[CommandKind, CommandResult],
) -> None:
    snapshot = asked[CommandKind.SNAPSHOT]
    assert snapshot.state == "done"
    assert "sleeps" in (snapshot.reason or "")
    values = snapshot.data["values"]
    assert isinstance(values, dict)
    assert {path: entry["value"] for path, entry in values.items()} == {SPEED: 7.0, LOW_VOLTAGE: 12.4}


def test_a_parked_car_tells_its_last_codes_and_gives_no_live_values(asked: dict[CommandKind, CommandResult]) -> None:
    codes, live = asked[CommandKind.DTC], asked[CommandKind.LIVE]
    assert (codes.state, live.state) == ("done", "failed")
    assert "sleeps" in (codes.reason or "")
    assert "sleeps" in (live.reason or "")
    assert [code["code"] for code in codes.data["trouble_codes"]] == ["P0301"]  # type: ignore[attr-defined]  # JSON
