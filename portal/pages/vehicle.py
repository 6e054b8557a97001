"""One vehicle, for its owner and for engineers."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from ingest import reading_store, registry
from portal.fleet_data import rows_of
from portal.guard import Database, OwnerOrEngineer
from portal.health_curves import read_curves
from portal.ownership import own_vehicle
from portal.rendering import page
from portal.views.health import health_cards
from portal.views.vehicle import alert_lines, booking_lines, code_lines, event_lines, vitals
from rules.alerts import list_alerts
from rules.booking import desk

router = APIRouter(include_in_schema=False)
_EVENTS = 12
_ALERTS = 30


@router.get("/vehicles/{vehicle_id}")
def vehicle_page(vehicle_id: UUID, visit: OwnerOrEngineer, connection: Database) -> HTMLResponse:
    """Health with forecast, trouble codes, alerts, bookings, events."""
    vehicle = own_vehicle(connection, visit, vehicle_id)
    owner = registry.owner_by_id(connection, vehicle.owner_id)
    if visit.role == "owner":
        visit = visit.of(language=owner.language, time_zone=owner.time_zone)
    state = reading_store.latest_state(connection, vehicle_id)
    (row,) = rows_of(connection, visit, [vehicle])
    return page(
        visit,
        "vehicle.html",
        title=vehicle.label,
        vehicle=vehicle,
        row=row,
        cards=health_cards(
            read_curves(connection, state, visit.now), now=visit.now, language=visit.language, zone=visit.zone
        ),
        vitals=vitals(state, visit.now, visit.language),
        codes=code_lines(state.trouble_codes, visit.now, visit.language),
        alerts=alert_lines(list_alerts(connection, vehicle_id=vehicle_id, limit=_ALERTS), visit.language, visit.zone),
        bookings=booking_lines(desk.bookings_of_vehicle(connection, vehicle_id), visit.now, visit.language),
        events=event_lines(reading_store.events(connection, vehicle_id, _EVENTS), visit.language, visit.zone),
    )
