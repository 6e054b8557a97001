"""From the database to what the pure engine takes, and the rules' state back. Input and output only, no judgement."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import cast
from uuid import UUID

from psycopg.rows import dict_row

from health.forecast import foresee, prior_for
from health.trouble_code_urgency import Urgency
from ingest.database import Connection
from ingest.reading_store import VehicleState, estimate_series, latest_state
from rules import metrics
from rules.code_history import read_history
from rules.context import (
    CrossingForecast,
    ForecastKey,
    Reading,
    TroubleCode,
    VehicleContext,
    code_urgency,
    estimates_of,
    forecast_keys,
    subjects,
)
from rules.errors import StateError
from rules.evaluate import RuleState
from rules.rule import Rule
from telemetry.catalogue import catalogue
from telemetry.records import UNCERTAIN, Quantity

_STATUS_RANK = ("pending", "permanent", "confirmed")  # of one code in two control units the graver counts
_QUANTITIES = frozenset(Quantity)


def load_context(connection: Connection, rules: Iterable[Rule], vehicle_id: UUID, now: datetime) -> VehicleContext:
    """All that the rules need of a vehicle. Raises StateError where what is stored of it makes no sense."""
    profile, in_service_since, time_zone = load_facts(connection, vehicle_id)
    try:
        context = context_of(
            latest_state(connection, vehicle_id),
            profile=profile,
            in_service_since=in_service_since,
            time_zone=time_zone,
        )
    except ValueError as error:  # of decoding stored documents (msgspec), or of a record that refuses its values
        raise StateError(f"the stored state of vehicle {vehicle_id} cannot be read: {error}") from error
    context = replace(context, trouble_codes=read_history(connection, vehicle_id, context.trouble_codes, now))
    return with_forecasts(connection, rules, context, now)


def load_facts(connection: Connection, vehicle_id: UUID) -> tuple[str, datetime | None, str]:
    """Profile, begin of service and the owner's time zone: all the rules know of who and what the car is."""
    row = connection.execute(
        """
        SELECT vehicle.profile, vehicle.in_service_since, owner.time_zone
        FROM vehicle JOIN owner ON owner.id = vehicle.owner_id WHERE vehicle.id = %s
        """,
        [vehicle_id],
    ).fetchone()
    if row is None:
        raise StateError(f"there is no vehicle {vehicle_id}")
    profile, since, time_zone = cast("tuple[str, date | None, str]", row)
    return profile, None if since is None else datetime.combine(since, time(), UTC), time_zone


def _estimates(state: VehicleState) -> dict[tuple[Quantity, str], tuple[Reading, ...]]:
    found: dict[tuple[Quantity, str], tuple[Reading, ...]] = {}
    for entry in state.estimates.values():
        if entry.quantity in _QUANTITIES and entry.limited_by not in UNCERTAIN:
            key = (Quantity(entry.quantity), entry.position)
            reading = Reading(
                time=entry.time,
                fields={"value": entry.value, "low": entry.low, "high": entry.high, "source": entry.source},
                source=entry.source,
                method=entry.method,
            )
            found[key] = (*found.get(key, ()), reading)
    return found


def context_of(
    state: VehicleState, *, profile: str = "", in_service_since: datetime | None = None, time_zone: str = "UTC"
) -> VehicleContext:
    """The latest state as the rules see it, without forecasts. A quantity of a later version is left out."""
    booleans = {signal.column for signal in catalogue() if signal.datatype == "boolean"}
    return VehicleContext(
        vehicle_id=state.vehicle_id,
        version=state.version,
        last_sample_at=state.last_sample_at,
        trace=state.trace,
        profile=profile,
        in_service_since=in_service_since,
        time_zone=time_zone,
        signals={
            column: Reading(
                time=signal.time,
                fields={"": bool(signal.value) if column in booleans else signal.value},
                source="ecu",
            )
            for column, signal in state.signals.items()
        },
        estimates=_estimates(state),
        trouble_codes=merge_codes(
            (
                code.code,
                TroubleCode(
                    status=code.status,
                    ecu=code.ecu,
                    mil=code.mil,
                    first_seen=code.first_seen,
                    last_seen=code.last_seen,
                ),
            )
            for code in state.trouble_codes
        ),
    )


