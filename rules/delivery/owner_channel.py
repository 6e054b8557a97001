"""Owners' channels: a port, Apprise with a channel of ours, and the twin in memory.

Beside Apprise's own addresses there is ``mail://name@example.org``: a mail by the same transport that carries the
invitations, so that an owner needs to give no mail server, and a demonstration can look at what was written.
"""

import logging
import re
import threading
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import quote, unquote

import apprise
from apprise.decorators import notify
from apprise.manager_plugins import NotificationManager

from ingest.personal.mask import channel_scheme
from rules.delivery.errors import DeliveryError, UndeliverableError
from rules.delivery.mail import MailTransport, new_mail
from rules.delivery.texts import Notice

MAIL_SCHEME = "mail"

_loading = threading.Lock()


class OwnerChannel(Protocol):
    """Sends a notice to one address of an owner; DeliveryError, without the address in its text, if it did not go."""

    def send(self, address: str, notice: Notice) -> None:
        """Send the notice."""


def mail_address_url(email: str) -> str:
    """Return the channel address for a mail address."""
    return f"{MAIL_SCHEME}://{quote(email, safe='@')}"


def mail_address_of(address: str) -> str:
    """The mail address of such a channel address."""
    return unquote(re.split(r"[/?#]", address.partition("://")[2], maxsplit=1)[0])


class _Asset(apprise.AppriseAsset):
    """Carries what our channel needs to the place where Apprise calls it."""

    def __init__(self, *, mail: MailTransport, sender: str, address: str, notice: Notice) -> None:
        super().__init__()
        self.mail = mail
        self.sender = sender
        self.address = address
        self.notice = notice
        self.failure: DeliveryError | None = None


def _send_mail(
    _body: str, _title: str, _notify_type: str, *_args: object, meta: dict[str, Any], **_more: object
) -> bool:
    asset = meta["asset"]
    assert isinstance(asset, _Asset)
    to = mail_address_of(asset.address)
    mail = new_mail(sender=asset.sender, to=to, subject=asset.notice.title, key=f"{asset.notice.key}/{to}")
    mail.set_content(asset.notice.text)
    try:
        asset.mail.send(mail)
    except DeliveryError as error:
        asset.failure = error
        return False
    return True


def _load() -> None:
    """Load Apprise's channels and add ours, once per process."""
    with _loading:
        # Its plug-in for mail imports imghdr, which Python 3.11 and 3.12 announce as deprecated; 3.13 has a stand-in.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            known = MAIL_SCHEME in NotificationManager()  # type: ignore[no-untyped-call]  # Apprise is typed in part
        if not known:
            notify(on=MAIL_SCHEME, name="Mail")(_send_mail)  # type: ignore[no-untyped-call]  # Apprise is typed in part
        # Apprise logs addresses and phone numbers; what went wrong is told by the result.
        logger = logging.getLogger("apprise")
        logger.setLevel(logging.CRITICAL + 1)


class AppriseChannel:
    """All that Apprise knows, and ``mail://``."""

    def __init__(self, *, mail: MailTransport, sender: str, timeout: timedelta) -> None:
        _load()
        self._mail = mail
        self._sender = sender
        self._timeout = timeout

    def send(self, address: str, notice: Notice) -> None:
        """Send the notice through Apprise."""
        scheme = channel_scheme(address)
        asset = _Asset(mail=self._mail, sender=self._sender, address=address, notice=notice)
        service = apprise.Apprise(asset=asset)
        if not service.add(address):
            raise UndeliverableError(f"a {scheme or 'nameless'}:// address of the owner is not one Apprise understands")
        kind = apprise.NotifyType.WARNING if notice.urgent else apprise.NotifyType.INFO
        result = service.notify(
            body=notice.text,
            title=notice.title,
            notify_type=kind,
            body_format=apprise.NotifyFormat.TEXT,
            timeout=self._timeout.total_seconds(),
        )
        if not result:
            why = str(asset.failure) if asset.failure else result.status.name.lower()
            raise DeliveryError(f"the owner's {scheme}:// channel did not take the message: {why}")


class MemoryChannel:
    """The twin: keeps (address, notice); ``fault`` may raise for an address."""

    def __init__(self, fault: Callable[[str], None] = lambda _address: None) -> None:
        self.sent: list[tuple[str, Notice]] = []
        self._fault = fault

    def send(self, address: str, notice: Notice) -> None:
        """Keep the notice."""
        self._fault(address)
        self.sent.append((address, notice))
