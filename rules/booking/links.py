"""Links an owner can follow without signing in: a booking's number, signed, and good for a limited time."""

from datetime import timedelta
from uuid import UUID

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from rules.booking.errors import BookingError

LINK_LIFETIME = timedelta(days=30)
_SALT = "wearcast.offer.v1"


def offer_token(secret: str, booking_id: UUID) -> str:
    """Token for ``{portal_url}/offer/{token}``: whoever has it may see and answer that one booking."""
    return _serializer(secret).dumps(booking_id.hex)


def read_offer_token(secret: str, token: str, *, lifetime: timedelta = LINK_LIFETIME) -> UUID:
    """Return the booking a token speaks of; BookingError if it is forged, damaged or too old."""
    try:
        return UUID(hex=_serializer(secret).loads(token, max_age=int(lifetime.total_seconds())))
    except SignatureExpired as error:
        raise BookingError("This link is too old; sign in to see your bookings.") from error
    except (BadSignature, ValueError, TypeError, AttributeError) as error:
        raise BookingError("This link is not complete; open it from the message again, or sign in.") from error


def _serializer(secret: str) -> URLSafeTimedSerializer:
    if len(secret) < 16:
        raise BookingError("The secret for links is shorter than 16 characters; set a random one of 32 or more.")
    return URLSafeTimedSerializer(secret, salt=_SALT)
