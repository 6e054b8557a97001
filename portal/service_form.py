"""What a form says of the work on a car, read strictly and told back in plain words where it cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from fastapi import Depends, Request

from portal.formats import number
from portal.texts import Language, say
from portal.views.service import job_text, measure_text, unit_text
from rules.services import JOBS, MEASURES, Work

OLDEST: Final = timedelta(days=365)  # what an owner remembers with its day
_LONGEST_NUMBER: Final = 12  # characters


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A form as it was filled in: jobs ticked, and measurements as written, by field."""

    jobs: frozenset[str] = frozenset()
    measures: Mapping[str, str]


UNFILLED: Final = Filled(measures={})


async def filled_form(request: Request) -> Filled:
    """The fields about parts, of any form; what is not one of them is left out."""
    form = await request.form()
    return Filled(
        jobs=frozenset(str(name) for name in form.getlist("done")) & JOBS.keys(),
        measures={name: str(form.get(name) or "").strip()[:_LONGEST_NUMBER] for name in MEASURES},
    )


FilledForm = Annotated[Filled, Depends(filled_form)]


def read_work(filled: Filled, language: Language) -> tuple[Sequence[Work], Sequence[str]]:
    """The work in the order in which it counts, and what is wrong with the form, in words."""
    work = [JOBS[name] for name in JOBS if name in filled.jobs]
    problems = []
    for name, written in filled.measures.items():
        if not written:
            continue
        measure = MEASURES[name]
        what, (low, high) = measure_text(measure, language), measure.limits
        try:
            value = float(written.replace(",", "."))
        except ValueError:
            problems.append(say("problem.no_number", language, what=what, value=written))
            continue
        if not low <= value <= high:
            limits = {"low": number(low, 1), "high": number(high, 0), "unit": unit_text(measure.unit)}
            problems.append(say("problem.measure", language, what=what, value=written, **limits))
            continue
        work.append(measure.work(value))
    return work, problems


def told_time(day: date, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When something told by its day was done: now for today, else noon of the owner's zone; None if it cannot be."""
    today = now.astimezone(zone).date()
    if not today - OLDEST <= day <= today:
        return None
    return now if day == today else datetime(day.year, day.month, day.day, 12, tzinfo=zone)


def told_id(vehicle_id: UUID, what: str, day: date) -> UUID:
    """Id of what an owner tells of a day: a form sent twice is one record."""
    return uuid5(vehicle_id, f"told by the owner: {what} on {day.isoformat()}")


def owner_jobs(language: Language) -> list[tuple[str, str]]:
    """What an owner may choose: names with their texts."""
    return [(name, job_text(name, language)) for name in JOBS]
