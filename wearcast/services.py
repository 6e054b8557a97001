"""From the settings to what each service of the backend needs."""

from datetime import datetime, timedelta
from functools import cache
from typing import Literal
from urllib.parse import unquote, urlsplit
from uuid import UUID

from firmware_profiles.errors import FirmwareProfilesError
from firmware_profiles.loader import load_vehicle_profile
from health.durability import Category
from ingest.broker_connection import BrokerConfig
from ingest.rollups.maintenance import MaintenanceConfig
from ingest.rollups.retention import parse_retention
from ingest.sources.nats_connection import NatsConfig
from ingest.warden.limits import limits_of
from ingest.worker import WorkerConfig
from portal.access import signin_url
from portal.config import PortalConfig
from rules.delivery.config import DeliveryConfig, MailFolderSettings, SmtpSettings
from wearcast.secrets import load_secret
from wearcast.settings import Settings, SettingsError

_MESSAGE_LINK = timedelta(days=7)  # a message may lie unread that long; then the page says how one gets in


def broker_config(settings: Settings) -> BrokerConfig:
    """Where the backend's services find the broker."""
    broker = settings.broker
    return BrokerConfig(
        host=broker.host,
        port=broker.port,
        username=broker.username,
        password=broker.password,
        tls=broker.tls,
        ca_file=settings.broker_ca,
        certificate_file=settings.broker_certificate,
        key_file=settings.broker_key,
    )


def nats_config(settings: Settings) -> NatsConfig:
    """Where the backend's services find the NATS servers."""
    nats = settings.nats
    return NatsConfig(
        servers=nats.servers,
        username=nats.username,
        password=nats.password,
        ca_file=settings.broker_ca,
        certificate_file=settings.broker_certificate,
        key_file=settings.broker_key,
    )


def worker_config(
    settings: Settings, database_url: str, name: str, source: Literal["mqtt", "jetstream"] = "mqtt"
) -> WorkerConfig:
    """An ingest worker's: the name makes its MQTT session, which the broker keeps while the worker is away."""
    return WorkerConfig(
        database_url=database_url,
        broker=broker_config(settings),
        nats=nats_config(settings) if source == "jetstream" else None,
        client_id=f"wearcast-{name}",
        limits=limits_of(settings.device_messages_per_second, settings.device_bytes_per_second),
    )


def maintenance_config(settings: Settings, database_url: str) -> MaintenanceConfig:
    """The storage maintenance's. RetentionError, with what to do, where WEARCAST_RETENTION is wrong."""
    return MaintenanceConfig(
        database_url=database_url,
        policies=settings.storage_policies,
        retention=parse_retention(settings.retention),
    )


def delivery_config(settings: Settings, database_url: str) -> DeliveryConfig:
    """The delivery's: by the mail server if one is set, otherwise into the mail folder."""
    secret = load_secret(settings.secret_file)

    def vehicle_link(owner_id: UUID, vehicle_id: UUID, now: datetime) -> str:
        return signin_url(
            settings.portal_url, secret, "owner", owner_id, now, lifetime=_MESSAGE_LINK, vehicle_id=vehicle_id
        )

    return DeliveryConfig(
        database_url=database_url,
        portal_url=settings.portal_url,
        link_secret=secret,
        vehicle_link=vehicle_link,
        mail=parse_smtp_url(settings.smtp_url) if settings.smtp_url else MailFolderSettings(folder=settings.mail_dir),
        sender=settings.mail_from,
    )


def portal_config(settings: Settings, database_url: str) -> PortalConfig:
    """The portal's: what it needs of vehicle profiles is read here, as it does not know them."""
    return PortalConfig(
        database_url=database_url,
        secret=load_secret(settings.secret_file),
        portal_url=settings.portal_url,
        vehicle_category=vehicle_category,
    )


@cache
def vehicle_category(profile: str) -> Category:
    """Category of a vehicle profile by its name; M1 (a car) for one that does not ship with this version."""
    try:
        return load_vehicle_profile(profile).category
    except FirmwareProfilesError:
        return "M1"


def parse_smtp_url(url: str) -> SmtpSettings:
    """Parts of ``smtp://user:password@host:587``; smtps is TLS from the start. SettingsError without the password."""
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise SettingsError("WEARCAST_SMTP_URL: give it as smtp://user:password@host:587 or smtps://…")
    tls = parts.scheme == "smtps"
    try:
        port = parts.port or (465 if tls else 587)
    except ValueError as error:
        raise SettingsError(f"WEARCAST_SMTP_URL: the port is no number from 1 to 65535 ({error})") from error
    return SmtpSettings(
        host=parts.hostname,
        port=port,
        security="tls" if tls else "starttls",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
