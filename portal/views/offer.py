"""What an owner sees of a proposed or made booking: the slot, the other offers, other times, and what can be done."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from portal.formats import clock, day_and_time, money, number, span, weekday_short
from portal.texts import Language, say
from portal.views.vehicle import slot_text
from rules.booking.views import BookingView, FreeSlot, OfferView
from rules.delivery.texts import job_name

Stage = Literal["open", "ran_out", "confirmed", "declined", "cancelled", "completed"]


@dataclass(frozen=True, kw_only=True)
class OfferCard:
    """An offer to compare."""

    id: UUID
    workshop: str
    when: str
    own_time: str | None  # the same in the owner's time zone where it differs
    time_zone: str
    price: str
    distance: str
    rating: str
    stars: int  # 0 to 5, rounded
    chosen: bool
    available: bool
    best: bool


@dataclass(frozen=True, kw_only=True)
class SlotDay:
    """Free starting times of one workshop on one of its days."""

    day: str
    slots: tuple[tuple[str, str], ...]  # what the form sends (ISO 8601 in UTC), and the time of day


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The offer page."""

    booking_id: UUID
    vehicle_id: UUID
    vehicle: str
    stage: Stage
    title: str
    text: str
    severity: str
    severity_text: str
    job: str
    workshop: str
    bay: str
    when: str
    own_time: str | None
    time_zone: str
    price: str
    held_until: str | None
    time_left: str | None
    slot_key: str  # what the owner is looking at: a confirmation of anything else is refused
    cards: tuple[OfferCard, ...]
    days: tuple[SlotDay, ...]
    report: str | None
    changeable: bool
    started: bool


def stage_of(view: BookingView, now: datetime) -> Stage:
    """Where the booking stands for its owner: a hold that ran out is over, whether or not a worker has noticed."""
    match str(view.state):
        case "proposed":
            held = view.held_until is not None and now < view.held_until and now < view.period.start
            return "open" if held else "ran_out"
        case "confirmed":
            return "confirmed"
        case "declined":
            return "declined"
        case "cancelled":
            return "cancelled"
        case "completed":
            return "completed"
        case _:
            return "ran_out"


def slot_key(view: BookingView) -> str:
    """Names the slot: workshop and start."""
    return f"{view.workshop_id}/{view.period.start:%Y%m%dT%H%MZ}"


def offer_page(
    view: BookingView, free: Sequence[FreeSlot], *, now: datetime, language: Language, zone: ZoneInfo
) -> Offer:
    """The page; ``zone`` is the owner's, ``free`` the slots of the booking's workshop."""
    stage = stage_of(view, now)
    there = ZoneInfo(view.time_zone)
    left = view.held_until - now if stage == "open" and view.held_until is not None else None
    return Offer(
        booking_id=view.id,
        vehicle_id=view.vehicle_id,
        vehicle=view.vehicle_label,
        stage=stage,
        title=view.title_zh if language == "zh" else view.title_en,
        text=view.text_zh if language == "zh" else view.text_en,
        severity=view.severity,
        severity_text=say(f"severity.{view.severity}", language),
        job=job_name(view.job, language),
        workshop=view.workshop_name,
        bay=view.bay_name,
        when=slot_text(view.period.start, view.period.end, language, there),
        own_time=_own_time(view.period.start, view.period.end, there, zone, language),
        time_zone=view.time_zone,
        price=money(view.price, view.currency),
        held_until=day_and_time(view.held_until, language, zone) if left is not None and view.held_until else None,
        time_left=None if left is None else span(left, language),
        slot_key=slot_key(view),
        cards=_cards(view, stage, now, language, zone),
        days=_days(free, language),
        report=view.report,
        changeable=stage in ("open", "ran_out", "declined") or (stage == "confirmed" and now < view.period.start),
        started=now >= view.period.start,
    )


def _cards(view: BookingView, stage: Stage, now: datetime, language: Language, zone: ZoneInfo) -> tuple[OfferCard, ...]:
    def card(offer: OfferView) -> OfferCard:
        there = ZoneInfo(offer.time_zone)
        return OfferCard(
            id=offer.id,
            workshop=offer.workshop_name,
            when=slot_text(offer.period.start, offer.period.end, language, there),
            own_time=_own_time(offer.period.start, offer.period.end, there, zone, language),
            time_zone=offer.time_zone,
            price=money(offer.price, offer.currency),
            distance=say("offer.distance", language, km=number(offer.distance_km, 1)),
            rating=number(offer.rating, 1),
            stars=round(offer.rating),
            chosen=offer.chosen and stage in ("open", "confirmed"),
            available=(offer.free or offer.chosen) and offer.period.start > now,
            best=offer.rank == 1,
        )

    return tuple(card(offer) for offer in view.offers)


def _days(free: Sequence[FreeSlot], language: Language) -> tuple[SlotDay, ...]:
    by_day: dict[date, list[FreeSlot]] = defaultdict(list)
    for slot in free:
        by_day[slot.period.start.astimezone(ZoneInfo(slot.time_zone)).date()].append(slot)
    return tuple(
        SlotDay(
            day=weekday_short(local, language, ZoneInfo(slots[0].time_zone)),
            slots=tuple(
                (slot.period.start.isoformat(), clock(slot.period.start, ZoneInfo(slot.time_zone))) for slot in slots
            ),
        )
        for local, slots in sorted(by_day.items())
    )


def _own_time(start: datetime, end: datetime, there: ZoneInfo, here: ZoneInfo, language: Language) -> str | None:
    if start.astimezone(there).utcoffset() == start.astimezone(here).utcoffset():
        return None
    return say("offer.own_time", language, when=slot_text(start, end, language, here), zone=here.key)


FREE_DAYS = 7  # of other times shown on the page
