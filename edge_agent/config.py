"""The agent's configuration: ``agent.yaml`` as frozen records. Nothing else of the agent reads settings."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

from edge_agent.errors import ConfigurationError
from edge_agent.power.config import PowerConfig, read_power
from edge_agent.section import Section
from telemetry.commands import CommandKind
from telemetry.topics import require_device_id
from telemetry.wire import Form

SourceKind = Literal["obd_can", "obd_elm327", "broadcast", "replay_csv", "replay_can"]
SOURCE_KINDS: tuple[SourceKind, ...] = ("obd_can", "obd_elm327", "broadcast", "replay_csv", "replay_can")
PASSWORD_VARIABLE = "WEARCAST_MQTT_PASSWORD"  # noqa: S105 - the variable's name


@dataclass(frozen=True, kw_only=True)
class TlsConfig:
    """Files of TLS. ``ca`` None: the system's; ``certificate`` and ``key``: the device's own (CN = device id)."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    awaited: bool = False  # certificate and key come by enrolment, and may not be there yet
    more_ca: Path | None = None  # roots learned by enrolment; may not be there yet


@dataclass(frozen=True, kw_only=True)
class MqttConfig:
    """How to reach the broker. The password never stands in the configuration: see :func:`load_config`."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsConfig | None = None
    keepalive_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class EnrolmentConfig:
    """Where the device's certificate comes from. ``ca`` None: the system's authorities vouch for the service."""

    url: str
    folder: Path  # of the key and the certificate, written by the agent alone
    ca: Path | None = None
    token_file: Path | None = None  # one-time token of the bundle
    retry_min_seconds: float = 60.0
    retry_max_seconds: float = 3600.0
    refused_seconds: float = 21_600.0  # a person has to do something, and an agent that is gone does not see it


@dataclass(frozen=True, kw_only=True)
class UplinkConfig:
    """How batches are sent: how many unacknowledged at once, when again, how often to knock at a broker away."""

    window: int = 32  # batches
    ack_timeout_seconds: float = 10.0
    # Bounds of pauses drawn at random. A million dongles come back over ten seconds at the least, over five minutes
    # after an outage that was long.
    reconnect_min_seconds: float = 10.0
    reconnect_max_seconds: float = 300.0


@dataclass(frozen=True, kw_only=True)
class RemoteConfig:
    """Which commands of the backend are answered. All kinds only read; an empty set answers none."""

    allow: frozenset[CommandKind] = frozenset(CommandKind)


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where readings come from; ``options`` are those of the kind, checked by :mod:`edge_agent.build`."""

    kind: SourceKind
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def recorded(self) -> bool:
        """Whether the readings carry a recording's time."""
        return self.kind.startswith("replay_")

    @property
    def identity(self) -> str:
        """Stable for the same source with the same options: under it a replay remembers how far it came."""
        text = json.dumps([self.kind, self.options], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Everything the agent is told. ``origin`` and ``folder`` say in errors and for paths where it was read."""

    device: str
    source: SourceConfig
    outbox_path: Path
    outbox_max_bytes: int = 200_000_000  # of its file with the journal
    flush_seconds: float = 1.0  # a sample read waits at most so long for the disk; a power cut costs what waits
    vehicle_profile: str | None = None  # name or path, resolved by firmware_profiles
    last_known_time_path: Path | None = None
    mqtt: MqttConfig = MqttConfig()
    enrolment: EnrolmentConfig | None = None
    uplink: UplinkConfig = UplinkConfig()
    remote: RemoteConfig = RemoteConfig()
    power: PowerConfig = field(default_factory=PowerConfig)
    form: Form = "compact"
    batch_seconds: float = 10.0  # a sample waits at most so long for its batch
    batch_samples: int = 60  # at most 100: the JSON form of a full sample takes 5 kB, a payload at most 512 KiB
    estimate_seconds: float = 60.0  # between two estimates, by the samples' time
    trip_gap_seconds: float = 120.0  # standing with the engine off so long ends a trip
    drain_seconds: float | None = None  # wait for acknowledgements when the source has ended; None: until all arrived
    stop_grace_seconds: float = 2.0  # the same when told to stop
    origin: str = "configuration"
    folder: Path = Path()

    def __post_init__(self) -> None:
        require_device_id(self.device)


def load_config(
    path: Path, environment: Mapping[str, str] | None = None, *, needs_password: bool = True
) -> AgentConfig:
    """Read ``agent.yaml``; ConfigurationError names file, path in it and the nearest key.

    The password comes from the file named by ``mqtt.password_file``, or from ``WEARCAST_MQTT_PASSWORD``; who does not
    connect does not need it.
    """
    root = Section.load(path)
    device = root.text("device")
    try:
        require_device_id(device)
    except ValueError as error:
        raise root.error("device", str(error)) from None
    source = _source(root)
    outbox = root.section("outbox", optional=True)
    outbox_path = outbox.path("path", Path("/var/lib/wearcast/outbox.sqlite"))
    mqtt = _mqtt(
        root.section("mqtt", optional=True), os.environ if environment is None else environment, needs_password
    )
    config = AgentConfig(
        device=device,
        source=source,
        outbox_path=outbox_path,
        outbox_max_bytes=outbox.size("max_size", 200_000_000),
        flush_seconds=outbox.duration("flush", 1.0),
        vehicle_profile=root.text("vehicle_profile") if root.has("vehicle_profile") else None,
        last_known_time_path=root.path("last_known_time", outbox_path.with_name("last-known-time")),
        mqtt=mqtt,
        enrolment=_enrolment(root.section("enrolment"), mqtt) if root.has("enrolment") else None,
        uplink=_uplink(root.section("uplink", optional=True)),
        remote=_remote(root.section("remote", optional=True)),
        power=read_power(root, recorded=source.recorded),
        form=cast("Form", root.choice("form", ("compact", "json"), "compact")),
        batch_seconds=root.duration("batch", 10.0),
        batch_samples=root.integer("batch_samples", 60, minimum=1, maximum=100),
        # A recording passes in seconds: one estimate per quarter of a recorded day, and one at its end.
        estimate_seconds=root.duration("estimates", 21_600.0 if source.recorded else 60.0),
        trip_gap_seconds=root.duration("trip_gap", 120.0),
        drain_seconds=root.duration("drain") if root.has("drain") else None,
        stop_grace_seconds=root.duration("stop_grace", 2.0),
        origin=str(path),
        folder=path.parent,
    )
    outbox.done()
    root.done()
    return config


def _source(root: Section) -> SourceConfig:
    section = root.section("source")
    kind = section.choice("kind", SOURCE_KINDS)
    options = {key: value for key, value in root.mapping("source").items() if key != "kind"}
    return SourceConfig(kind=cast("SourceKind", kind), options=options)


def _mqtt(section: Section, environment: Mapping[str, str], needs_password: bool) -> MqttConfig:
    password = environment.get(PASSWORD_VARIABLE)
    if section.has("password"):
        raise section.error("password", f"secrets do not belong here; use password_file or {PASSWORD_VARIABLE}")
    if section.has("password_file"):
        file = section.path("password_file")
        try:
            password = file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise section.error("password_file", f"{file} cannot be read: {error.strerror}") from error
    tls = None
    if section.has("tls"):
        part = section.section("tls")
        tls = TlsConfig(
            ca=part.path("ca") if part.has("ca") else None,
            certificate=part.path("certificate") if part.has("certificate") else None,
            key=part.path("key") if part.has("key") else None,
        )
        if (tls.certificate is None) != (tls.key is None):
            raise ConfigurationError(f"{part.where}: certificate and key go together; give both or none")
        part.done()
    config = MqttConfig(
        host=section.text("host", "127.0.0.1"),
        port=section.integer("port", 1883 if tls is None else 8883, minimum=1, maximum=65535),
        username=section.text("username") if section.has("username") else None,
        password=password,
        tls=tls,
        keepalive_seconds=section.duration("keepalive", 30.0),
    )
    if needs_password and config.username is not None and config.password is None:
        raise section.error("username", f"has no password; set password_file or {PASSWORD_VARIABLE}")
    section.done()
    return config


def _enrolment(section: Section, mqtt: MqttConfig) -> EnrolmentConfig:
    if mqtt.tls is None:
        raise section.error("url", "a certificate is of use with TLS alone; give mqtt.tls with its ca")
    config = EnrolmentConfig(
        url=section.text("url").rstrip("/"),
        folder=section.path("folder", Path("/var/lib/wearcast/identity")),
        ca=section.path("ca") if section.has("ca") else mqtt.tls.ca,
        token_file=section.path("token_file") if section.has("token_file") else None,
        retry_min_seconds=section.duration("retry_min", 60.0),
        retry_max_seconds=section.duration("retry_max", 3600.0),
        refused_seconds=section.duration("refused", 21_600.0),
    )
    parts = urlsplit(config.url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query:
        raise section.error("url", "give it as https://host:8443; the token has a file of its own")
    if not 0 < config.retry_min_seconds <= config.retry_max_seconds:
        raise section.error("retry_max", "is below retry_min, or that is zero")
    section.done()
    return config


def _uplink(section: Section) -> UplinkConfig:
    config = UplinkConfig(
        window=section.integer("window", 32, minimum=1, maximum=1000),
        ack_timeout_seconds=section.duration("ack_timeout", 10.0),
        reconnect_min_seconds=section.duration("reconnect_min", 10.0),
        reconnect_max_seconds=section.duration("reconnect_max", 300.0),
    )
    if not 0 < config.reconnect_min_seconds <= config.reconnect_max_seconds:
        raise section.error("reconnect_max", "is below reconnect_min, or that is zero")
    section.done()
    return config


def _remote(section: Section) -> RemoteConfig:
    known = tuple(kind.value for kind in CommandKind)
    allow = section.choices("allow", known, known)
    section.done()
    return RemoteConfig(allow=frozenset(map(CommandKind, allow)))
