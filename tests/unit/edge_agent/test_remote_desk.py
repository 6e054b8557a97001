"""What a command is answered with, and when: no broker, no car, no clock."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from edge_agent.remote.desk import CODES_WITHIN_MS, WAY_BACK_MS, CommandDesk, Instant
from edge_agent.sources.base import Reading, TroubleCode
from telemetry.commands import Command, CommandKind

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CODES_WITHIN = CODES_WITHIN_MS / 1000
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


def after(seconds: float, *, clock_off_s: float = 0) -> Instant:
    """So long after noon, by a clock that was put forward (or back) by ``clock_off_s`` meanwhile."""
    return Instant(time=NOON + timedelta(seconds=seconds + clock_off_s), ms=round(seconds * 1000))


START = after(0)


def test_a_snapshot_is_every_latest_value_with_its_time() -> None:
    at = desk()
    at.observe(Reading(values={SPEED: 30.0}), START)
    at.observe(Reading(values={SPEED: 50.0}), after(2))
    (answer,) = at.ask(command(CommandKind.SNAPSHOT), after(5))
    assert answer.state == "done"
    assert answer.reason is None
    assert answer.data == {"values": {SPEED: {"value": 50.0, "time": after(2).time.isoformat()}}}


def test_a_snapshot_of_nothing_says_so() -> None:
    (answer,) = desk().ask(command(CommandKind.SNAPSHOT), START)
    assert (answer.state, answer.data) == ("done", {"values": {}})
    assert answer.reason == "nothing has been read since this agent started"


def test_trouble_codes_are_those_read_after_the_question() -> None:
    at = desk()
    at.observe(Reading(trouble_codes=()), START)
    (accepted,) = at.ask(command(CommandKind.DTC), after(1))
    assert accepted.state == "accepted"
    assert at.wants_codes
    assert at.observe(Reading(values={SPEED: 1.0}), after(2)) == ()
    (answer,) = at.observe(Reading(trouble_codes=(MISFIRE,), ecus_read=frozenset({"7E8"})), after(3))
    assert answer.state == "done"
    assert answer.data["trouble_codes"] == [
        {"code": "P0301", "ecu": "7E8", "status": "confirmed", "warning_lamp": True}
    ]
    assert answer.data["codes_read_at"] == after(3).time.isoformat()
    assert answer.data["ecus_read"] == ["7E8"]
    assert not at.wants_codes


def test_codes_that_do_not_come_are_never_an_empty_list() -> None:
    at = desk()
    at.ask(command(CommandKind.DTC), START)
    assert at.tick(after(CODES_WITHIN / 2)) == ()
    (answer,) = at.tick(after(CODES_WITHIN))
    assert answer.state == "failed"
    assert answer.reason == "the car did not give its codes now, and none were read before"
    assert "trouble_codes" not in answer.data


def test_codes_read_before_are_given_with_their_age_when_none_come() -> None:
    at = desk()
    at.observe(Reading(trouble_codes=(MISFIRE,)), START)
    at.ask(command(CommandKind.DTC), after(1))
    (answer,) = at.tick(after(1 + CODES_WITHIN))
    assert answer.state == "done"
    assert answer.reason == "the car did not give its codes now"
    assert answer.data["codes_read_at"] == NOON.isoformat()


def test_live_sends_what_is_new_once_a_second_and_ends() -> None:
    at = desk()
    at.ask(command(CommandKind.LIVE, seconds=3), START)
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
    at.observe(Reading(values={SPEED: 0.0}, trouble_codes=()), START)
    (answer,) = at.ask(command(kind, seconds=5), after(3), asleep=True)
    assert answer.final
    assert "sleeps" in (answer.reason or "")
    assert not at.wants_codes


def test_the_same_command_again_is_answered_from_memory() -> None:
    at = desk()
    asked = command(CommandKind.SNAPSHOT)
    (first,) = at.ask(asked, START)
    at.observe(Reading(values={SPEED: 50.0}), after(1))
    assert at.ask(asked, after(2)) == (first,)
    running = command(CommandKind.DTC)
    assert len(at.ask(running, START)) == 1
    assert at.ask(running, START) == (), "it is under way"


@pytest.mark.parametrize(
    ("at", "asked", "moment", "reason"),
    [
        (desk(CommandKind.DTC), command(CommandKind.LIVE, seconds=5), START, "remote.allow"),
        (desk(), command(CommandKind.SNAPSHOT, valid_s=10), after(10), "expired"),
    ],
)
def test_refusals(at: CommandDesk, asked: Command, moment: Instant, reason: str) -> None:
    (answer,) = at.ask(asked, moment)
    assert answer.state == "refused"
    assert reason in (answer.reason or "")


def test_too_many_at_once_and_too_often_are_refused() -> None:
    at = desk()
    for _ in range(4):
        assert at.ask(command(CommandKind.LIVE, seconds=30), START)[0].state == "accepted"
    assert "under way" in (at.ask(command(CommandKind.LIVE, seconds=30), START)[0].reason or "")
    often = desk()
    states = [often.ask(command(CommandKind.SNAPSHOT), after(n / 10))[0].state for n in range(31)]
    assert states == ["done"] * 30 + ["refused"]
    late = Command(
        id=uuid4(), device="d1", kind=CommandKind.SNAPSHOT, issued=after(100).time, expires=after(200).time, seconds=0
    )
    assert often.ask(late, after(120))[0].state == "done"


@pytest.mark.parametrize("clock_off_s", [-86_400 * 365 * 56, 86_400 * 365])
def test_a_clock_put_right_meanwhile_neither_ends_nor_prolongs_what_is_under_way(clock_off_s: float) -> None:
    at = desk()
    at.ask(command(CommandKind.LIVE, seconds=3), START)
    at.ask(command(CommandKind.DTC), START)
    at.observe(Reading(values={SPEED: 10.0}), after(0.2))
    (part,) = at.tick(after(1.1, clock_off_s=clock_off_s))
    assert part.state == "part"
    (done,) = at.tick(after(3.1, clock_off_s=clock_off_s))
    assert (done.kind, done.state) == (CommandKind.LIVE, "done")
    assert at.wants_codes
    (codes,) = at.tick(after(CODES_WITHIN, clock_off_s=clock_off_s))
    assert codes.state == "failed"


def test_live_values_that_never_come_are_a_failure_and_not_an_empty_answer() -> None:
    at = desk()
    at.ask(command(CommandKind.LIVE, seconds=3), START)
    (failed,) = at.tick(after(3))
    assert (failed.state, failed.reason) == ("failed", "the car gave no values in that time")


def test_codes_are_given_up_while_somebody_still_waits_for_the_answer() -> None:
    at = desk()
    at.ask(command(CommandKind.DTC, valid_s=10), START)
    assert at.tick(after(9.9 - WAY_BACK_MS / 1000)) == ()
    (answer,) = at.tick(after(10 - WAY_BACK_MS / 1000))
    assert answer.state == "failed"
    impatient = desk()
    impatient.ask(command(CommandKind.DTC, valid_s=1), START)
    assert impatient.tick(after(0.4)) == ()
    assert len(impatient.tick(after(0.5))) == 1
