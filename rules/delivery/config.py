"""Settings of delivery, with their units."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID

from ingest.registry import is_mail_address
from rules.delivery.errors import DeliveryConfigurationError


@dataclass(frozen=True, kw_only=True)
class SmtpSettings:
    """A mail server that takes our mail."""

    host: str
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: timedelta = timedelta(seconds=20)


@dataclass(frozen=True, kw_only=True)
class MailFolderSettings:
    """A folder that gets each mail as an .eml file, for looking at: nothing is sent."""

    folder: Path


# owner, vehicle, now -> address of the vehicle's page that lets this owner in
VehicleLink = Callable[[UUID, UUID, datetime], str]


@dataclass(frozen=True, kw_only=True)
class DeliveryConfig:
    """What :func:`rules.delivery.worker.run_delivery` needs."""

    database_url: str = field(repr=False)
    portal_url: str  # without a slash at the end; links in messages begin with it
    link_secret: str = field(repr=False)  # signs the links; the portal reads them with the same
    mail: SmtpSettings | MailFolderSettings
    vehicle_link: VehicleLink  # the portal's: it signs the owner in
    sender: str = "bookings@wearcast.invalid"  # From of mails and ORGANIZER of invitations
    workers: int = 4  # messages under way at once: a slow end keeps one of them busy
    poll_interval: timedelta = timedelta(milliseconds=500)
    send_timeout: timedelta = timedelta(seconds=15)  # for one attempt
    lease: timedelta = timedelta(minutes=5)  # after this a message of a dead worker is taken by another
    first_retry: timedelta = timedelta(seconds=5)  # doubled with each attempt
    longest_retry: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(days=7)  # since it was written: later it is of no use to anybody
    least_attempts: int = 10  # before giving up, even if it waited long because nothing ran here

    def __post_init__(self) -> None:
        if not self.portal_url.startswith(("http://", "https://")) or self.portal_url.endswith("/"):
            raise DeliveryConfigurationError(
                f"portal_url must be like https://cars.example.org, without a slash at the end, not {self.portal_url!r}"
            )
        if len(self.link_secret) < 16:
            raise DeliveryConfigurationError(
                "link_secret is shorter than 16 characters; set a random one of 32 or more"
            )
        if not is_mail_address(self.sender):
            raise DeliveryConfigurationError(f"sender {self.sender!r} is no mail address; give it as name@example.org")
        if self.workers < 1:
            raise DeliveryConfigurationError("workers must be at least 1")
        if self.lease <= self.send_timeout:
            raise DeliveryConfigurationError("lease must be longer than send_timeout, or messages are sent twice")
