"""Links an owner can follow without signing in: a booking's number, signed, and good for a limited time.

A link is made on one machine and opened on another: the time is an argument, and both go by the database's.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from itsdangerous import BadSignature, TimestampSigner, URLSafeTimedSerializer

from rules.booking.errors import BookingError, LinkTooOldError
from telemetry.records import require_aware

LINK_LIFETIME = timedelta(days=30)
_SALT = "wearcast.offer.v1"


def offer_token(secret: str, booking_id: UUID, now: datetime) -> str:
    """Token for ``{portal_url}/offer/{token}``: whoever has it may see and answer that one booking."""
    return _serializer(secret, now).dumps(booking_id.hex)


def read_offer_token(secret: str, token: str, now: datetime, *, lifetime: timedelta = LINK_LIFETIME) -> UUID:
    """Return the booking a token speaks of; BookingError if it is forged or damaged, LinkTooOldError if too old.

    One that was made later than ``now`` is good: nobody but us signs, and clocks differ.
    """
    try:
        booking, made_at = _serializer(secret, now).loads(token, return_timestamp=True)
        booking_id = UUID(hex=booking)
    except (BadSignature, ValueError, TypeError, AttributeError) as error:
        raise BookingError("This link is not complete; open it from the message again, or sign in.") from error
    if now - made_at > lifetime:
        raise LinkTooOldError("This link is too old; sign in to see your bookings.")
    return booking_id


class _Signer(TimestampSigner):
    """Dates by the time it is given, and not by the machine's."""

    def __init__(self, *given: Any, now: datetime, **named: Any) -> None:
        super().__init__(*given, **named)
        self._now = int(now.timestamp())

    def get_timestamp(self) -> int:
        return self._now


def _serializer(secret: str, now: datetime) -> URLSafeTimedSerializer:
    require_aware(now, "now")
    if len(secret) < 16:
        raise BookingError("The secret for links is shorter than 16 characters; set a random one of 32 or more.")
    return URLSafeTimedSerializer(secret, salt=_SALT, signer=_Signer, signer_kwargs={"now": now})
