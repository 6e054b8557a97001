"""What the JSON API answers. Times are UTC, values in the unit beside them; no address and no position of anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from health.durability import Durability
from health.trouble_code_urgency import Urgency
from health.urgency_words import advice_text, reason_texts
from ingest.outbound.services import StoredService
from ingest.reading_store import TroubleCode
from portal.texts import Language
from portal.views.fleet import FleetRow
from portal.views.health import HealthCard
from portal.views.service import state_of
from rules.alerts import Alert
from rules.booking.views import BookingView, WorkshopDay
from telemetry.trouble_codes import describe


@dataclass(frozen=True, kw_only=True)
class DeviceJson:
    """A dongle; ``state``: online, offline, never, disabled."""

    id: str
    state: str
    pending_batches: int


@dataclass(frozen=True, kw_only=True)
class AlertJson:
    """One fault episode; texts in the language asked for."""

    id: UUID
    rule: str
    subject: str
    severity: str
    title: str
    text: str
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class FleetEntryJson:
    """A vehicle of a list; ``condition``: good, watch, act, unknown."""

    id: UUID
    label: str
    profile: str
    condition: str
    open_alerts: list[AlertJson]
    trouble_codes: list[str]
    last_seen_at: datetime | None
    devices: list[DeviceJson]


@dataclass(frozen=True, kw_only=True)
class ForecastJson:
    """When the limit is reached: median and 90 % interval; null: not within a year."""

    limit: float
    median: datetime | None
    early: datetime | None
    late: datetime | None
    probability_30d: float
    method: str


@dataclass(frozen=True, kw_only=True)
class HealthJson:
    """A health value with its 90 % interval; ``source``: ecu or estimated.

    ``measurements``: how many it rests on, null where none are counted; ``limited_by``: what keeps the interval wide.
    """

    quantity: str
    position: str
    value: float
    low: float
    high: float
    unit: str
    source: str
    method: str
    time: datetime
    measurements: int | None
    limited_by: str
    condition: str
    forecast: ForecastJson | None


@dataclass(frozen=True, kw_only=True)
class TroubleCodeJson:
    """A trouble code present now (SAE J2012).

    ``severity``: of the code alone; ``urgency``: with its circumstances, drive_on, soon or stop, and ``reasons``;
    ``days_to_act``: null where the next service will do.
    """

    code: str
    ecu: str
    status: str
    mil: bool
    severity: str
    urgency: str
    days_to_act: int | None
    reasons: list[str]
    meaning: str
    advice: str
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, kw_only=True)
class BookingJson:
    """A booking; ``state``: proposed, confirmed, declined, expired, cancelled, completed."""

    id: UUID
    alert_id: UUID
    vehicle_id: UUID
    workshop_id: UUID
    workshop: str
    time_zone: str
    job: str
    start: datetime
    end: datetime
    price: str
    currency: str
    state: str
    held_until: datetime | None
    report: str | None


@dataclass(frozen=True, kw_only=True)
class DurabilityJson:
    """Position against Euro 7's battery durability: percent required up to an age or distance, points above it.

    ``at_end``: percent left at the end of that stage by a straight line; ``holds``: null where it is too close to say;
    ``certain``: false where age or mileage alone is known.
    """

    category: str
    required: float
    years: float
    km: float
    margin: float
    low: float
    high: float
    certain: bool
    at_end: float | None
    holds: bool | None


@dataclass(frozen=True, kw_only=True)
class ServiceJson:
    """Work on the car; ``state``: pending (on its way to the dongle), applied, refused."""

    id: UUID
    time: datetime
    quantity: str
    position: str
    action: str
    value: float | None
    unit: str
    by: str
    state: str
    refused_reason: str | None


@dataclass(frozen=True, kw_only=True)
class VehicleJson:
    """One vehicle; ``durability`` is null without a traction battery, and where no requirement applies."""

    vehicle: FleetEntryJson
    health: list[HealthJson]
    durability: DurabilityJson | None
    services: list[ServiceJson]
    trouble_codes: list[TroubleCodeJson]
    bookings: list[BookingJson]


@dataclass(frozen=True, kw_only=True)
class DayEntryJson:
    """What takes a bay; ``vehicle`` is null while a slot is only held."""

    booking_id: UUID
    start: datetime
    end: datetime
    job: str
    state: str
    vehicle: str | None


@dataclass(frozen=True, kw_only=True)
class BayJson:
    """A bay's day."""

    id: UUID
    name: str
    entries: list[DayEntryJson]


