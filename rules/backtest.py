"""The same pure engine over history: how often a rule would have fired, when, and for how long.

History is sampled in steps: at each step the rule sees the newest values until then. What lasted for less than a step
and for less than the rule's `for` is not seen.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import sql

from ingest.database import Connection
from ingest.reading_store import estimate_series
from rules.code_history import Sighting, sighting, with_history
from rules.context import (
    WHEELS,
    CrossingForecast,
    ForecastKey,
    Reading,
    TroubleCode,
    VehicleContext,
    columns_of,
    estimates_of,
    forecast_keys,
    subjects,
)
from rules.errors import RulesError
from rules.evaluate import Decision, RuleState, evaluate_vehicle
from rules.rule import Rule
from rules.vehicle_store import crossing, load_facts, merge_codes
from telemetry.catalogue import catalogue
from telemetry.records import UNCERTAIN, EventKind, Quantity, require_aware
from telemetry.trouble_codes import Severity

_MOST_POINTS = 20_000  # of one curve in memory; beyond, the store thins them to the last of equal stretches


@dataclass(frozen=True, kw_only=True)
class Firing:
    """One episode the rule would have raised, at its gravest. ``closed_at`` None: still open at the end."""

    vehicle_id: UUID
    rule_id: str
    rule_version: str
    subject: str
    severity: Severity
    opened_at: datetime
    closed_at: datetime | None
    evidence: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class CodeChange:
    """A trouble code reported (``entry``) or cleared (None); ``seen``: the event itself."""

    time: datetime
    code: str
    ecu: str
    entry: TroubleCode | None
    seen: Sighting | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """What was known of a vehicle over time; each list in time order."""

    facts: VehicleContext  # profile, age, time zone
    signals: Mapping[str, Sequence[Reading]] = field(default_factory=dict)  # by column
    estimates: Mapping[tuple[Quantity, str, str], Sequence[Reading]] = field(default_factory=dict)  # and by source
    code_changes: Sequence[CodeChange] = ()

    def at(self, moment: datetime) -> VehicleContext:
        """The vehicle as it was known then, without forecasts."""
        estimates: dict[tuple[Quantity, str], tuple[Reading, ...]] = {}
        for (quantity, position, _), curve in self.estimates.items():
            known = estimates.get((quantity, position), ())
            estimates[quantity, position] = (*known, *_newest(curve, moment))
        signals = {column: found[0] for column, curve in self.signals.items() if (found := _newest(curve, moment))}
        return replace(
            self.facts,
            signals=signals,
            estimates=estimates,
            trouble_codes=self._codes(moment),
            last_sample_at=max((reading.time for reading in signals.values()), default=None),
        )

    def curve(self, key: ForecastKey, source: str, moment: datetime) -> Sequence[Reading]:
        """What a forecast made then would have seen."""
        curve = self.estimates.get((key.quantity, key.position, source), ())
        first = bisect_right(curve, moment - key.history, key=_time)
        return curve[first : bisect_right(curve, moment, key=_time)]

    def _codes(self, moment: datetime) -> dict[str, TroubleCode]:
        present: dict[tuple[str, str], TroubleCode] = {}
        for change in self.code_changes:
            if change.time > moment:
                break
            if change.entry is None:
                present.pop((change.code, change.ecu), None)
                continue
            known = present.get((change.code, change.ecu))
            first_seen = change.entry.first_seen if known is None else known.first_seen
            present[change.code, change.ecu] = replace(change.entry, first_seen=first_seen)
        merged = merge_codes((code, entry) for (code, _), entry in present.items())
        return with_history(merged, [change.seen for change in self.code_changes if change.seen is not None], moment)


def backtest(
    connection: Connection,
    rule: Rule,
    vehicle_ids: Iterable[UUID],
    start: datetime,
    end: datetime,
    step: timedelta = timedelta(days=1),
) -> list[Firing]:
    """Episodes the rule would have raised between ``start`` and ``end``, in order of vehicle and time.

    Raises RulesError for an empty period, EvaluationError where the rule cannot be computed.
    """
    firings: list[Firing] = []
    for vehicle_id in vehicle_ids:
        firings += replay(rule, load_history(connection, rule, vehicle_id, start, end, step), start, end, step)
    return firings


def replay(rule: Rule, history: History, start: datetime, end: datetime, step: timedelta) -> list[Firing]:
    """The same from a history in memory."""
    _check_period(start, end, step)
    states: dict[tuple[str, str], RuleState] = {}
    open_firings: dict[str, Firing] = {}
    closed: list[Firing] = []
    now = start
    while now <= end:
        context = _with_forecasts(rule, history, now)
        judged = evaluate_vehicle([rule], context, states, now)
        for error in judged.failures.values():
            raise error
        for decision in judged.decisions:
            _keep(states, decision)
            if decision.action == "open" and decision.alert is not None:
                open_firings[decision.subject] = _firing(context.vehicle_id, decision, decision.alert.severity, now)
            elif decision.action == "raise" and decision.alert is not None:
                known = open_firings[decision.subject]
                open_firings[decision.subject] = replace(known, severity=decision.alert.severity)
            elif decision.action == "close":
                closed.append(replace(open_firings.pop(decision.subject), closed_at=now))
        now += step
    return sorted([*closed, *open_firings.values()], key=lambda firing: (firing.opened_at, firing.subject))


def load_history(
    connection: Connection, rule: Rule, vehicle_id: UUID, start: datetime, end: datetime, step: timedelta
) -> History:
    """Read what the rule needs, from as long before ``start`` as the rule looks back."""
    _check_period(start, end, step)
    profile, since, time_zone = load_facts(connection, vehicle_id)
    look_back = max([*rule.needs.values(), rule.forecast.history if rule.forecast else timedelta()])
    begin, after = start - look_back, end + timedelta(milliseconds=1)
    signals = {
        column: _signal_curve(connection, vehicle_id, column, begin, after, step) for column in sorted(columns_of(rule))
    }
    estimates: dict[tuple[Quantity, str, str], Sequence[Reading]] = {}
    for name in rule.needs:
        root, _, quantity = name.partition(".")
        if root not in {"estimate", "wheel", "forecast"} or quantity not in set(Quantity):
            continue
        for position in WHEELS if rule.for_each == "wheel" else ("",):
            estimates |= _estimate_curves(connection, vehicle_id, Quantity(quantity), position, begin, after)
    changes = _code_changes(connection, vehicle_id, after) if "code" in rule.needs else ()
    facts = VehicleContext(vehicle_id=vehicle_id, profile=profile, in_service_since=since, time_zone=time_zone)
    return History(facts=facts, signals=signals, estimates=estimates, code_changes=changes)


def _with_forecasts(rule: Rule, history: History, now: datetime) -> VehicleContext:
    context = history.at(now)
    forecasts: dict[ForecastKey, CrossingForecast | None] = {}
    for subject in subjects(rule, context):
        for key in forecast_keys(rule, subject):
            candidates = estimates_of(context, key.quantity, key.position, now)
            curve = history.curve(key, candidates[0].source, now) if candidates else ()
            forecasts[key] = crossing([_point(reading) for reading in curve], key, now)
    return replace(context, forecasts=forecasts)


def _point(reading: Reading) -> tuple[datetime, float, float, float]:
    value, low, high = (float(reading.fields[name]) for name in ("value", "low", "high"))
    return reading.time, value, low, high


def _keep(states: dict[tuple[str, str], RuleState], decision: Decision) -> None:
    if decision.state is None:
        states.pop((decision.rule.id, decision.subject), None)
    else:
        states[decision.rule.id, decision.subject] = decision.state


def _firing(vehicle_id: UUID, decision: Decision, severity: Severity, now: datetime) -> Firing:
    return Firing(
        vehicle_id=vehicle_id,
        rule_id=decision.rule.id,
        rule_version=decision.rule.version,
        subject=decision.subject,
        severity=severity,
        opened_at=now,
        closed_at=None,
        evidence=decision.evidence,
    )


def _check_period(start: datetime, end: datetime, step: timedelta) -> None:
    require_aware(start, "start")
    require_aware(end, "end")
    if start > end:
        raise RulesError(f"the period from {start} to {end} is empty; give a start before the end")
    if step <= timedelta():
        raise RulesError(f"a step of {step} gets nowhere; give one above zero")


def _signal_curve(
    connection: Connection, vehicle_id: UUID, column: str, start: datetime, end: datetime, step: timedelta
) -> list[Reading]:
    """The last value of each step: what the engine would have seen at its end."""
    signal = catalogue().by_column(column)
    rows = connection.execute(
        sql.SQL(
            """
            SELECT last(time, time), last({column}, time) FROM reading
            WHERE vehicle_id = %(vehicle)s AND time >= %(start)s AND time < %(end)s AND {column} IS NOT NULL
            GROUP BY time_bucket(%(step)s, time, %(start)s::timestamptz) ORDER BY 1
            """
        ).format(column=sql.Identifier(signal.column)),
        {"vehicle": vehicle_id, "start": start, "end": end, "step": step},
    ).fetchall()
    convert: Callable[[float], float | bool] = bool if signal.datatype == "boolean" else float
    return [Reading(time=time, fields={"": convert(value)}, source="ecu") for time, value in rows]


def _estimate_curves(
    connection: Connection, vehicle_id: UUID, quantity: Quantity, position: str, start: datetime, end: datetime
) -> dict[tuple[Quantity, str, str], Sequence[Reading]]:
    points = estimate_series(connection, vehicle_id, quantity, position, start, end, max_points=_MOST_POINTS)
    return {
        (quantity, position, source): [
            Reading(
                time=point.time,
                fields={"value": point.value, "low": point.low, "high": point.high, "source": point.source},
                source=point.source,
            )
            for point in points
            if point.source == source and point.limited_by not in UNCERTAIN
        ]
        for source in ("ecu", "estimated")
    }


def _code_changes(connection: Connection, vehicle_id: UUID, end: datetime) -> list[CodeChange]:
    rows = connection.execute(
        """
        SELECT time, kind, data->>'code', coalesce(data->>'ecu', ''), data->>'status',
               coalesce((data->>'mil')::bool, false), data->'freeze_frame'
        FROM vehicle_event WHERE vehicle_id = %s AND kind LIKE 'dtc.%%' AND time < %s ORDER BY time, id
        """,
        [vehicle_id, end],
    ).fetchall()
    return [
        CodeChange(
            time=time,
            code=code,
            ecu=ecu,
            entry=None
            if kind == EventKind.DTC_CLEARED
            else TroubleCode(status=status, ecu=ecu, mil=mil, first_seen=time, last_seen=time),
            seen=sighting(time, kind, code, ecu, frame),
        )
        for time, kind, code, ecu, status, mil, frame in rows
    ]


def _newest(curve: Sequence[Reading], moment: datetime) -> tuple[Reading, ...]:
    index = bisect_right(curve, moment, key=_time)
    return (curve[index - 1],) if index else ()


def _time(reading: Reading) -> datetime:
    return reading.time
