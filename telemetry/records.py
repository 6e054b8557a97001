"""What travels between dongle and backend, as frozen records. Times are aware datetimes in UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Final, Literal
from uuid import UUID

Source = Literal["ecu", "estimated"]


def require_aware(moment: datetime, what: str) -> None:
    """Refuse a datetime without time zone: ValueError says which field."""
    if moment.tzinfo is None:
        raise ValueError(f"{what} has no time zone; use datetime.now(UTC) or give one")


@dataclass(frozen=True, kw_only=True)
class BatchKey:
    """Idempotency key of a batch: device, boot of that device, and sequence number within the boot (from 1)."""

    device: str
    boot: UUID
    sequence: int

    def __str__(self) -> str:
        return f"{self.device}/{self.boot}/{self.sequence}"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was read at one instant: VSS path -> value in the catalogue's unit; a path not read is absent.

    ``monotonic_ms`` is CLOCK_BOOTTIME in milliseconds: it puts the time right when the clock was wrong.
    """

    time: datetime
    monotonic_ms: int
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        require_aware(self.time, "Sample.time")


class Quantity(StrEnum):
    """What health is estimated of. A wheel's quantity carries the wheel in :attr:`Estimate.position`."""

    OIL_LIFE = "oil_life"  # percent remaining, 0 = change now
    PAD_WEAR = "pad_wear"  # percent worn, 100 = worn out
    TRACTION_BATTERY_SOH = "traction_battery_soh"  # percent of nominal capacity
    LOW_VOLTAGE_BATTERY_HEALTH = "low_voltage_battery_health"  # percent, 100 = new, 0 = will not crank
    TIRE_PRESSURE_LOSS = "tire_pressure_loss"  # kPa lost per day at constant temperature


class Limitation(StrEnum):
    """What can keep an estimate's interval wide. Later versions may know more words: what is unknown is shown as is."""

    FEW_MEASUREMENTS = "few_measurements"
    OLD_MEASUREMENTS = "old_measurements"
    FLAT_VOLTAGE = "flat_voltage"  # LFP: the voltage hardly tells the state of charge
    STATE_OF_CHARGE = "state_of_charge"  # the battery management's own gauge errs, and no rest puts it right
    DOUBTFUL_READINGS = "doubtful_readings"  # a signal that stands still, jumps, or has the wrong sign
    START_UNKNOWN = "start_unknown"  # nobody said how worn the part was when the dongle was fitted
    NOT_CALIBRATED = "not_calibrated"  # no workshop has measured this part yet
    UNSEEN_DRIVING = "unseen_driving"  # distance while the dongle was away
    MODELLED_TEMPERATURE = "modelled_temperature"
    SLOW_SAMPLING = "slow_sampling"  # the event is shorter than the time between two samples
    WEAK_CHARGING = "weak_charging"  # the charging system may be the culprit
    SENSOR_RESOLUTION = "sensor_resolution"
    SERVICE_UNREPORTED = "service_unreported"  # the part seems to have been changed, and nobody said so