@dataclass(frozen=True, kw_only=True)
class DayJson:
    """A workshop's local day."""

    workshop_id: UUID
    workshop: str
    time_zone: str
    day: date
    bays: list[BayJson]


def fleet_entry(row: FleetRow, language: Language) -> FleetEntryJson:
    """A row of a list."""
    return FleetEntryJson(
        id=row.id,
        label=row.label,
        profile=row.profile,
        condition=row.tone,
        open_alerts=[alert_json(alert, language) for alert in row.alerts],
        trouble_codes=list(row.codes),
        last_seen_at=row.last_seen,
        devices=[
            DeviceJson(id=device.id, state=device.state, pending_batches=device.pending_batches)
            for device in row.devices
        ],
    )


def alert_json(alert: Alert, language: Language) -> AlertJson:
    """An alert."""
    return AlertJson(
        id=alert.id,
        rule=alert.rule_id,
        subject=alert.subject,
        severity=alert.severity,
        title=alert.title_zh if language == "zh" else alert.title_en,
        text=alert.text_zh if language == "zh" else alert.text_en,
        opened_at=alert.opened_at,
        closed_at=alert.closed_at,
    )


def health_json(cards: Sequence[HealthCard]) -> list[HealthJson]:
    """All values of all cards."""
    return [
        HealthJson(
            quantity=item.quantity,
            position=item.position,
            value=item.value,
            low=item.low,
            high=item.high,
            unit=item.unit,
            source=item.source,
            method=item.method,
            time=item.time,
            measurements=item.measurements,
            limited_by=item.limited_by,
            condition=item.tone,
            forecast=None
            if item.forecast is None
            else ForecastJson(
                limit=item.forecast.limit,
                median=item.forecast.median,
                early=item.forecast.early,
                late=item.forecast.late,
                probability_30d=item.forecast.probability_30d,
                method=item.forecast.method,
            ),
        )
        for card in cards
        for item in card.items
    ]


def durability_json(found: Durability | None) -> DurabilityJson | None:
    """A battery's position."""
    if found is None:
        return None
    return DurabilityJson(
        category=found.category,
        required=found.stage.required,
        years=found.stage.years,
        km=found.stage.km,
        margin=found.margin,
        low=found.low,
        high=found.high,
        certain=found.certain,
        at_end=None if found.outlook is None else found.outlook.value,
        holds=None if found.outlook is None else found.outlook.holds,
    )


def service_json(entry: StoredService) -> ServiceJson:
    """A service record."""
    return ServiceJson(
        id=entry.id,
        time=entry.time,
        quantity=entry.quantity,
        position=entry.position,
        action=entry.action,
        value=entry.value,
        unit=entry.unit,
        by=entry.by_role,
        state=state_of(entry),
        refused_reason=entry.refused_reason,
    )


def trouble_code_json(code: TroubleCode, judged: Urgency, language: Language) -> TroubleCodeJson:
    """A trouble code with its meaning, and how much it hurries."""
    meaning = describe(code.code, language)
    return TroubleCodeJson(
        code=code.code,
        ecu=code.ecu,
        status=code.status,
        mil=code.mil,
        severity=meaning.severity,
        urgency=judged.level,
        days_to_act=judged.days_to_act,
        reasons=list(reason_texts(judged, language)),
        meaning=meaning.meaning,
        advice=advice_text(code.code, judged, language),
        first_seen=code.first_seen,
        last_seen=code.last_seen,
    )


def booking_json(view: BookingView) -> BookingJson:
    """A booking."""
    return BookingJson(
        id=view.id,
        alert_id=view.alert_id,
        vehicle_id=view.vehicle_id,
        workshop_id=view.workshop_id,
        workshop=view.workshop_name,
        time_zone=view.time_zone,
        job=view.job,
        start=view.period.start,
        end=view.period.end,
        price=f"{view.price:.2f}",
        currency=view.currency,
        state=str(view.state),
        held_until=view.held_until,
        report=view.report,
    )


def day_json(facts: WorkshopDay) -> DayJson:
    """A workshop's day."""
    return DayJson(
        workshop_id=facts.workshop_id,
        workshop=facts.workshop_name,
        time_zone=facts.time_zone,
        day=facts.day,
        bays=[
            BayJson(
                id=bay.bay_id,
                name=bay.name,
                entries=[
                    DayEntryJson(
                        booking_id=entry.booking_id,
                        start=entry.period.start,
                        end=entry.period.end,
                        job=entry.job,
                        state=str(entry.state),
                        vehicle=entry.vehicle_label,
                    )
                    for entry in bay.entries
                ],
            )
            for bay in facts.bays
        ],
    )
