"""What is known of a vehicle, and how it becomes the variables of a rule (:mod:`rules.vocabulary`). No input or output.

Where an ECU reading and an estimate of one quantity are both young enough, the ECU's counts: it is what a workshop
reads too. A stale ECU reading gives way to a young estimate. An estimate that is a guess (telemetry.records.UNCERTAIN)
is not known at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from health.trouble_code_urgency import STATUSES, CodeEvidence, Urgency, urgency
from health.urgency_words import why_text
from rules.expression import Value
from rules.rule import Rule
from rules.vocabulary import WHEEL_SIGNALS
from telemetry.records import Quantity, require_aware
from telemetry.trouble_codes import describe

WHEELS = ("Row1.Left", "Row1.Right", "Row2.Left", "Row2.Right")
# Catalogue columns in which an ECU itself gives a quantity.
_ECU_COLUMN = {Quantity.OIL_LIFE: "oil_life", Quantity.TRACTION_BATTERY_SOH: "traction_battery_soh"}
_ECU_WHEEL_COLUMN = {Quantity.PAD_WEAR: "pad_wear"}
_YEAR = timedelta(days=365.25)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One value with when it was measured and where it comes from; ``fields`` are what a rule can name of it."""

    time: datetime
    fields: Mapping[str, Value]  # "" for a plain value
    source: str  # "ecu", "estimated", "forecast"
    method: str = ""

    def __post_init__(self) -> None:
        require_aware(self.time, "Reading.time")


@dataclass(frozen=True, kw_only=True)
class ForecastKey:
    """Which forecast: of a quantity at a place, when it crosses a limit (quantity's unit)."""

    quantity: Quantity
    position: str
    limit: float
    falling: bool
    history: timedelta  # how far back the forecast looks


@dataclass(frozen=True, kw_only=True)
class CrossingForecast:
    """When a limit will be crossed; None where it is not foreseeable. ``time``: newest value it was made from."""

    time: datetime
    probability_30d: float
    median: datetime | None
    early: datetime | None
    late: datetime | None


