"""Alerts: opened and closed by the engine, read by people, explained from the evidence they were opened with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from ingest.database import Connection
from rules.errors import AlertNotFoundError
from rules.evaluate import Decision
from rules.rule import rulebook
from telemetry.trouble_codes import Severity


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One fault episode, from ``opened_at`` to ``closed_at``. ``subject``: "", a wheel, or a trouble code."""

    id: UUID
    vehicle_id: UUID
    rule_id: str
    rule_version: str
    subject: str
    severity: Severity
    title_en: str
    title_zh: str
    text_en: str
    text_zh: str
    job: str | None
    evidence: Mapping[str, Any]
    opened_at: datetime
    closed_at: datetime | None
    trace: str | None = None  # of the batch it follows from (telemetry.trace); None before there were traces


@dataclass(frozen=True, kw_only=True)
class EvidenceInput:
    """One input as the rule saw it: its values, when they were measured, and where they come from."""

    name: str
    time: datetime
    source: str
    method: str
    fields: Mapping[str, float | str | bool | None]  # in the quantity's unit; None: not foreseeable


@dataclass(frozen=True, kw_only=True)
class Rise:
    """When an open alert became graver, from which severity to which, and what was seen."""

    time: datetime
    before: Severity
    after: Severity
    inputs: tuple[EvidenceInput, ...]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why an alert was opened, and raised, from what was stored with it: the rulebook may have changed since."""

    alert: Alert
    condition: str  # CEL
    clear: str | None  # CEL; None: when the condition no longer holds
    for_s: float  # seconds the condition had to hold
    held_since: datetime | None  # sample time
    limit: float | None
    inputs: tuple[EvidenceInput, ...]
    rises: tuple["Rise", ...]
    rule_is_current: bool  # whether this version of the rule is the one in use


_COLUMNS = (
    "id, vehicle_id, rule_id, rule_version, subject, severity, title_en, title_zh, text_en, text_zh,"
    " job, evidence, opened_at, closed_at, trace"
)


def open_alert(
    connection: Connection, vehicle_id: UUID, decision: Decision, now: datetime, trace: str | None = None
) -> UUID | None:
    """Insert the alert of a decision; None if this episode has one already (the index says so, not this code)."""
    assert decision.alert is not None
    row = connection.execute(
        """
        INSERT INTO alert (vehicle_id, rule_id, rule_version, subject, severity, title_en, title_zh, text_en, text_zh,
                           job, evidence, opened_at, trace)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (vehicle_id, rule_id, subject) WHERE closed_at IS NULL DO NOTHING
        RETURNING id
        """,
        [
            vehicle_id,
            decision.rule.id,
            decision.rule.version,
            decision.subject,
            decision.alert.severity,
            decision.alert.title["en"],
            decision.alert.title["zh"],
            decision.alert.text["en"],
            decision.alert.text["zh"],
            decision.alert.job,
            Jsonb(decision.evidence),
            now,
            trace,
        ],
    ).fetchone()
    return None if row is None else cast("UUID", row[0])


def raise_alert(connection: Connection, vehicle_id: UUID, decision: Decision, now: datetime) -> UUID | None:
    """Give the open alert its new severity and texts; None where none is open. What it was raised by is kept beside."""
    assert decision.alert is not None
    row = connection.execute(
        """
        UPDATE alert SET severity = %(severity)s, title_en = %(title_en)s, title_zh = %(title_zh)s,
            text_en = %(text_en)s, text_zh = %(text_zh)s, job = coalesce(job, %(job)s),
            evidence = evidence || jsonb_build_object('raised', coalesce(evidence->'raised', '[]') || jsonb_build_array(
                jsonb_build_object('time', %(now)s::text, 'before', severity, 'after', %(severity)s::text,
                                   'inputs', %(inputs)s::jsonb)))
        WHERE vehicle_id = %(vehicle)s AND rule_id = %(rule)s AND subject = %(subject)s AND closed_at IS NULL
        RETURNING id
        """,
        {
            "severity": decision.alert.severity,
            "title_en": decision.alert.title["en"],
            "title_zh": decision.alert.title["zh"],
            "text_en": decision.alert.text["en"],
            "text_zh": decision.alert.text["zh"],
            "job": decision.alert.job,
            "now": now.isoformat(),
            "inputs": Jsonb(decision.evidence.get("inputs", {})),
            "vehicle": vehicle_id,
            "rule": decision.rule.id,
            "subject": decision.subject,
        },
    ).fetchone()
    return None if row is None else cast("UUID", row[0])


def close_alert(connection: Connection, vehicle_id: UUID, decision: Decision, now: datetime) -> None:
    """End the episode. What closed it is added to the evidence; nothing happens where none is open."""
    connection.execute(
        """
        UPDATE alert SET closed_at = %s, evidence = evidence || jsonb_build_object('closed_by', %s::jsonb)
        WHERE vehicle_id = %s AND rule_id = %s AND subject = %s AND closed_at IS NULL
        """,
        [now, Jsonb(decision.evidence.get("inputs", {})), vehicle_id, decision.rule.id, decision.subject],
    )


def job_is_booked(connection: Connection, vehicle_id: UUID, job: str, now: datetime) -> bool:
    """Whether the car goes to a workshop for that job anyway: two worn pads are one visit."""
    row = connection.execute(
        """
        SELECT EXISTS (SELECT FROM booking WHERE vehicle_id = %s AND job = %s
                       AND state IN ('proposed', 'confirmed') AND upper(period) > %s)
        """,
        [vehicle_id, job, now],
    ).fetchone()
    return row is not None and bool(row[0])


def has_booking(connection: Connection, alert_id: UUID) -> bool:
    """Whether a slot was ever proposed for the alert, whatever became of it."""
    row = connection.execute("SELECT EXISTS (SELECT FROM booking WHERE alert_id = %s)", [alert_id]).fetchone()
    return row is not None and bool(row[0])


def read_alert(connection: Connection, alert_id: UUID) -> Alert:
    """The alert, or AlertNotFoundError."""
    with connection.cursor(row_factory=class_row(Alert)) as cursor:
        alert = cursor.execute(f"SELECT {_COLUMNS} FROM alert WHERE id = %s", [alert_id]).fetchone()  # noqa: S608 - a constant list of columns
    if alert is None:
        raise AlertNotFoundError(f"there is no alert {alert_id}; list them with `wearcast rules alerts`")
    return alert


def list_alerts(
    connection: Connection, *, vehicle_id: UUID | None = None, open_only: bool = False, limit: int = 100
) -> list[Alert]:
    """Alerts, the newest first; of one vehicle if given."""
    with connection.cursor(row_factory=class_row(Alert)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM alert"  # noqa: S608 - a constant list of columns
            " WHERE (%(vehicle)s::uuid IS NULL OR vehicle_id = %(vehicle)s) AND (NOT %(open)s OR closed_at IS NULL)"
            " ORDER BY opened_at DESC, id LIMIT %(limit)s",
            {"vehicle": vehicle_id, "open": open_only, "limit": limit},
        ).fetchall()


def explain(connection: Connection, alert_id: UUID) -> Explanation:
    """Why the alert was opened. Raises AlertNotFoundError."""
    alert = read_alert(connection, alert_id)
    evidence = alert.evidence
    held_since = evidence["held_since"]
    return Explanation(
        alert=alert,
        condition=evidence["condition"],
        clear=evidence["clear"],
        for_s=evidence["for_s"],
        held_since=None if held_since is None else datetime.fromisoformat(held_since),
        limit=evidence["limit"],
        inputs=_inputs(evidence["inputs"]),
        rises=tuple(
            Rise(
                time=datetime.fromisoformat(rise["time"]),
                before=rise["before"],
                after=rise["after"],
                inputs=_inputs(rise["inputs"]),
            )
            for rise in evidence.get("raised", ())
        ),
        rule_is_current=any(rule.id == alert.rule_id and rule.version == alert.rule_version for rule in rulebook()),
    )


def _inputs(stored: Mapping[str, Any]) -> tuple[EvidenceInput, ...]:
    return tuple(
        EvidenceInput(
            name=name,
            time=datetime.fromisoformat(entry["time"]),
            source=entry["source"],
            method=entry["method"],
            fields=entry["fields"],
        )
        for name, entry in sorted(stored.items())
    )


def open_alert_counts(connection: Connection) -> dict[Severity, int]:
    """How many alerts are open, by severity."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("SELECT severity, count(*) AS n FROM alert WHERE closed_at IS NULL GROUP BY 1").fetchall()
    return {row["severity"]: row["n"] for row in rows}
