"""Reads bookings for those who look at them: owner, portal, workshop. Changes nothing."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from uuid import UUID

from ingest.database import Connection
from rules.booking import calendars, repository
from rules.booking.policy import DEFAULT_POLICY, BookingPolicy
from rules.booking.records import Period
from rules.booking.slots import free_slots as slots_of
from rules.booking.slots import opening_periods
from rules.booking.transitions import BookingState
from rules.booking.views import BayDay, BookingView, DayEntry, FreeSlot, WorkshopDay
from telemetry.records import require_aware


def booking_view(connection: Connection, booking_id: UUID) -> BookingView:
    """Return a booking with its offers. Raises UnknownBookingError."""
    return with_offers(connection, repository.booking(connection, booking_id))


def booking_of_alert(connection: Connection, alert_id: UUID) -> BookingView | None:
    """Return the alert's booking that takes a bay, or else its latest, with its offers; None if there never was one."""
    view = repository.latest_booking_of_alert(connection, alert_id)
    return None if view is None else with_offers(connection, view)


def bookings_of_vehicle(connection: Connection, vehicle_id: UUID) -> tuple[BookingView, ...]:
    """Return all bookings of a vehicle, the newest first, without offers."""
    return tuple(repository.bookings_of_vehicle(connection, vehicle_id))


def workshop_day(connection: Connection, workshop_id: UUID, day: date) -> WorkshopDay:
    """Return what is in each bay on a local day of the workshop. Held slots say nothing about car or owner."""
    facts = calendars.workshop(connection, workshop_id)
    calendar = calendars.calendar(connection, workshop_id)
    midnight = datetime.combine(day, time(), tzinfo=calendar.zone)
    whole_day = Period(start=midnight, end=midnight + timedelta(days=1))
    views = repository.bookings_in(connection, workshop_id, whole_day)
    return WorkshopDay(
        workshop_id=workshop_id,
        workshop_name=facts.name,
        time_zone=facts.time_zone,
        day=day,
        open=opening_periods(calendar, day, day),
        bays=tuple(
            BayDay(
                bay_id=bay.id,
                name=bay.name,
                skills=bay.skills,
                entries=tuple(_day_entry(view) for view in views if view.bay_id == bay.id),
            )
            for bay in calendar.bays
        ),
    )


def free_slots(
    connection: Connection,
    booking_id: UUID,
    now: datetime,
    *,
    workshop_id: UUID | None = None,
    first_day: date | None = None,
    days: int = 7,
    policy: BookingPolicy = DEFAULT_POLICY,
) -> tuple[FreeSlot, ...]:
    """Return what the booking could move to: one slot per start, on the workshop's local days from ``first_day`` on.

    ``first_day`` is today unless said. Nothing before the policy's lead time or beyond its horizon.
    """
    require_aware(now, "now")
    view = repository.booking(connection, booking_id)
    latest = now + policy.horizon
    found = calendars.candidate(
        connection,
        workshop_id=workshop_id or view.workshop_id,
        job=view.job,
        now=now,
        latest=latest,
        except_booking=booking_id,
    )
    if found is None:
        return ()
    zone = found.calendar.zone
    first = first_day or now.astimezone(zone).date()
    earliest = max(now + policy.lead, datetime.combine(first, time(), tzinfo=zone))
    latest = min(latest, datetime.combine(first + timedelta(days=days), time(), tzinfo=zone))
    by_start: dict[datetime, FreeSlot] = {}
    for slot in slots_of(
        found.calendar,
        skill=found.skill,
        duration=found.duration,
        earliest=earliest,
        latest=latest,
        step=policy.step,
    ):
        by_start.setdefault(
            slot.period.start,
            FreeSlot(
                workshop_id=found.calendar.workshop_id,
                time_zone=found.calendar.time_zone,
                bay_id=slot.bay_id,
                period=slot.period,
            ),
        )
    return tuple(by_start.values())


def with_offers(connection: Connection, view: BookingView) -> BookingView:
    """Add the latest set of offers."""
    return replace(view, offers=tuple(repository.offers_of(connection, view)))


def _day_entry(view: BookingView) -> DayEntry:
    known = view.state is not BookingState.PROPOSED
    return DayEntry(
        booking_id=view.id,
        period=view.period,
        job=view.job,
        state=view.state,
        vehicle_label=view.vehicle_label if known else None,
        vin=view.vin if known else None,
        owner_name=view.owner_name if known else None,
        title_en=view.title_en if known else None,
        title_zh=view.title_zh if known else None,
        report=view.report,
    )
