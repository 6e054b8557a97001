"""What a command is answered with, and when: no broker, no car, no clock."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from edge_agent.remote.desk import CODES_WITHIN, CommandDesk
from edge_agent.sources.base import Reading, TroubleCode
from telemetry.commands import Command, CommandKind

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SPEED = "Vehicle.Speed"
MISFIRE = TroubleCode(code="P0301", ecu="7E8", status="confirmed", warning_lamp=True)


def command(kind: CommandKind, *, seconds: float = 0.0, identity: UUID | None = None, valid_s: float = 60) -> Command:
    return Command(
        id=identity or uuid4(),
        device="d1",
        kind=kind,
        issued=NOON,
        expires=NOON + timedelta(seconds=valid_s),
        seconds=seconds,
    )


def desk(*allowed: CommandKind) -> CommandDesk:
    return CommandDesk(device="d1", allowed=frozenset(allowed or CommandKind))


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_snapshot_is_every_latest_value_with_its_time() -> None:
    at = desk()
    at.observe(Reading(values={SPEED: 30.0}), NOON)
    at.observe(Reading(values={SPEED: 50.0}), after(2))
    (answer,) = at.ask(command(CommandKind.SNAPSHOT), after(5))
    assert answer.state == "done"
    assert answer.reason is None
    assert answer.data == {"values": {SPEED: {"value": 50.0, "time": after(2).isoformat()}}}


def test_a_snapshot_of_nothing_says_so() -> None:
    (answer,) = desk().ask(command(CommandKind.SNAPSHOT), NOON)
    assert (answer.state, answer.data) == ("done", {"values": {}})
    assert answer.reason == "nothing has been read since this agent started"


def test_trouble_codes_are_those_read_after_the_question() -> None:
    at = desk()
    at.observe(Reading(trouble_codes=()), NOON)
    (accepted,) = at.ask(command(CommandKind.DTC), after(1))
    assert accepted.state == "accepted"
    assert at.wants_codes
    assert at.observe(Reading(values={SPEED: 1.0}), after(2)) == ()
    (answer,) = at.observe(Reading(trouble_codes=(MISFIRE,), ecus_read=frozenset({"7E8"})), after(3))
    assert answer.state == "done"
    assert answer.data["trouble_codes"] == [
        {"code": "P0301", "ecu": "7E8", "status": "confirmed", "warning_lamp": True}
    ]
    assert answer.data["codes_read_at"] == after(3).isoformat()
    assert answer.data["ecus_read"] == ["7E8"]
    assert not at.wants_codes


def test_codes_that_do_not_come_are_never_an_empty_list() -> None:
    at = desk()
    at.ask(command(CommandKind.DTC), NOON)
    assert at.tick(NOON + CODES_WITHIN / 2) == ()
    (answer,) = at.tick(NOON + CODES_WITHIN)
    assert answer.state == "failed"
    assert answer.reason == "the car did not give its codes now, and none were read before"
    assert "trouble_codes" not in answer.data


def test_codes_read_before_are_given_with_their_age_when_none_come() -> None:
    at = desk()
    at.observe(Reading(trouble_codes=(MISFIRE,)), NOON)
    at.ask(command(CommandKind.DTC), after(1))
    (answer,) = at.tick(after(1) + CODES_WITHIN)
    assert answer.state == "done"
    assert answer.reason == "the car did not give its codes now"
    assert answer.data["codes_read_at"] == NOON.isoformat()


def test_live_sends_what_is_new_once_a_second_and_ends() -> None:
    at = desk()
    at.ask(command(CommandKind.LIVE, seconds=3), NOON)
    at.observe(Reading(values={SPEED: 10.0}), after(0.2))
    at.observe(Reading(values={SPEED: 11.0}), after(0.6))
    assert at.tick(after(0.7)) == ()
    (first,) = at.tick(after(1.1))
    assert (first.state, first.part, first.data) == ("part", 1, {"values": {SPEED: 11.0}})
    assert at.tick(after(2.2)) == (), "nothing new was read"
    at.observe(Reading(values={SPEED: 12.0}), after(2.5))
    last, done = at.tick(after(3.1))
    assert (last.state, last.data) == ("part", {"values": {SPEED: 12.0}})
    assert (done.state, done.part) == ("done", 3)
    assert at.tick(after(10)) == ()


@pytest.mark.parametrize("kind", [CommandKind.DTC, CommandKind.LIVE])
def test_a_sleeping_car_is_not_woken(kind: CommandKind) -> None:
    at = desk()
    at.observe(Reading(values={SPEED: 0.0}, trouble_codes=()), NOON)
    (answer,) = at.ask(command(kind, seconds=5), after(3), asleep=True)
    assert answer.final
    assert "sleeps" in (answer.reason or "")
    assert not at.wants_codes


def test_the_same_command_again_is_answered_from_memory() -> None:
    at = desk()
    asked = command(CommandKind.SNAPSHOT)
    (first,) = at.ask(asked, NOON)
    at.observe(Reading(values={SPEED: 50.0}), after(1))
    assert at.ask(asked, after(2)) == (first,)
    running = command(CommandKind.DTC)
    assert len(at.ask(running, NOON)) == 1
    assert at.ask(running, NOON) == (), "it is under way"


@pytest.mark.parametrize(
    ("at", "asked", "moment", "reason"),
    [
        (desk(CommandKind.DTC), command(CommandKind.LIVE, seconds=5), NOON, "remote.allow"),
        (desk(), command(CommandKind.SNAPSHOT, valid_s=10), after(10), "expired"),
    ],
)
def test_refusals(at: CommandDesk, asked: Command, moment: datetime, reason: str) -> None:
    (answer,) = at.ask(asked, moment)
    assert answer.state == "refused"
    assert reason in (answer.reason or "")


def test_too_many_at_once_and_too_often_are_refused() -> None:
    at = desk()
    for _ in range(4):
        assert at.ask(command(CommandKind.LIVE, seconds=30), NOON)[0].state == "accepted"
    assert "under way" in (at.ask(command(CommandKind.LIVE, seconds=30), NOON)[0].reason or "")
    often = desk()
    states = [often.ask(command(CommandKind.SNAPSHOT), after(n / 10))[0].state for n in range(31)]
    assert states == ["done"] * 30 + ["refused"]
    late = Command(id=uuid4(), device="d1", kind=CommandKind.SNAPSHOT, issued=after(100), expires=after(200), seconds=0)
    assert often.ask(late, after(120))[0].state == "done"
