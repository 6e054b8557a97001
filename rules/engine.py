"""The rules engine: claim a vehicle that changed, judge it by all rules, write what follows, all in one transaction.

Any number of engines run side by side: a vehicle is claimed by locking its row of ``rule_progress``
(``FOR UPDATE SKIP LOCKED``), which ingest never touches, so neither waits for the other.

Three kinds of failure are three things. Bad data of one vehicle is recorded in ``rule_progress``, logged, and retried
with back-off, while the others go on. A lost connection is opened anew. A bug ends the process.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from health.errors import HealthError
from ingest.database import NOT_NOW, Connection, connect
from ingest.errors import IngestError
from ingest.pulse import PULSE
from rules import metrics
from rules.alerts import close_alert, has_booking, job_is_booked, open_alert, raise_alert
from rules.booking import desk
from rules.clock import AgreedClock, Clock
from rules.errors import RulesError
from rules.evaluate import Decision, RuleState, VehicleDecision, evaluate_vehicle
from rules.rule import Rule, rulebook
from rules.vehicle_store import forget_state, load_context, load_states, save_state

log = logging.getLogger(__name__)

_LONGEST_BACKOFF = timedelta(minutes=5)
_RULE_RETRY = timedelta(minutes=5)  # a rule that cannot be computed is tried again then, or with the next data
_HOLDS_PERIOD_S = 5.0  # between two looks at slots whose owners did not answer
_OVERDUE_S = 120.0  # an engine that took so long over one vehicle stands still; a connection attempt takes 10
_RECONNECT_S = (1.0, 30.0)  # first and longest wait, seconds
# One vehicle's fault. Psycopg counts deadlocks and lock timeouts as operational: retried too, on a living connection.
_VEHICLE_FAULTS = (
    RulesError,
    IngestError,
    HealthError,
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.OperationalError,
)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """What an engine needs. ``propose``, ``announce`` and ``announce_rise`` run inside the vehicle's transaction.

    ``expire_holds`` gives back, in a transaction of its own, the slots whose owners did not answer in time.
    """

    database_url: str = field(repr=False)  # holds a password
    rules: tuple[Rule, ...] = field(default_factory=rulebook)
    poll_s: float = 0.5  # seconds between looks at what is due
    batch: int = 200  # vehicles looked up at once
    clock: Clock = field(default_factory=AgreedClock)
    propose: Callable[[Connection, UUID, datetime], object | None] = desk.propose_booking
    announce: Callable[[Connection, UUID, datetime], None] = desk.announce_alert
    announce_rise: Callable[[Connection, UUID, datetime], None] = desk.announce_rise
    expire_holds: Callable[[Connection, datetime], object] = desk.expire_holds


def run_engine(config: EngineConfig, stop: threading.Event) -> None:
    """Work until ``stop`` is set. A database that goes away is waited for, and a clock that is wrong."""
    wait_s, longest_s = _RECONNECT_S
    while not stop.is_set():
        try:
            with closing(
                connect(config.database_url, application_name="wearcast rules", autocommit=True)
            ) as connection:
                log.info("rules engine ready, %d rules", len(config.rules))
                wait_s = _RECONNECT_S[0]
                holds_due = time.monotonic()
                PULSE.well("database")
                while not stop.is_set():
                    PULSE.turn("rules engine", _OVERDUE_S)
                    if not config.clock.agrees(connection):
                        stop.wait(config.poll_s)
                        continue
                    if time.monotonic() >= holds_due:
                        config.expire_holds(connection, config.clock())
                        holds_due = time.monotonic() + _HOLDS_PERIOD_S
                    if not run_once(connection, config, stop):
                        stop.wait(config.poll_s)
        except NOT_NOW as error:
            PULSE.trouble("database", _brief(error))
            PULSE.turn("rules engine", _OVERDUE_S + wait_s)
            log.warning("database not reachable, trying again in %.0f s: %s", wait_s, _brief(error))
            stop.wait(wait_s)
            wait_s = min(2 * wait_s, longest_s)
    PULSE.ended("rules engine")


def run_once(connection: Connection, config: EngineConfig, stop: threading.Event | None = None) -> int:
    """Judge each vehicle that is due now, once; how many were claimed. ``connection`` in autocommit mode."""
    claimed = 0
    for vehicle_id in _due_vehicles(connection, config.clock(), config.batch):
        if stop is not None and stop.is_set():
            break
        PULSE.turn("rules engine", _OVERDUE_S)
        claimed += _judge_if_due(connection, config, vehicle_id, config.clock())
    return claimed


def _judge_if_due(connection: Connection, config: EngineConfig, vehicle_id: UUID, now: datetime) -> bool:
    """One vehicle, one transaction: rule states, alerts, booking, outgoing messages and progress, or nothing."""
    with connection.transaction():
        waited_s = _claim(connection, vehicle_id, now)
        if waited_s is None:
            return False
        metrics.CLAIM_AGE_SECONDS.observe(max(0.0, waited_s))
        metrics.EVALUATIONS.inc()
        try:
            with metrics.EVALUATION_SECONDS.time(), connection.transaction():
                context = load_context(connection, config.rules, vehicle_id, now)
                before = load_states(connection, vehicle_id)
                judged = evaluate_vehicle(config.rules, context, before, now)
                for decision in judged.decisions:
                    _remember(connection, vehicle_id, before, decision)
                    _act(connection, config, vehicle_id, decision, context.trace, now)
                _progress(connection, vehicle_id, context.version, judged, now)
        except _VEHICLE_FAULTS as error:
            if connection.broken or connection.closed:
                raise
            _record_failure(connection, vehicle_id, error, now)
    return True


def _remember(
    connection: Connection, vehicle_id: UUID, before: dict[tuple[str, str], RuleState], decision: Decision
) -> None:
    if decision.state is None:
        forget_state(connection, vehicle_id, decision.rule.id, decision.subject)
    elif decision.state != before.get((decision.rule.id, decision.subject)):
        save_state(connection, vehicle_id, decision.state)


def _act(
    connection: Connection,
    config: EngineConfig,
    vehicle_id: UUID,
    decision: Decision,
    trace: str | None,
    now: datetime,
) -> None:
    if decision.action in {"open", "raise", "close"}:
        metrics.DECISIONS.labels(decision.action).inc()
    if decision.action == "close":
        close_alert(connection, vehicle_id, decision, now)
        log.info("alert closed: rule %s, vehicle %s %s", decision.rule.id, vehicle_id, decision.subject)
    if decision.action not in {"open", "raise"}:
        return
    opens = decision.action == "open"
    if opens:
        alert_id = open_alert(connection, vehicle_id, decision, now, trace)
    else:
        alert_id = raise_alert(connection, vehicle_id, decision, now)
    if alert_id is None:
        return
    done = "opened" if opens else "raised"
    log.info(
        "alert %s %s: rule %s, vehicle %s %s",
        alert_id,
        done,
        decision.rule.id,
        vehicle_id,
        decision.subject,
        extra={"trace_id": trace},
    )
    if not _propose(connection, config, vehicle_id, alert_id, decision, now):
        (config.announce if opens else config.announce_rise)(connection, alert_id, now)


def _propose(
    connection: Connection, config: EngineConfig, vehicle_id: UUID, alert_id: UUID, decision: Decision, now: datetime
) -> bool:
    """Offer a slot for the alert; False if nothing new is offered, so that the owner must be told otherwise."""
    assert decision.alert is not None
    job = decision.alert.job
    # What is only worth mentioning at the next service occupies no bay.
    if job is None or decision.alert.severity == "info" or job_is_booked(connection, vehicle_id, job, now):
        return False
    if decision.action == "raise" and has_booking(connection, alert_id):
        return False
    return config.propose(connection, alert_id, now) is not None


def _due_vehicles(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Vehicles that look due, the longest waiting first; :func:`_claim` decides."""
    rows = connection.execute(
        """
        SELECT state.vehicle_id FROM vehicle_state AS state LEFT JOIN rule_progress AS done USING (vehicle_id)
        WHERE state.version > 0
          AND (done.vehicle_id IS NULL OR done.due_at <= %s
               OR (state.version > done.evaluated_version AND done.failures = 0))
        ORDER BY state.changed_at LIMIT %s
        """,
        [now, limit],
    ).fetchall()
    return [row[0] for row in rows]


