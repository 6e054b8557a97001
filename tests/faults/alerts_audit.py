"""What must be true of alerts, messages and slots at the end: each once, none without a reason.

Accounts that know nothing of each other: which codes the cars have said, what the stored events demand when they are
judged from the beginning, the alerts, what is due to be said of them and of their bookings, and what was taken.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import dict_row, tuple_row

from ingest.database import Connection
from rules.backtest import load_history
from rules.booking.links import offer_token
from rules.delivery.mail import message_name
from rules.delivery.messages import OwnerMessage
from rules.delivery.texts import owner_notice
from rules.evaluate import RuleState, evaluate_vehicle
from rules.rule import rulebook
from tests.faults.quick_delivery import LEASE_SECONDS
from tests.faults.receivers import Arrival, owner_identity
from tests.faults.slots import DoublyBooked, doubly_booked

RULE: Final = "trouble_code_confirmed"
_PORTAL: Final = "http://portal.example"
# What is said of a booking that ended so: the calendar's sequence, the event, and whom it is said to.
_ALL: Final = ("owner", "invitation", "webhook")
_CONFIRMED: Final = ((0, "confirmed", _ALL),)
_SAID: Final[Mapping[str, Sequence[tuple[int, str, Sequence[str]]]]] = {
    "declined": (),
    "confirmed": _CONFIRMED,
    "cancelled": (*_CONFIRMED, (1, "cancelled", _ALL)),
    "completed": (*_CONFIRMED, (0, "completed", ("owner",))),
}


@dataclass(kw_only=True)
class RulesAudit:
    """What was found. Everything is well where there are no complaints."""

    alerts: int = 0  # that were to be opened
    bookings: int = 0
    messages: int = 0  # that were to be delivered
    again: int = 0  # messages that came again because of a fault, as the delivery's contract permits
    lost: int = 0  # alerts or messages
    doubled: int = 0  # alerts, messages or slots
    complaints: list[str] = field(default_factory=list)

    def compare(self, expected: Counter[Any], found: Counter[Any], what: str) -> None:
        """Note what is missing, and what is too much."""
        for wrong, word in ((expected - found, "missing"), (found - expected, "too many")):
            self.complaints += [f"{what} {one}: {count} {word}" for one, count in wrong.items()]
        self.lost += (expected - found).total()
        self.doubled += (found - expected).total()


@dataclass(frozen=True, kw_only=True)
class Told:
    """What arrived outside: messages as they were taken, and the names of the mails."""

    arrivals: Sequence[Arrival]
    mails: Collection[str]


def audit_alerts(found: RulesAudit, connection: Connection, appeared: Mapping[UUID, Counter[str]]) -> None:
    """``appeared``: by vehicle the codes, each as often as it came up."""
    expected = Counter({(car, RULE, code): count for car, codes in appeared.items() for code, count in codes.items()})
    found.alerts = expected.total()
    demanded = Counter((car, RULE, code) for car in appeared for code in demanded_codes(connection, car))
    found.compare(expected, demanded, "alert that the stored events demand:")
    opened = Counter(_rows(connection, "SELECT vehicle_id, rule_id, subject FROM alert"))
    found.compare(expected, opened, "alert:")
    still_open = _rows(connection, "SELECT vehicle_id, subject FROM alert WHERE closed_at IS NULL")
    found.complaints += [f"alert still open: {car}, {code}" for car, code in still_open]


def demanded_codes(connection: Connection, car: UUID) -> list[str]:
    """The codes of the alerts that are opened where the stored events are judged one by one, from the first."""
    rules = [rule for rule in rulebook() if rule.id == RULE]
    end = datetime.now(UTC)
    history = load_history(connection, rules[0], car, end - timedelta(days=1), end, timedelta(days=1))
    states: dict[tuple[str, str], RuleState] = {}
    opened: list[str] = []
    for change in history.code_changes:
        for decision in evaluate_vehicle(rules, history.at(change.time), states, change.time).decisions:
            states.pop((RULE, decision.subject), None)
            if decision.state is not None:
                states[RULE, decision.subject] = decision.state
            if decision.action == "open":
                opened.append(decision.subject)
    return opened


def audit_slots(found: RulesAudit, connection: Connection, seen: Collection[DoublyBooked] = ()) -> None:
    """Two bookings in one bay at one time: now, or ``seen`` while the cars were driven."""
    twice = {*seen, *doubly_booked(connection)}
    found.doubled += len(twice)
    found.complaints += [f"bay {bay} is booked twice at {begin}" for bay, begin in twice]
    found.bookings = len(_rows(connection, "SELECT id FROM booking"))


def audit_written(found: RulesAudit, connection: Connection) -> None:
    """What is to be said of each alert and each booking, against what was written to be said."""
    bookings = _rows(connection, "SELECT alert_id, id, state FROM booking")
    booked = {alert for alert, _, _ in bookings}
    expected = [f"alert/{alert}/owner" for (alert,) in _rows(connection, "SELECT id FROM alert") if alert not in booked]
    for _, booking, state in bookings:
        expected.append(f"booking/{booking}/0/proposed/owner")
        if state not in _SAID:
            found.complaints.append(f"booking {booking} is {state} at the end")
        for sequence, event, whom in _SAID.get(state, ()):
            expected += [f"booking/{booking}/{sequence}/{event}/{one}" for one in whom]
    found.messages = len(expected)
    written = Counter(key for (key,) in _rows(connection, "SELECT idempotency_key FROM outgoing"))
    found.compare(Counter(expected), written, "message:")


def audit_delivered(
    found: RulesAudit, connection: Connection, told: Told, link_secret: str, troubled: Sequence[tuple[float, float]]
) -> None:
    """What was written, against what was taken: each once, and again only where a fault lies between.

    A lease that a fault has used up may end after it. ``troubled``: from when to when there were faults, by the clock
    of the arrivals.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        written = cursor.execute("SELECT * FROM outgoing ORDER BY number").fetchall()
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in written:
        if row["delivered_at"] is None:
            found.complaints.append(f"not delivered at the end: {row['idempotency_key']}, {row['last_error']}")
        if row["kind"] == "workshop_invitation":
            _mail(found, row["idempotency_key"], told.mails)
        else:
            rows[_identity(row, link_secret)].append(row)
    arrivals: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in told.arrivals:
        arrivals[arrival.identity].append(arrival)
    found.complaints += [f"taken, and nobody wrote it: {identity}" for identity in arrivals.keys() - rows.keys()]
    for identity, same in rows.items():
        _arrived(found, same, arrivals[identity], troubled)
    _in_order(found, rows, arrivals)


