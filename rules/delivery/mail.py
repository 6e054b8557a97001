"""Mail out: a port, the mail server, a folder to look into, and the twin in memory."""

import hashlib
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Protocol, assert_never

from ingest.registry import is_mail_address
from rules.delivery.config import MailFolderSettings, SmtpSettings
from rules.delivery.errors import DeliveryError, UndeliverableError


class MailTransport(Protocol):
    """Takes a whole mail; DeliveryError if it could not be handed over. The text names no address."""

    def send(self, mail: EmailMessage) -> None:
        """Hand the mail over."""


def new_mail(*, sender: str, to: str, subject: str, key: str) -> EmailMessage:
    """Return an empty mail whose Message-ID follows from the idempotency key: a mail sent twice is seen as one."""
    if not is_mail_address(to):  # a line break would forge headers, and the parser of headers fails on much else
        raise UndeliverableError("an address is not one of mail; register it anew")
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = " ".join(subject.split())
    mail["Message-ID"] = f"<{message_name(key)}@wearcast>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies, please
    return mail


def message_name(key: str) -> str:
    """What a mail is called by its idempotency key: in its Message-ID and in the mail folder."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


class SmtpMail:
    """Hands mails to a server, a connection each."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings

    def send(self, mail: EmailMessage) -> None:
        """Hand the mail over to the server."""
        settings = self._settings
        try:
            with self._connect() as server:
                if settings.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if settings.username is not None:
                    server.login(settings.username, settings.password or "")
                server.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            # The server's words may repeat the address: only the kind of the error is kept.
            code = getattr(error, "smtp_code", None)
            raise DeliveryError(
                f"mail server {settings.host}:{settings.port} did not take the mail: {type(error).__name__}"
                + (f" {code}" if code else "")
            ) from error

    def _connect(self) -> smtplib.SMTP:
        settings, timeout = self._settings, self._settings.timeout.total_seconds()
        if settings.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(settings.host, settings.port, timeout=timeout, context=context)
        return smtplib.SMTP(settings.host, settings.port, timeout=timeout)


class MailFolder:
    """Writes each mail to ``<Message-ID>.eml``: one file however often it is sent, for this process's user alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def send(self, mail: EmailMessage) -> None:
        """Write the file, whole or not at all."""
        name = str(mail["Message-ID"]).strip("<>").partition("@")[0]
        part = self._folder / f"{name}.part"
        try:
            part.touch(mode=0o600)
            part.write_bytes(mail.as_bytes(policy=SMTP))
            part.replace(self._folder / f"{name}.eml")
        except OSError as error:
            raise DeliveryError(f"mail folder {self._folder} did not take the mail: {error.strerror}") from error


class MemoryMail:
    """The twin: keeps the mails; ``fault`` may raise to play a server that is down."""

    def __init__(self, fault: Callable[[], None] = lambda: None) -> None:
        self.sent: list[EmailMessage] = []
        self._fault = fault

    def send(self, mail: EmailMessage) -> None:
        """Keep the mail."""
        self._fault()
        self.sent.append(mail)


def open_mail(settings: SmtpSettings | MailFolderSettings) -> MailTransport:
    """Return the transport the settings name."""
    match settings:
        case SmtpSettings():
            return SmtpMail(settings)
        case MailFolderSettings():
            return MailFolder(settings.folder)
        case _:
            assert_never(settings)
