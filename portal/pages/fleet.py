"""Vehicle lists: the fleet for engineers, their own cars for owners."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from ingest import registry
from ingest.errors import RegistryError
from portal.errors import NotFoundError
from portal.fleet_data import rows_of
from portal.guard import Database, EngineerOnly, OwnerOnly
from portal.rendering import page
from portal.texts import say
from portal.views.fleet import FILTERS, Filter, fleet
from portal.views.vehicle import booking_lines
from rules.booking import desk

router = APIRouter(include_in_schema=False)


@router.get("/fleet")
def fleet_page(
    visit: EngineerOnly,
    connection: Database,
    q: Annotated[str, Query(max_length=100)] = "",
    only: Filter = "all",
) -> HTMLResponse:
    """All vehicles, the most pressing first."""
    rows = rows_of(connection, visit, registry.vehicles(connection))
    title = say("fleet.title", visit.language)
    view = fleet(rows, search=q, only=only)
    return page(
        visit,
        "fleet.html",
        title=title,
        fleet=view,
        search=q,
        only=only,
        filters=FILTERS,
        workshops=registry.workshops(connection),
    )


@router.get("/cars")
def cars_page(visit: OwnerOnly, connection: Database) -> HTMLResponse:
    """An owner's cars, and what waits for an answer."""
    assert visit.identity is not None
    assert visit.identity.subject_id is not None
    try:
        owner = registry.owner_by_id(connection, visit.identity.subject_id)
    except RegistryError as error:
        raise NotFoundError(str(error)) from error
    visit = visit.of(language=owner.language, time_zone=owner.time_zone)
    vehicles = registry.vehicles_of_owner(connection, owner.id)
    bookings = [view for vehicle in vehicles for view in desk.bookings_of_vehicle(connection, vehicle.id)]
    open_bookings = [view for view in bookings if view.state in ("proposed", "confirmed")]
    return page(
        visit,
        "cars.html",
        title=say("cars.title", visit.language),
        rows=rows_of(connection, visit, vehicles),
        bookings=booking_lines(open_bookings, visit.now, visit.language),
    )
