import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.context import Reading, TroubleCode, VehicleContext
from rules.evaluate import Decision, RuleState, evaluate, evaluate_vehicle, initial_state
from rules.rule import Rule, parse_rule, rulebook
from telemetry.records import Quantity

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
CAR = UUID(int=1)
RULES = {rule.id: rule for rule in rulebook()}


def speed_rule(*, hold: str = "10min", extra: str = "") -> Rule:
    return parse_rule(
        f"""
for_each: vehicle
limit: 10
when: signal.speed > limit
clear: signal.speed < 5.0
for: {hold}
needs: {{signal.speed: 1h}}
severity: soon
show: {{value: signal.speed}}
title: {{en: "fast", zh: "快"}}
text: {{en: "{{value}} over {{limit}}", zh: "{{value}}"}}
examples: [{{name: a, given: {{}}, expect: unknown}}]
{extra}
""",
        "speed.yaml",
    )


def speed(value: float | None, time: datetime) -> VehicleContext:
    signals = {} if value is None else {"speed": Reading(time=time, fields={"": value}, source="ecu")}
    return VehicleContext(vehicle_id=CAR, signals=signals)


def run(rule: Rule, steps: list[tuple[float | None, float]]) -> list[Decision]:
    """Steps of (speed or None for silence, minutes since the start); sampled when evaluated."""
    state = initial_state(rule, "", START)
    decisions = []
    for value, minutes in steps:
        now = START + timedelta(minutes=minutes)
        decision = evaluate(rule, speed(value, now), state, now)
        assert decision.state is not None
        state = decision.state
        decisions.append(decision)
    return decisions


def names(decisions: list[Decision]) -> list[str]:
    return [f"{d.state.state}/{d.action}" if d.state else "gone" for d in decisions]


def test_a_condition_must_hold_for_its_time() -> None:
    decisions = run(speed_rule(), [(20, 0), (20, 9), (20, 10), (20, 11)])
    assert names(decisions) == ["pending/keep", "pending/keep", "firing/open", "firing/keep"]


def test_a_condition_that_fails_in_between_starts_anew() -> None:
    decisions = run(speed_rule(), [(20, 0), (7, 5), (20, 6), (20, 15), (20, 16)])
    assert names(decisions)[-2:] == ["pending/keep", "firing/open"]
    assert decisions[1].state is not None
    assert decisions[1].state.state == "ok"


def test_without_for_it_fires_at_once() -> None:
    assert names(run(speed_rule(hold="0s"), [(20, 0)])) == ["firing/open"]


def test_time_passing_without_a_new_sample_is_not_holding() -> None:
    rule = speed_rule()
    state = initial_state(rule, "", START)
    first = evaluate(rule, speed(20, START), state, START)
    assert first.state is not None
    later = evaluate(rule, speed(20, START), first.state, START + timedelta(minutes=30))
    assert later.state is not None
    assert later.state.state == "pending"


def test_hysteresis_keeps_firing_between_the_two_conditions() -> None:
    decisions = run(speed_rule(hold="0s"), [(20, 0), (8, 1), (4, 2), (8, 3), (20, 4)])
    assert names(decisions) == ["firing/open", "firing/keep", "ok/close", "ok/keep", "firing/open"]


def test_silence_neither_fires_nor_clears() -> None:
    decisions = run(speed_rule(hold="0s"), [(20, 0), (None, 1), (8, 2), (None, 3), (4, 4), (None, 5), (8, 6)])
    assert names(decisions) == [
        "firing/open", "unknown/keep", "firing/keep", "unknown/keep", "ok/close", "unknown/keep", "ok/keep",
    ]  # fmt: skip
    assert [d.state.was_firing for d in decisions if d.state] == [False, True, False, True, False, False, False]


def test_what_was_pending_before_silence_starts_anew() -> None:
    assert names(run(speed_rule(), [(20, 0), (None, 5), (20, 11), (20, 21)])) == [
        "pending/keep", "unknown/keep", "pending/keep", "firing/open",
    ]  # fmt: skip


def test_data_older_than_allowed_is_silence_and_the_moment_is_announced() -> None:
    rule = speed_rule(hold="0s")
    fresh = evaluate(rule, speed(20, START), initial_state(rule, "", START), START)
    assert fresh.next_due_at == START + timedelta(hours=1)
    assert fresh.state is not None
    stale = evaluate(rule, speed(20, START), fresh.state, fresh.next_due_at)
    assert stale.state is not None
    assert (stale.state.state, stale.action, stale.next_due_at) == ("unknown", "keep", None)


def test_a_changed_rule_starts_its_timer_anew_and_keeps_its_alert() -> None:
    old, new = speed_rule(), speed_rule(extra="book: diagnosis")
    assert old.version != new.version
    pending = run(old, [(20, 0)])[0].state
    firing = run(old, [(20, 0), (20, 10)])[1].state
    assert pending is not None
    assert firing is not None
    now = START + timedelta(minutes=15)
    again = evaluate(new, speed(20, now), pending, now)
    kept = evaluate(new, speed(20, now), firing, now)
    assert again.state is not None
    assert again.state.state == "pending"
    assert kept.state is not None
    assert (kept.state.state, kept.action, kept.state.rule_version) == ("firing", "keep", new.version)


