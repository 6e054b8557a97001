"""What the portal needs to know; given by whoever starts it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from health.durability import Category
from portal.errors import PortalConfigError
from rules.clock import AgreedClock, Clock


def _car(_profile: str) -> Category:
    return "M1"


@dataclass(frozen=True, kw_only=True)
class PortalConfig:
    """The portal's settings. ``secret`` signs sessions, sign-in links and offer links."""

    database_url: str = field(repr=False)  # holds a password
    secret: str = field(repr=False)
    portal_url: str  # where people reach it, without a slash at the end
    clock: Clock = field(default_factory=AgreedClock)
    vehicle_category: Callable[[str], Category] = _car  # of a vehicle profile by name: profiles are the dongle's
    secure_cookies: bool | None = None  # cookies over https only; None: as portal_url says

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise PortalConfigError("the portal's secret is shorter than 32 characters; let `wearcast` make one")
        if not self.portal_url.startswith(("http://", "https://")) or self.portal_url.endswith("/"):
            raise PortalConfigError(
                f"portal_url must be like https://cars.example.org, without a slash at the end, not {self.portal_url!r}"
            )

    @property
    def cookies_are_secure(self) -> bool:
        """Whether browsers are told to send cookies over https only."""
        return self.portal_url.startswith("https://") if self.secure_cookies is None else self.secure_cookies
