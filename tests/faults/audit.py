"""What must be true at the end: each batch an outbox accepted is in the ledger, each row as recorded, once.

Four accounts that know nothing of each other are compared: the counters of each outbox, the keys the witness heard on
the air, the ledger of batches, and the rows themselves, made again from their numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from psycopg.rows import tuple_row

from edge_agent.outbox import GIVEN_UP
from ingest import reading_store
from ingest.database import Connection
from telemetry.catalogue import catalogue
from tests.faults.alerts_audit import RulesAudit, Told, audit_alerts, audit_delivered, audit_slots, audit_written
from tests.faults.clocked_agent import NUMBER, START_SIGNAL
from tests.faults.dongle import Dongle, Row, row_of
from tests.faults.site import FaultSite
from tests.faults.stranger import STRANGER

_AT_A_TIME = 5_000  # rows
_OF_A_MOVED_CLOCK = frozenset({"far-future", "too-old", "unsure-time", "replayed"})


@dataclass(kw_only=True)
class Audit:
    """What was found. Everything is well where nothing is lost or doubled and there are no complaints."""

    accepted_batches: int = 0
    accepted_samples: int = 0
    lost: int = 0  # batches or samples
    doubled: int = 0
    resent: int = 0  # batches that came again, and were dropped
    refused: int = 0  # messages kept as rejected
    rules: RulesAudit = field(default_factory=RulesAudit)
    complaints: list[str] = field(default_factory=list)

    def missing(self, count: int, what: str) -> None:
        """Note a difference: positive where something is lost, negative where there is too much."""
        if count:
            self.complaints.append(f"{what}: {abs(count)} {'missing' if count > 0 else 'too many'}")
        self.lost += max(0, count)
        self.doubled += max(0, -count)


def audit(site: FaultSite) -> Audit:
    """Compare everything; every outbox must have been emptied before."""
    found = Audit(complaints=list(site.complaints))
    with site.connect() as connection:
        for dongle in site.dongles:
            _batches(found, connection, dongle)
            (_rows if dongle.recorded else _numbers)(found, connection, dongle)
        _heard(found, connection, site)
        _stranger(found, connection, site)
        _refused(found, connection, site)
        found.rules = _rules(connection, site)
        found.complaints += found.rules.complaints
        found.resent = _number(connection, "SELECT coalesce(sum(resent), 0) FROM batch")
    return found


def _batches(found: Audit, connection: Connection, dongle: Dongle) -> None:
    counts = dongle.counts()
    name = dongle.device
    if counts["batches_waiting"] or counts["samples_waiting"]:
        found.complaints.append(f"{name}: left in the outbox are {counts['batches_waiting']} batches")
    for counter in (*GIVEN_UP, "batches_rejected"):
        found.missing(counts.get(counter, 0), f"{name}: {counter}")
    sealed = counts["batches_sealed"] - counts.get("batches_joined", 0)
    found.accepted_batches += sealed
    stored = _number(connection, "SELECT count(*) FROM batch WHERE device_id = %s", name)
    # Of a renumbered one two are stored: what one worker refused and another took, and what was put right.
    expected = sealed + counts.get("batches_renumbered", 0)
    found.missing(expected - stored, f"{name}: batches in the ledger")
    gaps = _number(
        connection,
        "SELECT coalesce(sum(last - batches), 0) FROM (SELECT max(sequence) AS last, count(*) AS batches"
        " FROM batch WHERE device_id = %s GROUP BY boot) AS boots",
        name,
    )
    found.missing(gaps, f"{name}: numbers left out within a boot")
    events = _number(connection, "SELECT count(*) FROM vehicle_event WHERE vehicle_id = %s", dongle.vehicle)
    expected = counts["events_sealed"] + counts.get("events_renumbered", 0)
    found.missing(expected - events, f"{name}: events")


def _rows(found: Audit, connection: Connection, dongle: Dongle) -> None:
    accepted = dongle.counts()["samples_accepted"]
    found.accepted_samples += accepted
    number = 0
    for row in _stored(connection, dongle.vehicle):
        while number < accepted and row_of(dongle.device, number)[0] < row[0]:
            found.missing(1, f"{dongle.device}: row {number}")
            number += 1
        expected = row_of(dongle.device, number)
        if row[0] < expected[0]:
            found.missing(-1, f"{dongle.device}: a row before {number}")
            continue
        if _as_stored(row) != _as_stored(expected):
            found.complaints.append(f"{dongle.device}: row {number} is {row} and was {expected}")
        number += 1
    found.missing(accepted - number, f"{dongle.device}: rows at the end")


def _as_stored(row: Row) -> tuple[float, ...]:
    """The voltage in its steps of 10 mV, as a 32-bit column cannot hold 12.34."""
    return (*row[:4], round(row[4], 2))


def _stored(connection: Connection, vehicle: UUID) -> Iterator[Row]:
    with connection.transaction(), connection.cursor("audit", row_factory=tuple_row) as cursor:
        cursor.itersize = _AT_A_TIME
        cursor.execute(
            "SELECT (extract(epoch FROM time) * 1000)::bigint, speed, engine_speed, coolant_temperature,"
            " low_voltage_battery_voltage FROM reading WHERE vehicle_id = %s ORDER BY time",
            [vehicle],
        )
        yield from cursor


def _numbers(found: Audit, connection: Connection, dongle: Dongle) -> None:
    """A live car's: wherever a moved clock has put them, each number once, and again where a batch was renumbered."""
    counts = dongle.counts()
    accepted = counts["samples_accepted"]
    found.accepted_samples += accepted
    columns = ", ".join(catalogue().by_path(path).column for path in (START_SIGNAL, NUMBER))
    numbered = "SELECT {} FROM reading WHERE vehicle_id = %s"
    rows = _number(connection, numbered.format("count(*)"), dongle.vehicle)
    different = _number(connection, numbered.format(f"count(DISTINCT ({columns}))"), dongle.vehicle)
    twice = counts.get("samples_renumbered", 0)
    found.missing(different + twice - rows, f"{dongle.device}: numbers stored twice")
    found.missing(accepted - different, f"{dongle.device}: numbers")


