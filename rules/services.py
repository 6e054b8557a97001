"""What workshops and owners report of parts, as service records: which jobs and measurements there are, what is sane.

Pure: who says so and when are arguments. Storing and sending is :mod:`ingest.outbound.services`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from ingest.outbound.services import Suspicion
from rules.errors import RulesError
from telemetry.records import Quantity, ServiceAction, ServiceRecord

AXLES: Final = ("Row1", "Row2")
WHEELS: Final = ("Row1.Left", "Row1.Right", "Row2.Left", "Row2.Right")
_POSITION: Final = re.compile(r"(Row[12](\.(Left|Right))?)?")


class ServiceError(RulesError):
    """What was reported cannot be: the text says what and what to do."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One thing done to a part, or measured on it (``value`` in ``unit``)."""

    quantity: Quantity
    action: ServiceAction
    position: str = ""
    value: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if _POSITION.fullmatch(self.position) is None:
            raise ServiceError(f"position {self.position!r}: give {', '.join((*AXLES, *WHEELS))} or none")
        if (self.action is ServiceAction.MEASURED) != (self.value is not None):
            raise ServiceError("give a value with what was measured, and only with that")
        if self.value is not None:
            _require_sane(self.quantity, self.value, self.unit)


# What a person can have measured: lowest and highest sane value by quantity and unit. Linings: a new one has some 8 to
# 14 mm (25 on heavy vans), and one below 0.5 mm is metal on metal. A new traction battery may hold a little more than
# it is sold with; one below 30 % does not drive.
SANE: Final = {
    (Quantity.PAD_WEAR, "mm"): (0.5, 25.0),
    (Quantity.PAD_WEAR, "percent"): (0.0, 110.0),
    (Quantity.TRACTION_BATTERY_SOH, "percent"): (30.0, 110.0),
    (Quantity.LOW_VOLTAGE_BATTERY_HEALTH, "percent"): (0.0, 100.0),
    (Quantity.OIL_LIFE, "percent"): (0.0, 100.0),
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What can be measured of a part: a field of the workshop's form."""

    quantity: Quantity
    position: str
    unit: str

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest sane value."""
        return SANE[self.quantity, self.unit]

    def work(self, value: float) -> Work:
        """That it was measured; ServiceError if it cannot be."""
        return Work(
            quantity=self.quantity,
            action=ServiceAction.MEASURED,
            position=self.position,
            value=value,
            unit=self.unit,
        )


# By the name a form gives them, in the order in which they count: what was fitted is measured after.
JOBS: Final = {
    "oil_changed": Work(quantity=Quantity.OIL_LIFE, action=ServiceAction.REPLACED),
    "pads_front": Work(quantity=Quantity.PAD_WEAR, action=ServiceAction.REPLACED, position="Row1"),
    "pads_rear": Work(quantity=Quantity.PAD_WEAR, action=ServiceAction.REPLACED, position="Row2"),
    "low_voltage_battery": Work(quantity=Quantity.LOW_VOLTAGE_BATTERY_HEALTH, action=ServiceAction.REPLACED),
    "traction_battery": Work(quantity=Quantity.TRACTION_BATTERY_SOH, action=ServiceAction.REPLACED),
    "tires_inflated": Work(quantity=Quantity.TIRE_PRESSURE_LOSS, action=ServiceAction.ADJUSTED),
    "tires_changed": Work(quantity=Quantity.TIRE_PRESSURE_LOSS, action=ServiceAction.REPLACED),
    **{
        f"tire_mended_{wheel}": Work(
            quantity=Quantity.TIRE_PRESSURE_LOSS, action=ServiceAction.REPLACED, position=wheel
        )
        for wheel in WHEELS
    },
}
MEASURES: Final = {
    **{
        f"lining_{place}": Measure(quantity=Quantity.PAD_WEAR, position=place, unit="mm") for place in (*AXLES, *WHEELS)
    },
    "traction_battery_soh": Measure(quantity=Quantity.TRACTION_BATTERY_SOH, position="", unit="percent"),
    "low_voltage_battery_health": Measure(quantity=Quantity.LOW_VOLTAGE_BATTERY_HEALTH, position="", unit="percent"),
}


def records(work: Iterable[Work], *, time: datetime, by: str, reason: str) -> tuple[ServiceRecord, ...]:
    """The service records of what was done then."""
    return tuple(
        ServiceRecord(
            id=uuid4(),
            time=time,
            quantity=each.quantity,
            action=each.action,
            by=by,
            reason=reason,
            position=each.position,
            value=each.value,
            unit=each.unit,
        )
        for each in work
    )


def confirmed(suspicion: Suspicion) -> Work:
    """What a yes to a suspicion means: the part was replaced; of tyres, that they were pumped up."""
    quantity = Quantity(suspicion.quantity)
    action = ServiceAction.ADJUSTED if quantity is Quantity.TIRE_PRESSURE_LOSS else ServiceAction.REPLACED
    known = _POSITION.fullmatch(suspicion.position) is not None
    return Work(quantity=quantity, action=action, position=suspicion.position if known else "")


def _require_sane(quantity: Quantity, value: float, unit: str) -> None:
    if (quantity, unit) not in SANE:
        units = sorted(unit for known, unit in SANE if known is quantity)
        hint = f"give it in {' or '.join(units)}" if units else "nothing can be measured of it"
        raise ServiceError(f"{quantity} in {unit!r}: {hint}")
    low, high = SANE[quantity, unit]
    if not low <= value <= high:
        raise ServiceError(f"{quantity}: {value:g} {unit} cannot be; give {low:g} to {high:g}")
