"""What the JSON API answers. Times are UTC, values in the unit beside them; no address and no position of anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from ingest.reading_store import TroubleCode
from portal.texts import Language
from portal.views.fleet import FleetRow
from portal.views.health import HealthCard
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
    """A health value with its 90 % interval; ``source``: ecu or estimated."""

    quantity: str
    position: str
    value: float
    low: float
    high: float
    unit: str
    source: str
    method: str
    time: datetime
    condition: str
    forecast: ForecastJson | None


@dataclass(frozen=True, kw_only=True)
class TroubleCodeJson:
    """A trouble code present now (SAE J2012)."""

    code: str
    ecu: str
    status: str
    mil: bool
    severity: str
    meaning: str
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
class VehicleJson:
    """One vehicle."""

    vehicle: FleetEntryJson
    health: list[HealthJson]
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


def trouble_code_json(code: TroubleCode, language: Language) -> TroubleCodeJson:
    """A trouble code with its meaning."""
    meaning = describe(code.code, language)
    return TroubleCodeJson(
        code=code.code,
        ecu=code.ecu,
        status=code.status,
        mil=code.mil,
        severity=meaning.severity,
        meaning=meaning.meaning,
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
