"""Workshops as the booking domain sees them, in SQL: who does a job, when they are open, what is taken."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ingest.database import Connection
from rules.booking.compare import distance_km
from rules.booking.errors import UnknownBookingError
from rules.booking.records import Bay, Candidate, OpeningHours, Period, WorkshopCalendar
from rules.booking.rows import all_of, one

# One degree of latitude is never shorter than this (at the equator 110.57 km): the band lets nothing near out.
_KM_PER_DEGREE_OF_LATITUDE = 110.0


def candidates(
    connection: Connection,
    *,
    job: str,
    place: tuple[float, float],
    radius_km: float,
    limit: int,
    now: datetime,
    latest: datetime,
) -> tuple[Candidate, ...]:
    """Return the nearest workshops that do the job, with their calendars between the two instants.

    ``place`` is (latitude, longitude) in degrees.
    """
    latitude, longitude = place
    band = radius_km / _KM_PER_DEGREE_OF_LATITUDE
    rows = all_of(
        connection,
        """
        SELECT workshop.id, workshop.name, workshop.time_zone, workshop.latitude, workshop.longitude,
               workshop.rating::float8 AS rating, workshop_job.skill, workshop_job.duration, workshop_job.price,
               workshop_job.currency
        FROM workshop JOIN workshop_job ON workshop_job.workshop_id = workshop.id AND workshop_job.job = %s
        WHERE workshop.latitude BETWEEN %s AND %s
        """,
        job,
        latitude - band,
        latitude + band,
    )
    for row in rows:
        row["distance_km"] = distance_km(latitude, longitude, row["latitude"], row["longitude"])
    near = sorted(
        (row for row in rows if row["distance_km"] <= radius_km), key=lambda row: (row["distance_km"], row["id"])
    )[:limit]
    return _with_calendars(connection, near, now=now, latest=latest, except_booking=None)


def candidate(
    connection: Connection, *, workshop_id: UUID, job: str, now: datetime, latest: datetime, except_booking: UUID
) -> Candidate | None:
    """Return one workshop as seen by a booking that may move in it: its own time counts as free. None: not this job."""
    rows = all_of(
        connection,
        """
        SELECT workshop.id, workshop.name, workshop.time_zone, workshop.rating::float8 AS rating, workshop_job.skill,
               workshop_job.duration, workshop_job.price, workshop_job.currency, 0.0::float8 AS distance_km
        FROM workshop JOIN workshop_job ON workshop_job.workshop_id = workshop.id AND workshop_job.job = %s
        WHERE workshop.id = %s
        """,
        job,
        workshop_id,
    )
    found = _with_calendars(connection, rows, now=now, latest=latest, except_booking=except_booking)
    return found[0] if found else None


def _with_calendars(
    connection: Connection,
    rows: Sequence[dict[str, Any]],
    *,
    now: datetime,
    latest: datetime,
    except_booking: UUID | None,
) -> tuple[Candidate, ...]:
    ids = [row["id"] for row in rows]
    hours = defaultdict(list)
    for entry in all_of(
        connection, "SELECT workshop_id, weekday, opens, closes FROM opening_hours WHERE workshop_id = ANY(%s)", ids
    ):
        hours[entry.pop("workshop_id")].append(OpeningHours(**entry))
    closures = defaultdict(set)
    for entry in all_of(connection, "SELECT workshop_id, day FROM workshop_closure WHERE workshop_id = ANY(%s)", ids):
        closures[entry["workshop_id"]].add(entry["day"])
    bays = defaultdict(list)
    for entry in all_of(connection, "SELECT workshop_id, id, name, skills FROM bay WHERE workshop_id = ANY(%s)", ids):
        bays[entry["workshop_id"]].append(Bay(id=entry["id"], name=entry["name"], skills=frozenset(entry["skills"])))
    taken = defaultdict(list)
    for entry in all_of(
        connection,
        """
        SELECT bay_id, lower(period) AS start, upper(period) AS "end" FROM booking
        WHERE workshop_id = ANY(%s) AND state IN ('proposed', 'confirmed', 'completed')
          AND period && tstzrange(%s, %s) AND id IS DISTINCT FROM %s
        """,
        ids,
        now,
        latest,
        except_booking,
    ):
        taken[entry["bay_id"]].append(Period(start=entry["start"], end=entry["end"]))
    return tuple(
        Candidate(
            calendar=WorkshopCalendar(
                workshop_id=row["id"],
                time_zone=row["time_zone"],
                hours=tuple(hours[row["id"]]),
                closures=frozenset(closures[row["id"]]),
                bays=tuple(bays[row["id"]]),
                taken={bay.id: tuple(taken[bay.id]) for bay in bays[row["id"]]},
            ),
            name=row["name"],
            skill=row["skill"],
            duration=row["duration"],
            price=row["price"],
            currency=row["currency"],
            rating=row["rating"],
            distance_km=row["distance_km"],
        )
        for row in rows
    )


@dataclass(frozen=True, kw_only=True)
class WorkshopFacts:
    """A workshop's name and whether it takes webhooks."""

    id: UUID
    name: str
    time_zone: str
    takes_webhooks: bool


def workshop(connection: Connection, workshop_id: UUID) -> WorkshopFacts:
    """Read a workshop, or UnknownBookingError."""
    row = one(
        connection,
        "SELECT id, name, time_zone, webhook_url IS NOT NULL AS takes_webhooks FROM workshop WHERE id = %s",
        workshop_id,
    )
    if row is None:
        raise UnknownBookingError(f"There is no workshop {workshop_id}.")
    return WorkshopFacts(**row)


def calendar(connection: Connection, workshop_id: UUID) -> WorkshopCalendar:
    """Read hours, closed days and bays of a workshop, without what is taken."""
    facts = workshop(connection, workshop_id)
    bays = all_of(connection, "SELECT id, name, skills FROM bay WHERE workshop_id = %s ORDER BY name, id", workshop_id)
    return WorkshopCalendar(
        workshop_id=workshop_id,
        time_zone=facts.time_zone,
        hours=tuple(
            OpeningHours(**row)
            for row in all_of(
                connection, "SELECT weekday, opens, closes FROM opening_hours WHERE workshop_id = %s", workshop_id
            )
        ),
        closures=frozenset(
            row["day"]
            for row in all_of(connection, "SELECT day FROM workshop_closure WHERE workshop_id = %s", workshop_id)
        ),
        bays=tuple(Bay(id=row["id"], name=row["name"], skills=frozenset(row["skills"])) for row in bays),
    )
