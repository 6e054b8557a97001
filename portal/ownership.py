"""Reads what a page is about, and only for those it belongs to: a foreign number gives the error of an unknown one."""

from uuid import UUID

from ingest import registry
from ingest.database import Connection
from ingest.errors import RegistryError
from portal.errors import LinkExpiredError, LinkInvalidError, NotFoundError
from portal.guard import Visit
from rules.booking import desk
from rules.booking.errors import BookingError, LinkTooOldError, UnknownBookingError
from rules.booking.links import read_offer_token
from rules.booking.views import BookingView


def own_vehicle(connection: Connection, visit: Visit, vehicle_id: UUID) -> registry.Vehicle:
    """The vehicle, for its owner and for engineers."""
    try:
        vehicle = registry.vehicle_by_id(connection, vehicle_id)
    except RegistryError as error:
        raise NotFoundError(str(error)) from error
    if visit.role == "engineer" or (visit.role == "owner" and _subject(visit) == vehicle.owner_id):
        return vehicle
    raise NotFoundError("not the asker's vehicle")


def own_booking(connection: Connection, visit: Visit, booking_id: UUID) -> BookingView:
    """The booking with its offers, for the car's owner alone."""
    view = _booking(connection, booking_id)
    if visit.role == "owner" and _subject(visit) == view.owner_id:
        return view
    raise NotFoundError("not the asker's booking")


def readable_booking(connection: Connection, visit: Visit, booking_id: UUID) -> BookingView:
    """The booking, for the car's owner, the workshop it is confirmed at, and engineers."""
    if visit.role == "workshop":
        return booking_at_workshop(connection, visit, _subject(visit), booking_id)
    view = _booking(connection, booking_id)
    if visit.role == "engineer" or (visit.role == "owner" and _subject(visit) == view.owner_id):
        return view
    raise NotFoundError("not the asker's booking")


def linked_booking(connection: Connection, visit: Visit, token: str) -> BookingView:
    """The booking of an offer's link: whoever holds the link may see and answer it."""
    try:
        booking_id = read_offer_token(visit.config.secret, token, visit.now)
    except LinkTooOldError as error:
        raise LinkExpiredError(str(error)) from error
    except BookingError as error:
        raise LinkInvalidError(str(error)) from error
    return _booking(connection, booking_id)


def own_workshop(connection: Connection, visit: Visit, workshop_id: UUID) -> registry.Workshop:
    """The workshop, for itself and for engineers."""
    if not (visit.role == "engineer" or (visit.role == "workshop" and _subject(visit) == workshop_id)):
        raise NotFoundError("not the asker's workshop")
    try:
        return registry.workshop_by_id(connection, workshop_id)
    except RegistryError as error:
        raise NotFoundError(str(error)) from error


def booking_at_workshop(connection: Connection, visit: Visit, workshop_id: UUID, booking_id: UUID) -> BookingView:
    """A booking at that workshop once its owner has confirmed it: of a held slot the workshop learns nothing."""
    own_workshop(connection, visit, workshop_id)
    view = _booking(connection, booking_id)
    if view.workshop_id != workshop_id or view.state not in ("confirmed", "completed", "cancelled"):
        raise NotFoundError("no booking of this workshop")
    return view


def _booking(connection: Connection, booking_id: UUID) -> BookingView:
    try:
        return desk.booking_view(connection, booking_id)
    except UnknownBookingError as error:
        raise NotFoundError(str(error)) from error


def _subject(visit: Visit) -> UUID:
    assert visit.identity is not None
    assert visit.identity.subject_id is not None
    return visit.identity.subject_id
