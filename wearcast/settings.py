"""All settings that come from the environment, read in this one place. ``docs/settings.md`` is tested against it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from telemetry.logs import parse_log_setting
from wearcast.transport import PlaintextError, parse_hosts, require_database_tls, require_tls

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
        name="WEARCAST_NATS_URL",
        meaning=(
            "NATS servers of `wearcast ingest run --source jetstream`, as nats://user:password@host:4222,"
            "nats://host2:4222 or tls://…; user and password of the first hold for all"
        ),
        default="nats://127.0.0.1:4222",
    ),
    Setting(
        name="WEARCAST_BROKER_CA",
        meaning="file with the certificate authority of the broker, for mqtts and tls",
        default="the system's authorities",
    ),
    Setting(
        name="WEARCAST_BROKER_CERTIFICATE",
        meaning="file with the certificate by which the backend signs in at the broker (wearcast enrolment service)",
        default="user and password of the URL",
    ),
    Setting(
        name="WEARCAST_BROKER_KEY",
        meaning="file with its key",
        default="none",
    ),
    Setting(
        name="WEARCAST_PLAINTEXT_HOSTS",
        meaning="hosts of broker and database that may be spoken to without TLS: the way there is protected otherwise",
        default="this machine alone",
    ),
    Setting(
        name="WEARCAST_DEVICE_MESSAGES_PER_SECOND",
        meaning="messages a device may send all the time, and 200 seconds of it at once; 0: without a limit",
        default="50",
    ),
    Setting(
        name="WEARCAST_DEVICE_BYTES_PER_SECOND",
        meaning="bytes a device may send all the time, and 200 seconds of it at once; 0: without a limit",
        default="524288",
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
        name="WEARCAST_PERSONAL_KEY_FILE",
        meaning="file with the keys to personal data and backups (lost, both are); made on first use, mode 0600",
        default="personal-keys in the user's cache",
    ),
    Setting(
        name="WEARCAST_BACKUP_DIR",
        meaning="folder of backups, with the list of erased people that every restore applies again",
        default="backups in the user's cache",
    ),
    Setting(name="WEARCAST_WIPE_DAYS", meaning="days in which an erased person's dongle may be emptied", default="30"),
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
    Setting(
        name="WEARCAST_LOG",
        meaning="log lines for people or machines, and from which level on: text, json, json:debug",
        default="text",
    ),
    Setting(
        name="WEARCAST_WATCH_LISTEN",
        meaning="where a process serves metrics and health: the first free port from host:port on; off: nowhere",
        default="127.0.0.1:9464",
    ),
    Setting(
        name="WEARCAST_BROKER_MONITOR",
        meaning="monitoring address of a NATS server, as http://127.0.0.1:8222: its storage is watched there",
        default="none: watch the broker's disk by WEARCAST_WATCH_FOLDERS",
    ),
    Setting(
        name="WEARCAST_WATCH_FOLDERS",
        meaning="folders whose disks must not fill, as broker=/var/lib/nats,database=/var/lib/postgresql",
        default="none",
    ),
    Setting(
        name="WEARCAST_OPERATOR_NOTIFY_FILE",
        meaning="file with Apprise addresses, one a line, that are told of alerts on Wearcast itself",
        default="none: wearcast status shows them",
    ),
    Setting(
        name="WEARCAST_RETENTION",
        meaning="how long rows are kept, as reading=90d rollup_hour=forever; docs/storage.md lists the tables",
        default="the defaults of docs/storage.md",
    ),
    Setting(
        name="WEARCAST_STORAGE_POLICIES",
        meaning="native: TimescaleDB's scheduler and compression where its licence has them; own: neither",
        default="native",
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
class NatsAddress:
    """Where the NATS servers are, without user and password, which stay out of ``repr``."""

    servers: tuple[str, ...]
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class ListenAddress:
    """Where to listen; port 0 takes any that is free."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says, checked."""

    database_url: str | None
    broker: BrokerAddress
    nats: NatsAddress
    broker_ca: Path | None
    broker_certificate: Path | None  # of the backend, with broker_key
    broker_key: Path | None
    plaintext_hosts: frozenset[str]
    device_messages_per_second: float
    device_bytes_per_second: float
    operator_token_file: Path
    portal_url: str
    secret_file: Path
    personal_key_file: Path
    backup_dir: Path
    wipe_days: int
    smtp_url: str | None
    mail_dir: Path
    mail_from: str
    watch_listen: ListenAddress | None
    broker_monitor: str | None
    watch_folders: Mapping[str, Path]  # by what lies there
    operator_notify_file: Path | None
    retention: str
    storage_policies: Literal["native", "own"]


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings of an environment; SettingsError names the variable that is wrong or that does not exist."""
    known = {setting.name for setting in SETTINGS}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(f"{name} is not a setting; there are: {', '.join(sorted(known))}")

    def given(name: str) -> str | None:
        return environment.get(PREFIX + name) or None

    broker_ca = given("BROKER_CA")
    certificate, key = given("BROKER_CERTIFICATE"), given("BROKER_KEY")
    if (certificate is None) != (key is None):
        raise SettingsError("WEARCAST_BROKER_CERTIFICATE and WEARCAST_BROKER_KEY go together; set both or none")
    settings = Settings(
        database_url=given("DATABASE_URL"),
        broker=parse_broker_url(given("BROKER_URL") or "mqtt://127.0.0.1:1883"),
        nats=parse_nats_url(given("NATS_URL") or "nats://127.0.0.1:4222"),
        broker_ca=Path(broker_ca) if broker_ca else None,
        broker_certificate=Path(certificate) if certificate else None,
        broker_key=Path(key) if key else None,
        plaintext_hosts=parse_hosts(given("PLAINTEXT_HOSTS") or ""),
        device_messages_per_second=_rate("DEVICE_MESSAGES_PER_SECOND", given("DEVICE_MESSAGES_PER_SECOND") or "50"),
        device_bytes_per_second=_rate("DEVICE_BYTES_PER_SECOND", given("DEVICE_BYTES_PER_SECOND") or "524288"),
        operator_token_file=Path(given("OPERATOR_TOKEN_FILE") or _cache(environment) / "operator-token"),
        portal_url=(given("PORTAL_URL") or "http://127.0.0.1:8080").rstrip("/"),
        secret_file=Path(given("SECRET_FILE") or _cache(environment) / "secret"),
        personal_key_file=Path(given("PERSONAL_KEY_FILE") or _cache(environment) / "personal-keys"),
        backup_dir=Path(given("BACKUP_DIR") or _cache(environment) / "backups"),
        wipe_days=_days("WIPE_DAYS", given("WIPE_DAYS") or "30"),
        smtp_url=given("SMTP_URL"),
        mail_dir=Path(given("MAIL_DIR") or "mail"),
        mail_from=given("MAIL_FROM") or "bookings@wearcast.invalid",
        watch_listen=parse_listen(given("WATCH_LISTEN") or "127.0.0.1:9464"),
        broker_monitor=_monitor(given("BROKER_MONITOR")),
        watch_folders=parse_folders(given("WATCH_FOLDERS") or ""),
        operator_notify_file=Path(given("OPERATOR_NOTIFY_FILE") or "") if given("OPERATOR_NOTIFY_FILE") else None,
        retention=given("RETENTION") or "",
        storage_policies=parse_storage_policies(given("STORAGE_POLICIES") or "native"),
    )
    _require_protected(settings)
    return settings


def _require_protected(settings: Settings) -> None:
    accepted = settings.plaintext_hosts
    try:
        broker = settings.broker
        require_tls(
            "WEARCAST_BROKER_URL", broker.host, tls=broker.tls, remedy="give it as mqtts://…", accepted=accepted
        )
        for server in map(urlsplit, settings.nats.servers):
            require_tls(
                "WEARCAST_NATS_URL",
                server.hostname or "",
                tls=server.scheme == "tls",
                remedy="give it as tls://…",
                accepted=accepted,
            )
        if settings.database_url is not None:
            require_database_tls(settings.database_url, accepted)
    except PlaintextError as error:
        raise SettingsError(str(error)) from error


def log_setting(environment: Mapping[str, str] = os.environ) -> str:
    """``WEARCAST_LOG``, checked. Apart from the others: the log is set up before it is known what a command needs."""
    text = environment.get(PREFIX + "LOG") or "text"
    try:
        parse_log_setting(text)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    return text


def parse_storage_policies(text: str) -> Literal["native", "own"]:
    """``WEARCAST_STORAGE_POLICIES``, checked."""
    if text in {"native", "own"}:
        return "native" if text == "native" else "own"
    raise SettingsError(f"WEARCAST_STORAGE_POLICIES is {text!r}: set it to native or own")


def parse_listen(text: str) -> ListenAddress | None:
    """Where to listen of ``host:port``; None for ``off``."""
    if text == "off":
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"WEARCAST_WATCH_LISTEN: give it as 127.0.0.1:9464, or off, not {text!r}")
    return ListenAddress(host=host.strip("[]"), port=int(port))


def parse_folders(text: str) -> dict[str, Path]:
    """Folders by what lies there, of ``broker=/var/lib/nats,database=/var/lib/postgresql``."""
    found: dict[str, Path] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, path = part.partition("=")
        if not equals or not name.isidentifier() or not path.startswith("/"):
            raise SettingsError(f"WEARCAST_WATCH_FOLDERS: give each as broker=/var/lib/nats, not {part!r}")
        found[name] = Path(path)
    return found


def _monitor(url: str | None) -> str | None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise SettingsError("WEARCAST_BROKER_MONITOR: give it as http://127.0.0.1:8222")
    return None if url is None else url.rstrip("/")


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


def parse_nats_url(urls: str) -> NatsAddress:
    """Parts of ``nats://user:password@host:4222,nats://host2:4222``; SettingsError without repeating the password."""
    form = "give it as nats://user:password@host:4222,nats://host2:4222 (tls:// with TLS)"
    servers: list[str] = []
    users: list[tuple[str | None, str | None]] = []
    for number, url in enumerate(urls.split(","), start=1):
        parts = urlsplit(url.strip())
        try:
            host, port = parts.hostname, parts.port or 4222
        except ValueError as error:
            raise SettingsError(
                f"WEARCAST_NATS_URL: the port of server {number} is no number from 1 to 65535 ({error})"
            ) from error
        if parts.scheme not in {"nats", "tls"} or not host:
            raise SettingsError(f"WEARCAST_NATS_URL: server {number} is not understood; {form}")
        servers.append(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        users.append((parts.username, parts.password))
    if len({server.split(":", 1)[0] for server in servers}) > 1:
        raise SettingsError("WEARCAST_NATS_URL: either all servers with TLS (tls://) or none (nats://)")
    username, password = users[0]
    return NatsAddress(
        servers=tuple(servers),
        username=unquote(username) if username else None,
        password=unquote(password) if password else None,
    )


def _rate(name: str, text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise SettingsError(f"{PREFIX}{name}: {text!r} is no rate; give a number, 0 for no limit")
    return rate


def _days(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 365:
        raise SettingsError(f"{PREFIX}{name}: {text!r} is no number of days; give 1 to 365")
    return int(text)


def _cache(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "wearcast"
