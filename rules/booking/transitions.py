"""The life of a booking: which action leads from which state to which. Pure; the desk acts on the answer."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from rules.booking.errors import BookingError
from telemetry.records import require_aware


class BookingState(StrEnum):
    """States of a booking, as the database names them."""

    PROPOSED = "proposed"  # the bay is held, the owner is asked
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    EXPIRED = "expired"  # the owner did not answer in time
    CANCELLED = "cancelled"  # was confirmed before
    COMPLETED = "completed"

    @property
    def occupies_bay(self) -> bool:
        """Whether the period is taken: the states of the exclusion constraint ``booking_bay_free``."""
        return self in (BookingState.PROPOSED, BookingState.CONFIRMED, BookingState.COMPLETED)


class Action(StrEnum):
    """What can be done with a booking."""

    CONFIRM = "confirm"
    MOVE = "move"
    DECLINE = "decline"
    CANCEL = "cancel"
    EXPIRE = "expire"
    COMPLETE = "complete"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a transition depends on."""

    state: BookingState
    starts_at: datetime
    held_until: datetime | None
    time_zone: str  # IANA name of the workshop: the errors' times are in it

    def __post_init__(self) -> None:
        require_aware(self.starts_at, "Standing.starts_at")


@dataclass(frozen=True, kw_only=True)
class Transition:
    """The state afterwards; ``changed`` is false where the action was done already (a form sent twice)."""

    state: BookingState
    changed: bool = True


def decide(standing: Standing, action: Action, now: datetime) -> Transition:
    """Return where the action leads; BookingError says why it cannot be done, and what can be."""
    require_aware(now, "now")
    match action:
        case Action.CONFIRM:
            return _confirm(standing, now)
        case Action.MOVE:
            return _move(standing, now)
        case Action.DECLINE:
            return _decline(standing)
        case Action.CANCEL:
            return _cancel(standing)
        case Action.EXPIRE:
            return _expire(standing, now)
        case Action.COMPLETE:
            return _complete(standing, now)


def _at(moment: datetime | None, standing: Standing) -> str:
    if moment is None:
        return "an unknown time"
    return moment.astimezone(ZoneInfo(standing.time_zone)).strftime("%Y-%m-%d %H:%M %Z")


def _confirm(standing: Standing, now: datetime) -> Transition:
    match standing.state:
        case BookingState.PROPOSED:
            if standing.held_until is not None and now >= standing.held_until:
                raise BookingError(f"The hold ran out at {_at(standing.held_until, standing)}; choose another slot.")
            if now >= standing.starts_at:
                raise BookingError(f"This slot began at {_at(standing.starts_at, standing)}; choose another slot.")
            return Transition(state=BookingState.CONFIRMED)
        case BookingState.CONFIRMED:
            return Transition(state=BookingState.CONFIRMED, changed=False)
        case BookingState.EXPIRED:
            raise BookingError(f"The hold ran out at {_at(standing.held_until, standing)}; choose another slot.")
        case BookingState.DECLINED:
            raise BookingError("This slot was declined and given away; choose another slot.")
        case BookingState.CANCELLED:
            raise BookingError("This booking was cancelled; ask for a new one from the alert.")
        case BookingState.COMPLETED:
            raise BookingError("The work is done already: there is nothing to confirm.")


def _move(standing: Standing, now: datetime) -> Transition:
    match standing.state:
        case BookingState.PROPOSED | BookingState.EXPIRED | BookingState.DECLINED:
            return Transition(state=BookingState.PROPOSED)
        case BookingState.CONFIRMED:
            if now >= standing.starts_at:
                raise BookingError(
                    f"The appointment began at {_at(standing.starts_at, standing)}; "
                    "ask the workshop, or cancel it and ask for a new one."
                )
            return Transition(state=BookingState.CONFIRMED)
        case BookingState.CANCELLED:
            raise BookingError("This booking was cancelled; ask for a new one from the alert.")
        case BookingState.COMPLETED:
            raise BookingError("The work is done already: it cannot be moved.")


def _decline(standing: Standing) -> Transition:
    match standing.state:
        case BookingState.PROPOSED | BookingState.EXPIRED:
            return Transition(state=BookingState.DECLINED)
        case BookingState.DECLINED:
            return Transition(state=BookingState.DECLINED, changed=False)
        case BookingState.CONFIRMED:
            raise BookingError("This booking is confirmed; cancel it instead.")
        case BookingState.CANCELLED:
            raise BookingError("This booking was cancelled: there is nothing to decline.")
        case BookingState.COMPLETED:
            raise BookingError("The work is done already: there is nothing to decline.")


def _cancel(standing: Standing) -> Transition:
    match standing.state:
        case BookingState.CONFIRMED:
            return Transition(state=BookingState.CANCELLED)
        case BookingState.CANCELLED:
            return Transition(state=BookingState.CANCELLED, changed=False)
        case BookingState.PROPOSED:
            raise BookingError("This booking is not confirmed yet; decline it instead.")
        case BookingState.EXPIRED | BookingState.DECLINED:
            raise BookingError("The slot was given away already: there is nothing to cancel.")
        case BookingState.COMPLETED:
            raise BookingError("The work is done already: it cannot be cancelled.")


def _expire(standing: Standing, now: datetime) -> Transition:
    if standing.state is not BookingState.PROPOSED:
        return Transition(state=standing.state, changed=False)
    if standing.held_until is None or now < standing.held_until:
        return Transition(state=BookingState.PROPOSED, changed=False)
    return Transition(state=BookingState.EXPIRED)


def _complete(standing: Standing, now: datetime) -> Transition:
    match standing.state:
        case BookingState.CONFIRMED:
            zone = ZoneInfo(standing.time_zone)
            if now.astimezone(zone).date() < standing.starts_at.astimezone(zone).date():
                raise BookingError(
                    f"The appointment is at {_at(standing.starts_at, standing)}; "
                    "report the work on that day, or move the booking first."
                )
            return Transition(state=BookingState.COMPLETED)
        case BookingState.COMPLETED:
            raise BookingError("The work was reported already.")
        case BookingState.PROPOSED:
            raise BookingError("The owner has not confirmed this booking: there is no work to report.")
        case BookingState.DECLINED | BookingState.EXPIRED | BookingState.CANCELLED:
            raise BookingError(f"This booking is {standing.state}: there is no work to report.")
