"""The audit sees an alert, a message or a slot that is lost or doubled; and what may come twice because of a fault."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from ingest.database import Connection, connect
from ingest.decoding.decode import Incoming
from ingest.storing.writer import store
from rules.delivery.config import DeliveryConfig, MailFolderSettings
from rules.delivery.mail import MemoryMail
from rules.delivery.owner_channel import MemoryChannel
from rules.delivery.webhook import MemoryWebhooks, new_secret
from rules.delivery.worker import Transports, deliver_next
from rules.engine import EngineConfig, run_once
from tests.conftest import _database
from tests.faults.alerts_audit import RulesAudit, Told, audit_alerts, audit_delivered, audit_slots, audit_written
from tests.faults.receivers import Arrival, owner_identity
from tests.faults.rules_side import PORTAL_URL, register_people
from tests.faults.sick_cars import SickCar
from wearcast.embedded.timescaledb import Database

pytestmark = pytest.mark.database

LINK_SECRET = "0123456789" * 4
CODES = 2  # of each car
SEED = 13  # with slots that are declined, cancelled, kept and used, and an alert without one


@dataclass(frozen=True)
class Run:
    """What three sick cars, an engine and a delivery have left in the database, and what was told."""

    connection: Connection
    appeared: dict[UUID, Counter[str]]
    told: Told

    def audited(self, told: Told | None = None, troubled: Sequence[tuple[float, float]] = ()) -> RulesAudit:
        found = RulesAudit()
        audit_alerts(found, self.connection, self.appeared)
        audit_slots(found, self.connection)
        audit_written(found, self.connection)
        audit_delivered(found, self.connection, told or self.told, LINK_SECRET, troubled)
        return found

    def spoilt(self, *statements: str) -> RulesAudit:
        """What is found after these statements, whose effect does not last."""
        with self.connection.transaction(force_rollback=True):
            self.connection.execute("SET LOCAL session_replication_role = replica")  # no foreign key is checked
            for statement in statements:
                self.connection.execute(statement.encode())
            return self.audited()


@pytest.fixture(scope="module")
def run(timescaledb: Database, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One for all tests, none of which leaves anything behind."""
    with (
        contextmanager(_database)(timescaledb, migrated_template) as url,
        closing(connect(url, autocommit=True)) as connection,
    ):
        yield run_of_sick_cars(connection, tmp_path_factory.mktemp("mail"))


def run_of_sick_cars(connection: Connection, mail: Path) -> Run:
    vehicles = register_people(connection, "127.0.0.1:9", new_secret())

    def send(topic: str, payload: bytes) -> None:
        now = datetime.now(UTC)
        store(connection, [Incoming(topic=topic, payload=payload, received_at=now)], now)

    cars = [SickCar(device=device, vehicle=vehicle, seed=SEED, send=send) for device, vehicle in vehicles.items()]
    outside = Transports(owners=MemoryChannel(), webhooks=MemoryWebhooks(), mail=MemoryMail())
    config = DeliveryConfig(
        database_url="",
        portal_url=PORTAL_URL,
        link_secret=LINK_SECRET,
        mail=MailFolderSettings(folder=mail),
        vehicle_link=lambda _owner, vehicle, _now: f"{PORTAL_URL}/vehicle/{vehicle}",
    )
    engine = EngineConfig(database_url="")
    deadline = time.monotonic() + 60
    while not all(car.finished for car in cars):
        for car in cars:
            car.finishing = car.appeared.total() == CODES
            car.step(connection)
        run_once(connection, engine)
        while deliver_next(connection, config, outside, datetime.now(UTC)):
            pass
        assert time.monotonic() < deadline
    return Run(connection=connection, appeared={car.vehicle: car.appeared for car in cars}, told=told(outside))


def told(outside: Transports) -> Told:
    assert isinstance(outside.owners, MemoryChannel)
    assert isinstance(outside.webhooks, MemoryWebhooks)
    assert isinstance(outside.mail, MemoryMail)
    identities = [owner_identity(notice.title, notice.text, LINK_SECRET) for _, notice in outside.owners.sent]
    identities += [headers["webhook-id"] for _, headers, _ in outside.webhooks.posted]
    return Told(
        arrivals=[
            Arrival(number=number, identity=identity, at_seconds=float(number))
            for number, identity in enumerate(identities, start=1)
        ],
        mails={str(mail["Message-ID"]).strip("<>").partition("@")[0] for mail in outside.mail.sent},
    )


