"""One vehicle, for its owner and for engineers; and what its owner tells of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse
from psycopg import Rollback

from ingest import reading_store, registry
from ingest.database import Connection
from ingest.outbound import services
from portal.errors import NotFoundError
from portal.fleet_data import rows_of
from portal.guard import Database, OwnerOnly, OwnerOrEngineer, Visit, checked_form
from portal.health_curves import read_curves
from portal.ownership import own_vehicle
from portal.rendering import notice_of, page, redirect
from portal.service_data import open_suspicions
from portal.service_form import owner_jobs, told_id, told_time
from portal.texts import say
from portal.views.durability import durability_panel
from portal.views.health import health_cards
from portal.views.service import questions, service_lines, today_in
from portal.views.vehicle import alert_lines, booking_lines, code_lines, event_lines, vitals
from rules.alerts import list_alerts
from rules.booking import desk
from rules.services import JOBS, Work, confirmed, records
from rules.vehicle_store import code_urgencies

router = APIRouter(include_in_schema=False)
_EVENTS = 12
_ALERTS = 30
_SERVICES = 20


@router.get("/vehicles/{vehicle_id}")
def vehicle_page(vehicle_id: UUID, request: Request, visit: OwnerOrEngineer, connection: Database) -> HTMLResponse:
    """Health with forecast, trouble codes, alerts, bookings, events, work on the car."""
    vehicle = own_vehicle(connection, visit, vehicle_id)
    return _page(vehicle, _at_owners(visit, connection, vehicle), connection, notice=notice_of(request))


@router.post("/vehicles/{vehicle_id}/services", dependencies=[Depends(checked_form)])
def tell_service(
    vehicle_id: UUID,
    visit: OwnerOnly,
    connection: Database,
    what: Annotated[str, Form()] = "",
    day: Annotated[str, Form()] = "",
) -> Response:
    """Take the owner's word that something was done."""
    vehicle = own_vehicle(connection, visit, vehicle_id)
    visit = _at_owners(visit, connection, vehicle)
    told = _date(day)
    time = None if told is None else told_time(told, visit.now, visit.zone)
    wrong = [] if what in JOBS else [say("problem.service_what", visit.language)]
    if time is None:
        wrong.append(say("problem.service_day", visit.language))
    if wrong or told is None or time is None:
        return _page(vehicle, visit, connection, wrong=wrong, status=400)
    (record,) = records([JOBS[what]], time=time, by="owner", reason="told on the car's page")
    record = replace(record, id=told_id(vehicle_id, what, told))
    services.keep(connection, vehicle_id, [record], by_role="owner", by_name="", now=visit.now)
    return redirect(visit, f"/vehicles/{vehicle_id}", notice="service_kept")


@router.post("/vehicles/{vehicle_id}/suspicions/{event_id}", dependencies=[Depends(checked_form)])
def answer_suspicion(
    vehicle_id: UUID, event_id: int, visit: OwnerOnly, connection: Database, answer: Annotated[str, Form()] = ""
) -> Response:
    """Take the owner's answer to a suspicion; a second one changes nothing."""
    own_vehicle(connection, visit, vehicle_id)
    suspicion = next(
        (entry for entry in open_suspicions(connection, vehicle_id, visit.now) if entry.event_id == event_id), None
    )
    if answer not in {"yes", "no"}:
        raise NotFoundError("neither yes nor no")
    if suspicion is not None:
        _settle(connection, vehicle_id, suspicion, confirmed(suspicion) if answer == "yes" else None, visit)
    return redirect(visit, f"/vehicles/{vehicle_id}", notice="suspicion_answered")


def _settle(
    connection: Connection, vehicle_id: UUID, suspicion: services.Suspicion, work: Work | None, visit: Visit
) -> None:
    time = min(suspicion.time, visit.now)  # by a dongle's clock, which may be ahead
    told = () if work is None else records([work], time=time, by="owner", reason="a suspicion confirmed")
    with connection.transaction():
        services.keep(connection, vehicle_id, told, by_role="owner", by_name="", now=visit.now)
        first = services.answer_suspicion(
            connection, suspicion.event_id, service_id=told[0].id if told else None, now=visit.now
        )
        if not first:
            raise Rollback


def _at_owners(visit: Visit, connection: Connection, vehicle: registry.Vehicle) -> Visit:
    """An owner reads in their own language and time zone."""
    if visit.role != "owner":
        return visit
    owner = registry.owner_by_id(connection, vehicle.owner_id)
    return visit.of(language=owner.language, time_zone=owner.time_zone)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None


def _page(
    vehicle: registry.Vehicle,
    visit: Visit,
    connection: Connection,
    *,
    status: int = 200,
    notice: str | None = None,
    wrong: Sequence[str] = (),
) -> HTMLResponse:
    vehicle_id = vehicle.id
    state = reading_store.latest_state(connection, vehicle_id)
    (row,) = rows_of(connection, visit, [vehicle])
    return page(
        visit,
        "vehicle.html",
        status=status,
        title=vehicle.label,
        notice=notice,
        wrong=wrong,
        vehicle=vehicle,
        row=row,
        cards=health_cards(
            read_curves(connection, state, visit.now), now=visit.now, language=visit.language, zone=visit.zone
        ),
        vitals=vitals(state, visit.now, visit.language),
        codes=code_lines(state.trouble_codes, code_urgencies(connection, state, visit.now), visit.now, visit.language),
        alerts=alert_lines(list_alerts(connection, vehicle_id=vehicle_id, limit=_ALERTS), visit.language, visit.zone),
        bookings=booking_lines(desk.bookings_of_vehicle(connection, vehicle_id), visit.now, visit.language),
        events=event_lines(reading_store.events(connection, vehicle_id, _EVENTS), visit.language, visit.zone),
        services=service_lines(services.services(connection, vehicle_id, _SERVICES), visit.language, visit.zone),
        questions=questions(open_suspicions(connection, vehicle_id, visit.now), visit.language, visit.zone),
        durability=durability_panel(
            state,
            vehicle.in_service_since,
            visit.config.vehicle_category(vehicle.profile),
            visit.now,
            visit.language,
        ),
        owner_jobs=owner_jobs(visit.language),
        today=today_in(visit.now, visit.zone),
    )