def merge_codes(codes: Iterable[tuple[str, TroubleCode]]) -> dict[str, TroubleCode]:
    """One entry per code: several control units can report the same fault, and it is one fault."""
    merged: dict[str, TroubleCode] = {}
    for code, entry in codes:
        known = merged.get(code)
        if known is None:
            merged[code] = entry
            continue
        graver = max(known, entry, key=_gravity)
        merged[code] = TroubleCode(
            status=graver.status,
            ecu=graver.ecu,
            mil=known.mil or entry.mil,
            first_seen=min(known.first_seen, entry.first_seen),
            last_seen=max(known.last_seen, entry.last_seen),
        )
    return merged


def _gravity(code: TroubleCode) -> int:
    return _STATUS_RANK.index(code.status) if code.status in _STATUS_RANK else -1


def code_urgencies(connection: Connection, state: VehicleState, now: datetime) -> dict[str, Urgency]:
    """How much each of the codes present hurries, as the rules see it: by code, whichever control units report it."""
    codes = read_history(connection, state.vehicle_id, context_of(state).trouble_codes, now)
    return {code: code_urgency(code, entry) for code, entry in codes.items()}


def with_forecasts(
    connection: Connection, rules: Iterable[Rule], context: VehicleContext, now: datetime
) -> VehicleContext:
    """The same context with the forecasts its rules need, and no others: a forecast costs some 20 ms."""
    wanted = {key for rule in rules for subject in subjects(rule, context) for key in forecast_keys(rule, subject)}
    if not wanted:
        return context
    with metrics.FORECAST_SECONDS.time():
        forecasts = {key: _forecast(connection, context, key, now) for key in sorted(wanted, key=str)}
    return replace(context, forecasts=forecasts)


def _forecast(
    connection: Connection, context: VehicleContext, key: ForecastKey, now: datetime
) -> CrossingForecast | None:
    candidates = estimates_of(context, key.quantity, key.position, now)
    if not candidates:
        return None
    # One source only: a step from estimate to ECU reading would look like a repair.
    points = estimate_series(
        connection,
        context.vehicle_id,
        key.quantity,
        key.position,
        now - key.history,
        now + timedelta(milliseconds=1),
        source="ecu" if candidates[0].source == "ecu" else "estimated",
    )
    certain = [point for point in points if point.limited_by not in UNCERTAIN]
    return crossing([(point.time, point.value, point.low, point.high) for point in certain], key, now)


def crossing(
    points: Sequence[tuple[datetime, float, float, float]], key: ForecastKey, now: datetime
) -> CrossingForecast | None:
    """The forecast of (time, value, low, high) in time order, or None where nothing honest can be said."""
    if not points:
        return None
    times, values, lows, highs = zip(*points, strict=True)
    foresight = foresee(
        times,
        values,
        falling=key.falling,
        now=now,
        # The backend does not know a vehicle's cell chemistry: the quantity's default.
        prior=prior_for(key.quantity),
        half_widths=[(high - low) / 2 for low, high in zip(lows, highs, strict=True)],
    )
    if foresight is None:
        return None
    found = foresight.crossing(key.limit)
    return CrossingForecast(
        time=times[-1],
        probability_30d=found.probability_30d,
        median=found.median,
        early=found.early,
        late=found.late,
    )


def load_states(connection: Connection, vehicle_id: UUID) -> dict[tuple[str, str], RuleState]:
    """What the rules remember of a vehicle, by rule id and subject."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT rule_id, subject, state, since, rule_version, pending_since, was_firing, severity"
            " FROM rule_state WHERE vehicle_id = %s",
            [vehicle_id],
        ).fetchall()
    return {(row["rule_id"], row["subject"]): RuleState(**row) for row in rows}


def save_state(connection: Connection, vehicle_id: UUID, state: RuleState) -> None:
    """Write what a rule remembers of one subject."""
    connection.execute(
        """
        INSERT INTO rule_state
            (rule_id, vehicle_id, subject, state, since, pending_since, was_firing, rule_version, severity)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (rule_id, vehicle_id, subject) DO UPDATE SET
            state = excluded.state, since = excluded.since, pending_since = excluded.pending_since,
            was_firing = excluded.was_firing, rule_version = excluded.rule_version, severity = excluded.severity
        """,
        [
            state.rule_id,
            vehicle_id,
            state.subject,
            state.state,
            state.since,
            state.pending_since,
            state.was_firing,
            state.rule_version,
            state.severity,
        ],
    )


def forget_state(connection: Connection, vehicle_id: UUID, rule_id: str, subject: str) -> None:
    """Drop what a rule remembers of a subject that is gone."""
    connection.execute(
        "DELETE FROM rule_state WHERE rule_id = %s AND vehicle_id = %s AND subject = %s", [rule_id, vehicle_id, subject]
    )