# So limited, a value is a guess: it is shown as uncertain, and no alert or forecast rests on it.
UNCERTAIN: Final = frozenset({Limitation.FLAT_VOLTAGE})
MAX_MEASUREMENTS: Final = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A health value with where it comes from and its 90 % interval, in percent or the quantity's unit.

    ``position`` is "" for the whole car or a wheel as "Row1.Left"; ``method`` names estimator and version.
    ``measurements``: how many it rests on (charges, starts, drives, hours with data); None where none are counted.
    ``limited_by``: what keeps the interval as wide as it is, one of :class:`Limitation`; "" where nothing stands out.
    """

    time: datetime
    quantity: Quantity
    position: str = ""
    value: float
    low: float
    high: float
    source: Source
    method: str
    measurements: int | None = None
    limited_by: str = ""

    def __post_init__(self) -> None:
        require_aware(self.time, "Estimate.time")
        if self.measurements is not None and not 0 <= self.measurements <= MAX_MEASUREMENTS:
            raise ValueError(f"{self.quantity}: {self.measurements} measurements; give 0 to {MAX_MEASUREMENTS} or None")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.quantity}: value {self.value} lies outside its interval [{self.low}, {self.high}]")


class EventKind(StrEnum):
    """What can happen to a car or its dongle."""

    DTC_APPEARED = "dtc.appeared"
    DTC_CHANGED = "dtc.changed"
    DTC_CLEARED = "dtc.cleared"
    CODES_CLEAR_COMMANDED = "codes.clear_commanded"  # a person had the car forget them: codes, by
    TRIP_STARTED = "trip.started"
    TRIP_ENDED = "trip.ended"
    CHARGE_STARTED = "charge.started"
    CHARGE_ENDED = "charge.ended"
    DEVICE_STARTED = "device.started"
    DEVICE_TAMPERED = "device.tampered"
    CLOCK_CORRECTED = "device.clock_corrected"  # batches published with wrong times, and by how much
    DATA_GIVEN_UP = "device.data_given_up"  # what the outbox had no room for, or its disk spoilt
    VEHICLE_IDENTIFIED = "vehicle.identified"
    SERVICE_RESET = "service.reset"  # an estimate was reset or calibrated: the service record's fields
    SERVICE_SUSPECTED = "service.suspected"  # a change nobody reported: quantity, position, certainty (0..1), why
    SIGNAL_DOUBTED = "signal.doubted"  # readings that cannot be right: signal (VSS path), why


@dataclass(frozen=True, kw_only=True)
class VehicleEvent:
    """Something that happened.

    ``data`` is JSON; for ``dtc.*``: code (SAE J2012 or J1939), ecu, status (pending, confirmed, permanent), mil (bool
    or null), and where the car keeps one, freeze_frame (VSS path -> value in the catalogue's unit).
    """

    time: datetime
    kind: EventKind
    data: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_aware(self.time, "VehicleEvent.time")


class ServiceAction(StrEnum):
    """What was done to a part."""

    REPLACED = "replaced"  # a new part or a fresh filling: wear begins anew
    MEASURED = "measured"  # ``value`` in ``unit``: what is estimated is calibrated by it
    ADJUSTED = "adjusted"  # pumped up, charged, turned round: what was learned of its trend is void


@dataclass(frozen=True, kw_only=True)
class ServiceRecord:
    """What a person did to a part or measured on it: by this alone an estimate goes back or is calibrated.

    ``position``: "" for the whole car, an axle as "Row1" or a wheel as "Row1.Left". ``value`` and ``unit`` only where
    something was measured ("mm" of lining left, "percent"). ``by``: who says so; ``reason``: in words, for the log.
    """

    id: UUID  # the same record told twice counts once
    time: datetime
    quantity: Quantity
    action: ServiceAction
    by: str
    reason: str
    position: str = ""
    value: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        require_aware(self.time, "ServiceRecord.time")
        if not self.by.strip() or not self.reason.strip():
            raise ValueError("a service record needs who says so (by) and why (reason)")
        if (self.action is ServiceAction.MEASURED) != (self.value is not None):
            raise ValueError("a measurement needs its value and unit, and nothing else has one")
        if self.value is not None and (not isfinite(self.value) or not self.unit):
            raise ValueError(f"a measured value needs a number and its unit, not {self.value} {self.unit!r}")


@dataclass(frozen=True, kw_only=True)
class ReadingsBatch:
    """Samples in time order, with the estimates made from them."""

    key: BatchKey
    samples: tuple[Sample, ...]
    estimates: tuple[Estimate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EventsBatch:
    """Events in time order. Shares the sequence numbers of the readings."""

    key: BatchKey
    events: tuple[VehicleEvent, ...]


@dataclass(frozen=True, kw_only=True)
class DeviceStatus:
    """Retained state of a device; the broker itself says ``offline`` through the last will."""

    device: str
    boot: UUID
    state: Literal["online", "offline"]
    time: datetime
    version: str
    pending_batches: int = 0  # in the outbox, not yet acknowledged
    # What an agent of a former version does not tell is None.
    oldest_pending_seconds: int | None = None  # age of the oldest of them, from its sealing; 0: none waits
    samples_given_up: int | None = None  # thinned or dropped since the outbox was made, for want of room
    batches_resent: int | None = None  # since the agent's start: their acknowledgement was overdue
    certificate_ends: datetime | None = None  # of the client certificate; None also without one
    planned: bool | None = None  # an "offline" the device said itself: its silence is no fault. False: the last will


@dataclass(frozen=True, kw_only=True)
class RejectedBatch:
    """A batch the backend stored as rejected: sending it again will not help.

    ``stored``: of one whose key is stored with other content, the digest (:mod:`telemetry.digest`) of what is stored.
    Copies of what was once sent may come late: it alone tells whether the content meant is the present one.
    """

    sequence: int
    reason: str
    stored: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """From the backend: these batches of one boot are committed (inclusive ranges of sequence numbers)."""

    device: str
    boot: UUID
    committed: tuple[tuple[int, int], ...] = ()
    rejected: tuple[RejectedBatch, ...] = ()

    def covers(self, sequence: int) -> bool:
        """Whether that sequence number is committed."""
        return any(first <= sequence <= last for first, last in self.committed)


def utc_from_ms(milliseconds: int) -> datetime:
    """Aware datetime of milliseconds since 1970-01-01 UTC; raises ValueError outside years 1 to 9999."""
    try:
        seconds, rest = divmod(milliseconds, 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{milliseconds} ms is outside the calendar") from error


def ms_from_utc(moment: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC, rounded to the nearest."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400_000) + delta.seconds * 1000 + round(delta.microseconds / 1000)
