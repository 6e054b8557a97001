"""What a person did to the car, told to the estimators: whether it counts, and which records counted before.

All or nothing: where one estimator cannot make sense of a record, all stand as before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, cast
from uuid import UUID

from edge_agent.outbox import Outbox
from health.errors import HealthError
from health.estimator import Estimator
from telemetry.records import Quantity, ServiceRecord

_STATE: Final = "services"  # the name of what is kept, in the outbox's state
_REMEMBERED: Final = 256  # ids of records: the backend asks again for days, and not for years
_CLOCKS_DIFFER: Final = timedelta(minutes=10)  # as the backend allows a dongle's clock to be ahead
_ESTIMATOR_OF: Final = {
    Quantity.OIL_LIFE: "oil_life",
    Quantity.PAD_WEAR: "brake_pads",
    Quantity.TRACTION_BATTERY_SOH: "traction_battery",
    Quantity.LOW_VOLTAGE_BATTERY_HEALTH: "low_voltage_battery",
    Quantity.TIRE_PRESSURE_LOSS: "tires",
}


@dataclass(frozen=True, kw_only=True)
class Serviced:
    """What becomes of a record. ``later``: it cannot be judged now and is told again."""

    state: Literal["applied", "refused", "later"]
    reason: str = ""


class KnownServices:
    """The records that counted, by id; kept in the outbox within the transaction of what they changed."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._known = list(cast("list[str]", outbox.state(_STATE) or ()))

    def __contains__(self, record_id: UUID) -> bool:
        """Whether that record counted."""
        return str(record_id) in self._known

    def remember(self, record_id: UUID) -> None:
        """Within the caller's transaction: it counts."""
        self._known = [*self._known, str(record_id)][-_REMEMBERED:]
        self._outbox.put_state(_STATE, self._known)


def tell(estimators: Sequence[Estimator], record: ServiceRecord, now: datetime) -> Serviced:
    """Tell all estimators of a record; if it is refused they stand as before."""
    if not estimators:
        return Serviced(state="later", reason="nothing is estimated yet")
    if record.time > now + _CLOCKS_DIFFER:
        return Serviced(state="later", reason=f"by this device's clock, {now.isoformat()}, it was not done yet")
    if _ESTIMATOR_OF[record.quantity] not in {estimator.name for estimator in estimators}:
        return Serviced(state="refused", reason=f"{record.quantity} is not estimated of this kind of car")
    before = [estimator.state() for estimator in estimators]
    try:
        for estimator in estimators:
            estimator.serviced(record)
    except HealthError as error:
        for estimator, state in zip(estimators, before, strict=True):
            estimator.restore(state)
        return Serviced(state="refused", reason=str(error))
    return Serviced(state="applied")
