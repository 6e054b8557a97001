"""The records of the booking domain: frozen, no input or output. All instants are aware; periods are half-open."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from telemetry.records import require_aware

Severity = Literal["info", "soon", "urgent", "stop"]


@dataclass(frozen=True, kw_only=True, order=True)
class Period:
    """From ``start`` up to but not including ``end``; both are kept in UTC, so that arithmetic is exact."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        require_aware(self.start, "Period.start")
        require_aware(self.end, "Period.end")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.start >= self.end:
            raise ValueError(f"a period must end after it starts: {self.start.isoformat()} .. {self.end.isoformat()}")

    @property
    def duration(self) -> timedelta:
        """How long it lasts in real time, whatever the clocks do."""
        return self.end - self.start

    def overlaps(self, other: "Period") -> bool:
        """Whether the two share an instant; touching ends do not."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: "Period") -> bool:
        """Whether the other lies wholly inside."""
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True, kw_only=True)
class OpeningHours:
    """Open on that weekday (ISO: 1 = Monday) from ``opens`` to ``closes``, the workshop's local time."""

    weekday: int
    opens: time
    closes: time

    def __post_init__(self) -> None:
        if not 1 <= self.weekday <= 7:
            raise ValueError(f"weekday {self.weekday} is none: 1 is Monday, 7 is Sunday")
        if self.opens.tzinfo is not None or self.closes.tzinfo is not None:
            raise ValueError("opening hours are local times of the workshop: leave the time zone out")
        if self.opens >= self.closes:
            raise ValueError(f"opening hours must close after they open: {self.opens} .. {self.closes}")


@dataclass(frozen=True, kw_only=True)
class Bay:
    """A place where one car is worked on at a time, and what can be done there."""

    id: UUID
    name: str
    skills: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class WorkshopCalendar:
    """When a workshop could work: opening hours in its time zone, closed days, bays and what is taken in them."""

    workshop_id: UUID
    time_zone: str  # IANA name
    hours: tuple[OpeningHours, ...]
    closures: frozenset[date] = frozenset()
    bays: tuple[Bay, ...]
    taken: Mapping[UUID, tuple[Period, ...]] = field(default_factory=lambda: MappingProxyType({}))  # by bay

    @property
    def zone(self) -> ZoneInfo:
        """The time zone, loaded."""
        return ZoneInfo(self.time_zone)


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A free period in one bay."""

    bay_id: UUID
    period: Period


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A workshop that can do the job: its calendar, what the job costs there, how far it is."""

    calendar: WorkshopCalendar
    name: str
    skill: str  # a bay needs it
    duration: timedelta
    price: Decimal
    currency: str  # ISO 4217
    rating: float  # 1 to 5, 5 is best
    distance_km: float


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A slot at a workshop with its price, and how it compared (``score``: lower is better)."""

    workshop_id: UUID
    slot: Slot
    price: Decimal
    currency: str  # ISO 4217
    distance_km: float
    rating: float
    score: float
