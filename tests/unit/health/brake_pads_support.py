"""Samples, drives and service records for the tests of brake pads."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from health import signals
from health.brake_pads import BrakePads
from telemetry.records import Estimate, Quantity, Sample, ServiceAction, ServiceRecord

START = datetime(2026, 3, 1, 6, tzinfo=UTC)
SIGNALS = {
    "speed": signals.SPEED,
    "rpm": signals.ENGINE_SPEED,
    "odometer": signals.TRAVELED_DISTANCE,
    "pedal": signals.BRAKE_PEDAL_POSITION,
    "amps": signals.TRACTION_BATTERY_CURRENT,
    "volts": signals.TRACTION_BATTERY_VOLTAGE,
    "pad": signals.PAD_WEAR["Row1.Left"],
}


def sample(seconds: float, **values: float) -> Sample:
    return Sample(
        time=START + timedelta(seconds=seconds),
        monotonic_ms=0,
        values={SIGNALS[key].path: float(value) for key, value in values.items()},
    )


def drive_stops(
    pads: BrakePads, count: int, *, begin_s: float = 0.0, odometer_m: float | None = None, from_kmh: float = 50.0
) -> float:
    """So many stops at 2.5 m/s2 at 1 Hz, a minute of standing after each, so that discs stay cool.

    Gives the time after them.
    """
    now = begin_s
    for _ in range(count):
        stop = [max(0.0, from_kmh - 9.0 * step) for step in range(1 + round(from_kmh / 9))]
        for speed in [0.0, from_kmh - 1, from_kmh, from_kmh, *stop, 0.0, 0.0]:
            values = {} if odometer_m is None else {"odometer": odometer_m // 1000 * 1000}
            pads.update(sample(now, speed=round(speed), **values))
            now += 1.0
            odometer_m = None if odometer_m is None else odometer_m + speed / 3.6
        now += 60.0
    return now


def record(
    number: int,
    seconds: float,
    *,
    value: float | None = None,
    unit: str = "",
    position: str = "Row1",
    action: ServiceAction | None = None,
) -> ServiceRecord:
    measured = ServiceAction.MEASURED if value is not None else ServiceAction.REPLACED
    return ServiceRecord(
        id=UUID(int=number),
        time=START + timedelta(seconds=seconds),
        quantity=Quantity.PAD_WEAR,
        action=action or measured,
        by="workshop",
        reason="inspection",
        position=position,
        value=value,
        unit=unit,
    )


def wheel(pads: BrakePads, position: str = "Row1.Left") -> Estimate:
    (found,) = [one for one in pads.estimates(START) if one.position == position and one.source == "estimated"]
    return found
