"""The workshop's day, its bookings, and the report of what was done."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import HTMLResponse

from ingest.database import Connection
from ingest.personal.access_log import record_access
from portal.disclosure import customer_of
from portal.errors import NotFoundError
from portal.guard import Database, Visit, WorkshopOnly, WorkshopOrEngineer, checked_form
from portal.ownership import booking_at_workshop, own_workshop
from portal.rendering import notice_of, page, redirect
from portal.service_form import UNFILLED, Filled, FilledForm, read_work
from portal.texts import say
from portal.views.service import work_form
from portal.views.workshop import booking_page, day_page
from rules.booking import desk
from rules.booking.errors import BookingError

router = APIRouter(include_in_schema=False)
_LONGEST_REPORT = 4000  # characters
_YEARS = range(2000, 2101)  # beyond, day arithmetic leaves the calendar


@router.get("/workshops/{workshop_id}")
def today(
    workshop_id: UUID, visit: WorkshopOrEngineer, connection: Database, day: Annotated[date | None, Query()] = None
) -> Response:
    """Send on to the day asked for, or the workshop's own today."""
    workshop = own_workshop(connection, visit, workshop_id)
    local = day or visit.now.astimezone(ZoneInfo(workshop.time_zone)).date()
    return redirect(visit, f"/workshops/{workshop_id}/days/{local}")


@router.get("/workshops/{workshop_id}/days/{day}")
def workshop_day(workshop_id: UUID, day: date, visit: WorkshopOrEngineer, connection: Database) -> HTMLResponse:
    """Bays and what is in them."""
    workshop = own_workshop(connection, visit, workshop_id)
    if day.year not in _YEARS:
        raise NotFoundError("no such day")
    visit = visit.of(time_zone=workshop.time_zone)
    facts = desk.workshop_day(connection, workshop_id, day)
    view = day_page(facts, now=visit.now, language=visit.language)
    return page(visit, "workshop_day.html", title=f"{workshop.name}: {view.day_text}", day=view)


@router.get("/workshops/{workshop_id}/bookings/{booking_id}")
def workshop_booking(
    workshop_id: UUID, booking_id: UUID, request: Request, visit: WorkshopOrEngineer, connection: Database
) -> HTMLResponse:
    """A confirmed booking, with the form for the report."""
    return _booking(workshop_id, booking_id, visit, connection, notice=notice_of(request))


@router.post("/workshops/{workshop_id}/bookings/{booking_id}/report", dependencies=[Depends(checked_form)])
def report(
    workshop_id: UUID,
    booking_id: UUID,
    visit: WorkshopOnly,
    connection: Database,
    filled: FilledForm,
    report: Annotated[str, Form(max_length=_LONGEST_REPORT)] = "",
) -> Response:
    """Take what was done, in words and of which parts; sent twice, it is taken once."""
    view = booking_at_workshop(connection, visit, workshop_id, booking_id)
    path = f"/workshops/{workshop_id}/bookings/{booking_id}"
    if view.state == "completed":
        return redirect(visit, path, notice="reported")
    work, wrong = read_work(filled, visit.language)
    if not report.strip():
        wrong = [say("problem.report_empty", visit.language), *wrong]
    if wrong:
        return _booking(workshop_id, booking_id, visit, connection, wrong=wrong, status=400, text=report, filled=filled)
    try:
        desk.complete(connection, booking_id, report, visit.now, work=work)
    except BookingError:
        wrong = [say("problem.report", visit.language)]
        return _booking(workshop_id, booking_id, visit, connection, wrong=wrong, status=409, text=report, filled=filled)
    return redirect(visit, path, notice="reported")


def _booking(
    workshop_id: UUID,
    booking_id: UUID,
    visit: Visit,
    connection: Connection,
    *,
    notice: str | None = None,
    wrong: Sequence[str] = (),
    status: int = 200,
    text: str = "",
    filled: Filled = UNFILLED,
) -> HTMLResponse:
    view = booking_at_workshop(connection, visit, workshop_id, booking_id)
    visit = visit.of(time_zone=view.time_zone)
    customer = customer_of(view, visit.role, visit.now)
    if customer.plain:
        record_access(
            connection,
            view.owner_id,
            role="workshop",
            actor=str(workshop_id),
            fields=customer.plain,
            purpose=f"page of booking {booking_id}",
        )
    return page(
        visit,
        "workshop_booking.html",
        status=status,
        title=say("booking.title", visit.language, vehicle=view.vehicle_label),
        booking=booking_page(view, customer, now=visit.now, language=visit.language),
        workshop_id=workshop_id,
        notice=notice,
        wrong=wrong,
        draft=text,
        work=work_form(filled.jobs, filled.measures, visit.language),
        longest_report=_LONGEST_REPORT,
    )
