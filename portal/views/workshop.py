"""A workshop's day: bays as columns, time downwards; and one booking as the workshop sees it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from portal.disclosure import Customer
from portal.formats import clock, day, money, period
from portal.texts import Language, say
from portal.views.vehicle import slot_text
from rules.booking.records import Period
from rules.booking.views import BayDay, BookingView, DayEntry, WorkshopDay
from rules.delivery.texts import job_name

_STEP = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What takes a bay for a while."""

    booking_id: UUID
    when: str
    job: str
    state: str
    state_text: str
    vehicle: str | None  # None: a held slot says nothing about the car
    fault: str | None
    has_page: bool


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of the timetable; it reaches over ``rows``."""

    kind: Literal["free", "closed", "booked"]
    rows: int
    entry: Entry | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the timetable; None where the bay's cell from above reaches here."""

    clock: str
    on_the_hour: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, kw_only=True)
class Bay:
    """A bay with its day in order, for narrow screens."""

    name: str
    skills: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class DayPage:
    """The page of one day."""

    workshop_id: UUID
    workshop: str
    time_zone: str
    day: date
    day_text: str
    is_today: bool
    previous: date
    next: date
    hours: str
    is_closed: bool
    bays: tuple[Bay, ...]
    rows: tuple[Row, ...]
    booked: int
    held: int


@dataclass(frozen=True, kw_only=True)
class BookingPage:
    """One confirmed booking as the workshop sees it."""

    id: UUID
    when: str
    time_zone: str
    bay: str
    job: str
    vehicle: str
    vin: str | None
    profile: str
    owner: str
    fault: str
    findings: str
    severity: str
    severity_text: str
    price: str
    state: str
    state_text: str
    report: str | None
    may_report: bool
    day: date


def day_page(facts: WorkshopDay, *, now: datetime, language: Language) -> DayPage:
    """The day's page."""
    zone = ZoneInfo(facts.time_zone)
    entries = [entry for bay in facts.bays for entry in bay.entries]
    return DayPage(
        workshop_id=facts.workshop_id,
        workshop=facts.workshop_name,
        time_zone=facts.time_zone,
        day=facts.day,
        day_text=day(facts.day, language, zone, weekday=True),
        is_today=now.astimezone(zone).date() == facts.day,
        previous=facts.day - timedelta(days=1),
        next=facts.day + timedelta(days=1),
        hours=", ".join(period(part.start, part.end, zone) for part in facts.open),
        is_closed=not facts.open,
        bays=tuple(
            Bay(
                name=bay.name,
                skills=", ".join(skill.replace("_", " ") for skill in sorted(bay.skills)),
                entries=tuple(_entry(entry, zone, language) for entry in _in_order(bay)),
            )
            for bay in facts.bays
        ),
        rows=_timetable(facts, zone, language),
        booked=sum(entry.state != "proposed" for entry in entries),
        held=sum(entry.state == "proposed" for entry in entries),
    )


def booking_page(view: BookingView, customer: Customer, *, now: datetime, language: Language) -> BookingPage:
    """A booking's page for its workshop, with as much of the customer as is shown to whoever looks."""
    zone = ZoneInfo(view.time_zone)
    local = view.period.start.astimezone(zone).date()
    return BookingPage(
        id=view.id,
        when=slot_text(view.period.start, view.period.end, language, zone),
        time_zone=view.time_zone,
        bay=view.bay_name,
        job=job_name(view.job, language),
        vehicle=view.vehicle_label,
        vin=customer.vin,
        profile=view.profile,
        owner=customer.name,
        fault=view.title_zh if language == "zh" else view.title_en,
        findings=view.text_zh if language == "zh" else view.text_en,
        severity=view.severity,
        severity_text=say(f"severity.{view.severity}", language),
        price=money(view.price, view.currency),
        state=str(view.state),
        state_text=say(f"state.{view.state}", language),
        report=view.report,
        may_report=view.state == "confirmed" and now.astimezone(zone).date() >= local,
        day=local,
    )


def _in_order(bay: BayDay) -> list[DayEntry]:
    return sorted(bay.entries, key=lambda entry: entry.period.start)


def _entry(entry: DayEntry, zone: ZoneInfo, language: Language) -> Entry:
    return Entry(
        booking_id=entry.booking_id,
        when=period(entry.period.start, entry.period.end, zone),
        job=job_name(entry.job, language),
        state=str(entry.state),
        state_text=say(f"state.{entry.state}", language),
        vehicle=entry.vehicle_label,
        fault=entry.title_zh if language == "zh" else entry.title_en,
        has_page=entry.vehicle_label is not None,
    )


def _timetable(facts: WorkshopDay, zone: ZoneInfo, language: Language) -> tuple[Row, ...]:
    """Rows between all instants at which something begins or ends, half an hour apart at most."""
    entries = [entry for bay in facts.bays for entry in bay.entries]
    spans = [*facts.open, *(entry.period for entry in entries)]
    if not spans:
        return ()
    first, last = min(part.start for part in spans), max(part.end for part in spans)
    instants = {moment for part in spans for moment in (part.start, part.end)}
    step = first
    while step < last:
        instants.add(step)
        step += _STEP
    edges = sorted(instants)
    columns = [_column(bay, edges, facts.open, zone, language) for bay in facts.bays]
    return tuple(
        Row(
            clock=clock(edges[index], zone),
            on_the_hour=edges[index].astimezone(zone).minute == 0,
            cells=tuple(column[index] for column in columns),
        )
        for index in range(len(edges) - 1)
    )


def _column(
    bay: BayDay, edges: Sequence[datetime], hours: Sequence[Period], zone: ZoneInfo, language: Language
) -> list[Cell | None]:
    cells: list[Cell | None] = []
    starts = {entry.period.start: entry for entry in bay.entries}
    covered_until = edges[0]
    for begin, end in pairwise(edges):
        if begin < covered_until:
            cells.append(None)
        elif begin in starts:
            entry = starts[begin]
            covered_until = entry.period.end
            rows = sum(begin <= edge < covered_until for edge in edges)
            cells.append(Cell(kind="booked", rows=rows, entry=_entry(entry, zone, language)))
        else:
            is_open = any(part.start <= begin and end <= part.end for part in hours)
            cells.append(Cell(kind="free" if is_open else "closed", rows=1))
    return cells
