"""Holds that ran out: the slot goes back, and the owner is told."""

from datetime import datetime
from uuid import UUID

from ingest.clock import sure_time
from ingest.database import Connection
from rules.booking import repository
from rules.booking.announcements import tell_owner
from rules.booking.transitions import Action, decide
from telemetry.records import require_aware


def expire_holds(connection: Connection, now: datetime) -> tuple[UUID, ...]:
    """Give back the slots whose owners did not answer in time, and tell them; return the bookings' ids.

    A slot that is given back may be another's at once. So none is because one clock is wrong: its time is over by
    ``now``, by this machine's clock and by the database's.
    """
    require_aware(now, "now")
    with connection.transaction():
        now = sure_time(connection, now)
        expired = repository.expired_holds(connection, now)
        for booking_id in expired:
            view = repository.booking(connection, booking_id)
            repository.set_state(connection, booking_id, decide(view.standing, Action.EXPIRE, now).state, now)
            tell_owner(connection, view, "expired", now, offers=repository.offers_of(connection, view))
        return tuple(expired)
