"""The same as JSON, with the same authorisation. Reads only: what changes something goes through the forms."""

from datetime import date
from uuid import UUID

from fastapi import APIRouter

from ingest import reading_store, registry
from ingest.outbound import services
from portal.errors import NotFoundError
from portal.fleet_data import rows_of
from portal.guard import Database, OwnerOrEngineer, SignedIn, WorkshopOrEngineer
from portal.health_curves import read_curves
from portal.ownership import own_vehicle, own_workshop, readable_booking
from portal.views.api import (
    BookingJson,
    DayJson,
    FleetEntryJson,
    VehicleJson,
    booking_json,
    day_json,
    durability_json,
    fleet_entry,
    health_json,
    service_json,
    trouble_code_json,
)
from portal.views.durability import vehicle_durability
from portal.views.health import health_cards
from rules.booking import desk
from rules.vehicle_store import code_urgencies

router = APIRouter(prefix="/api/v1")


@router.get("/fleet", tags=["vehicles"])
def fleet(visit: OwnerOrEngineer, connection: Database) -> list[FleetEntryJson]:
    """All vehicles for an engineer, an owner's own for an owner."""
    if visit.role == "engineer":
        vehicles = registry.vehicles(connection)
    else:
        assert visit.identity is not None
        assert visit.identity.subject_id is not None
        vehicles = registry.vehicles_of_owner(connection, visit.identity.subject_id)
    return [fleet_entry(row, visit.language) for row in rows_of(connection, visit, vehicles)]


@router.get("/vehicles/{vehicle_id}", tags=["vehicles"])
def vehicle(vehicle_id: UUID, visit: OwnerOrEngineer, connection: Database) -> VehicleJson:
    """One vehicle: health with forecast, battery durability, work on it, trouble codes, open alerts, bookings."""
    found = own_vehicle(connection, visit, vehicle_id)
    state = reading_store.latest_state(connection, vehicle_id)
    (row,) = rows_of(connection, visit, [found])
    cards = health_cards(
        read_curves(connection, state, visit.now), now=visit.now, language=visit.language, zone=visit.zone
    )
    urgencies = code_urgencies(connection, state, visit.now)
    return VehicleJson(
        vehicle=fleet_entry(row, visit.language),
        health=health_json(cards),
        durability=durability_json(
            vehicle_durability(state, found.in_service_since, visit.config.vehicle_category(found.profile), visit.now)
        ),
        services=[service_json(entry) for entry in services.services(connection, vehicle_id)],
        trouble_codes=[trouble_code_json(code, urgencies[code.code], visit.language) for code in state.trouble_codes],
        bookings=[booking_json(view) for view in desk.bookings_of_vehicle(connection, vehicle_id)],
    )


@router.get("/bookings/{booking_id}", tags=["bookings"])
def booking(booking_id: UUID, visit: SignedIn, connection: Database) -> BookingJson:
    """A booking, for the car's owner, the workshop it is confirmed at, and engineers."""
    return booking_json(readable_booking(connection, visit, booking_id))


@router.get("/workshops/{workshop_id}/days/{day}", tags=["bookings"])
def workshop_day(workshop_id: UUID, day: date, visit: WorkshopOrEngineer, connection: Database) -> DayJson:
    """A workshop's local day: bays and what is in them."""
    own_workshop(connection, visit, workshop_id)
    if not 2000 <= day.year <= 2100:
        raise NotFoundError("no such day")
    return day_json(desk.workshop_day(connection, workshop_id, day))
