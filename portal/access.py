"""Who is asking: sign-in links, sessions and form tokens. Pure: secrets and the time are arguments.

All three are signed, none is stored: a token says who and until when. Sign-in links are short-lived, so that one found
later in a mailbox opens nothing.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args
from urllib.parse import quote
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer

from portal.errors import LinkExpiredError, LinkInvalidError, PortalConfigError
from telemetry.records import require_aware

Role = Literal["owner", "workshop", "engineer"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
LINK_LIFETIME: Final = timedelta(hours=1)
# An owner's phone stays signed in, an engineer who sees every car does not.
SESSION_LIFETIME: Final[dict[Role, timedelta]] = {
    "owner": timedelta(days=30),
    "workshop": timedelta(days=7),
    "engineer": timedelta(hours=12),
}
VISITOR_LIFETIME: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who is signed in: one owner, one workshop, or an engineer (who has no number)."""

    role: Role
    subject_id: UUID | None

    def __post_init__(self) -> None:
        if (self.role == "engineer") != (self.subject_id is None):
            raise PortalConfigError("an owner or workshop signs in with its id, an engineer without one")


@dataclass(frozen=True, kw_only=True)
class Session:
    """One browser's session; ``identity`` is None for a visitor who holds nothing but an offer's link."""

    identity: Identity | None
    nonce: str
    expires_at: datetime


def signin_token(
    secret: str, role: Role, subject_id: UUID | None, now: datetime, *, lifetime: timedelta = LINK_LIFETIME
) -> str:
    """Token for ``{portal_url}/signin?token=…``: whoever opens it within ``lifetime`` is signed in."""
    identity = Identity(role=role, subject_id=subject_id)
    return _dump(secret, "signin", {"w": _who(identity), "e": _epoch(now + lifetime)})


def signin_url(
    portal_url: str,
    secret: str,
    role: Role,
    subject_id: UUID | None,
    now: datetime,
    *,
    lifetime: timedelta = LINK_LIFETIME,
    vehicle_id: UUID | None = None,
) -> str:
    """The whole link of :func:`signin_token`; with ``vehicle_id`` it leads to that vehicle's page."""
    token = quote(signin_token(secret, role, subject_id, now, lifetime=lifetime))
    return f"{portal_url}/signin?token={token}" + ("" if vehicle_id is None else f"&vehicle={vehicle_id}")


def read_signin_token(secret: str, token: str, now: datetime) -> Identity:
    """Who may sign in with this token. LinkInvalidError, LinkExpiredError."""
    fields = _load(secret, "signin", token)
    identity = None if fields is None else _identity(fields.get("w"))
    if fields is None or identity is None:
        raise LinkInvalidError("the sign-in link is damaged or was signed with another secret")
    if _moment(fields) <= now:
        raise LinkExpiredError("the sign-in link is too old")
    return identity


def new_session(identity: Identity | None, now: datetime) -> Session:
    """A session that begins now."""
    lifetime = VISITOR_LIFETIME if identity is None else SESSION_LIFETIME[identity.role]
    return Session(identity=identity, nonce=secrets.token_urlsafe(12), expires_at=now + lifetime)


def session_cookie(secret: str, session: Session) -> str:
    """The session as a cookie's value."""
    who = None if session.identity is None else _who(session.identity)
    return _dump(secret, "session", {"w": who, "n": session.nonce, "e": _epoch(session.expires_at)})


def read_session(secret: str, cookie: str | None, now: datetime) -> Session | None:
    """The session of a cookie; None if there is none, it is over, or it was not made here."""
    fields = None if cookie is None else _load(secret, "session", cookie)
    if fields is None or _moment(fields) <= now:
        return None
    return Session(
        identity=None if fields.get("w") is None else _identity(fields["w"]),
        nonce=str(fields.get("n")),
        expires_at=_moment(fields),
    )


def form_token(secret: str, session: Session) -> str:
    """What a form of this session carries: another site cannot know it (CSRF)."""
    return hmac.digest(secret.encode(), f"wearcast.form.v1:{session.nonce}".encode(), "sha256").hex()


def form_token_is_good(secret: str, session: Session | None, token: str) -> bool:
    """Whether a form was made for this session."""
    return session is not None and hmac.compare_digest(form_token(secret, session).encode(), token.encode())


def _who(identity: Identity) -> list[str]:
    return [identity.role, "" if identity.subject_id is None else identity.subject_id.hex]


def _identity(who: object) -> Identity | None:
    # Signed by us, so only another version of this program can have written it differently.
    match who:
        case [str(role), str(subject)] if role in ROLES and (role == "engineer") == (subject == ""):
            return Identity(role=role, subject_id=UUID(hex=subject) if subject else None)
        case _:
            return None


def _epoch(moment: datetime) -> int:
    require_aware(moment, "expiry")
    return int(moment.timestamp())


def _moment(fields: dict[str, object]) -> datetime:
    expiry = fields.get("e")
    return datetime.fromtimestamp(expiry if isinstance(expiry, int) else 0, UTC)


def _dump(secret: str, purpose: str, fields: dict[str, object]) -> str:
    return str(URLSafeSerializer(secret, salt=f"wearcast.{purpose}.v1").dumps(fields))


def _load(secret: str, purpose: str, text: str) -> dict[str, object] | None:
    try:
        fields = URLSafeSerializer(secret, salt=f"wearcast.{purpose}.v1").loads(text)
    except BadSignature:
        return None
    return fields if isinstance(fields, dict) else None
