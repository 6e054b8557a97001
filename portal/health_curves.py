"""Reads what the health cards are made from."""

from datetime import datetime, timedelta
from typing import Final

from ingest import reading_store
from ingest.database import Connection
from ingest.reading_store import EstimatePoint, VehicleState
from portal.views.health import Curve, by_place

HISTORY: Final = timedelta(days=400)  # as far as the rules' own forecast looks back


def read_curves(connection: Connection, state: VehicleState, now: datetime) -> tuple[Curve, ...]:
    """Newest estimates of a vehicle with their past, by quantity and position."""
    curves = []
    for (quantity, position), latest in by_place(state.estimates.values()).items():
        points: list[EstimatePoint] = []
        for source in sorted({entry.source for entry in latest}):
            points += reading_store.estimate_series(
                connection,
                state.vehicle_id,
                quantity,
                position,
                now - HISTORY,
                now + timedelta(minutes=5),  # a dongle's clock may be a little ahead
                source=source,
            )
        curves.append(
            Curve(
                quantity=quantity,
                position=position,
                latest=latest,
                points=tuple(sorted(points, key=lambda point: point.time)),
            )
        )
    return tuple(curves)
