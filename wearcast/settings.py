"""All settings that come from the environment, read in this one place. ``docs/settings.md`` is tested against it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

PREFIX = "WEARCAST_"


class SettingsError(Exception):
    """A setting is missing or wrong: the text names the variable and what to set it to."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One environment variable: its name, what it means, and what holds without it."""

    name: str
    meaning: str
    default: str


SETTINGS = (
    Setting(
        name="WEARCAST_DATABASE_URL",
        meaning="TimescaleDB, as postgresql://user:password@host:5432/database",
        default="a private cluster in the user's cache",
    ),
    Setting(
        name="WEARCAST_BROKER_URL",
        meaning="MQTT broker of the backend, as mqtt://user:password@host:1883 or mqtts://… with TLS",
        default="mqtt://127.0.0.1:1883",
    ),
    Setting(
        name="WEARCAST_BROKER_CA",
        meaning="file with the certificate authority of the broker, for mqtts",
        default="the system's authorities",
    ),
    Setting(
        name="WEARCAST_OPERATOR_TOKEN_FILE",
        meaning="file with the token that lets you ask devices something (wearcast operators allow gives one)",
        default="operator-token in the user's cache",
    ),
    Setting(
        name="WEARCAST_MQTT_PASSWORD",
        meaning="on a dongle: password of the device at the broker, where it has no certificate",
        default="password_file of agent.yaml",
    ),
    Setting(
        name="WEARCAST_PORTAL_URL",
        meaning="where owners and workshops reach the portal; links in messages begin with it",
        default="http://127.0.0.1:8080",
    ),
    Setting(
        name="WEARCAST_SECRET_FILE",
        meaning="file with the secret that signs links and sessions; made on first use, mode 0600",
        default="secret in the user's cache",
    ),
    Setting(
        name="WEARCAST_SMTP_URL",
        meaning="mail server for invitations, as smtp://user:password@host:587 or smtps://…",
        default="none: mail goes to WEARCAST_MAIL_DIR",
    ),
    Setting(
        name="WEARCAST_MAIL_DIR",
        meaning="folder in which mail is written as .eml files where there is no mail server",
        default="mail in the working folder",
    ),
    Setting(
        name="WEARCAST_MAIL_FROM",
        meaning="sender of mail and organizer of calendar invitations",
        default="bookings@wearcast.invalid",
    ),
)


@dataclass(frozen=True, kw_only=True)
class BrokerAddress:
    """Where the broker is and how to sign in. The password stays out of ``repr``."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool

    def __repr__(self) -> str:
        """Without the password: a settings object may be logged."""
        return f"BrokerAddress({'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port})"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says, checked."""

    database_url: str | None
    broker: BrokerAddress
    broker_ca: Path | None
    operator_token_file: Path
    portal_url: str
    secret_file: Path
    smtp_url: str | None
    mail_dir: Path
    mail_from: str


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings of an environment; SettingsError names the variable that is wrong or that does not exist."""
    known = {setting.name for setting in SETTINGS}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(f"{name} is not a setting; there are: {', '.join(sorted(known))}")

    def given(name: str) -> str | None:
        return environment.get(PREFIX + name) or None

    broker_ca = given("BROKER_CA")
    return Settings(
        database_url=given("DATABASE_URL"),
        broker=parse_broker_url(given("BROKER_URL") or "mqtt://127.0.0.1:1883"),
        broker_ca=Path(broker_ca) if broker_ca else None,
        operator_token_file=Path(given("OPERATOR_TOKEN_FILE") or _cache(environment) / "operator-token"),
        portal_url=(given("PORTAL_URL") or "http://127.0.0.1:8080").rstrip("/"),
        secret_file=Path(given("SECRET_FILE") or _cache(environment) / "secret"),
        smtp_url=given("SMTP_URL"),
        mail_dir=Path(given("MAIL_DIR") or "mail"),
        mail_from=given("MAIL_FROM") or "bookings@wearcast.invalid",
    )


def parse_broker_url(url: str) -> BrokerAddress:
    """Parts of ``mqtt://user:password@host:port``; SettingsError without repeating the password."""
    parts = urlsplit(url)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
        raise SettingsError("WEARCAST_BROKER_URL: give it as mqtt://user:password@host:1883 (mqtts:// with TLS)")
    tls = parts.scheme == "mqtts"
    try:
        port = parts.port or (8883 if tls else 1883)
    except ValueError as error:
        raise SettingsError(f"WEARCAST_BROKER_URL: the port is no number from 1 to 65535 ({error})") from error
    return BrokerAddress(
        host=parts.hostname,
        port=port,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
    )


def _cache(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "wearcast"
