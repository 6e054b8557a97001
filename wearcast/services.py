"""From the settings to what each service of the backend needs."""

from urllib.parse import unquote, urlsplit

from ingest.worker import WorkerConfig
from rules.delivery.config import DeliveryConfig, MailFolderSettings, SmtpSettings
from wearcast.secrets import load_secret
from wearcast.settings import Settings, SettingsError


def worker_config(settings: Settings, database_url: str, name: str) -> WorkerConfig:
    """An ingest worker's: the name makes its MQTT session, which the broker keeps while the worker is away."""
    broker = settings.broker
    if broker.tls and settings.broker_ca is None:
        raise SettingsError("WEARCAST_BROKER_CA: mqtts needs the file with the broker's certificate authority")
    return WorkerConfig(
        database_url=database_url,
        broker_host=broker.host,
        broker_port=broker.port,
        client_id=f"wearcast-{name}",
        username=broker.username,
        password=broker.password,
        ca_file=settings.broker_ca if broker.tls else None,
    )


def delivery_config(settings: Settings, database_url: str) -> DeliveryConfig:
    """The delivery's: by the mail server if one is set, otherwise into the mail folder."""
    return DeliveryConfig(
        database_url=database_url,
        portal_url=settings.portal_url,
        link_secret=load_secret(settings.secret_file),
        mail=parse_smtp_url(settings.smtp_url) if settings.smtp_url else MailFolderSettings(folder=settings.mail_dir),
        sender=settings.mail_from,
    )


def parse_smtp_url(url: str) -> SmtpSettings:
    """Parts of ``smtp://user:password@host:587``; smtps is TLS from the start. SettingsError without the password."""
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise SettingsError("WEARCAST_SMTP_URL: give it as smtp://user:password@host:587 or smtps://…")
    tls = parts.scheme == "smtps"
    return SmtpSettings(
        host=parts.hostname,
        port=parts.port or (465 if tls else 587),
        security="tls" if tls else "starttls",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
