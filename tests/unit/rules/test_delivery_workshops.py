"""What workshops get: the signed event and the invitation, and that neither carries more than the work needs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email import message_from_bytes, policy
from uuid import UUID

import httpx
import icalendar
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from rules.delivery.errors import DeliveryError, UndeliverableError
from rules.delivery.invitation import calendar_object, invitation_mail
from rules.delivery.messages import WorkshopEvent, WorkshopMessage
from rules.delivery.webhook import (
    HttpWebhooks,
    MemoryWebhooks,
    WebhookTransport,
    cloud_event,
    new_secret,
    signed_headers,
)

SECRET = "whsec_d2VhcmNhc3QtdGVzdC1zZWNyZXQ="  # noqa: S105 - of this test alone
DECIDED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BOOKING = UUID("00000000-0000-0000-0000-000000000007")


def message(event: WorkshopEvent = "confirmed", sequence: int = 0, time_zone: str = "Europe/Berlin") -> WorkshopMessage:
    return WorkshopMessage(
        event=event,
        booking_id=BOOKING,
        sequence=sequence,
        workshop_id=UUID(int=8),
        workshop="Werk; Süd, 1",
        time_zone=time_zone,
        bay="Bay 1",
        job="brake_pads",
        start=datetime(2026, 3, 30, 7, 0, tzinfo=UTC),  # after the clocks changed, decided before
        end=datetime(2026, 3, 30, 8, 0, tzinfo=UTC),
        price=Decimal("149.50"),
        currency="EUR",
        vehicle="Blue Polo",
        vin="WVWZZZ6RZHY000001",
        profile="vw_polo",
        customer="Ada Beispiel",
        severity="soon",
        fault="Front left brake pad is worn",
        findings="It has 8 % left.",
    )


def test_the_event_is_a_cloud_event_with_what_the_work_needs() -> None:
    event = json.loads(cloud_event(message(), key="k", source="https://cars.example.org", time=DECIDED))
    assert event == {
        "specversion": "1.0",
        "id": "k",
        "source": "https://cars.example.org",
        "type": "com.wearcast.booking.confirmed.v1",
        "subject": str(BOOKING),
        "time": "2026-03-02T09:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "booking_id": str(BOOKING),
            "sequence": 0,
            "workshop_id": str(UUID(int=8)),
            "bay": "Bay 1",
            "job": "brake_pads",
            "start": "2026-03-30T09:00:00+02:00",
            "end": "2026-03-30T10:00:00+02:00",
            "time_zone": "Europe/Berlin",
            "price": "149.50",
            "currency": "EUR",
            "vehicle": {"label": "Blue Polo", "vin": "WVWZZZ6RZHY000001", "profile": "vw_polo"},
            "customer": {"name": "Ada Beispiel"},
            "fault": {"severity": "soon", "title": "Front left brake pad is worn", "findings": "It has 8 % left."},
        },
    }


def test_a_receiver_can_verify_what_is_signed_now() -> None:
    body = cloud_event(message(), key="booking/7/0/confirmed/webhook", source="https://x.example", time=DECIDED)
    headers = signed_headers(SECRET, key="booking/7/0/confirmed/webhook", now=datetime.now(UTC), body=body)
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert Webhook(SECRET).verify(body, headers)["id"] == headers["webhook-id"] == "booking/7/0/confirmed/webhook"
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(SECRET).verify(body.replace(b"149.50", b"949.50"), headers)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(SECRET).verify(body, {**headers, "webhook-id": "another"})


def test_a_new_secret_signs_and_is_never_the_same() -> None:
    secret = new_secret()
    assert secret != new_secret()
    headers = signed_headers(secret, key="k", now=datetime.now(UTC), body=b"{}")
    assert Webhook(secret).verify(b"{}", headers) == {}


def test_the_signature_is_of_the_instant_in_utc() -> None:
    """Whatever zone the clock is given in: the library takes the wall clock for UTC."""
    east = DECIDED.astimezone(timezone(timedelta(hours=8)))
    assert signed_headers(SECRET, key="k", now=east, body=b"{}") == signed_headers(
        SECRET, key="k", now=DECIDED, body=b"{}"
    )


@pytest.mark.parametrize("secret", ["", "whsec_§", "whsec_a"])
def test_a_secret_that_is_none_is_named_and_not_repeated(secret: str) -> None:
    with pytest.raises(UndeliverableError, match="not base64") as caught:
        signed_headers(secret, key="k", now=DECIDED, body=b"{}")
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (204, None),
        (302, DeliveryError),
        (400, DeliveryError),
        (410, UndeliverableError),
        (503, DeliveryError),
    ],
)
def test_only_2xx_is_delivered(status: int, error: type[DeliveryError] | None) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, headers={"location": "https://elsewhere.example/"})

    webhooks = HttpWebhooks(timedelta(seconds=1), httpx.MockTransport(answer))
    if error is None:
        webhooks.post("https://w.example/hook", {"webhook-id": "k"}, b"{}")
    else:
        with pytest.raises(error, match=str(status)) as caught:
            webhooks.post("https://w.example/hook?token=secret", {"webhook-id": "k"}, b"{}")
        assert type(caught.value) is error
        assert "secret" not in str(caught.value)
    assert len(asked) == 1
    assert asked[0].headers["webhook-id"] == "k"
    webhooks.close()


def test_an_end_that_is_not_there_is_a_delivery_error() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    webhooks = HttpWebhooks(timedelta(seconds=1), httpx.MockTransport(refuse))
    with pytest.raises(DeliveryError, match="ConnectError"):
        webhooks.post("https://w.example/hook", {}, b"{}")
    with pytest.raises(DeliveryError, match="UnsupportedProtocol"):
        HttpWebhooks(timedelta(seconds=1)).post("no address", {}, b"{}")
    webhooks.close()


def test_the_twin_keeps_what_is_posted() -> None:
    twin: WebhookTransport = MemoryWebhooks()
    twin.post("https://w.example", {"a": "b"}, b"{}")
    assert isinstance(twin, MemoryWebhooks)
    assert twin.posted == [("https://w.example", {"a": "b"}, b"{}")]


def parsed(event: WorkshopEvent, sequence: int, time_zone: str = "Europe/Berlin") -> icalendar.Component:
    text = calendar_object(
        message(event, sequence, time_zone), organizer="us@example.org", attendee="werk@example.org", stamp=DECIDED
    )
    return icalendar.Calendar.from_ical(text)


def test_an_invitation_is_an_itip_request() -> None:
    calendar = parsed("confirmed", 0)
    assert calendar["method"] == "REQUEST"
    (event,) = calendar.walk("VEVENT")
    assert event["uid"] == f"{BOOKING}@wearcast"
    assert event["sequence"] == 0
    assert event["status"] == "CONFIRMED"
    assert event["dtstart"].params["TZID"] == "Europe/Berlin"
    assert event.decoded("dtstart") == message().start
    assert event.decoded("dtend") == message().end
    assert event["organizer"] == "mailto:us@example.org"
    assert event["attendee"] == "mailto:werk@example.org"
    assert event["location"] == "Werk; Süd, 1, Bay 1"
    (zone,) = calendar.walk("VTIMEZONE")
    assert zone["tzid"] == "Europe/Berlin"
    # Whoever knows no IANA names takes the offset from the object itself: summer time by then.
    assert {part["tzoffsetto"].to_ical() for part in zone.walk("DAYLIGHT")} == {"+0200"}


def test_utc_needs_no_definition() -> None:
    calendar = parsed("confirmed", 0, "UTC")
    assert calendar.walk("VTIMEZONE") == []
    (event,) = calendar.walk("VEVENT")
    assert event.decoded("dtstart") == message().start


def test_a_change_keeps_the_uid_and_raises_the_sequence() -> None:
    before, after, cancelled = parsed("confirmed", 0), parsed("moved", 1), parsed("cancelled", 2)
    events = [part.walk("VEVENT")[0] for part in (before, after, cancelled)]
    assert len({event["uid"] for event in events}) == 1
    assert [event["sequence"] for event in events] == [0, 1, 2]
    assert [part["method"] for part in (before, after, cancelled)] == ["REQUEST", "REQUEST", "CANCEL"]
    assert events[2]["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("event", "subject", "method"),
    [
        ("confirmed", "New booking: brake pads, Monday 30 March 2026, 09:00 (Europe/Berlin)", "REQUEST"),
        ("moved", "Booking moved: brake pads, Monday 30 March 2026, 09:00 (Europe/Berlin)", "REQUEST"),
        ("cancelled", "Booking cancelled: brake pads, Monday 30 March 2026, 09:00 (Europe/Berlin)", "CANCEL"),
    ],
)
def test_the_mail_says_it_in_words_and_for_the_calendar(event: WorkshopEvent, subject: str, method: str) -> None:
    mail = invitation_mail(message(event), sender="us@example.org", to="werk@example.org", key="k", stamp=DECIDED)
    read = message_from_bytes(mail.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert read["subject"].strip() == subject  # a folded header begins with the space of its fold
    words, calendar = read.iter_parts()
    assert "VIN WVWZZZ6RZHY000001" in words.get_content()
    assert calendar.get_content_type() == "text/calendar"
    assert calendar.get_param("method") == method
    assert icalendar.Calendar.from_ical(calendar.get_content())["method"] == method


def test_a_second_delivery_is_the_same_invitation() -> None:
    def made() -> tuple[str, bytes]:
        mail = invitation_mail(message(), sender="us@example.org", to="werk@example.org", key="k", stamp=DECIDED)
        calendar = calendar_object(message(), organizer="us@example.org", attendee="w@example.org", stamp=DECIDED)
        return str(mail["message-id"]), calendar

    assert made() == made()


def test_an_answer_without_end_is_left_unread() -> None:
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("read")

    webhooks = HttpWebhooks(
        timedelta(seconds=1), httpx.MockTransport(lambda _request: httpx.Response(200, stream=Endless()))
    )
    webhooks.post("https://w.example/hook", {}, b"{}")
    webhooks.close()


@pytest.mark.parametrize("url", ["http://xn--/", "http://", "http:///x", "http://[", ""])
def test_an_address_that_is_none_stops_nobody(url: str) -> None:
    webhooks = HttpWebhooks(timedelta(seconds=1))
    with pytest.raises(DeliveryError, match="cannot be reached"):
        webhooks.post(url, {}, b"{}")
    webhooks.close()
