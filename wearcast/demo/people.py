"""Registers the demo's owners, cars, dongles and workshops: what an operator does with `wearcast ingest … add`."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal, cast
from uuid import UUID

from ingest import registry
from ingest.database import Connection
from rules.booking.workshops import add_bay, add_job, set_opening_hours, weekly_hours
from rules.delivery.owner_channel import mail_address_url
from wearcast.demo.cars import vin_of
from wearcast.demo.story import STORIES, WORKSHOPS, DemoWorkshop, Story

# job: skill a bay needs, hours, price in EUR at a factor of 1
JOBS = {
    "oil_change": ("mechanical", 1.0, 129),
    "brake_pads": ("mechanical", 2.0, 289),
    "tire_repair": ("mechanical", 1.0, 45),
    "battery_check": ("electrical", 0.5, 39),
    "diagnosis": ("diagnostics", 1.0, 89),
    "traction_battery_check": ("high_voltage", 3.0, 249),
}


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Who is registered: vehicle and owner by device, workshops by key."""

    vehicles: Mapping[str, UUID]
    owners: Mapping[str, UUID]
    workshops: Mapping[str, UUID]


def webhook_secret(workshop: DemoWorkshop) -> str:
    """The workshop's Standard Webhooks secret; made from its key, as nothing but this demo's receiver knows it."""
    return "whsec_" + base64.b64encode(hashlib.sha256(f"wearcast demo {workshop.key}".encode()).digest()).decode()


def register(connection: Connection, receiver_url: str) -> Cast:
    """Register everybody; messages go to the receiver at that address."""
    vehicles: dict[str, UUID] = {}
    owners: dict[str, UUID] = {}
    for story in STORIES:
        owners[story.device] = _owner(connection, story, receiver_url)
        vehicle = registry.register_vehicle(
            connection, owner_id=owners[story.device], label=story.label, profile=story.profile, vin=vin_of(story)
        )
        vehicles[story.device] = vehicle.id
        registry.register_device(connection, id=story.device, vehicle_id=vehicle.id, hardware="pi_zero_2w_mcp2515")
    workshops = {workshop.key: _workshop(connection, workshop, receiver_url) for workshop in WORKSHOPS}
    return Cast(vehicles=vehicles, owners=owners, workshops=workshops)


def _owner(connection: Connection, story: Story, receiver_url: str) -> UUID:
    address = receiver_url.replace("http://", "json://")
    email = f"{story.device}@owners.example"
    return registry.register_owner(
        connection,
        name=story.owner,
        language=cast("Literal['en', 'zh']", story.language),
        time_zone="Europe/Berlin",
        notify_urls=(f"{address}/owner/{story.device}", mail_address_url(email)),
        email=email,
        latitude=story.position[0],
        longitude=story.position[1],
    ).id


def _workshop(connection: Connection, workshop: DemoWorkshop, receiver_url: str) -> UUID:
    added = registry.register_workshop(
        connection,
        name=workshop.name,
        time_zone=workshop.time_zone,
        latitude=workshop.position[0],
        longitude=workshop.position[1],
        rating=workshop.rating,
        email=f"{workshop.key}@workshops.example",
        webhook_url=f"{receiver_url}/workshop/{workshop.key}",
        webhook_secret=webhook_secret(workshop),
    )
    for name, skills in workshop.bays:
        add_bay(connection, added.id, name, skills)
    set_opening_hours(connection, added.id, weekly_hours(range(1, 7), workshop.opens, workshop.closes))
    for job, (skill, hours, price) in JOBS.items():
        add_job(
            connection,
            added.id,
            job,
            skill=skill,
            duration=timedelta(hours=hours),
            price=Decimal(round(price * workshop.price_factor)),
        )
    return added.id
