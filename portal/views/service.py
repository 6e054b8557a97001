"""Work on a car: the form's parts, what was reported and how far it came, what the owner is asked. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from ingest.outbound.services import NO_ANSWER, StoredService, Suspicion
from portal.formats import day, number
from portal.texts import Language, known, say
from rules.services import AXLES, JOBS, MEASURES, WHEELS, Measure

_UNITS: Final = {"percent": "%"}


@dataclass(frozen=True, kw_only=True)
class JobField:
    """A box to tick."""

    name: str
    text: str
    ticked: bool


@dataclass(frozen=True, kw_only=True)
class MeasureField:
    """A number to fill in."""

    name: str
    text: str
    written: str


@dataclass(frozen=True, kw_only=True)
class WorkForm:
    """The parts of a workshop's report, as filled in before."""

    jobs: tuple[JobField, ...]
    mended: tuple[JobField, ...]  # a tyre each
    linings: tuple[MeasureField, ...]
    batteries: tuple[MeasureField, ...]


@dataclass(frozen=True, kw_only=True)
class ServiceLine:
    """Something done, by whom, and how far the word of it came."""

    id: UUID
    what: str
    by: str
    when: str
    state: str  # pending, applied, refused
    state_text: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """A change nobody reported: the owner is asked."""

    event_id: int
    text: str
    certainty_text: str


def work_form(jobs: frozenset[str], measures: Mapping[str, str], language: Language) -> WorkForm:
    """The form with what was filled in before."""
    fields = [JobField(name=name, text=_short_job(name, language), ticked=name in jobs) for name in JOBS]
    numbers = [
        MeasureField(name=name, text=_short_measure(name, language), written=measures.get(name, ""))
        for name in MEASURES
    ]
    return WorkForm(
        jobs=tuple(field for field in fields if not field.name.startswith("tire_mended")),
        mended=tuple(field for field in fields if field.name.startswith("tire_mended")),
        linings=tuple(field for field in numbers if field.name.startswith("lining")),
        batteries=tuple(field for field in numbers if not field.name.startswith("lining")),
    )


def service_lines(services: Iterable[StoredService], language: Language, zone: ZoneInfo) -> tuple[ServiceLine, ...]:
    """Services as given."""
    return tuple(
        ServiceLine(
            id=entry.id,
            what=_what(entry, language),
            by=say(f"service.by.{entry.by_role}", language, name=entry.by_name),
            when=day(entry.time, language, zone),
            state=state_of(entry),
            state_text=_state_text(entry, language),
        )
        for entry in services
    )


def state_of(service: StoredService) -> str:
    """How far a record came: pending, applied or refused."""
    if service.refused_reason is not None:
        return "refused"
    return "pending" if service.applied_at is None else "applied"


def _state_text(entry: StoredService, language: Language) -> str:
    if entry.refused_reason == NO_ANSWER:
        return say("service.unanswered", language)
    return say(f"service.{state_of(entry)}", language, reason=entry.refused_reason or "")


def questions(suspicions: Iterable[Suspicion], language: Language, zone: ZoneInfo) -> tuple[Question, ...]:
    """What the owner is asked."""
    return tuple(
        Question(
            event_id=entry.event_id,
            text=say(
                f"suspicion.{entry.quantity}",
                language,
                where=place_text(entry.position, language) or say("place.all", language),
                day=day(entry.time, language, zone),
            ),
            certainty_text=say("suspicion.certainty", language, percent=number(100 * entry.certainty)),
        )
        for entry in suspicions
    )


def job_text(name: str, language: Language) -> str:
    """A job in words."""
    if name.startswith("tire_mended_"):
        return say("job.tire_mended", language, wheel=place_text(JOBS[name].position, language))
    return say(f"job.{name}", language)


def measure_text(measure: Measure, language: Language) -> str:
    """A measurement in words, with its place."""
    if measure.position:
        return f"{say('measure.lining', language)}, {place_text(measure.position, language)}"
    return say(f"measure.{measure.quantity}", language)


def place_text(position: str, language: Language) -> str:
    """A wheel or an axle in words; as it stands where it is none of ours."""
    family = "wheel" if position in WHEELS else "axle" if position in AXLES else ""
    return say(f"{family}.{position}", language) if family else position


def unit_text(unit: str) -> str:
    """A unit as a person writes it."""
    return _UNITS.get(unit, unit)


def today_in(now: datetime, zone: ZoneInfo) -> str:
    """Today's date for a form."""
    return now.astimezone(zone).date().isoformat()


def _short_job(name: str, language: Language) -> str:
    """Under its heading a mended tyre needs its place only."""
    return place_text(JOBS[name].position, language) if name.startswith("tire_mended") else job_text(name, language)


def _short_measure(name: str, language: Language) -> str:
    measure = MEASURES[name]
    return place_text(measure.position, language) if measure.position else measure_text(measure, language)


def _what(entry: StoredService, language: Language) -> str:
    for name, work in JOBS.items():
        if (work.quantity, work.action, work.position) == (entry.quantity, entry.action, entry.position):
            return job_text(name, language)
    key = f"quantity.{entry.quantity}"
    part = say(key, language) if known(key) else entry.quantity
    if entry.position:
        part = f"{part}, {place_text(entry.position, language)}"
    value = "" if entry.value is None else number(entry.value, 1)
    return say(f"service.{entry.action}", language, what=part, value=value, unit=unit_text(entry.unit))
