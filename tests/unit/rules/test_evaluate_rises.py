"""An open alert becomes graver: once for each rise, never by silence, and never milder while it is open."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.backtest import CodeChange, History, replay
from rules.code_history import Sighting
from rules.context import TroubleCode, VehicleContext
from rules.errors import EvaluationError, RuleError
from rules.evaluate import Decision, RuleState, evaluate, evaluate_vehicle, initial_state
from rules.rule import Rule, parse_rule, rulebook
from telemetry.records import EventKind
from telemetry.trouble_codes import SEVERITIES

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CODES = next(rule for rule in rulebook() if rule.id == "trouble_code_confirmed")
LOAD = "Vehicle.OBD.EngineLoad"


def code(status: str = "confirmed", *, load: float = 30.0, days: int = 1) -> TroubleCode:
    return TroubleCode(
        status=status, ecu="7E8", mil=False, first_seen=START, last_seen=START, days_seen=days, frame={LOAD: load}
    )


def judged(entry: TroubleCode, before: RuleState | None, now: datetime, name: str = "P0301") -> Decision:
    context = VehicleContext(vehicle_id=UUID(int=1), last_sample_at=START, trouble_codes={name: entry})
    return evaluate(CODES, context, before or initial_state(CODES, name, now), now)


def run(*entries: TroubleCode, name: str = "P0301") -> list[Decision]:
    state, decisions = None, []
    for number, entry in enumerate(entries):
        decisions.append(judged(entry, state, START + number * timedelta(hours=1), name))
        state = decisions[-1].state
    return decisions


def told(decisions: list[Decision]) -> list[str]:
    return [f"{one.action} {one.alert.severity}" if one.alert else one.action for one in decisions]


def test_each_rise_is_decided_once() -> None:
    once, again, confirmed = code("pending"), code("pending", days=2), code(load=90.0)
    found = run(once, again, again, confirmed, confirmed)
    assert told(found) == ["keep", "open urgent", "keep", "raise stop", "keep"]


def test_what_falls_is_not_told_and_what_rises_to_where_it_was_neither() -> None:
    grave, mild = code(load=90.0), code(load=20.0)
    assert told(run(grave, mild, grave, mild)) == ["open stop", "keep", "keep", "keep"]
    assert told(run(code("permanent"), code(), code("permanent"), code())) == [
        "open soon", "raise urgent", "keep", "keep",
    ]  # fmt: skip


def test_a_rise_says_why_and_books() -> None:
    (_, rise) = run(code("permanent"), code(load=90.0))
    assert rise.alert is not None
    assert rise.alert.text["en"].startswith("Stop.")
    assert "90 % load" in rise.alert.text["en"]
    assert rise.alert.text["zh"].startswith("请停车")
    assert rise.alert.job == "diagnosis"
    inputs = rise.evidence["inputs"]
    assert isinstance(inputs, dict)
    assert inputs["code"]["fields"]["urgency"] == "stop"


def test_silence_raises_nothing_and_the_rise_is_told_when_the_car_is_heard_again() -> None:
    first = judged(code("permanent"), None, START)
    silent = judged(code(load=90.0), first.state, START + 40 * DAY)
    assert silent.state is not None
    assert (silent.action, silent.state.state, silent.state.severity) == ("keep", "unknown", "soon")
    heard = VehicleContext(
        vehicle_id=UUID(int=1), last_sample_at=START + 41 * DAY, trouble_codes={"P0301": code(load=90.0)}
    )
    assert told([evaluate(CODES, heard, silent.state, START + 41 * DAY)]) == ["raise stop"]


def test_a_second_episode_begins_at_its_own_severity() -> None:
    found = run(code(load=90.0), code("pending"), code())
    assert told(found) == ["open stop", "close", "open urgent"]


def test_an_alert_of_before_severities_were_remembered_takes_the_present_one_silently() -> None:
    old = RuleState(rule_id=CODES.id, subject="P0301", state="firing", since=START, rule_version="old")
    found = judged(code(load=90.0), old, START)
    assert found.action == "keep"
    assert found.state is not None
    assert found.state.severity == "stop"


@given(
    st.lists(st.sampled_from([code("pending"), code("permanent"), code(), code(load=90.0), code("pending", days=2)]))
)
def test_severities_told_of_one_episode_only_rise(entries: list[TroubleCode]) -> None:
    last = -1
    for decision in run(*entries):
        if decision.action == "close":
            last = -1
        if decision.alert is not None:
            rank = SEVERITIES.index(decision.alert.severity)
            assert rank > last
            last = rank


@pytest.mark.parametrize(
    ("name", "job"),
    [("P0301", "diagnosis"), ("P0562", "battery_check"), ("P0A80", "traction_battery_check"), ("P0456", None)],
)
def test_a_code_books_its_own_job(name: str, job: str | None) -> None:
    (found,) = run(code(), name=name)
    assert found.alert is not None
    assert found.alert.job == job


def rule(**changes: str) -> Rule:
    text = """
for_each: trouble_code
when: code.status == "confirmed"
needs: {code: 30d}
severity: soon
title: {en: "a", zh: "故障"}
text: {en: "b", zh: "故障"}
examples: [{name: a, given: {}, expect: unknown}]
"""
    return parse_rule(text + "".join(f"{key}: '{value}'\n" for key, value in changes.items()), "own.yaml")


def test_a_job_nobody_knows_is_refused() -> None:
    with pytest.raises(RuleError, match=r"own.yaml: book: 'diagnose' is none of .*did you mean 'diagnosis'"):
        rule(book="diagnose")
    with pytest.raises(RuleError, match="`book` and `book_from` contradict"):
        rule(book="diagnosis", book_from="code.job")
    context = VehicleContext(vehicle_id=UUID(int=1), last_sample_at=START, trouble_codes={"P0301": code()})
    found = evaluate_vehicle([rule(book_from="code.system")], context, {}, START)
    assert isinstance(found.failures["own"], EvaluationError)
    assert "none of oil_change" in str(found.failures["own"])


def test_history_replays_rises() -> None:
    entry = TroubleCode(status="permanent", ecu="7E8", mil=False, first_seen=START, last_seen=START)
    worse = TroubleCode(status="confirmed", ecu="7E8", mil=True, first_seen=START, last_seen=START + DAY)
    changes = [
        CodeChange(
            time=at,
            code="P0301",
            ecu="7E8",
            entry=one,
            seen=Sighting(time=at, code="P0301", ecu="7E8", kind=kind, frame=frame),
        )
        for at, one, kind, frame in (
            (START, entry, EventKind.DTC_APPEARED, {}),
            (START + DAY, worse, EventKind.DTC_CHANGED, {LOAD: 90.0}),
        )
    ]
    history = History(facts=VehicleContext(vehicle_id=UUID(int=1)), code_changes=changes)
    (firing,) = replay(CODES, history, START, START + 3 * DAY, DAY)
    assert (firing.severity, firing.opened_at) == ("stop", START)
