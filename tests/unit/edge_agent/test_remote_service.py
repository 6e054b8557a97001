"""Between the network's thread and the agent's: a flood, rubbish, answers too large, codes asked for out of turn."""

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from edge_agent.remote.service import RemoteService
from edge_agent.sources.base import Reading, TroubleCode
from edge_agent.testing import FakeClock, ScriptedSource
from telemetry.commands import MAX_RESULT_BYTES, Command, CommandKind, CommandResult, decode_result, encode_command

DEVICE = "d1"


class CodesSource(ScriptedSource):
    """Counts how often trouble codes were asked for."""

    asked = 0

    def read_codes_soon(self) -> None:
        self.asked += 1


class Bench:
    """A service over a source and a channel of lists."""

    def __init__(self, *, asleep: bool = False) -> None:
        self.clock = FakeClock()
        self.source = CodesSource([])
        self.said: list[CommandResult] = []
        self.on_publish: Callable[[], None] = lambda: None
        self.service = RemoteService(
            device=DEVICE,
            allowed=CommandKind,
            source=self.source,
            channel=self,
            clock=self.clock,
            asleep=lambda: asleep,
        )

    def publish_result(self, kind: str, payload: bytes) -> None:
        self.said.append(decode_result(DEVICE, kind, payload))
        self.on_publish()

    def command(self, kind: CommandKind, *, seconds: float = 0.0) -> None:
        """As it comes from the broker."""
        now = self.clock.now()
        asked = Command(
            id=uuid4(),
            device=DEVICE,
            kind=kind,
            issued=now,
            expires=now + timedelta(seconds=60),
            seconds=seconds,
        )
        self.service.receive(kind, encode_command(asked))


def test_a_flood_holds_the_agent_for_a_bounded_time_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(1000):
        bench.command(CommandKind.SNAPSHOT)
    bench.on_publish = lambda: bench.command(CommandKind.SNAPSHOT)  # the network goes on delivering meanwhile
    with caplog.at_level(logging.WARNING):
        bench.service.tick()
    assert len(bench.said) == 16
    assert caplog.text.count("984 were dropped") == 1


@pytest.mark.parametrize("payload", [b"", b"{", b"null", b"\xff" * 5000, b'{"schema": "wearcast.command/1"}'])
def test_rubbish_is_ignored(payload: bytes) -> None:
    bench = Bench()
    bench.service.receive("dtc", payload)
    bench.service.tick()
    assert bench.said == []


def test_codes_are_asked_for_again_where_the_car_did_not_give_them() -> None:
    bench = Bench()
    bench.command(CommandKind.DTC)
    for _ in range(4):
        bench.service.tick()
        bench.clock.advance(2)
    assert bench.source.asked == 2
    bench.service.observe(Reading(trouble_codes=()))
    assert [result.state for result in bench.said] == ["accepted", "done"]
    bench.service.tick()
    assert bench.source.asked == 2


def test_a_sleeping_car_is_not_asked_for_its_codes() -> None:
    bench = Bench(asleep=True)
    bench.command(CommandKind.DTC)
    bench.service.tick()
    assert bench.source.asked == 0
    assert [result.state for result in bench.said] == ["failed"]


def test_an_answer_too_large_to_send_is_told_as_a_failure() -> None:
    bench = Bench()
    bench.command(CommandKind.DTC)
    bench.service.tick()
    codes = tuple(
        TroubleCode(code=f"P{number:04X}", ecu="7E8", status="confirmed") for number in range(MAX_RESULT_BYTES // 60)
    )
    bench.service.observe(Reading(trouble_codes=codes))
    accepted, failed = bench.said
    assert (accepted.state, failed.state, failed.data) == ("accepted", "failed", {})
    assert "more than" in (failed.reason or "")