def test_what_happened_once_is_well(run: Run) -> None:
    found = run.audited()
    assert found.complaints == []
    assert (found.lost, found.doubled, found.again) == (0, 0, 0)
    assert found.alerts == 3 * CODES
    assert found.bookings > 0
    states = {row[0] for row in run.connection.execute("SELECT state FROM booking")}
    assert states == {"declined", "cancelled", "completed"}


def test_a_lost_a_doubled_and_an_open_alert_are_seen(run: Run) -> None:
    lost = run.spoilt("DELETE FROM alert WHERE id = (SELECT min(id::text)::uuid FROM alert)")
    assert lost.lost == 1
    doubled = run.spoilt(
        "INSERT INTO alert (vehicle_id, rule_id, rule_version, subject, severity, title_en, title_zh, text_en, text_zh,"
        " evidence, opened_at, closed_at) SELECT vehicle_id, rule_id, rule_version, subject, severity, title_en,"
        " title_zh, text_en, text_zh, evidence, opened_at, closed_at FROM alert LIMIT 1"
    )
    assert doubled.doubled == 1
    still_open = run.spoilt("UPDATE alert SET closed_at = NULL WHERE id = (SELECT min(id::text)::uuid FROM alert)")
    assert len(still_open.complaints) == 1
    car = next(iter(run.appeared))
    unheard = replace(run, appeared={**run.appeared, car: run.appeared[car] + Counter(["P0420"])})
    assert unheard.audited().lost == 2  # neither an event nor an alert says so


def test_a_slot_booked_twice_is_seen(run: Run) -> None:
    found = run.spoilt(
        "ALTER TABLE booking DROP CONSTRAINT booking_bay_free",
        "UPDATE booking SET state = 'completed', report = 'Repaired.', bay_id = one.bay_id, period = one.period"
        " FROM (SELECT bay_id, period FROM booking LIMIT 1) AS one",
    )
    assert sum("booked twice" in complaint for complaint in found.complaints) == 1
    bay = UUID(int=1)
    seen = RulesAudit()
    audit_slots(seen, run.connection, [(bay, datetime(2026, 3, 1, tzinfo=UTC))])
    assert (seen.doubled, len(seen.complaints)) == (1, 1)


def test_a_message_that_is_not_written_or_not_asked_for_is_seen(run: Run) -> None:
    lost = run.spoilt(
        "DELETE FROM outgoing WHERE number = (SELECT min(number) FROM outgoing WHERE kind = 'owner_message')"
    )
    assert lost.lost == 1
    assert any("nobody wrote it" in complaint for complaint in lost.complaints)
    renamed = run.spoilt("UPDATE outgoing SET idempotency_key = 'another' WHERE number = 1")
    assert (renamed.lost, renamed.doubled) == (1, 1)
    waiting = run.spoilt("UPDATE outgoing SET delivered_at = NULL WHERE number = 1")
    assert len(waiting.complaints) == 1


def test_a_message_that_does_not_arrive_is_seen(run: Run) -> None:
    for place in range(len(run.told.arrivals)):
        arrivals = [*run.told.arrivals[:place], *run.told.arrivals[place + 1 :]]
        assert run.audited(replace(run.told, arrivals=arrivals)).lost == 1
    assert run.audited(replace(run.told, mails=set(list(run.told.mails)[1:]))).lost == 1


def test_a_message_that_comes_again_takes_a_fault_and_an_attempt(run: Run) -> None:
    first = run.told.arrivals[-1]
    later = replace(first, number=first.number + 1, at_seconds=first.at_seconds + 5)
    twice = replace(run.told, arrivals=[*run.told.arrivals, later])
    assert run.audited(twice).doubled == 2  # without a fault, and without an attempt
    fault = [(first.at_seconds + 1, first.at_seconds + 2)]
    assert run.audited(twice, fault).doubled == 1
    with run.connection.transaction(force_rollback=True):
        run.connection.execute("UPDATE outgoing SET attempts = 2 WHERE idempotency_key = %s", [first.identity])
        assert run.audited(twice).doubled == 1
        assert run.audited(twice, [(first.at_seconds + 6, first.at_seconds + 7)]).doubled == 1
        permitted = run.audited(twice, fault)
    assert (permitted.again, permitted.complaints) == (1, [])


def test_messages_out_of_order_are_seen(run: Run) -> None:
    backwards = [replace(arrival, number=-arrival.number) for arrival in run.told.arrivals]
    found = run.audited(replace(run.told, arrivals=backwards))
    assert found.complaints
    assert all("out of order" in complaint for complaint in found.complaints)
