"""What the stored messages carry. Facts at the moment of the decision; addresses and secrets are looked up at delivery.

Structs, because they cross into the database as JSON and are read back by another process.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

OwnerEvent = Literal["alert", "raised", "proposed", "confirmed", "moved", "cancelled", "expired", "completed"]
WorkshopEvent = Literal["confirmed", "moved", "cancelled"]


class Appointment(msgspec.Struct, frozen=True, kw_only=True):
    """When and where, as a person is told it."""

    workshop: str
    time_zone: str  # IANA name of the workshop
    start: datetime
    end: datetime
    price: Decimal
    currency: str  # ISO 4217
    job: str
    distance_km: float | None = None
    rating: float | None = None


class OwnerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner is told about an alert or a booking, in both languages: the owner's is chosen at delivery."""

    event: OwnerEvent
    alert_id: UUID
    vehicle_id: UUID
    vehicle: str  # label
    severity: str
    title_en: str
    title_zh: str
    text_en: str
    text_zh: str
    booking_id: UUID | None = None
    appointment: Appointment | None = None
    held_until: datetime | None = None
    alternatives: tuple[Appointment, ...] = ()
    report: str | None = None


class WorkshopMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the workshop needs for the work: when, where, which car, what is wrong with it.

    Nothing of the owner but the name of who brings the car: no address, no number, no position. It is written from
    the confirmation on, never before. Name and VIN are not stored: delivery looks them up and fills them in.
    """

    event: WorkshopEvent
    booking_id: UUID
    sequence: int  # rises with each change: a smaller one is old news (iCalendar SEQUENCE)
    workshop_id: UUID
    workshop: str
    time_zone: str
    bay: str
    job: str
    start: datetime
    end: datetime
    price: Decimal
    currency: str
    vehicle: str
    vin: str | None = None
    profile: str
    customer: str = ""
    severity: str
    fault: str  # the alert's title
    findings: str  # the alert's text


Message = OwnerMessage | WorkshopMessage


def encode(message: Message) -> str:
    """JSON text of a message."""
    return msgspec.json.encode(message).decode()
