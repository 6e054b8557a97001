"""Writes what is to be said about alerts and bookings into the outbox, in the transaction that decides it.

A workshop hears of a booking with its confirmation and not before; a slot that was only held is never mentioned to it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from ingest.database import Connection
from rules.booking import calendars
from rules.booking.repository import AlertFacts
from rules.booking.views import BookingView, OfferView
from rules.delivery import outbox
from rules.delivery.messages import Appointment, OwnerEvent, OwnerMessage, WorkshopEvent, WorkshopMessage


def tell_owner_of_alert(
    connection: Connection, alert: AlertFacts, now: datetime, *, event: Literal["alert", "raised"] = "alert"
) -> None:
    """Tell the owner of an alert for which nothing is booked, or that an alert became graver."""
    told = "" if event == "alert" else f"/raised/{alert.severity}"
    outbox.put(
        connection,
        kind="owner_message",
        key=f"alert/{alert.id}{told}/owner",
        message=OwnerMessage(
            event=event,
            alert_id=alert.id,
            vehicle_id=alert.vehicle_id,
            vehicle=alert.vehicle_label,
            severity=alert.severity,
            title_en=alert.title_en,
            title_zh=alert.title_zh,
            text_en=alert.text_en,
            text_zh=alert.text_zh,
        ),
        now=now,
        alert_id=alert.id,
        vehicle_id=alert.vehicle_id,
    )


def tell_owner(
    connection: Connection,
    view: BookingView,
    event: OwnerEvent,
    now: datetime,
    *,
    offers: Sequence[OfferView] = (),
) -> None:
    """Tell the owner what became of a booking; ``offers`` are listed as alternatives."""
    outbox.put(
        connection,
        kind="owner_message",
        key=f"booking/{view.id}/{view.sequence}/{event}/owner",
        message=OwnerMessage(
            event=event,
            alert_id=view.alert_id,
            vehicle_id=view.vehicle_id,
            vehicle=view.vehicle_label,
            severity=view.severity,
            title_en=view.title_en,
            title_zh=view.title_zh,
            text_en=view.text_en,
            text_zh=view.text_zh,
            booking_id=view.id,
            appointment=Appointment(
                workshop=view.workshop_name,
                time_zone=view.time_zone,
                start=view.period.start,
                end=view.period.end,
                price=view.price,
                currency=view.currency,
                job=view.job,
            ),
            held_until=view.held_until if event == "proposed" else None,
            alternatives=tuple(_alternative(offer, view.job) for offer in offers if not offer.chosen),
            report=view.report,
        ),
        now=now,
        alert_id=view.alert_id,
        booking_id=view.id,
        vehicle_id=view.vehicle_id,
    )


def _alternative(offer: OfferView, job: str) -> Appointment:
    return Appointment(
        workshop=offer.workshop_name,
        time_zone=offer.time_zone,
        start=offer.period.start,
        end=offer.period.end,
        price=offer.price,
        currency=offer.currency,
        job=job,
        distance_km=round(offer.distance_km, 1),
        rating=offer.rating,
    )


def tell_workshop(
    connection: Connection, view: BookingView, event: WorkshopEvent, now: datetime, *, sequence: int | None = None
) -> None:
    """Send the view's workshop a webhook, if it takes them, and a calendar invitation or its cancellation."""
    sequence = view.sequence if sequence is None else sequence
    message = WorkshopMessage(
        event=event,
        booking_id=view.id,
        sequence=sequence,
        workshop_id=view.workshop_id,
        workshop=view.workshop_name,
        time_zone=view.time_zone,
        bay=view.bay_name,
        job=view.job,
        start=view.period.start,
        end=view.period.end,
        price=view.price,
        currency=view.currency,
        vehicle=view.vehicle_label,
        profile=view.profile,
        severity=view.severity,
        fault=view.title_en,
        findings=view.text_en,
    )
    kinds: list[outbox.Kind] = ["workshop_invitation"]
    if calendars.workshop(connection, view.workshop_id).takes_webhooks:
        kinds.append("workshop_webhook")
    for kind in kinds:
        outbox.put(
            connection,
            kind=kind,
            key=f"booking/{view.id}/{sequence}/{event}/{kind.removeprefix('workshop_')}",
            message=message,
            now=now,
            alert_id=view.alert_id,
            booking_id=view.id,
            workshop_id=view.workshop_id,
        )