def _identity(row: Mapping[str, Any], link_secret: str) -> str:
    if row["kind"] == "workshop_webhook":
        return str(row["idempotency_key"])
    message = msgspec.convert(row["payload"], OwnerMessage)
    booking = message.booking_id
    link = (
        f"{_PORTAL}/vehicle"
        if booking is None
        else f"{_PORTAL}/offer/{offer_token(link_secret, booking, datetime.now(UTC))}"
    )
    notice = owner_notice(message, key=row["idempotency_key"], language="en", time_zone="UTC", link=link)
    return owner_identity(notice.title, notice.text, link_secret)


def _mail(found: RulesAudit, key: str, mails: Collection[str]) -> None:
    if message_name(key) not in mails:
        found.lost += 1
        found.complaints.append(f"mail not in the folder: {key}")


def _arrived(
    found: RulesAudit,
    same: Sequence[Mapping[str, Any]],
    came: Sequence[Arrival],
    troubled: Sequence[tuple[float, float]],
) -> None:
    """Messages of the same words are told apart by their number alone."""
    key = same[0]["idempotency_key"]
    if len(came) < len(same):
        found.lost += len(same) - len(came)
        found.complaints.append(f"taken {len(came)} times instead of {len(same)}: {key}")
    for again in came[len(same) :]:
        first = came[0].at_seconds
        if any(begun <= again.at_seconds and first <= over + LEASE_SECONDS for begun, over in troubled):
            found.again += 1
        else:
            found.doubled += 1
            found.complaints.append(f"taken again without a fault between: {key}")
    attempts = sum(row["attempts"] for row in same)
    if len(came) > attempts:
        found.doubled += len(came) - attempts
        found.complaints.append(f"taken {len(came)} times in {attempts} attempts: {key}")


def _in_order(
    found: RulesAudit, rows: Mapping[str, Sequence[Mapping[str, Any]]], arrivals: Mapping[str, Sequence[Arrival]]
) -> None:
    """Messages of one kind about one booking come one after the other."""
    first: dict[tuple[Any, Any], list[tuple[int, int]]] = defaultdict(list)  # number as written, number as taken
    for identity, same in rows.items():
        if same[0]["booking_id"] is not None and arrivals.get(identity):
            place = (same[0]["booking_id"], same[0]["kind"])
            first[place].append((same[0]["number"], arrivals[identity][0].number))
    for (booking, kind), numbers in first.items():
        taken = [number for _, number in sorted(numbers)]
        if taken != sorted(taken):
            found.complaints.append(f"booking {booking}: its messages to the {kind} came out of order")


def _rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query.encode()).fetchall()
