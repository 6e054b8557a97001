"""Many at the desk at once: the database's constraints decide, and everybody gets an answer."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row, scalar_row

from ingest.database import Connection, connect
from rules.booking import desk, workshops
from rules.booking.policy import BookingPolicy
from tests.integration.booking_scene import (
    NOW,
    add_alert,
    add_owner,
    add_workshop,
    keys,
    propose,
)

pytestmark = pytest.mark.database

ATTEMPTS = 200


def at_once(database_url: str, attempts: int, act: Callable[[Connection, int], object]) -> list[object]:
    """Run the attempts in threads with a connection each, all let go at the same moment; errors are results."""
    barrier = threading.Barrier(attempts)

    def attempt(number: int) -> object:
        with connect(database_url, application_name="attempt") as connection:
            barrier.wait(timeout=60)
            try:
                return act(connection, number)
            except psycopg.Error as error:
                connection.rollback()
                return error

    with ThreadPoolExecutor(max_workers=attempts) as pool:
        return list(pool.map(attempt, range(attempts)))


@pytest.mark.timeout(300)
def test_two_hundred_want_the_last_slot_of_a_bay(database_url: str, connection: Connection) -> None:
    # One bay, open one hour on Tuesdays, a job of one hour, and a horizon with one Tuesday in it: one slot.
    workshop = add_workshop(connection)
    workshops.set_opening_hours(connection, workshop, workshops.weekly_hours([2], time(9), time(10)))
    policy = BookingPolicy(horizon=timedelta(days=6))
    owner = add_owner(connection)
    alerts = [add_alert(connection, owner, severity="urgent") for _ in range(ATTEMPTS)]
    connection.commit()

    results = at_once(database_url, ATTEMPTS, lambda own, n: desk.propose_booking(own, alerts[n], NOW, policy=policy))

    booked = [result for result in results if result is not None]
    assert len(results) == ATTEMPTS
    assert len(booked) == 1, booked[:3]
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("SELECT lower(period) AS start FROM booking").fetchall()
    assert rows == [{"start": datetime(2026, 3, 3, 8, 0, tzinfo=UTC)}]
    assert keys(connection) == [("owner_message", "proposed")]


@pytest.mark.timeout(300)
def test_many_proposals_for_one_alert_make_one_booking(
    database_url: str, connection: Connection, alert_id: UUID
) -> None:
    results = at_once(database_url, 50, lambda own, _: desk.propose_booking(own, alert_id, NOW))
    bookings = {getattr(result, "id", result) for result in results}
    assert len(bookings) == 1, bookings
    assert sum(getattr(result, "created", False) for result in results) == 1
    assert keys(connection) == [("owner_message", "proposed")]


def test_the_constraints_hold_without_the_desk(database_url: str, connection: Connection, alert_id: UUID) -> None:
    """Sessions that do not ask the desk: the database alone lets one of them in, for the bay and for the alert."""
    booked = desk.booking_view(connection, propose(connection, alert_id))
    vehicle_id, owner = booked.vehicle_id, add_owner(connection)
    others = [add_alert(connection, owner) for _ in range(20)]
    connection.execute("DELETE FROM outgoing")
    connection.execute("DELETE FROM booking")
    connection.commit()

    def insert(own: Connection, alert: UUID, offset: timedelta) -> str:
        start = booked.period.start + offset
        own.execute(
            """
            INSERT INTO booking (alert_id, vehicle_id, workshop_id, bay_id, job, period, price, currency, state,
                                 created_at, changed_at)
            VALUES (%s, %s, %s, %s, 'x', tstzrange(%s, %s), 1, 'EUR', 'confirmed', %s, %s)
            """,
            (alert, vehicle_id, booked.workshop_id, booked.bay_id, start, start + timedelta(hours=1), NOW, NOW),
        )
        own.commit()
        return "in"

    same_bay = at_once(database_url, 20, lambda own, n: insert(own, others[n], timedelta(minutes=n)))
    assert same_bay.count("in") == 1
    # Two that meet inside the index may also be ended as a deadlock: either way one alone is in.
    assert {type(result) for result in same_bay if result != "in"} <= {
        psycopg.errors.ExclusionViolation,
        psycopg.errors.DeadlockDetected,
    }
    same_alert = at_once(database_url, 20, lambda own, n: insert(own, alert_id, timedelta(days=1 + n)))
    assert same_alert.count("in") == 1
    assert {type(result) for result in same_alert if result != "in"} == {psycopg.errors.UniqueViolation}


def test_many_who_want_neighbouring_slots_all_get_one(database_url: str, connection: Connection) -> None:
    """Losing a race for a slot costs nothing but the next one."""
    add_workshop(connection, bays=2)
    owner = add_owner(connection)
    alerts = [add_alert(connection, owner) for _ in range(24)]
    connection.commit()
    results = at_once(database_url, 24, lambda own, n: desk.propose_booking(own, alerts[n], NOW))
    assert all(getattr(result, "created", False) for result in results), results
    with connection.cursor(row_factory=scalar_row) as cursor:
        overlapping = cursor.execute(
            """
            SELECT count(*) FROM booking AS a JOIN booking AS b
            ON a.bay_id = b.bay_id AND a.id < b.id AND a.period && b.period
            """
        ).fetchone()
    assert overlapping == 0


def test_two_who_each_hold_what_the_other_wants_next(database_url: str, connection: Connection) -> None:
    """Two alerts in one transaction each, as the engine has them: a deadlock is a lost race, not a lost transaction."""
    add_workshop(connection, "Brakes")
    oil = add_workshop(connection, "Oil")
    connection.execute("UPDATE workshop_job SET job = 'oil_change' WHERE workshop_id = %s", (oil,))
    owner = add_owner(connection)
    wanted = [("brake_pads", "oil_change"), ("oil_change", "brake_pads")]
    alerts = [[add_alert(connection, owner, job=job) for job in jobs] for jobs in wanted]
    both_hold_one = threading.Barrier(2)

    def book_two(own: Connection, number: int) -> list[object]:
        with own.transaction():
            booked: list[object] = [desk.propose_booking(own, alerts[number][0], NOW)]
            both_hold_one.wait(timeout=60)
            booked.append(desk.propose_booking(own, alerts[number][1], NOW))
        return booked

    results = at_once(database_url, 2, book_two)
    assert all(isinstance(result, list) and None not in result for result in results), results
    with connection.cursor(row_factory=dict_row) as cursor:
        held = cursor.execute("SELECT bay_id, lower(period) AS start FROM booking WHERE state = 'proposed'").fetchall()
    assert len({(row["bay_id"], row["start"]) for row in held}) == 4