def test_evidence_says_what_was_seen_and_is_json() -> None:
    opened = run(speed_rule(), [(20, 0), (20, 10)])[1]
    evidence = json.loads(json.dumps(opened.evidence, allow_nan=False))
    assert evidence["condition"] == "signal.speed > limit"
    assert evidence["held_since"] == START.isoformat()
    assert evidence["inputs"]["signal.speed"]["fields"] == {"": 20}
    assert evidence["inputs"]["signal.speed"]["source"] == "ecu"
    assert opened.alert is not None
    assert opened.alert.text == {"en": "20 over 10", "zh": "20"}


def test_a_code_that_is_gone_closes_its_alert_and_is_forgotten() -> None:
    rule = RULES["trouble_code_confirmed"]
    code = TroubleCode(status="confirmed", ecu="7E8", mil=True, first_seen=START, last_seen=START)
    present = VehicleContext(vehicle_id=CAR, trouble_codes={"P0301": code}, last_sample_at=START)
    opened = evaluate_vehicle([rule], present, {}, START).decisions
    assert [(d.subject, d.action) for d in opened] == [("P0301", "open")]
    assert opened[0].alert is not None
    assert opened[0].alert.severity == "urgent"
    assert "cylinder 1" in opened[0].alert.title["en"]
    assert opened[0].state is not None
    before = {(rule.id, "P0301"): opened[0].state}
    gone = evaluate_vehicle([rule], VehicleContext(vehicle_id=CAR), before, START).decisions
    assert [(d.subject, d.action, d.state) for d in gone] == [("P0301", "close", None)]


def test_a_new_code_is_an_alert_of_its_own() -> None:
    rule = RULES["trouble_code_confirmed"]
    code = TroubleCode(status="confirmed", ecu="7E8", mil=True, first_seen=START, last_seen=START)
    both = VehicleContext(vehicle_id=CAR, trouble_codes={"P0301": code, "P0420": code}, last_sample_at=START)
    assert [d.subject for d in evaluate_vehicle([rule], both, {}, START).decisions] == ["P0301", "P0420"]


def test_one_failing_rule_does_not_stop_the_others() -> None:
    bad = {"speed": Reading(time=START, fields={"": float("nan")}, source="ecu")}
    oil = Reading(time=START, fields={"value": 5.0, "low": 4.0, "high": 6.0, "source": "estimated"}, source="estimated")
    context = VehicleContext(vehicle_id=CAR, signals=bad, estimates={(Quantity.OIL_LIFE, ""): (oil,)})
    judged = evaluate_vehicle([speed_rule(), RULES["oil_life_low"]], context, {}, START)
    assert set(judged.failures) == {"speed"}
    assert [(d.rule.id, d.action) for d in judged.decisions] == [("oil_life_low", "open")]


def test_a_rule_that_no_longer_applies_closes_its_alert() -> None:
    rule = speed_rule(hold="0s", extra='applies_to: vehicle.profile != "bicycle"')
    firing = RuleState(rule_id=rule.id, subject="", state="firing", since=START, rule_version=rule.version)
    bicycle = VehicleContext(vehicle_id=CAR, profile="bicycle")
    decisions = evaluate_vehicle([rule], bicycle, {(rule.id, ""): firing}, START).decisions
    assert [(d.action, d.state) for d in decisions] == [("close", None)]


def test_a_naive_now_is_refused() -> None:
    rule = speed_rule()
    with pytest.raises(ValueError, match="time zone"):
        evaluate(rule, speed(1, START), initial_state(rule, "", START), datetime(2026, 1, 1))  # noqa: DTZ001 - a naive one is what is refused


STEPS = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(0, 30, width=32)), st.floats(0.1, 40)), min_size=1, max_size=40
)
HELD = speed_rule()


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_the_state_machine_keeps_its_promises(gaps: list[tuple[float | None, float]]) -> None:
    state = initial_state(HELD, "", START)
    minutes, is_open, true_since = 0.0, False, None
    for value, gap in gaps:
        minutes += gap
        now = START + timedelta(minutes=minutes)
        decision = evaluate(HELD, speed(value, now), state, now)
        # A model of its own: how long the condition has been seen to hold without a break.
        true_since = (true_since if true_since is not None else now) if value is not None and value > 10 else None
        if decision.action == "open":
            assert not is_open, "an alert opens once per episode"
            assert true_since is not None
            assert now - true_since >= HELD.hold
            is_open = True
        elif decision.action == "close":
            assert is_open, "only what is open closes"
            assert value is not None
            assert value < 5
            is_open = False
        elif not is_open and true_since is not None:
            assert now - true_since < HELD.hold, "what has held long enough fires"
        elif is_open:
            assert value is None or value >= 5, "what is over closes"
        assert decision.state is not None
        assert decision.state.alerting == is_open
        assert (decision.state.state == "unknown") == (value is None)
        assert (decision.state.pending_since is not None) == (decision.state.state == "pending")
        assert decision.next_due_at is None or decision.next_due_at > now
        state = decision.state


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(0, 39))
def test_evaluating_again_without_news_changes_nothing(gaps: list[tuple[float | None, float]], index: int) -> None:
    value, gap = gaps[min(index, len(gaps) - 1)]
    state = initial_state(HELD, "", START)
    minutes = 0.0
    for one_value, one_gap in gaps:
        minutes += one_gap
        now = START + timedelta(minutes=minutes)
        decision = evaluate(HELD, speed(one_value, now), state, now)
        assert decision.state is not None
        state = decision.state
    now = START + timedelta(minutes=minutes + gap)
    once = evaluate(HELD, speed(value, now), state, now)
    assert once.state is not None
    twice = evaluate(HELD, speed(value, now), once.state, now)
    assert twice.state == once.state
    assert twice.action == "keep"