def _heard(found: Audit, connection: Connection, site: FaultSite) -> None:
    """Every batch that was ever on the air and heard."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        ledger = set(cursor.execute("SELECT device_id, boot, sequence FROM batch"))
    heard = {(key.device, key.boot, key.sequence) for key in site.witness.keys}
    found.missing(len(heard - ledger), "batches heard on the air")


def _stranger(found: Audit, connection: Connection, site: FaultSite) -> None:
    sent = site.stranger.sent
    found.missing(len({one.sequence for one in sent} - site.stored_of_stranger()), f"{STRANGER}: batches in the ledger")
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT (extract(epoch FROM time) * 1000)::bigint FROM reading WHERE vehicle_id = %s",
            [site.vehicles[STRANGER]],
        ).fetchall()
    times = [time_ms for one in sent for time_ms in one.times_ms]
    found.missing(len(set(times) - {row[0] for row in rows}), f"{STRANGER}: rows")
    found.missing(min(0, len(times) - len(rows)), f"{STRANGER}: rows")
    if times:
        state = reading_store.latest_state(connection, site.vehicles[STRANGER])
        newest = datetime.fromtimestamp(max(times) / 1000, UTC)
        if state.last_sample_at != newest:
            found.complaints.append(f"{STRANGER}: its state is of {state.last_sample_at}, its newest row of {newest}")


def _refused(found: Audit, connection: Connection, site: FaultSite) -> None:
    """What had to be refused is kept; nothing else was refused, but what a moved clock dated."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute("SELECT topic, payload, reason FROM rejected_message").fetchall()
    found.refused = len(rows)
    kept: Mapping[tuple[str, bytes], str] = {(topic, bytes(payload)): reason for topic, payload, reason in rows}
    found.missing(len(site.stranger.bad - kept.keys()), "refused messages kept")
    clocked = f"/{site.clocked.device}/"
    for (topic, payload), reason in kept.items():
        if (topic, payload) in site.stranger.bad or (clocked in topic and reason in _OF_A_MOVED_CLOCK):
            continue
        if site.database_clock_moved and reason == "unsure-time":
            continue  # and taken later: that each batch is stored is counted elsewhere
        found.complaints.append(f"refused without a reason to: {topic}, {reason}, {len(payload)} bytes")


def _rules(connection: Connection, site: FaultSite) -> RulesAudit:
    side, found = site.rules, RulesAudit()
    audit_alerts(found, connection, {car.vehicle: car.appeared for car in side.cars.cars})
    audit_slots(found, connection, side.cars.doubly_booked)
    audit_written(found, connection)
    told = Told(arrivals=side.receivers.arrivals, mails={file.stem for file in side.mail.glob("*.eml")})
    audit_delivered(found, connection, told, side.link_secret, site.troubled)
    return found


def _number(connection: Connection, query: str, *parameters: object) -> int:
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return int(row[0])
