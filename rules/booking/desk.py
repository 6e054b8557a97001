"""The booking desk: proposes a slot for an alert, and takes the owner's and the workshop's answers.

Each function is one transaction, or a savepoint of the caller's (then the caller commits), and writes what is to be
said about it into the outbox of the same transaction. Which action may follow which is decided in
:mod:`rules.booking.transitions`; that no bay is taken twice and no alert booked twice is guaranteed by the database's
constraints. The desk needs READ COMMITTED, the default isolation.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from psycopg.errors import DeadlockDetected, ExclusionViolation, UniqueViolation

from ingest.database import Connection
from ingest.outbound import services
from rules.booking import calendars, repository
from rules.booking.announcements import tell_owner, tell_owner_of_alert, tell_workshop
from rules.booking.display import (
    booking_of_alert,
    booking_view,
    bookings_of_vehicle,
    free_slots,
    with_offers,
    workshop_day,
)
from rules.booking.errors import BookingError, SlotTakenError, UnknownBookingError
from rules.booking.holds import expire_holds
from rules.booking.policy import DEFAULT_POLICY, BookingPolicy
from rules.booking.search import hold_best, proposed
from rules.booking.slots import free_slots as slots_of
from rules.booking.transitions import Action, BookingState, decide
from rules.booking.views import BookingView, ProposedBooking
from rules.services import Work, records
from telemetry.records import require_aware

# The desk is the domain's one front: what only reads is found here too.
__all__ = [
    "announce_alert",
    "announce_rise",
    "booking_of_alert",
    "booking_view",
    "bookings_of_vehicle",
    "cancel",
    "complete",
    "confirm",
    "decline",
    "expire_holds",
    "free_slots",
    "move_to_offer",
    "move_to_slot",
    "propose_again",
    "propose_booking",
    "workshop_day",
]


def propose_booking(
    connection: Connection, alert_id: UUID, now: datetime, *, policy: BookingPolicy = DEFAULT_POLICY
) -> ProposedBooking | None:
    """Find the best offers for an alert, hold the best one, and ask the owner.

    Returns the booking the alert has already, if any, whatever became of it: an owner who declined is not asked again.
    None if there is nothing to book: the rule names no job, nobody knows where the car is, or no workshop near has a
    slot; then :func:`announce_alert` tells the owner of the alert alone.
    """
    require_aware(now, "now")
    with connection.transaction():
        alert = repository.alert(connection, alert_id)
        existing = repository.latest_booking_of_alert(connection, alert_id)
        if existing is not None:
            return proposed(existing, created=False)
        return hold_best(connection, alert, now, policy)


def propose_again(
    connection: Connection, alert_id: UUID, now: datetime, *, policy: BookingPolicy = DEFAULT_POLICY
) -> ProposedBooking | None:
    """Propose anew at the owner's wish, after a booking was declined, cancelled or ran out. None: no slot is free."""
    require_aware(now, "now")
    with connection.transaction():
        alert = repository.alert(connection, alert_id)
        existing = repository.latest_booking_of_alert(connection, alert_id)
        if existing is not None and existing.state.occupies_bay:
            return proposed(existing, created=False)
        return hold_best(connection, alert, now, policy)


def announce_alert(connection: Connection, alert_id: UUID, now: datetime) -> None:
    """Tell the owner of an alert without a booking; once, however often it is called."""
    require_aware(now, "now")
    with connection.transaction():
        tell_owner_of_alert(connection, repository.alert(connection, alert_id), now)


def announce_rise(connection: Connection, alert_id: UUID, now: datetime) -> None:
    """Tell the owner that an open alert became graver; once for each severity, however often it is called."""
    require_aware(now, "now")
    with connection.transaction():
        tell_owner_of_alert(connection, repository.alert(connection, alert_id), now, event="raised")


def confirm(connection: Connection, booking_id: UUID, now: datetime) -> BookingView:
    """Make the proposed slot a booking, and tell the workshop. A second time it changes nothing."""
    with connection.transaction():
        view = repository.booking(connection, booking_id, lock=True)
        after = decide(view.standing, Action.CONFIRM, now)
        if after.changed:
            repository.set_state(connection, booking_id, after.state, now)
            view = repository.booking(connection, booking_id)
            tell_owner(connection, view, "confirmed", now)
            tell_workshop(connection, view, "confirmed", now)
        return with_offers(connection, view)


def decline(connection: Connection, booking_id: UUID, now: datetime) -> BookingView:
    """Give the held slot back; the workshop never hears of it."""
    with connection.transaction():
        view = repository.booking(connection, booking_id, lock=True)
        after = decide(view.standing, Action.DECLINE, now)
        if after.changed:
            repository.set_state(connection, booking_id, after.state, now)
        return booking_view(connection, booking_id)


def cancel(connection: Connection, booking_id: UUID, now: datetime) -> BookingView:
    """Give a confirmed slot back, and tell both sides."""
    with connection.transaction():
        view = repository.booking(connection, booking_id, lock=True)
        after = decide(view.standing, Action.CANCEL, now)
        if after.changed:
            repository.set_state(connection, booking_id, after.state, now, next_sequence=True)
            view = repository.booking(connection, booking_id)
            tell_owner(connection, view, "cancelled", now)
            tell_workshop(connection, view, "cancelled", now)
        return with_offers(connection, view)


