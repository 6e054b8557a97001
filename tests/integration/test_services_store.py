"""Service records in the database: when they are due, in which order they go, and what ends their way."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from ingest import registry
from ingest.database import Connection, connect
from ingest.decoding.decode import Incoming
from ingest.outbound import services
from ingest.storing.writer import store
from telemetry.records import BatchKey, EventKind, EventsBatch, Quantity, ServiceRecord, VehicleEvent
from telemetry.service import ServiceResult, reset_data
from telemetry.topics import publish_topic
from telemetry.wire import encode_events
from tests.integration.ingest_support import register_car
from tests.integration.service_support import a_record, keep, set_status

pytestmark = pytest.mark.database

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
AGAIN, LONGEST, AWAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DEVICE = "car-1"


@pytest.fixture
def vehicle(connection: Connection) -> UUID:
    return register_car(connection, DEVICE)


def take(connection: Connection, now: datetime = NOW) -> list[services.Parcel]:
    with connection.transaction():
        return services.take_due(connection, now, again=AGAIN, longest=LONGEST, away=AWAY)


def due(connection: Connection, now: datetime = NOW) -> list[UUID]:
    """What goes out now, after noting that it went."""
    return [parcel.record.id for parcel in take(connection, now)]


def say(connection: Connection, record: ServiceRecord, *, device: str = DEVICE, refused: str = "") -> int:
    result = ServiceResult(
        id=record.id, device=device, state="refused" if refused else "applied", time=NOW, reason=refused
    )
    return services.answered(connection, [result], NOW)


def test_a_record_goes_at_once_also_to_a_dongle_that_is_away(connection: Connection, vehicle: UUID) -> None:
    record = a_record(NOW)
    keep(connection, vehicle, record, now=NOW)
    (parcel,) = take(connection)
    assert parcel.device == DEVICE
    assert (parcel.record.quantity, parcel.record.time, parcel.record.by) == (record.quantity, NOW, "workshop Nord")
    assert due(connection, NOW + timedelta(hours=23)) == []  # the broker keeps it, and each sending would fill it
    assert due(connection, NOW + AWAY) == [record.id]
    set_status(connection, DEVICE, "online", NOW)
    assert due(connection, NOW + AWAY) == [record.id]


def test_a_dongle_that_comes_online_is_told_at_once_and_then_less_and_less_often(
    connection: Connection, vehicle: UUID
) -> None:
    record = a_record(NOW)
    keep(connection, vehicle, record, now=NOW)
    assert due(connection) == [record.id]
    set_status(connection, DEVICE, "online", NOW)
    sent = [second for second in range(0, 4 * 3600, 10) if due(connection, NOW + timedelta(seconds=second))]
    assert sent[:6] == [0, 60, 180, 420, 900, 1860]
    assert {later - earlier for earlier, later in pairwise(sent[7:])} == {3600}


def test_what_is_answered_goes_no_more(connection: Connection, vehicle: UUID) -> None:
    done, refused, pending = (a_record(NOW) for _ in range(3))
    keep(connection, vehicle, done, refused, pending, now=NOW)
    assert say(connection, done) == 1
    assert say(connection, refused, refused="2 mm is less\0 than nothing") == 1
    assert due(connection) == [pending.id]
    assert say(connection, done, refused="no") == 0  # the first answer counts
    found = {entry.id: entry for entry in services.services(connection, vehicle)}
    assert found[done.id].applied_at == NOW
    assert found[refused.id].refused_reason == "2 mm is less\ufffd than nothing"
    assert found[pending.id].applied_at is None


def test_another_cars_dongle_answers_nothing(connection: Connection, vehicle: UUID) -> None:
    register_car(connection, "car-2")
    record = a_record(NOW)
    keep(connection, vehicle, record, now=NOW)
    assert say(connection, record, device="car-2") == 0
    assert say(connection, record, device="nobody") == 0
    assert due(connection) == [record.id]


def test_all_that_is_pending_goes_in_the_order_it_was_done(connection: Connection, vehicle: UUID) -> None:
    """New pads are measured after they were fitted: the other way round the measurement would be void."""
    replaced = a_record(NOW, Quantity.PAD_WEAR, position="Row1")
    measured = a_record(NOW, Quantity.PAD_WEAR, position="Row1", value=11.5)
    earlier = a_record(NOW - timedelta(days=3))
    keep(connection, vehicle, replaced, measured, now=NOW)
    assert due(connection) == [replaced.id, measured.id]
    keep(connection, vehicle, earlier, now=NOW)
    assert due(connection) == [earlier.id, replaced.id, measured.id]


def test_a_record_kept_twice_is_one(connection: Connection, vehicle: UUID) -> None:
    record = a_record(NOW)
    keep(connection, vehicle, record, now=NOW)
    say(connection, record)
    keep(connection, vehicle, record, now=NOW)
    (only,) = services.services(connection, vehicle)
    assert only.applied_at == NOW


def test_a_disabled_dongle_or_none_at_all_gets_nothing(connection: Connection, vehicle: UUID) -> None:
    owner = registry.register_owner(connection, name="Bo")
    without = registry.register_vehicle(connection, owner_id=owner.id, label="bare", profile="generic")
    keep(connection, without.id, a_record(NOW), now=NOW)
    keep(connection, vehicle, a_record(NOW), now=NOW)
    registry.update_device(connection, DEVICE, enabled=False)
    assert due(connection) == []
    registry.update_device(connection, DEVICE, enabled=True)
    assert len(due(connection)) == 1


def test_many_records_of_one_car_go_by_and_by_and_keep_no_other_waiting(connection: Connection, vehicle: UUID) -> None:
    """A dongle takes a few commands at a time; the next records go when those are answered, and nothing goes twice."""
    other = register_car(connection, "car-2")
    flood = [a_record(NOW + timedelta(seconds=number)) for number in range(300)]
    keep(connection, vehicle, *flood, now=NOW)
    first = take(connection)
    assert [parcel.record.id for parcel in first] == [record.id for record in flood[: len(first)]]
    assert 1 < len(first) <= 16
    lone = a_record(NOW)
    keep(connection, other, lone, now=NOW)
    assert due(connection) == [lone.id]
    assert due(connection) == []
    assert say(connection, flood[0]) == 1
    assert due(connection)[-1] == flood[len(first)].id


def test_a_dongle_that_is_online_and_never_answers_is_given_up(connection: Connection, vehicle: UUID) -> None:
    record, later, after = a_record(NOW), a_record(NOW + timedelta(days=3)), timedelta(days=2)
    keep(connection, vehicle, record, now=NOW)
    set_status(connection, DEVICE, "online", NOW)
    sent = 0
    for hour in range(24 * 2):
        sent += len(due(connection, NOW + timedelta(hours=hour)))
        assert services.give_up(connection, NOW + timedelta(hours=hour), after=after, attempts=20) == 0
    assert sent >= 20
    keep(connection, vehicle, later, now=NOW + timedelta(days=2))
    assert services.give_up(connection, NOW + after, after=after, attempts=20) == 1
    found = {entry.id: entry.refused_reason for entry in services.services(connection, vehicle)}
    assert found == {record.id: services.NO_ANSWER, later.id: None}
    assert due(connection, NOW + timedelta(days=2)) == [later.id]


def test_a_dongle_that_is_away_is_not_given_up(connection: Connection, vehicle: UUID) -> None:
    record = a_record(NOW)
    keep(connection, vehicle, record, now=NOW)
    sent = [day for day in range(400) if due(connection, NOW + timedelta(days=day))]
    assert len(sent) == 400
    assert services.give_up(connection, NOW + timedelta(days=400), after=timedelta(days=2), attempts=1) == 0


def test_two_couriers_do_not_send_the_same_at_once(connection: Connection, vehicle: UUID, database_url: str) -> None:

    keep(connection, vehicle, a_record(NOW), now=NOW)
    with closing(connect(database_url, autocommit=True)) as other, connection.transaction():
        assert len(take(connection)) == 1
        assert due(other) == []


def test_couriers_at_the_same_moment_send_each_record_once(connection: Connection, database_url: str) -> None:
    """Also where one looks just before the other commits: rows read before and locked after look unsent."""
    cars = [register_car(connection, f"fleet-{number}") for number in range(20)]
    together = Barrier(3)

    def courier() -> list[UUID]:
        with closing(connect(database_url, autocommit=True)) as own:
            sent = []
            for _ in range(12):
                together.wait(30)
                sent += due(own)
            return sent

    for car in cars:
        keep(connection, car, *(a_record(NOW) for _ in range(3)), now=NOW)
    with ThreadPoolExecutor(3) as pool:
        sent = [record for run in [pool.submit(courier) for _ in range(3)] for record in run.result()]
    assert len(sent) == 60
    assert len(set(sent)) == 60


def test_the_stored_event_ends_it_in_the_same_transaction(connection: Connection, vehicle: UUID) -> None:
    register_car(connection, "car-2")
    record, foreign = a_record(NOW), a_record(NOW)
    keep(connection, vehicle, record, foreign, now=NOW)
    odd: dict[str, object] = {"id": "no number", "quantity": "oil_life"}

    def sent(device: str, *data: dict[str, object]) -> None:
        events = tuple(VehicleEvent(time=NOW, kind=EventKind.SERVICE_RESET, data=entry) for entry in data)
        batch = EventsBatch(key=BatchKey(device=device, boot=uuid4(), sequence=1), events=events)
        message = Incoming(topic=publish_topic(device, "events"), payload=encode_events(batch), received_at=NOW)
        assert store(connection, [message], NOW).batches == 1

    sent(DEVICE, odd, reset_data(record))
    sent("car-2", reset_data(foreign))
    found = {entry.id: entry.applied_at for entry in services.services(connection, vehicle)}
    assert found == {record.id: NOW, foreign.id: None}


# What was suspected


def suspect(connection: Connection, vehicle: UUID, time: datetime = NOW, **data: object) -> int:
    found = {"quantity": "oil_life", "position": "", "certainty": 0.9, "why": "clean", **data}
    row = connection.execute(
        "INSERT INTO vehicle_event (vehicle_id, time, kind, data) VALUES (%s, %s, %s, %s) RETURNING id",
        [vehicle, time, str(EventKind.SERVICE_SUSPECTED), Jsonb(found)],
    ).fetchone()
    assert row is not None
    return int(row[0])


def suspicions(connection: Connection, vehicle: UUID) -> list[int]:
    found = services.open_suspicions(connection, vehicle, since=NOW - timedelta(days=60), near=timedelta(days=14))
    return [entry.event_id for entry in found]


def test_a_suspicion_is_asked_about_until_it_is_answered(connection: Connection, vehicle: UUID) -> None:
    first, second = suspect(connection, vehicle), suspect(connection, vehicle, quantity="pad_wear", position="Row1")
    assert suspicions(connection, vehicle) == [second, first]
    assert services.answer_suspicion(connection, first, service_id=None, now=NOW)
    assert not services.answer_suspicion(connection, first, service_id=None, now=NOW)  # a second click
    assert suspicions(connection, vehicle) == [second]


def test_a_suspicion_somebody_has_reported_meanwhile_is_settled(connection: Connection, vehicle: UUID) -> None:
    event = suspect(connection, vehicle)
    keep(connection, vehicle, a_record(NOW, Quantity.PAD_WEAR), now=NOW)  # another part
    keep(connection, vehicle, a_record(NOW - timedelta(days=20)), now=NOW)  # long before
    assert suspicions(connection, vehicle) == [event]
    keep(connection, vehicle, a_record(NOW - timedelta(days=2)), now=NOW)
    assert suspicions(connection, vehicle) == []


def test_old_ones_and_what_is_none_are_not_asked_about(connection: Connection, vehicle: UUID) -> None:
    suspect(connection, vehicle, NOW - timedelta(days=90))
    suspect(connection, vehicle, quantity="wipers")
    suspect(connection, vehicle, certainty="very")
    assert suspicions(connection, vehicle) == []
    suspect(connection, vehicle, certainty=7)
    (found,) = services.open_suspicions(connection, vehicle, since=NOW - timedelta(days=60), near=timedelta(days=14))
    assert found.certainty == 1.0
