"""The records of the registry. Personal data (names, addresses, positions, secrets) stays out of ``repr``."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal
from uuid import UUID

Language = Literal["en", "zh"]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Someone who has vehicles and is told about them."""

    id: UUID
    name: str = field(repr=False)
    language: Language
    time_zone: str  # IANA name
    notify_urls: tuple[str, ...] = field(repr=False)  # Apprise addresses: they hold phone numbers and tokens
    email: str | None = field(repr=False)
    latitude: float | None = field(repr=False)  # degrees WGS 84, where the car usually is
    longitude: float | None = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """A car, with the profile that says how it is read and what wears."""

    id: UUID
    owner_id: UUID
    label: str  # what the owner calls it
    vin: str | None = field(repr=False)
    profile: str  # vehicle profile of firmware_profiles
    in_service_since: date | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Device:
    """A dongle: its id is its certificate's CN and its branch of topics."""

    id: str
    vehicle_id: UUID
    hardware: str  # hardware profile of firmware_profiles
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where cars are booked in. Bays, hours and prices belong to the booking domain."""

    id: UUID
    name: str
    time_zone: str  # IANA name; opening hours are in it
    latitude: float  # degrees WGS 84
    longitude: float
    rating: float  # 1 to 5
    email: str = field(repr=False)
    webhook_url: str | None = field(repr=False)
    webhook_secret: str | None = field(repr=False)  # Standard Webhooks "whsec_…"
    created_at: datetime
