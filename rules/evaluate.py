"""Rule + what is known + previous state + now -> decision. Pure: no input or output, no clock of its own.

        when holds            held for `for`
    ok ------------> pending ----------------> firing          `clear` holds (and `when` does not): back to ok
     ^------------------'  when fails                          nothing can be said: unknown, which remembers
                                                                whether it was firing, and neither fires nor clears

While an alert is open its severity can rise and never falls: each rise is decided (and told) once, and what goes up and
down is told at its height alone. Only a condition that holds can raise it; silence cannot.

`for` counts sample time: between the newest inputs of the first and the last evaluation at which `when` held. What was
pending when the data fell silent starts anew, because nobody saw that it held.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from rules.context import Bindings, VehicleContext, bind, code_urgency, facts, forecast_keys, subjects
from rules.errors import EvaluationError
from rules.expression import Expression, Value
from rules.rule import Rule
from rules.texts import Facts, fill
from telemetry.records import require_aware
from telemetry.trouble_codes import JOBS, SEVERITIES, Severity

StateName = Literal["ok", "pending", "firing", "unknown"]
Action = Literal["open", "raise", "close", "keep"]
# A forecast changes by the mere passing of time: look again, data or not.
_FORECAST_RECHECK = timedelta(days=1)
_INFINITE = (float("inf"), float("-inf"))


@dataclass(frozen=True, kw_only=True)
class RuleState:
    """What one rule remembers of one subject. ``pending_since`` is sample time, ``since`` the time of evaluation."""

    rule_id: str
    subject: str
    state: StateName
    since: datetime
    rule_version: str
    pending_since: datetime | None = None
    was_firing: bool = False  # of `unknown`: what it was before
    severity: Severity | None = None  # of the open alert, the gravest so far

    def __post_init__(self) -> None:
        require_aware(self.since, "RuleState.since")

    @property
    def alerting(self) -> bool:
        """Whether an alert is open: firing, or silent since it fired."""
        return self.state == "firing" or (self.state == "unknown" and self.was_firing)


@dataclass(frozen=True, kw_only=True)
class AlertText:
    """What an alert that opens or rises says, by language, and what it books."""

    severity: Severity
    job: str | None
    title: Mapping[str, str]
    text: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What follows. ``state`` None: the subject is gone, forget it. ``next_due_at``: look again then, data or not."""

    rule: Rule
    subject: str
    state: RuleState | None
    action: Action
    evidence: Mapping[str, object]
    alert: AlertText | None = None  # of "open" and "raise"
    next_due_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class VehicleDecision:
    """Decisions of all rules for one vehicle; a rule that failed keeps its state."""

    decisions: tuple[Decision, ...]
    failures: Mapping[str, EvaluationError]  # by rule id

    @property
    def next_due_at(self) -> datetime | None:
        """When silence alone could change something."""
        return min((d.next_due_at for d in self.decisions if d.next_due_at is not None), default=None)


def initial_state(rule: Rule, subject: str, now: datetime) -> RuleState:
    """Before anything is known."""
    return RuleState(rule_id=rule.id, subject=subject, state="unknown", since=now, rule_version=rule.version)


def evaluate_vehicle(
    rules: Iterable[Rule],
    context: VehicleContext,
    previous: Mapping[tuple[str, str], RuleState],
    now: datetime,
) -> VehicleDecision:
    """All rules over one vehicle. ``previous``: (rule id, subject) -> state; those of unknown rules are left alone."""
    decisions: list[Decision] = []
    failures: dict[str, EvaluationError] = {}
    for rule in rules:
        try:
            decisions += _evaluate_rule(rule, context, previous, now)
        except EvaluationError as error:
            failures[rule.id] = error
    return VehicleDecision(decisions=tuple(decisions), failures=failures)


def _evaluate_rule(
    rule: Rule,
    context: VehicleContext,
    previous: Mapping[tuple[str, str], RuleState],
    now: datetime,
) -> list[Decision]:
    applies = True if rule.applies_to is None else rule.applies_to.evaluate(facts(context, now))
    if applies is None:  # the age of the car is not known: neither fires nor clears
        return []
    present = subjects(rule, context) if applies else ()
    found = [
        evaluate(rule, context, previous.get((rule.id, subject)) or initial_state(rule, subject, now), now)
        for subject in present
    ]
    gone = [state for (rule_id, subject), state in previous.items() if rule_id == rule.id and subject not in present]
    return found + [_forget(rule, state) for state in gone]


def _forget(rule: Rule, state: RuleState) -> Decision:
    """The subject is gone (a code reported as cleared, a rule that no longer applies): that closes its alert."""
    return Decision(
        rule=rule, subject=state.subject, state=None, action="close" if state.alerting else "keep", evidence={}
    )


