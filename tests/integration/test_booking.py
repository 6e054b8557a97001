"""The desk against the real database: its two guarantees, and the whole life of a booking."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row, scalar_row

from ingest import registry
from ingest.database import Connection, connect
from rules.booking import desk, workshops
from rules.booking.errors import BookingError, SlotTakenError, UnknownBookingError
from rules.booking.policy import BookingPolicy
from rules.booking.transitions import BookingState

pytestmark = pytest.mark.database

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday, 10:00 in Berlin
BERLIN = (52.52, 13.405)  # degrees
JOB = "brake_pads"


def add_owner(connection: Connection, *, place: tuple[float, float] | None = BERLIN) -> UUID:
    latitude, longitude = place or (None, None)
    return registry.register_owner(
        connection,
        name="Ada Beispiel",
        language="en",
        time_zone="Europe/Berlin",
        notify_urls=("json://127.0.0.1:9/owner",),
        email="ada@example.org",
        latitude=latitude,
        longitude=longitude,
    ).id


def add_workshop(
    connection: Connection,
    name: str = "Werk",
    *,
    bays: int = 1,
    price: str = "200.00",
    rating: float = 4.5,
    north: float = 0.05,  # degrees from the owner
    minutes: int = 60,
    opens: time = time(8),
    closes: time = time(17),
    webhook: bool = True,
) -> UUID:
    workshop = registry.register_workshop(
        connection,
        name=name,
        time_zone="Europe/Berlin",
        latitude=BERLIN[0] + north,
        longitude=BERLIN[1],
        rating=rating,
        email=f"{name.lower()}@example.org",
        webhook_url="http://127.0.0.1:9/hook" if webhook else None,
        webhook_secret="whsec_d2VhcmNhc3QtdGVzdC1zZWNyZXQ=" if webhook else None,
    )
    for number in range(bays):
        workshops.add_bay(connection, workshop.id, f"Bay {number + 1}", ["mechanical"])
    workshops.set_opening_hours(connection, workshop.id, workshops.weekly_hours(range(1, 6), opens, closes))
    workshops.add_job(
        connection,
        workshop.id,
        JOB,
        skill="mechanical",
        duration=timedelta(minutes=minutes),
        price=Decimal(price),
    )
    return workshop.id


def add_alert(connection: Connection, owner_id: UUID, *, severity: str = "soon", job: str | None = JOB) -> UUID:
    vehicle = registry.register_vehicle(connection, owner_id=owner_id, label="Blue Polo", profile="generic")
    with connection.cursor(row_factory=scalar_row) as cursor:
        alert_id = cursor.execute(
            """
            INSERT INTO alert (vehicle_id, rule_id, rule_version, subject, severity, title_en, title_zh, text_en,
                               text_zh, job, evidence, opened_at)
            VALUES (%s, 'pads_worn', '1', 'Row1.Left', %s, 'Front left brake pad is worn', '左前刹车片已磨损',
                    'It has 8 %% left.', '剩余 8%%。', %s, '{}', %s)
            RETURNING id
            """,
            (vehicle.id, severity, job, NOW),
        ).fetchone()
    assert isinstance(alert_id, UUID)
    return alert_id


@pytest.fixture
def alert_id(connection: Connection) -> UUID:
    """An alert of a car near three workshops."""
    add_workshop(connection, "Near", north=0.02)
    add_workshop(connection, "Cheap", north=0.2, price="150.00", rating=4.0)
    add_workshop(connection, "Good", north=0.1, price="210.00", rating=5.0)
    add_workshop(connection, "Munich", north=-4.4)
    alert = add_alert(connection, add_owner(connection))
    connection.commit()
    return alert


def outgoing(connection: Connection) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM outgoing ORDER BY number").fetchall()


def keys(connection: Connection) -> list[tuple[str, str]]:
    return [(row["kind"], row["payload"]["event"]) for row in outgoing(connection)]


def propose(connection: Connection, alert_id: UUID, now: datetime = NOW) -> UUID:
    booking = desk.propose_booking(connection, alert_id, now)
    assert booking is not None
    return booking.id


def test_the_best_offer_is_held_and_the_owner_asked(connection: Connection, alert_id: UUID) -> None:
    booking = desk.propose_booking(connection, alert_id, NOW)

    assert booking is not None
    assert booking.created
    assert booking.state is BookingState.PROPOSED
    assert booking.held_until == min(NOW + timedelta(hours=24), booking.period.start)
    assert booking.period.start == datetime(2026, 3, 3, 7, 0, tzinfo=UTC)  # tomorrow at eight in Berlin
    view = desk.booking_view(connection, booking.id)
    assert [offer.rank for offer in view.offers] == [1, 2, 3]
    assert {offer.workshop_name for offer in view.offers} == {"Near", "Cheap", "Good"}
    assert [offer.chosen for offer in view.offers] == [True, False, False]
    assert all(offer.free for offer in view.offers)
    assert [offer.score for offer in view.offers] == sorted(offer.score for offer in view.offers)
    (message,) = outgoing(connection)
    assert message["kind"] == "owner_message"
    assert message["payload"]["event"] == "proposed"
    assert len(message["payload"]["alternatives"]) == 2


def test_an_alert_is_booked_once(connection: Connection, alert_id: UUID) -> None:
    first = propose(connection, alert_id)
    again = desk.propose_booking(connection, alert_id, NOW)
    assert again is not None
    assert (again.id, again.created) == (first, False)
    desk.decline(connection, first, NOW)
    declined = desk.propose_booking(connection, alert_id, NOW)
    assert declined is not None
    assert (declined.id, declined.state) == (first, BookingState.DECLINED)
    assert keys(connection) == [("owner_message", "proposed")]


def test_nothing_is_proposed_without_job_place_or_workshop(connection: Connection) -> None:
    add_workshop(connection)
    assert desk.propose_booking(connection, add_alert(connection, add_owner(connection), job=None), NOW) is None
    assert desk.propose_booking(connection, add_alert(connection, add_owner(connection, place=None)), NOW) is None
    far = add_owner(connection, place=(40.0, -3.7))
    alert = add_alert(connection, far)
    assert desk.propose_booking(connection, alert, NOW) is None
    assert outgoing(connection) == []
    desk.announce_alert(connection, alert, NOW)
    desk.announce_alert(connection, alert, NOW + timedelta(hours=1))
    assert keys(connection) == [("owner_message", "alert")]


def test_the_workshop_learns_of_a_booking_with_its_confirmation(connection: Connection, alert_id: UUID) -> None:
    booking_id = propose(connection, alert_id)
    held = desk.booking_view(connection, booking_id)
    day = held.period.start.date()
    (entry,) = _entries(connection, held.workshop_id, day)
    assert (entry.state, entry.vehicle_label, entry.owner_name) == (BookingState.PROPOSED, None, None)

    confirmed = desk.confirm(connection, booking_id, NOW)
    desk.confirm(connection, booking_id, NOW)  # a form sent twice

    assert confirmed.state is BookingState.CONFIRMED
    assert keys(connection) == [
        ("owner_message", "proposed"),
        ("owner_message", "confirmed"),
        ("workshop_invitation", "confirmed"),
        ("workshop_webhook", "confirmed"),
    ]
    to_workshop = outgoing(connection)[-1]["payload"]
    assert "ada@example.org" not in str(to_workshop)
    assert "52.5" not in str(to_workshop)
    (entry,) = _entries(connection, held.workshop_id, day)
    assert (entry.vehicle_label, entry.owner_name) == ("Blue Polo", "Ada Beispiel")


def _entries(connection: Connection, workshop_id: UUID, day: date) -> list[Any]:
    shown = desk.workshop_day(connection, workshop_id, day)
    assert len(shown.open) == 1
    return [entry for bay in shown.bays for entry in bay.entries]


def test_a_workshop_without_webhook_gets_the_invitation(connection: Connection) -> None:
    add_workshop(connection, webhook=False)
    booking_id = propose(connection, add_alert(connection, add_owner(connection)))
    desk.confirm(connection, booking_id, NOW)
    assert "workshop_webhook" not in {kind for kind, _ in keys(connection)}


def test_a_held_slot_is_given_back_in_time(connection: Connection, alert_id: UUID) -> None:
    booking_id = propose(connection, alert_id)
    later = NOW + timedelta(hours=25)
    assert desk.expire_holds(connection, NOW + timedelta(hours=1)) == ()
    with pytest.raises(BookingError, match="hold ran out at 2026-03-03 08:00 CET; choose another slot"):
        desk.confirm(connection, booking_id, later)
    assert desk.expire_holds(connection, later) == (booking_id,)
    assert desk.expire_holds(connection, later) == ()
    assert desk.booking_view(connection, booking_id).state is BookingState.EXPIRED
    assert keys(connection)[-1] == ("owner_message", "expired")

    slot = desk.free_slots(connection, booking_id, later)[0]
    moved = desk.move_to_slot(connection, booking_id, slot.period.start, later)
    assert moved.state is BookingState.PROPOSED
    assert moved.period == slot.period
    assert desk.confirm(connection, booking_id, later).state is BookingState.CONFIRMED


def test_a_hold_that_ran_out_stands_in_nobodys_way(connection: Connection) -> None:
    workshop = add_workshop(connection)
    workshops.set_opening_hours(connection, workshop, workshops.weekly_hours([5], time(9), time(10)))
    policy = BookingPolicy(horizon=timedelta(days=6))  # one slot
    owner = add_owner(connection)
    first, second = add_alert(connection, owner), add_alert(connection, owner)
    held = desk.propose_booking(connection, first, NOW, policy=policy)
    assert held is not None
    assert desk.propose_booking(connection, second, NOW + timedelta(hours=1), policy=policy) is None
    later = desk.propose_booking(connection, second, NOW + timedelta(hours=24), policy=policy)
    assert later is not None
    assert later.period == held.period
    assert desk.booking_view(connection, held.id).state is BookingState.EXPIRED
    with pytest.raises(SlotTakenError):
        desk.move_to_slot(connection, held.id, held.period.start, NOW + timedelta(hours=24), policy=policy)


def test_a_confirmed_booking_moves_and_both_sides_are_told(connection: Connection, alert_id: UUID) -> None:
    booking_id = propose(connection, alert_id)
    desk.confirm(connection, booking_id, NOW)
    before = desk.booking_view(connection, booking_id)
    start = before.period.start + timedelta(minutes=30)  # overlaps its own time: that is no obstacle
    moved = desk.move_to_slot(connection, booking_id, start, NOW)
    desk.move_to_slot(connection, booking_id, start, NOW)
    assert (moved.sequence, moved.period.start, moved.state) == (before.sequence + 1, start, BookingState.CONFIRMED)
    assert keys(connection)[-3:] == [
        ("owner_message", "moved"),
        ("workshop_invitation", "moved"),
        ("workshop_webhook", "moved"),
    ]

    other = moved.offers[1]
    elsewhere = desk.move_to_offer(connection, booking_id, other.id, NOW)
    assert elsewhere.workshop_id == other.workshop_id
    assert elsewhere.price == other.price
    assert elsewhere.offers[1].chosen
    told = [
        (row["payload"]["event"], row["workshop_id"], row["payload"]["sequence"]) for row in outgoing(connection)[-4:]
    ]
    assert told == [
        ("cancelled", before.workshop_id, 2),
        ("cancelled", before.workshop_id, 2),
        ("confirmed", other.workshop_id, 2),
        ("confirmed", other.workshop_id, 2),
    ]


def test_a_taken_slot_is_refused(connection: Connection, alert_id: UUID) -> None:
    owner = add_owner(connection)
    mine = propose(connection, alert_id)
    other = desk.booking_view(connection, propose(connection, add_alert(connection, owner)))
    with pytest.raises(SlotTakenError, match="choose another"):
        desk.move_to_slot(connection, mine, other.period.start, NOW, workshop_id=other.workshop_id)
    taken = {
        (offer.workshop_id, offer.period.start): offer.free for offer in desk.booking_view(connection, mine).offers
    }
    assert taken.get((other.workshop_id, other.period.start), False) is False
    with pytest.raises(SlotTakenError):  # at night
        desk.move_to_slot(connection, mine, datetime(2026, 3, 4, 2, 0, tzinfo=UTC), NOW)
    with pytest.raises(UnknownBookingError):
        desk.move_to_offer(connection, mine, other.offers[0].id, NOW)


def test_cancelling_and_asking_again(connection: Connection, alert_id: UUID) -> None:
    booking_id = propose(connection, alert_id)
    with pytest.raises(BookingError, match="decline it instead"):
        desk.cancel(connection, booking_id, NOW)
    desk.confirm(connection, booking_id, NOW)
    cancelled = desk.cancel(connection, booking_id, NOW)
    assert (cancelled.state, cancelled.sequence) == (BookingState.CANCELLED, 1)
    assert keys(connection)[-3:] == [
        ("owner_message", "cancelled"),
        ("workshop_invitation", "cancelled"),
        ("workshop_webhook", "cancelled"),
    ]
    later = NOW + timedelta(minutes=5)
    again = desk.propose_again(connection, alert_id, later)
    assert again is not None
    assert again.created
    assert again.id != booking_id
    once_more = desk.propose_again(connection, alert_id, later)
    assert once_more is not None
    assert once_more.id == again.id
    vehicle_id = cancelled.vehicle_id
    assert [view.id for view in desk.bookings_of_vehicle(connection, vehicle_id)] == [again.id, booking_id]
    of_alert = desk.booking_of_alert(connection, alert_id)
    assert of_alert is not None
    assert of_alert.id == again.id


def test_the_workshop_reports_what_it_did(connection: Connection, alert_id: UUID) -> None:
    booking_id = propose(connection, alert_id)
    view = desk.confirm(connection, booking_id, NOW)
    with pytest.raises(BookingError, match="report is empty"):
        desk.complete(connection, booking_id, "  ", view.period.end)
    with pytest.raises(BookingError, match="on that day"):
        desk.complete(connection, booking_id, "New pads.", NOW)
    done = desk.complete(connection, booking_id, "New pads.", view.period.end)
    assert (done.state, done.report) == (BookingState.COMPLETED, "New pads.")
    assert keys(connection)[-1] == ("owner_message", "completed")
    repeated = desk.propose_again(connection, alert_id, view.period.end)
    assert repeated is not None
    assert not repeated.created


def test_what_is_decided_and_what_is_said_share_their_fate(connection: Connection, alert_id: UUID) -> None:
    with connection.transaction(force_rollback=True):
        propose(connection, alert_id)
    assert desk.booking_of_alert(connection, alert_id) is None
    assert outgoing(connection) == []


def test_the_database_itself_refuses_a_bay_of_another_workshop(connection: Connection, alert_id: UUID) -> None:
    booking_id = propose(connection, alert_id)
    elsewhere = add_workshop(connection, "Elsewhere")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("UPDATE booking SET workshop_id = %s WHERE id = %s", (elsewhere, booking_id))


# The two guarantees, under many at once.

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
