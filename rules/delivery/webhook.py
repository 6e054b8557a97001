"""Webhooks to workshops: CloudEvents 1.0 (structured JSON), signed by the Standard Webhooks scheme.

The receiver sees the idempotency key as ``webhook-id`` and as the event's ``id``: a repeated one is to be ignored.
"""

import base64
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import httpx
import msgspec
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from rules.delivery.errors import DeliveryError, UndeliverableError
from rules.delivery.messages import WorkshopMessage
from telemetry.trace import traceparent

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def new_secret() -> str:
    """Return a new secret for a workshop: 24 random bytes, as Standard Webhooks writes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


class WebhookTransport(Protocol):
    """Posts a signed body; DeliveryError unless it was answered with 2xx."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Post the body."""


def event_type(message: WorkshopMessage) -> str:
    """Return the CloudEvents type, e.g. ``com.wearcast.booking.confirmed.v1``."""
    return f"com.wearcast.booking.{message.event}.v1"


def cloud_event(message: WorkshopMessage, *, key: str, source: str, time: datetime, trace: str | None = None) -> bytes:
    """Return the event as JSON. ``source`` is the portal's address; ``time`` when it was decided.

    Start and end carry the workshop's offset from UTC, the price is text: no receiver rounds it. ``trace`` becomes the
    attribute ``traceparent`` (CloudEvents 1.0, extension Distributed Tracing).
    """
    zone = ZoneInfo(message.time_zone)
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": key,
            "source": source,
            "type": event_type(message),
            "subject": str(message.booking_id),
            "time": time.astimezone(UTC),
            "datacontenttype": "application/json",
            **({} if trace is None else {"traceparent": traceparent(trace, key)}),
            "data": {
                "booking_id": message.booking_id,
                "sequence": message.sequence,
                "workshop_id": message.workshop_id,
                "bay": message.bay,
                "job": message.job,
                "start": message.start.astimezone(zone).isoformat(),
                "end": message.end.astimezone(zone).isoformat(),
                "time_zone": message.time_zone,
                "price": message.price,
                "currency": message.currency,
                "vehicle": {"label": message.vehicle, "vin": message.vin, "profile": message.profile},
                "customer": {"name": message.customer},
                "fault": {"severity": message.severity, "title": message.fault, "findings": message.findings},
            },
        }
    )


def signed_headers(secret: str, *, key: str, now: datetime, body: bytes) -> dict[str, str]:
    """Return the headers of an attempt made now. Raises UndeliverableError if the workshop's secret is none."""
    try:
        webhook = Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise UndeliverableError(
            "the workshop's webhook secret is not base64 after 'whsec_'; register a new one"
        ) from error
    now = now.astimezone(UTC)
    return {
        "content-type": CONTENT_TYPE,
        "webhook-id": key,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.sign(key, now, body.decode()),
    }


class HttpWebhooks:
    """Posts with httpx. Redirects are not followed: a signed body goes where the workshop said, and nowhere else."""

    def __init__(self, timeout: timedelta, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(timeout=timeout.total_seconds(), transport=transport, trust_env=False)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Post the body."""
        try:
            # The answer's body is nobody's business here and may have no end: it is left unread.
            with self._client.stream("POST", url, headers=dict(headers), content=body) as answer:
                pass
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # ValueError: a host name beyond IDNA
            raise DeliveryError(f"the workshop's webhook cannot be reached: {type(error).__name__}") from error
        if answer.status_code == httpx.codes.GONE:  # Standard Webhooks: the receiver wants no more
            raise UndeliverableError("the workshop's webhook answered 410: it is gone")
        if not answer.is_success:
            raise DeliveryError(f"the workshop's webhook answered {answer.status_code}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class MemoryWebhooks:
    """The twin: keeps (url, headers, body); ``fault`` may raise for a URL."""

    def __init__(self, fault: Callable[[str], None] = lambda _url: None) -> None:
        self.posted: list[tuple[str, dict[str, str], bytes]] = []
        self._fault = fault

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep the post."""
        self._fault(url)
        self.posted.append((url, dict(headers), body))
