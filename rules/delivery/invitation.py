"""Calendar invitations to workshops: iCalendar (RFC 5545), iTIP methods (RFC 5546), in a mail (RFC 6047). Pure."""

from datetime import date, datetime, timedelta
from email.message import EmailMessage
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vText

from rules.delivery.mail import new_mail
from rules.delivery.messages import WorkshopMessage
from rules.delivery.texts import job_name, moment


def calendar_object(message: WorkshopMessage, *, organizer: str, attendee: str, stamp: datetime) -> bytes:
    """Return the iTIP object: REQUEST for a new or changed booking, CANCEL for one given back.

    The UID stays for the life of a booking, SEQUENCE rises with each change: calendars put the newer in place.
    ``stamp`` is when it was decided, so that a second delivery is the same to the byte.
    """
    cancelled = message.event == "cancelled"
    zone = ZoneInfo(message.time_zone)
    start, end = message.start.astimezone(zone), message.end.astimezone(zone)
    calendar = Calendar()
    calendar.add("prodid", "-//Wearcast//Bookings//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "CANCEL" if cancelled else "REQUEST")
    event = Event()
    event.add("uid", f"{message.booking_id}@wearcast")
    event.add("sequence", message.sequence)
    event.add("dtstamp", stamp)
    event.add("dtstart", start)
    event.add("dtend", end)
    event.add("summary", f"{job_name(message.job, 'en')}: {message.vehicle}")
    event.add("location", f"{message.workshop}, {message.bay}")
    event.add("description", description(message))
    event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    organizer_address = vCalAddress(f"mailto:{organizer}")
    organizer_address.params["CN"] = vText("Wearcast")
    event.add("organizer", organizer_address)
    attendee_address = vCalAddress(f"mailto:{attendee}")
    attendee_address.params["CN"] = vText(message.workshop)
    attendee_address.params["ROLE"] = vText("REQ-PARTICIPANT")
    attendee_address.params["PARTSTAT"] = vText("NEEDS-ACTION")
    attendee_address.params["RSVP"] = vText("FALSE")
    event.add("attendee", attendee_address)
    calendar.add_component(event)
    if message.time_zone != "UTC":
        # The year around is enough to place one appointment; a zone's whole history would be 20 kB.
        calendar.add_missing_timezones(
            first_date=date(start.year, 1, 1), last_date=(start + timedelta(days=400)).date()
        )
    text: bytes = calendar.to_ical()
    return text


def description(message: WorkshopMessage) -> str:
    """Return what the workshop needs to know for the work, as text."""
    lines = [
        f"{message.fault}. {message.findings}",
        f"Car: {message.vehicle} ({message.profile})" + (f", VIN {message.vin}" if message.vin else ""),
        *([f"Customer: {message.customer}"] if message.customer else []),
        f"Price: {message.price:.2f} {message.currency}",
    ]
    return "\n".join(lines)


def invitation_mail(message: WorkshopMessage, *, sender: str, to: str, key: str, stamp: datetime) -> EmailMessage:
    """Return the mail that carries the invitation, with the same in words for people without a calendar."""
    what = {"confirmed": "New booking", "moved": "Booking moved", "cancelled": "Booking cancelled"}[message.event]
    when = moment(message.start, "en", message.time_zone)
    job = job_name(message.job, "en")
    mail = new_mail(sender=sender, to=to, subject=f"{what}: {job}, {when}", key=key)
    mail.set_content(f"{what}: {job}\n{when}, {message.workshop}, {message.bay}\n\n{description(message)}\n")
    calendar = calendar_object(message, organizer=sender, attendee=to, stamp=stamp)
    method = "CANCEL" if message.event == "cancelled" else "REQUEST"
    mail.add_alternative(calendar.decode(), subtype="calendar", params={"method": method})
    return mail
