"""Whom it is about: a person by the numbers that stand for them, and the rows these numbers select."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row

from ingest.database import Connection
from ingest.errors import RegistryError
from ingest.outbound.wipes import OrderedWipe
from ingest.personal.places import Link, Place


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Pseudonyms of a person: they name nobody without the registry."""

    owner_id: UUID
    vehicle_ids: tuple[UUID, ...]
    device_ids: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, object]:
        """For the statements made by :func:`rows_of`."""
        return {"owner": self.owner_id, "vehicles": list(self.vehicle_ids), "devices": list(self.device_ids)}


_OF_LINK: Final[dict[Link, sql.SQL]] = {
    "owner": sql.SQL("= %(owner)s"),
    "vehicle": sql.SQL("= ANY(%(vehicles)s)"),
    "device": sql.SQL("= ANY(%(devices)s)"),
    "alert": sql.SQL("IN (SELECT id FROM alert WHERE vehicle_id = ANY(%(vehicles)s))"),
    "event": sql.SQL("IN (SELECT id FROM vehicle_event WHERE vehicle_id = ANY(%(vehicles)s))"),
}


def find_subject(connection: Connection, owner_id: UUID) -> Subject:
    """The person of that number with all their vehicles and dongles. RegistryError where there is none."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        if cursor.execute("SELECT 1 FROM owner WHERE id = %s", [owner_id]).fetchone() is None:
            raise RegistryError(f"there is no owner {owner_id}; list them with `wearcast ingest owner list`")
        vehicles = cursor.execute("SELECT id FROM vehicle WHERE owner_id = %s ORDER BY id", [owner_id]).fetchall()
        devices = cursor.execute("SELECT id FROM device WHERE vehicle_id = ANY(%s) ORDER BY id", [vehicles]).fetchall()
    return Subject(owner_id=owner_id, vehicle_ids=tuple(vehicles), device_ids=tuple(devices))


def still_theirs(connection: Connection, subject: Subject) -> Subject:
    """The same without dongles that are in somebody else's car by now: what these send is not the person's."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        others = cursor.execute(
            "SELECT id FROM device WHERE id = ANY(%s) AND vehicle_id <> ALL(%s)",
            [list(subject.device_ids), list(subject.vehicle_ids)],
        ).fetchall()
    return replace(subject, device_ids=tuple(device for device in subject.device_ids if device not in others))


def rows_of(place: Place) -> sql.Composed:
    """``FROM … WHERE …`` of a person's rows in a place; takes :attr:`Subject.parameters`."""
    return sql.SQL("FROM {} WHERE {} {}").format(
        sql.Identifier(place.table), sql.Identifier(place.column), _OF_LINK[place.link]
    )


def count_rows(connection: Connection, subject: Subject, places: tuple[Place, ...]) -> dict[str, int]:
    """How many rows of the person are in each place that has some."""
    counts: dict[str, int] = {}
    with connection.cursor(row_factory=scalar_row) as cursor:
        for place in places:
            query = sql.SQL("SELECT count(*) {}").format(rows_of(place))
            found = cursor.execute(query, subject.parameters).fetchone()
            if found:
                counts[place.table] = int(found)
    return counts


@dataclass(frozen=True, kw_only=True)
class Erased:
    """A finished erasure, as the list of erasures keeps it."""

    subject: Subject
    erased_at: datetime
    reason: str
    wipes: tuple[OrderedWipe, ...] = ()  # of the dongles, which have to empty themselves
