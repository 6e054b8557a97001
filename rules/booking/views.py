"""What the desk shows of bookings to owner, portal and workshop. No e-mail address and no position in it."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from rules.booking.records import Period, Severity
from rules.booking.transitions import BookingState, Standing


@dataclass(frozen=True, kw_only=True)
class ProposedBooking:
    """What :func:`rules.booking.desk.propose_booking` gives back."""

    id: UUID
    alert_id: UUID
    workshop_id: UUID
    workshop_name: str
    bay_id: UUID
    time_zone: str  # IANA name of the workshop
    period: Period
    price: Decimal
    currency: str
    state: BookingState
    held_until: datetime | None
    created: bool  # false: the alert had this booking before


@dataclass(frozen=True, kw_only=True)
class OfferView:
    """An offer as the owner compares it."""

    id: UUID
    rank: int
    workshop_id: UUID
    workshop_name: str
    time_zone: str
    bay_id: UUID
    period: Period
    price: Decimal
    currency: str
    distance_km: float
    rating: float
    score: float  # points, lower is better
    chosen: bool  # it is the booking's present slot
    free: bool  # nobody else has taken the bay (the workshop's hours are asked when it is chosen)


@dataclass(frozen=True, kw_only=True)
class BookingView:
    """A booking with what a page about it says. ``offers`` is empty in lists."""

    id: UUID
    alert_id: UUID
    vehicle_id: UUID
    vehicle_label: str
    owner_id: UUID
    owner_name: str = field(repr=False)
    owner_language: str
    owner_time_zone: str
    workshop_id: UUID
    workshop_name: str
    time_zone: str  # IANA name of the workshop
    bay_id: UUID
    bay_name: str
    job: str
    period: Period
    price: Decimal
    currency: str
    state: BookingState
    held_until: datetime | None
    sequence: int  # iCalendar SEQUENCE
    report: str | None
    created_at: datetime
    changed_at: datetime
    severity: Severity
    title_en: str
    title_zh: str
    text_en: str
    text_zh: str
    vin: str | None = field(repr=False)
    profile: str
    offers: tuple[OfferView, ...] = ()

    @property
    def standing(self) -> Standing:
        """What transitions depend on."""
        return Standing(
            state=self.state, starts_at=self.period.start, held_until=self.held_until, time_zone=self.time_zone
        )


@dataclass(frozen=True, kw_only=True)
class FreeSlot:
    """A slot an owner may move to; ``period.start`` is what :func:`rules.booking.desk.move_to_slot` takes."""

    workshop_id: UUID
    time_zone: str
    bay_id: UUID
    period: Period


@dataclass(frozen=True, kw_only=True)
class DayEntry:
    """What takes a bay. A held slot says nothing about car or owner: the workshop learns them with the confirmation."""

    booking_id: UUID
    period: Period
    job: str
    state: BookingState
    vehicle_label: str | None
    vin: str | None = field(repr=False)
    owner_name: str | None = field(repr=False)
    title_en: str | None
    title_zh: str | None
    report: str | None


@dataclass(frozen=True, kw_only=True)
class BayDay:
    """One bay's day, in order."""

    bay_id: UUID
    name: str
    skills: frozenset[str]
    entries: tuple[DayEntry, ...]


@dataclass(frozen=True, kw_only=True)
class WorkshopDay:
    """A workshop's local day: when it is open, and what is in each bay."""

    workshop_id: UUID
    workshop_name: str
    time_zone: str
    day: date
    open: tuple[Period, ...]
    bays: tuple[BayDay, ...]