def complete(
    connection: Connection, booking_id: UUID, report: str, now: datetime, *, work: Sequence[Work] = ()
) -> BookingView:
    """Take the workshop's report of what it did, and pass it on to the owner; ``work`` goes to the car's estimates."""
    if not report.strip():
        raise BookingError("Say what was done: the report is empty.")
    with connection.transaction():
        view = repository.booking(connection, booking_id, lock=True)
        after = decide(view.standing, Action.COMPLETE, now)
        repository.set_state(connection, booking_id, after.state, now, report=report.strip())
        view = repository.booking(connection, booking_id)
        services.keep(
            connection,
            view.vehicle_id,
            records(work, time=now, by="workshop", reason=f"reported with booking {booking_id}"),
            by_role="workshop",
            by_name=view.workshop_name,
            now=now,
        )
        tell_owner(connection, view, "completed", now)
        return with_offers(connection, view)


def move_to_offer(
    connection: Connection, booking_id: UUID, offer_id: UUID, now: datetime, *, policy: BookingPolicy = DEFAULT_POLICY
) -> BookingView:
    """Move to one of the booking's offers, at the price offered. Otherwise as :func:`move_to_slot`."""
    with connection.transaction():
        view = booking_view(connection, booking_id)
        offer = next((offer for offer in view.offers if offer.id == offer_id), None)
        if offer is None:
            raise UnknownBookingError("This offer does not belong to the booking; choose one of its offers.")
        return _move(
            connection,
            booking_id,
            workshop_id=offer.workshop_id,
            start=offer.period.start,
            now=now,
            policy=policy,
            offered=(offer.price, offer.currency),
        )


def move_to_slot(
    connection: Connection,
    booking_id: UUID,
    start: datetime,
    now: datetime,
    *,
    workshop_id: UUID | None = None,
    policy: BookingPolicy = DEFAULT_POLICY,
) -> BookingView:
    """Move to a free slot that starts then, in any bay, of that workshop (the booking's own if not said).

    A proposed, expired or declined booking is then proposed with a new hold: confirm it next. A confirmed one stays
    confirmed, and both sides are told. SlotTakenError if the slot is not free any more.
    """
    return _move(connection, booking_id, workshop_id=workshop_id, start=start, now=now, policy=policy, offered=None)


def _move(
    connection: Connection,
    booking_id: UUID,
    *,
    workshop_id: UUID | None,
    start: datetime,
    now: datetime,
    policy: BookingPolicy,
    offered: tuple[Decimal, str] | None,
) -> BookingView:
    require_aware(start, "start")
    with connection.transaction():
        before = repository.booking(connection, booking_id, lock=True)
        after = decide(before.standing, Action.MOVE, now)
        workshop_id = workshop_id or before.workshop_id
        if _stands_there(before, workshop_id, start, now):
            return with_offers(connection, before)
        found = calendars.candidate(
            connection,
            workshop_id=workshop_id,
            job=before.job,
            now=now,
            latest=now + policy.horizon,
            except_booking=booking_id,
        )
        if found is None:
            raise BookingError("This workshop does not do that work; choose a slot at another.")
        price, currency = offered or (found.price, found.currency)
        slots = slots_of(
            found.calendar,
            skill=found.skill,
            duration=found.duration,
            earliest=now + policy.lead,
            latest=now + policy.horizon,
            step=policy.step,
        )
        for slot in slots:
            if slot.period.start != start:
                continue
            try:
                with repository.turn_at_bay(connection, slot.bay_id), connection.transaction():
                    repository.place_booking(
                        connection,
                        booking_id,
                        workshop_id=workshop_id,
                        bay_id=slot.bay_id,
                        period=slot.period,
                        price=price,
                        currency=currency,
                        state=after.state,
                        held_until=min(now + policy.hold, start) if after.state is BookingState.PROPOSED else None,
                        now=now,
                    )
            except (ExclusionViolation, DeadlockDetected):
                continue  # this bay has just gone: the next one at that time
            except UniqueViolation as error:
                raise BookingError("This alert has another booking meanwhile; use that one.") from error
            return _tell_of_move(connection, before, now)
    raise SlotTakenError("That slot is not free any more; choose another.")


def _stands_there(view: BookingView, workshop_id: UUID, start: datetime, now: datetime) -> bool:
    """Whether the booking is there already (a form sent twice): nothing to move."""
    held = view.state is BookingState.PROPOSED and view.held_until is not None and now < view.held_until
    return (
        (held or view.state is BookingState.CONFIRMED)
        and view.workshop_id == workshop_id
        and view.period.start == start
    )


def _tell_of_move(connection: Connection, before: BookingView, now: datetime) -> BookingView:
    view = booking_view(connection, before.id)
    if (
        view.state is BookingState.CONFIRMED
    ):  # a held slot is nobody's business but the owner's, who is just looking at it
        tell_owner(connection, view, "moved", now)
        if view.workshop_id == before.workshop_id:
            tell_workshop(connection, view, "moved", now)
        else:
            tell_workshop(connection, before, "cancelled", now, sequence=view.sequence)
            tell_workshop(connection, view, "confirmed", now)
    return view