@dataclass(frozen=True, kw_only=True)
class TroubleCode:
    """A trouble code present now.

    ``days_seen``: on how many of the last 30 days it came up; ``frame``: its freeze frame, VSS path -> value.
    """

    status: str
    ecu: str
    mil: bool
    first_seen: datetime
    last_seen: datetime
    days_seen: int = 1
    frame: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VehicleContext:
    """All the rules can know of one vehicle at one moment."""

    vehicle_id: UUID
    version: int = 0  # of vehicle_state
    last_sample_at: datetime | None = None
    trace: str | None = None  # of the batch that changed the state last (telemetry.trace)
    profile: str = ""
    in_service_since: datetime | None = None
    time_zone: str = "UTC"  # IANA name of the owner's; dates in texts are in it
    signals: Mapping[str, Reading] = field(default_factory=dict)  # by column
    estimates: Mapping[tuple[Quantity, str], tuple[Reading, ...]] = field(default_factory=dict)
    trouble_codes: Mapping[str, TroubleCode] = field(default_factory=dict)
    forecasts: Mapping[ForecastKey, CrossingForecast | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bindings:
    """The variables of one rule and subject, and what they were made from."""

    values: Mapping[str, Value]  # dotted name -> value; absent or stale inputs are left out
    used: Mapping[str, Reading]  # input -> what was taken for it
    sample_time: datetime | None  # of the newest input taken
    stale_at: datetime | None  # when the first of the inputs taken will be too old


def subjects(rule: Rule, context: VehicleContext) -> tuple[str, ...]:
    """What the rule looks at one by one: the car (""), its wheels, or the trouble codes present."""
    if rule.for_each == "wheel":
        return WHEELS
    return tuple(sorted(context.trouble_codes)) if rule.for_each == "trouble_code" else ("",)


def forecast_keys(rule: Rule, subject: str) -> tuple[ForecastKey, ...]:
    """The forecasts this rule needs for that subject."""
    if rule.forecast is None or rule.limit is None:
        return ()
    return (
        ForecastKey(
            quantity=rule.forecast.quantity,
            position=subject if rule.for_each == "wheel" else "",
            limit=rule.limit,
            falling=rule.forecast.falling,
            history=rule.forecast.history,
        ),
    )


def columns_of(rule: Rule) -> set[str]:
    """The catalogue columns a rule can look at: those it names, and those in which an ECU gives what it names."""
    columns: set[str] = set()
    for name in rule.needs:
        root, _, rest = name.partition(".")
        if root == "signal":
            columns.add(rest)
        elif root == "wheel" and rest in WHEEL_SIGNALS:
            columns |= {wheel_column(rest, wheel) for wheel in WHEELS}
        elif rest in set(Quantity):
            places = WHEELS if root == "wheel" or rule.for_each == "wheel" else ("",)
            columns |= {column for place in places if (column := _ecu_column(Quantity(rest), place)) is not None}
    return columns


def bind(rule: Rule, subject: str, context: VehicleContext, now: datetime) -> Bindings:
    """Variables of the rule for one subject; an input older than the rule allows is left out."""
    values = facts(context, now)
    if rule.limit is not None:
        values["limit"] = rule.limit
    if rule.for_each == "wheel":
        values["wheel.name"] = subject
    used: dict[str, Reading] = {}
    stale_at: datetime | None = None
    for name, max_age in rule.needs.items():
        # At exactly the allowed age it is stale: then `stale_at` always lies ahead and nobody looks in vain.
        reading = next((r for r in _candidates(rule, name, subject, context, now) if now - r.time < max_age), None)
        if reading is None:
            continue
        used[name] = reading
        values |= {f"{name}.{key}" if key else name: value for key, value in reading.fields.items()}
        stale_at = min(stale_at or reading.time + max_age, reading.time + max_age)
    return Bindings(
        values=values,
        used=used,
        sample_time=max((reading.time for reading in used.values()), default=None),
        stale_at=stale_at,
    )


def facts(context: VehicleContext, now: datetime) -> dict[str, Value]:
    """The variables that do not grow old by silence."""
    values: dict[str, Value] = {"vehicle.profile": context.profile}
    if context.in_service_since is not None:
        values["vehicle.age_years"] = (now - context.in_service_since) / _YEAR
    return values


def _candidates(rule: Rule, name: str, subject: str, context: VehicleContext, now: datetime) -> Sequence[Reading]:
    """What could stand for an input, the preferred first."""
    root, _, rest = name.partition(".")
    if root == "signal":
        return _signal(context, rest)
    if root == "code":
        return _code(context, subject)
    if root == "forecast":
        return [
            _forecast(found, now)
            for key in forecast_keys(rule, subject)
            if key.quantity == rest and (found := context.forecasts.get(key)) is not None
        ]
    if root == "wheel" and rest in WHEEL_SIGNALS:
        return _signal(context, wheel_column(rest, subject))
    return estimates_of(context, Quantity(rest), subject if root == "wheel" else "", now)


def estimates_of(context: VehicleContext, quantity: Quantity, position: str, now: datetime) -> list[Reading]:
    """The readings of a health quantity, ECU before estimate, as a rule sees them."""
    column = _ecu_column(quantity, position)
    found = list(context.estimates.get((quantity, position), ()))
    if column is not None and column in context.signals:
        read = context.signals[column]
        value = read.fields[""]
        fields: dict[str, Value] = {"value": value, "low": value, "high": value, "source": "ecu"}
        found.append(Reading(time=read.time, fields=fields, source="ecu", method=f"signal {column}"))
    found.sort(key=lambda reading: (reading.source != "ecu", -reading.time.timestamp()))
    return [
        Reading(
            time=reading.time,
            fields={**reading.fields, "age_s": (now - reading.time).total_seconds()},
            source=reading.source,
            method=reading.method,
        )
        for reading in found
    ]


def _ecu_column(quantity: Quantity, position: str) -> str | None:
    if quantity in _ECU_WHEEL_COLUMN:
        return wheel_column(_ECU_WHEEL_COLUMN[quantity], position)
    return _ECU_COLUMN.get(quantity)


def wheel_column(signal: str, position: str) -> str:
    """Catalogue column of a wheel's signal: ("pad_wear", "Row1.Left") -> pad_wear_row1_left."""
    return f"{signal}_{position.replace('.', '_').lower()}"


def _signal(context: VehicleContext, column: str) -> Sequence[Reading]:
    return [context.signals[column]] if column in context.signals else []


def _code(context: VehicleContext, subject: str) -> Sequence[Reading]:
    present = context.trouble_codes.get(subject)
    if present is None:
        return []
    told, judged = describe(subject, "en"), code_urgency(subject, present)
    fields: dict[str, Value] = {
        "code": subject,
        "status": present.status,
        "ecu": present.ecu,
        "mil": present.mil,
        "severity": told.severity,
        "system": subject[:1],
        "urgency": judged.level,
        "days_to_act": float("inf") if judged.days_to_act is None else float(judged.days_to_act),
        "days_seen": float(present.days_seen),
        "job": "" if judged.level == "drive_on" else told.job or "diagnosis",
        "why": why_text(judged, "en"),
    }
    # The dongle reports changes only: a code not reported as cleared is present as of the newest sample.
    time = max(present.last_seen, context.last_sample_at or present.last_seen)
    return [Reading(time=time, fields=fields, source="ecu")]


def code_urgency(code: str, present: TroubleCode) -> Urgency:
    """How much a code hurries in its circumstances. That its lamp is not on says nothing: many cars do not tell."""
    return urgency(
        CodeEvidence(
            code=code,
            status=STATUSES.get(present.status, "confirmed"),  # a word of a later version is taken for the gravest
            lamp="on" if present.mil else None,
            days_seen=present.days_seen,
            frame=present.frame,
        )
    )


def _forecast(forecast: CrossingForecast, now: datetime) -> Reading:
    fields: dict[str, Value] = {"probability_30d": forecast.probability_30d}
    for name, moment in (("days", forecast.median), ("days_early", forecast.early), ("days_late", forecast.late)):
        # Not foreseeable is not silence: it is later than any limit.
        fields[name] = float("inf") if moment is None else (moment - now) / timedelta(days=1)
    return Reading(time=forecast.time, fields=fields, source="forecast")