def evaluate(
    rule: Rule,
    context: VehicleContext,
    previous: RuleState,
    now: datetime,
) -> Decision:
    """Judge one rule for the subject of ``previous``. Raises EvaluationError where values have the wrong type."""
    require_aware(now, "now")
    bound = bind(rule, previous.subject, context, now)
    when = _truth(rule.when, bound.values)
    clear = _not(when) if rule.clear is None else _truth(rule.clear, bound.values)
    state = _next_state(rule, previous, when, clear, bound.sample_time, now)
    opens = state.alerting and not previous.alerting
    closes = previous.alerting and not state.alerting
    seen = _severity(rule, bound.values) if when is True and state.alerting else None
    state = replace(state, severity=_graver(previous.severity, seen) if state.alerting else None)
    rises = not opens and previous.severity is not None and state.alerting and state.severity != previous.severity
    action: Action = "open" if opens else "close" if closes else "raise" if rises else "keep"
    shown = {name: _number(one, bound.values) for name, one in rule.show.items()} if action != "keep" else {}
    due = bound.stale_at
    if rule.forecast is not None and f"forecast.{rule.forecast.quantity}" in bound.used:
        due = min(due or now + _FORECAST_RECHECK, now + _FORECAST_RECHECK)
    return Decision(
        rule=rule,
        subject=previous.subject,
        state=state,
        action=action,
        evidence=_evidence(rule, bound, shown, previous, state) if action != "keep" else {},
        alert=_alert(rule, state, context, bound, shown) if opens or rises else None,
        next_due_at=due,
    )


def _next_state(
    rule: Rule,
    previous: RuleState,
    when: bool | None,
    clear: bool | None,
    sample_time: datetime | None,
    now: datetime,
) -> RuleState:
    name: StateName
    pending_since = None
    if previous.alerting:
        if when is not True and clear is True:
            name = "ok"
        elif when is True or clear is False:
            name = "firing"
        else:
            name = "unknown"
    elif when is None:
        name = "unknown"
    elif not when:
        name = "ok"
    else:
        # A condition on facts alone (the car's age) has no sample: it holds as of now.
        sampled = sample_time or now
        continues = previous.state == "pending" and previous.rule_version == rule.version
        pending_since = min(previous.pending_since or sampled, sampled) if continues else sampled
        name = "firing" if sampled - pending_since >= rule.hold else "pending"
    return replace(
        previous,
        state=name,
        since=previous.since if name == previous.state else now,
        rule_version=rule.version,
        pending_since=pending_since if name == "pending" else None,
        was_firing=name == "unknown" and previous.alerting,
    )


def _truth(expression: Expression, values: Mapping[str, Value]) -> bool | None:
    result = expression.evaluate(values)
    assert result is None or isinstance(result, bool)
    return result


def _not(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _number(expression: Expression, values: Mapping[str, Value]) -> float | None:
    result = expression.evaluate(values)
    assert result is None or isinstance(result, float)
    return result


def _evidence(
    rule: Rule, bound: Bindings, shown: Mapping[str, float | None], previous: RuleState, state: RuleState
) -> dict[str, object]:
    """What the rule saw, as JSON: enough to explain the decision without the rulebook of its day."""
    held_since = (previous.pending_since if state.state == "firing" else None) or bound.sample_time
    return {
        "condition": rule.when.source,
        "clear": None if rule.clear is None else rule.clear.source,
        "for_s": rule.hold.total_seconds(),
        "held_since": None if held_since is None else held_since.isoformat(),
        "limit": rule.limit,
        "shown": dict(shown),
        "inputs": {
            name: {
                "time": reading.time.isoformat(),
                "source": reading.source,
                "method": reading.method,
                # JSON knows no infinity; an unforeseeable number of days is null.
                "fields": {key: None if value in _INFINITE else value for key, value in reading.fields.items()},
            }
            for name, reading in bound.used.items()
        },
    }


def _severity(rule: Rule, values: Mapping[str, Value]) -> Severity:
    if rule.severity_from is None:
        return rule.severity
    severity = str(rule.severity_from.evaluate(values) or rule.severity)
    if severity not in SEVERITIES:
        raise EvaluationError(f"severity_from of {rule.id} gives {severity!r}, none of {', '.join(SEVERITIES)}")
    return severity


def _graver(known: Severity | None, seen: Severity | None) -> Severity | None:
    return max((one for one in (known, seen) if one is not None), key=SEVERITIES.index, default=None)


def _job(rule: Rule, values: Mapping[str, Value]) -> str | None:
    if rule.job_from is None:
        return rule.job
    job = str(rule.job_from.evaluate(values) or "")
    if job and job not in JOBS:
        raise EvaluationError(f"book_from of {rule.id} gives {job!r}, none of {', '.join(JOBS)}")
    return job or None


def _alert(
    rule: Rule,
    state: RuleState,
    context: VehicleContext,
    bound: Bindings,
    shown: Mapping[str, float | None],
) -> AlertText:
    assert state.severity is not None
    subject = state.subject
    forecast = next((context.forecasts.get(key) for key in forecast_keys(rule, subject)), None)
    code = context.trouble_codes.get(subject) if rule.for_each == "trouble_code" else None
    filled = Facts(
        subject=subject,
        time_zone=context.time_zone,
        numbers={**shown, **({} if rule.limit is None else {"limit": rule.limit})},
        moments={}
        if forecast is None
        else {"median_date": forecast.median, "early_date": forecast.early, "late_date": forecast.late},
        judged=None if code is None else code_urgency(subject, code),
    )
    return AlertText(
        severity=state.severity,
        job=_job(rule, bound.values),
        title={language: fill(text, language, filled) for language, text in rule.title.items()},
        text={language: fill(text, language, filled) for language, text in rule.text.items()},
    )
