"""What a workshop or an engineer is shown of a customer: plain only to whom the work needs it. Pure.

A workshop knows name and VIN from the confirmation until the work is some weeks past, for questions about it. Engineers
see masks: what they diagnose is the car.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ingest.personal.mask import mask_name, mask_vin
from portal.access import Role
from rules.booking.views import BookingView

_QUESTIONS_FOR: Final = timedelta(days=30)  # after the appointment


@dataclass(frozen=True, kw_only=True)
class Customer:
    """Name and VIN as they are shown, and which of them are plain."""

    name: str
    vin: str | None
    plain: tuple[str, ...]  # as the access log names fields; empty: masked


def customer_of(view: BookingView, role: Role | None, now: datetime) -> Customer:
    """What the role is shown of the booking's customer at that time."""
    needed = view.state in ("confirmed", "completed") and now <= view.period.end + _QUESTIONS_FOR
    if role == "workshop" and needed:
        return Customer(name=view.owner_name, vin=view.vin, plain=("name", "vin") if view.vin else ("name",))
    vin = None if view.vin is None else mask_vin(view.vin)
    return Customer(name=mask_name(view.owner_name), vin=vin, plain=())
