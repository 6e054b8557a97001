"""Reads what the owner is asked about the work on a car."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from ingest.database import Connection
from ingest.outbound import services
from ingest.outbound.services import Suspicion

_ASKED_FOR: Final = timedelta(days=60)  # who does not remember by then is not asked any more
_SETTLED_WITHIN: Final = timedelta(days=14)  # a record of the part so near in time is the change that was noticed


def open_suspicions(connection: Connection, vehicle_id: UUID, now: datetime) -> list[Suspicion]:
    """Changes that nobody reported and the owner has not answered for."""
    return services.open_suspicions(connection, vehicle_id, since=now - _ASKED_FOR, near=_SETTLED_WITHIN)
