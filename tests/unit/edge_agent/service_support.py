"""Estimators that keep what they are told, and records to tell them."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast
from uuid import UUID

from edge_agent.testing import START
from health.errors import HealthError
from telemetry.records import (
    Estimate,
    EventKind,
    Quantity,
    Sample,
    ServiceAction,
    ServiceRecord,
    VehicleEvent,
)


def record(
    number: int = 1,
    quantity: Quantity = Quantity.OIL_LIFE,
    *,
    time: datetime = START,
    value: float | None = None,
) -> ServiceRecord:
    return ServiceRecord(
        id=UUID(int=number),
        time=time,
        quantity=quantity,
        action=ServiceAction.REPLACED if value is None else ServiceAction.MEASURED,
        by="workshop",
        reason="done",
        value=value,
        unit="" if value is None else "percent",
    )


class Keeping:
    """Counts samples and services; refuses a measured value above 100 and doubts speeds above 200."""

    def __init__(self, name: str = "oil_life") -> None:
        self.name = name
        self.samples = 0
        self.told: list[str] = []
        self.found: list[str] = []

    def update(self, sample: Sample) -> None:
        self.samples += 1
        if sample.values.get("Vehicle.Speed", 0.0) > 200:
            self.found.append(sample.time.isoformat())

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        return (_estimate(now, len(self.told), "keeping/1"),)

    def serviced(self, record: ServiceRecord) -> None:
        self.told.append(str(record.id))
        if record.value is not None and record.value > 100:
            raise HealthError(f"{record.value} percent is more than all of it")

    def findings(self) -> tuple[VehicleEvent, ...]:
        found, self.found = self.found, []
        return tuple(
            VehicleEvent(
                time=datetime.fromisoformat(time),
                kind=EventKind.SIGNAL_DOUBTED,
                data={"signal": "Vehicle.Speed", "why": "too fast"},
            )
            for time in found
        )

    def state(self) -> dict[str, object]:
        return {"samples": self.samples, "told": self.told.copy(), "found": self.found.copy()}

    def restore(self, state: Mapping[str, object]) -> None:
        self.samples = int(str(state["samples"]))
        self.told = list(cast("list[str]", state["told"]))
        self.found = list(cast("list[str]", state["found"]))


class Counting:
    """Knows only how many samples it was fed."""

    name = "counting"

    def __init__(self) -> None:
        self.count = 0

    def update(self, sample: Sample) -> None:
        self.count += 1 if sample.values else 0

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        return (_estimate(now, self.count, "counting/1"),)

    def serviced(self, record: ServiceRecord) -> None:
        pass

    def findings(self) -> tuple[VehicleEvent, ...]:
        return ()

    def state(self) -> dict[str, object]:
        return {"count": self.count}

    def restore(self, state: Mapping[str, object]) -> None:
        self.count = cast("int", state["count"])


def _estimate(now: datetime, count: int, method: str) -> Estimate:
    value = float(count)
    return Estimate(
        time=now, quantity=Quantity.OIL_LIFE, value=value, low=value, high=value, source="estimated", method=method
    )
