"""The desk against the real database: its two guarantees, and the whole life of a booking."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ingest.database import Connection
from ingest.outbound import services
from rules.booking import desk, workshops
from rules.booking.errors import BookingError, SlotTakenError, UnknownBookingError
from rules.booking.policy import BookingPolicy
from rules.booking.transitions import BookingState
from rules.services import JOBS, MEASURES
from tests.integration.booking_scene import (
    NOW,
    add_alert,
    add_owner,
    add_workshop,
    keys,
    outgoing,
    propose,
)

pytestmark = pytest.mark.database


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
    add_workshop(connection, webhook_url=None)
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


def test_a_report_takes_the_work_done_to_the_cars_estimates_once(connection: Connection, alert_id: UUID) -> None:
    booking_id = propose(connection, alert_id)
    view = desk.confirm(connection, booking_id, NOW)
    end = view.period.end
    work = [JOBS["pads_front"], MEASURES["lining_Row1"].work(11.5)]
    desk.complete(connection, booking_id, "New pads.", end, work=work)
    with pytest.raises(BookingError, match="reported already"):
        desk.complete(connection, booking_id, "New pads.", end, work=work)
    measured, replaced = services.services(connection, view.vehicle_id)
    assert (replaced.action, measured.action, measured.value) == ("replaced", "measured", 11.5)
    assert (replaced.by_role, replaced.by_name, replaced.time) == ("workshop", view.workshop_name, end)
    assert str(booking_id) in replaced.reason
