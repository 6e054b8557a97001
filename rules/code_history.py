"""What happened with a trouble code before: on how many days it came up, and the freeze frame it came with.

The latest state of a vehicle holds only what is present; the events hold the rest. A code came up anew where it appears
first or after it was cleared: a dongle that was in another car meanwhile, or lost what it knew, tells it twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import isfinite
from uuid import UUID

from health.trouble_code_urgency import RECURRENCE_DAYS
from ingest.database import Connection
from rules.context import TroubleCode
from telemetry.catalogue import catalogue
from telemetry.records import EventKind

_WINDOW = timedelta(days=RECURRENCE_DAYS)


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What one control unit said of a code."""

    time: datetime
    code: str
    ecu: str
    kind: EventKind  # of dtc.*
    frame: Mapping[str, float] = field(default_factory=dict)  # VSS path -> value


def with_history(
    present: Mapping[str, TroubleCode], sightings: Iterable[Sighting], now: datetime
) -> dict[str, TroubleCode]:
    """The codes present, each with its days and the newest frame of its present episode. ``sightings`` in any order."""
    known = sorted(sightings, key=lambda sighting: sighting.time)
    found: dict[str, TroubleCode] = {}
    for code, entry in present.items():
        own = [sighting for sighting in known if sighting.code == code and sighting.time <= now]
        days = {time.date() for time in _came_up(own) if now - time < _WINDOW}
        frames = [sighting.frame for sighting in own if sighting.frame and sighting.time >= entry.first_seen]
        found[code] = replace(entry, days_seen=max(1, len(days)), frame=frames[-1] if frames else {})
    return found


def _came_up(sightings: Iterable[Sighting]) -> Iterator[datetime]:
    """When one code came up anew; ``sightings`` in time order."""
    there: set[str] = set()  # control units
    for seen in sightings:
        if seen.kind is EventKind.DTC_CLEARED:
            there.discard(seen.ecu)
        else:
            if seen.kind is EventKind.DTC_APPEARED and seen.ecu not in there:
                yield seen.time
            there.add(seen.ecu)


def read_history(
    connection: Connection, vehicle_id: UUID, present: Mapping[str, TroubleCode], now: datetime
) -> dict[str, TroubleCode]:
    """The same from the events of a vehicle."""
    if not present:
        return {}
    since = min(now - _WINDOW, *(entry.first_seen for entry in present.values()))
    rows = connection.execute(
        """
        SELECT time, kind, data->>'code', coalesce(data->>'ecu', ''), data->'freeze_frame' FROM vehicle_event
        WHERE vehicle_id = %s AND kind IN ('dtc.appeared', 'dtc.changed', 'dtc.cleared') AND data->>'code' = ANY(%s)
          AND time >= %s AND time <= %s
        ORDER BY time, id
        """,
        [vehicle_id, list(present), since, now],
    ).fetchall()
    return with_history(present, [sighting(*row) for row in rows], now)


def sighting(time: datetime, kind: str, code: str, ecu: str, frame: object) -> Sighting:
    """One of a stored event; of its frame what is a number the catalogue knows."""
    return Sighting(time=time, code=code, ecu=ecu, kind=EventKind(kind), frame=_frame(frame))


def _frame(stored: object) -> dict[str, float]:
    if not isinstance(stored, Mapping):
        return {}
    return {
        path: float(value)
        for path, value in stored.items()
        if type(value) in {int, float} and path in catalogue() and isfinite(value)
    }
