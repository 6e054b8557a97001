"""How the desk searches, compares and holds: the numbers a person may want to change, with their units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from rules.booking.records import Severity


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What one unit costs in points; the offer with the fewest points is the best.

    The defaults read: ten kilometres weigh as much as one day of waiting, as ten per cent of the cheapest price,
    or as half a star of rating.
    """

    per_km: float = 1.0
    per_day: float = 10.0  # per 24 h from the search to the start
    per_price_percent: float = 1.0  # per per cent above the cheapest candidate of the same currency
    per_star: float = 20.0  # per star below 5


_WEIGHTS: Mapping[Severity, Weights] = MappingProxyType(
    {
        "info": Weights(per_day=2.0),
        "soon": Weights(per_day=10.0),
        "urgent": Weights(per_day=40.0),
        "stop": Weights(per_day=80.0),
    }
)


@dataclass(frozen=True, kw_only=True)
class BookingPolicy:
    """The desk's settings."""

    hold: timedelta = timedelta(hours=24)  # how long a proposed slot is kept for the owner
    search_radius_km: float = 80.0
    candidate_workshops: int = 20  # the nearest ones that are looked at
    offers: int = 3
    lead: timedelta = timedelta(hours=2)  # the shortest time from now to a slot
    horizon: timedelta = timedelta(days=21)  # how far ahead is searched
    step: timedelta = timedelta(minutes=30)  # grid of starting times, counted from opening
    variety: timedelta = timedelta(hours=3)  # between two offers of one workshop
    weights: Mapping[Severity, Weights] = field(default_factory=lambda: _WEIGHTS)

    def __post_init__(self) -> None:
        for name in ("hold", "lead", "horizon", "step"):
            if getattr(self, name) <= timedelta():
                raise ValueError(f"booking policy: {name} must be longer than nothing")
        if self.offers < 1:
            raise ValueError("booking policy: offers must be at least 1")

    def earliest(self, now: datetime, severity: Severity, zone: ZoneInfo) -> datetime:
        """Before this no slot is offered.

        A car that must not wait may come after the lead time; otherwise the day after is the first:
        nobody wants to be called away today for something that has weeks.
        """
        soonest = now + self.lead
        if severity in ("urgent", "stop"):
            return soonest
        tomorrow = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0) + timedelta(days=1)
        return max(soonest, tomorrow)


DEFAULT_POLICY = BookingPolicy()
