"""Searches the best offers for an alert and holds the first that can be had, in the caller's transaction."""

from datetime import datetime
from uuid import UUID

from psycopg.errors import DeadlockDetected, ExclusionViolation

from ingest.database import Connection
from rules.booking import calendars, repository
from rules.booking.announcements import tell_owner
from rules.booking.compare import best_offers
from rules.booking.display import booking_view
from rules.booking.holds import expire_holds
from rules.booking.policy import BookingPolicy
from rules.booking.records import Offer
from rules.booking.repository import AlertFacts
from rules.booking.views import BookingView, ProposedBooking

# Each failed round means that somebody else got a slot, so a search ends; this bounds a search in a crowd.
_ROUNDS = 25


def hold_best(
    connection: Connection, alert: AlertFacts, now: datetime, policy: BookingPolicy
) -> ProposedBooking | None:
    """Hold the best offer and ask the owner; None if there is nothing to book or no slot is free."""
    if alert.job is None or alert.latitude is None or alert.longitude is None:
        return None
    expire_holds(connection, now)  # a slot nobody answered for is free, even if nothing else has noticed yet
    for _ in range(_ROUNDS):
        offers = best_offers(
            calendars.candidates(
                connection,
                job=alert.job,
                place=(alert.latitude, alert.longitude),
                radius_km=policy.search_radius_km,
                limit=policy.candidate_workshops,
                now=now,
                latest=now + policy.horizon,
            ),
            severity=alert.severity,
            now=now,
            policy=policy,
        )
        if not offers:
            return None
        for gone, offer in enumerate(offers):
            booking_id = _try_to_hold(connection, alert, offer, now, policy)
            if booking_id is not None:
                repository.insert_offers(connection, alert.id, offers[gone:], now)
                view = booking_view(connection, booking_id)
                tell_owner(connection, view, "proposed", now, offers=view.offers)
                return proposed(view, created=True)
    return None


def _try_to_hold(
    connection: Connection, alert: AlertFacts, offer: Offer, now: datetime, policy: BookingPolicy
) -> UUID | None:
    """Hold the slot, or return None if the bay has just gone to somebody else."""
    assert alert.job is not None
    held_until = min(now + policy.hold, offer.slot.period.start)
    try:
        # A savepoint: a lost race must not cost the caller's transaction.
        with repository.turn_at_bay(connection, offer.slot.bay_id), connection.transaction():
            return repository.insert_booking(connection, alert, alert.job, offer, held_until=held_until, now=now)
    except (ExclusionViolation, DeadlockDetected):  # the savepoint gives back what a deadlock is about
        return None


def proposed(view: BookingView, *, created: bool) -> ProposedBooking:
    """Return the short form of a booking."""
    return ProposedBooking(
        id=view.id,
        alert_id=view.alert_id,
        workshop_id=view.workshop_id,
        workshop_name=view.workshop_name,
        bay_id=view.bay_id,
        time_zone=view.time_zone,
        period=view.period,
        price=view.price,
        currency=view.currency,
        state=view.state,
        held_until=view.held_until,
        created=created,
    )
