"""A booking as an iCalendar file (RFC 5545) for the owner's own calendar. Pure."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Alarm, Calendar, Event

from portal.formats import money
from portal.texts import Language, say
from rules.booking.views import BookingView
from rules.delivery.texts import job_name

_REMINDER = timedelta(hours=2)  # before the appointment


def calendar_file(view: BookingView, language: Language, *, link: str | None, stamp: datetime) -> bytes:
    """One event, with the UID the workshop's invitation has; opening the file again replaces it."""
    zone = ZoneInfo(view.time_zone)
    calendar = Calendar()
    calendar.add("prodid", "-//Wearcast//Bookings//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    event = Event()
    event.add("uid", f"{view.id}@wearcast")
    event.add("sequence", view.sequence)
    event.add("dtstamp", stamp)
    event.add("dtstart", view.period.start.astimezone(zone))
    event.add("dtend", view.period.end.astimezone(zone))
    event.add("summary", f"{job_name(view.job, language)}: {view.vehicle_label}")
    event.add("location", view.workshop_name)
    title = view.title_zh if language == "zh" else view.title_en
    price = say("offer.price_line", language, price=money(view.price, view.currency))
    event.add("description", "\n".join(part for part in (title, price, link) if part))
    event.add("status", "CONFIRMED")
    reminder = Alarm()
    reminder.add("action", "DISPLAY")
    reminder.add("description", title)
    reminder.add("trigger", -_REMINDER)
    event.add_component(reminder)
    calendar.add_component(event)
    if view.time_zone != "UTC":
        start = view.period.start.astimezone(zone)
        calendar.add_missing_timezones(
            first_date=start.date().replace(month=1, day=1), last_date=(start + timedelta(days=400)).date()
        )
    content: bytes = calendar.to_ical()
    return content