def _claim(connection: Connection, vehicle_id: UUID, now: datetime) -> float | None:
    """Lock the vehicle for this transaction: for how many seconds it was due. None: another engine has or had it."""
    connection.execute(
        "INSERT INTO rule_progress (vehicle_id, evaluated_version, evaluated_at) VALUES (%s, 0, %s)"
        " ON CONFLICT (vehicle_id) DO NOTHING",
        [vehicle_id, now],
    )
    row = connection.execute(
        """
        SELECT extract(epoch FROM %s - CASE WHEN state.version > done.evaluated_version AND done.failures = 0
                                            THEN state.changed_at ELSE done.due_at END)::float8
        FROM rule_progress AS done JOIN vehicle_state AS state USING (vehicle_id)
        WHERE vehicle_id = %s
          AND (done.due_at <= %s OR (state.version > done.evaluated_version AND done.failures = 0))
        FOR UPDATE OF done SKIP LOCKED
        """,
        [now, vehicle_id, now],
    ).fetchone()
    return None if row is None else float(row[0])


def _progress(connection: Connection, vehicle_id: UUID, version: int, judged: VehicleDecision, now: datetime) -> None:
    due_at, error = judged.next_due_at, None
    if judged.failures:
        error = "; ".join(f"rule {rule_id}: {_brief(fault)}" for rule_id, fault in sorted(judged.failures.items()))
        due_at = min(due_at or now + _RULE_RETRY, now + _RULE_RETRY)
        metrics.ERRORS.labels("rule").inc(len(judged.failures))
    # The join sees the row as it was: the same error with each new batch is logged once.
    row = connection.execute(
        """
        UPDATE rule_progress AS done
        SET evaluated_version = %s, evaluated_at = %s, due_at = %s, failures = 0, last_error = %s
        FROM rule_progress AS before
        WHERE done.vehicle_id = %s AND before.vehicle_id = done.vehicle_id
        RETURNING before.last_error
        """,
        [version, now, due_at, error, vehicle_id],
    ).fetchone()
    if error is not None and (row is None or row[0] != error):
        log.warning("vehicle %s: %s", vehicle_id, error)


def _record_failure(connection: Connection, vehicle_id: UUID, error: Exception, now: datetime) -> None:
    row = connection.execute(
        "UPDATE rule_progress SET failures = failures + 1, last_error = %s WHERE vehicle_id = %s RETURNING failures",
        [_brief(error), vehicle_id],
    ).fetchone()
    failures: int = 1 if row is None else row[0]
    metrics.ERRORS.labels("vehicle").inc()
    wait = min(timedelta(seconds=2 ** min(failures, 10)), _LONGEST_BACKOFF)
    connection.execute("UPDATE rule_progress SET due_at = %s WHERE vehicle_id = %s", [now + wait, vehicle_id])
    log.warning("vehicle %s cannot be judged, trying again in %s: %s", vehicle_id, wait, _brief(error))


def _brief(error: Exception) -> str:
    """Kind and first line: the details of a database error repeat the row, and with it personal data."""
    return f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}"
