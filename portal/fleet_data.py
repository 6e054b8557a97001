"""Reads the rows of vehicle lists: the whole fleet, or an owner's cars."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from ingest import reading_store, registry
from ingest.database import Connection
from portal.guard import Visit
from portal.views.fleet import FleetRow, fleet_row
from rules.alerts import Alert, list_alerts

_MOST_ALERTS = 5000  # open at once; more would be a fault of a rule


def rows_of(connection: Connection, visit: Visit, vehicles: Sequence[registry.Vehicle]) -> list[FleetRow]:
    """A row for each of these vehicles."""
    alerts: dict[UUID, list[Alert]] = defaultdict(list)
    if len(vehicles) == 1:
        opened = list_alerts(connection, vehicle_id=vehicles[0].id, open_only=True, limit=_MOST_ALERTS)
    else:
        opened = list_alerts(connection, open_only=True, limit=_MOST_ALERTS) if vehicles else []
    for alert in opened:
        alerts[alert.vehicle_id].append(alert)
    devices: dict[UUID, list[registry.Device]] = defaultdict(list)
    for device in registry.devices(connection):
        devices[device.vehicle_id].append(device)
    said = {state.device_id: state for state in reading_store.device_states(connection)}
    states = reading_store.latest_states(connection, [vehicle.id for vehicle in vehicles])
    return [
        fleet_row(
            vehicle,
            states[vehicle.id],
            alerts[vehicle.id],
            devices[vehicle.id],
            said,
            now=visit.now,
            language=visit.language,
            zone=visit.zone,
        )
        for vehicle in vehicles
    ]
