"""One vehicle: vital signs, trouble codes in plain words, alerts, bookings and what happened last. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from health.trouble_code_urgency import Urgency
from health.urgency_words import advice_text, level_text, why_text
from ingest.reading_store import StoredEvent, TroubleCode, VehicleState
from portal.formats import ago, day, day_and_time, money, number, period, weekday_short
from portal.texts import Language, known, say
from rules.alerts import Alert
from rules.booking.views import BookingView
from rules.delivery.texts import job_name
from telemetry.catalogue import catalogue
from telemetry.trouble_codes import describe

# Columns worth a glance, with the factor and unit a person expects (the catalogue counts distance in metres).
_VITALS: Final = (
    ("traveled_distance", 0.001, "km", 0),
    ("low_voltage_battery_voltage", 1.0, "V", 1),
    ("traction_battery_soc", 1.0, "%", 0),
    ("fuel_level", 1.0, "%", 0),
    ("coolant_temperature", 1.0, "°C", 0),
    ("tire_pressure_row1_left", 1.0, "kPa", 0),
    ("tire_pressure_row1_right", 1.0, "kPa", 0),
    ("tire_pressure_row2_left", 1.0, "kPa", 0),
    ("tire_pressure_row2_right", 1.0, "kPa", 0),
)


@dataclass(frozen=True, kw_only=True)
class Vital:
    """A signal's newest value."""

    column: str
    name: str
    text: str
    when: str


@dataclass(frozen=True, kw_only=True)
class CodeLine:
    """A trouble code present now. ``level_text``: drive on, soon or stop; ``severity``: the same for the eye."""

    code: str
    meaning: str
    advice: str
    severity: str
    level_text: str
    why: str
    status_text: str
    ecu: str
    mil: bool
    since: str


@dataclass(frozen=True, kw_only=True)
class AlertLine:
    """An alert as a person reads it."""

    id: UUID
    severity: str
    severity_text: str
    title: str
    text: str
    opened: str
    closed: str | None


@dataclass(frozen=True, kw_only=True)
class BookingLine:
    """A booking in a list; times are the workshop's."""

    id: UUID
    vehicle_id: UUID
    vehicle_label: str
    title: str
    job: str
    workshop: str
    when: str
    time_zone: str
    price: str
    state: str
    state_text: str
    waits_for_owner: bool


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """Something that happened."""

    text: str
    detail: str
    when: str


def vitals(state: VehicleState, now: datetime, language: Language) -> tuple[Vital, ...]:
    """Newest values worth a glance, of those the car tells."""
    return tuple(
        Vital(
            column=column,
            name=say(f"signal.{column}", language),
            text=f"{number(signal.value * factor, digits)} {unit}",
            when=ago(signal.time, now, language),
        )
        for column, factor, unit, digits in _VITALS
        if (signal := state.signals.get(catalogue().by_column(column).column)) is not None
    )


def code_lines(
    codes: Iterable[TroubleCode], judged: Mapping[str, Urgency], now: datetime, language: Language
) -> tuple[CodeLine, ...]:
    """Trouble codes in plain words; ``judged``: how much each code hurries."""
    lines = []
    for code in codes:
        meaning = describe(code.code, language)
        haste = judged[code.code]
        status = f"code.{code.status}"
        lines.append(
            CodeLine(
                code=code.code,
                meaning=meaning.meaning,
                advice=advice_text(code.code, haste, language),
                severity=haste.severity,
                level_text=level_text(haste.level, language),
                why=why_text(haste, language),
                status_text=say(status, language) if known(status) else code.status,
                ecu=code.ecu,
                mil=code.mil,
                since=ago(code.first_seen, now, language),
            )
        )
    return tuple(lines)


def alert_lines(alerts: Iterable[Alert], language: Language, zone: ZoneInfo) -> tuple[AlertLine, ...]:
    """Alerts, open ones first, then the newest."""
    ordered = sorted(alerts, key=lambda alert: (alert.closed_at is not None, -alert.opened_at.timestamp()))
    return tuple(
        AlertLine(
            id=alert.id,
            severity=alert.severity,
            severity_text=say(f"severity.{alert.severity}", language),
            title=alert.title_zh if language == "zh" else alert.title_en,
            text=alert.text_zh if language == "zh" else alert.text_en,
            opened=day(alert.opened_at, language, zone),
            closed=None if alert.closed_at is None else day(alert.closed_at, language, zone),
        )
        for alert in ordered
    )


def booking_lines(bookings: Sequence[BookingView], now: datetime, language: Language) -> tuple[BookingLine, ...]:
    """Bookings as given, the newest first."""
    return tuple(
        BookingLine(
            id=view.id,
            vehicle_id=view.vehicle_id,
            vehicle_label=view.vehicle_label,
            title=view.title_zh if language == "zh" else view.title_en,
            job=job_name(view.job, language),
            workshop=view.workshop_name,
            when=slot_text(view.period.start, view.period.end, language, ZoneInfo(view.time_zone)),
            time_zone=view.time_zone,
            price=money(view.price, view.currency),
            state=str(view.state),
            state_text=say(f"state.{view.state}", language),
            waits_for_owner=view.state == "proposed" and view.held_until is not None and now < view.held_until,
        )
        for view in bookings
    )


def slot_text(start: datetime, end: datetime, language: Language, zone: ZoneInfo) -> str:
    """A slot: Tue 3 Mar, 08:00-09:30."""
    return f"{weekday_short(start, language, zone)}, {period(start, end, zone)}"


def event_lines(events: Iterable[StoredEvent], language: Language, zone: ZoneInfo) -> tuple[EventLine, ...]:
    """Events as given, in words; of the data only what is no position."""
    lines = []
    for event in events:
        key = f"event.{event.kind}"
        code = event.data.get("code")
        lines.append(
            EventLine(
                text=say(key, language) if known(key) else event.kind,
                detail=str(code) if code is not None else "",
                when=day_and_time(event.time, language, zone),
            )
        )
    return tuple(lines)
