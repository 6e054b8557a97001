"""Samples for tests of oil life."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from health import signals
from health.oil_life import OilLife
from telemetry.records import Quantity, Sample, ServiceAction, ServiceRecord

START: Final = datetime(2026, 3, 1, 6, tzinfo=UTC)
_SIGNALS: Final = {
    "rpm": signals.ENGINE_SPEED,
    "oil": signals.OIL_TEMPERATURE,
    "coolant": signals.COOLANT_TEMPERATURE,
    "load": signals.ENGINE_LOAD,
    "speed": signals.SPEED,
    "air": signals.AMBIENT_TEMPERATURE,
    "intake": signals.INTAKE_TEMPERATURE,
    "odometer": signals.TRAVELED_DISTANCE,
    "cleared_km": signals.DISTANCE_SINCE_CODES_CLEARED,
    "service_km": signals.DISTANCE_TO_SERVICE,
    "ecu": signals.OIL_LIFE,
}


def at(seconds: float) -> datetime:
    """So long after the start."""
    return START + timedelta(seconds=seconds)


def sample(seconds: float, **values: float) -> Sample:
    """What was read then; names are short for signals."""
    read = {_SIGNALS[key].path: value for key, value in values.items()}
    return Sample(time=at(seconds), monotonic_ms=0, values=read)


def run(estimator: OilLife, /, *, seconds: int, step: int, start: float = 0, **values: float) -> None:
    """The same values over and over."""
    for second in range(0, seconds + 1, step):
        estimator.update(sample(start + second, **values))


def record(
    time: datetime, action: ServiceAction = ServiceAction.REPLACED, *, value: float | None = None, unit: str = ""
) -> ServiceRecord:
    """A person's word about the oil."""
    return ServiceRecord(
        id=uuid4(),
        time=time,
        quantity=Quantity.OIL_LIFE,
        action=action,
        by="workshop",
        reason="oil and filter",
        value=value,
        unit=unit,
    )
