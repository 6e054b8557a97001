"""Configuration + vehicle profile -> source and estimators. The only place that knows every kind of source."""

from collections.abc import Callable

from edge_agent.build_can import bit_rate_of, can_connector
from edge_agent.build_obd import build_obd_can, build_obd_elm327, elm327_connector, limits
from edge_agent.config import AgentConfig, SourceKind
from edge_agent.errors import ConfigurationError
from edge_agent.recognition.profiles import OWN_FOLDER, Profiles
from edge_agent.section import Section
from edge_agent.sources.base import Source
from edge_agent.sources.replay_csv import ReplayCsvConfig, ReplayCsvSource
from edge_agent.tester.base import Connect
from edge_agent.tester.polite import politely
from firmware_profiles.errors import FirmwareProfilesError
from firmware_profiles.loader import load_vehicle_profile
from firmware_profiles.profile import AUTOMATIC, VehicleProfile
from health.errors import HealthError
from health.estimator import Estimator
from health.registry import build_estimators as estimators_of_kind

SourceBuilder = Callable[[Section, VehicleProfile | None], Source]


def build_profile(config: AgentConfig) -> VehicleProfile | None:
    """The vehicle profile named by the configuration: one that ships, or a file beside ``agent.yaml``.

    None where none is named, and where the agent is to find out by itself (``auto``).
    """
    if config.vehicle_profile in {None, AUTOMATIC}:
        return None
    file = config.folder / config.vehicle_profile
    try:
        return load_vehicle_profile(file if file.is_file() else config.vehicle_profile)
    except FirmwareProfilesError as error:
        raise ConfigurationError(f"{config.origin}: vehicle_profile: {error}") from error


def build_source(config: AgentConfig, profile: VehicleProfile | None) -> Source:
    """The source of the configuration, not yet open; ConfigurationError names the option that is wrong."""
    if config.vehicle_profile == AUTOMATIC and profile is None:
        return _recognising(config)
    section = Section(config.source.options, where=f"{config.origin}: source", folder=config.folder)
    source: Source
    if config.source.kind == "broadcast":
        from edge_agent.build_broadcast import build_broadcast  # only where it is wanted: a dongle starts slowly

        source = build_broadcast(section, config.outbox_path.parent)
    elif config.source.kind == "obd_can":
        source = build_obd_can(section, profile, state=config.outbox_path.parent)
        if section.has("broadcast"):
            from edge_agent.build_broadcast import listening_too

            rate = None if profile is None else bit_rate_of(profile)
            source = listening_too(section, source, config.outbox_path.parent, rate)
    elif config.source.kind in BUILDERS:
        source = BUILDERS[config.source.kind](section, profile)
    else:
        raise section.error("kind", f"{config.source.kind} is not built into this agent; known: {', '.join(BUILDERS)}")
    section.done()
    return source


def build_connect(config: AgentConfig) -> Connect:
    """How the car of the configuration is asked beside its profile; ConfigurationError where the source asks none."""
    section = Section(config.source.options, where=f"{config.origin}: source", folder=config.folder)
    if config.source.kind not in CONNECTORS:
        raise section.error("kind", f"{config.source.kind} asks no car; that takes {' or '.join(CONNECTORS)}")
    if config.source.kind == "obd_can":
        return can_connector(section, None, state=config.outbox_path.parent)
    return CONNECTORS[config.source.kind](section, None)


def _recognising(config: AgentConfig) -> Source:
    from edge_agent.recognition.source import RecognisingSource  # only where it is wanted: the dongle is small

    profiles = Profiles(config.folder / OWN_FOLDER)
    build_source(config, profiles.generic)  # a wrong option is told now and not when a car is there
    section = Section(config.source.options, where=f"{config.origin}: source", folder=config.folder)
    return RecognisingSource(
        connect=politely(build_connect(config), limits(section, None)),
        build=lambda profile: build_source(config, profile),
        build_estimators=lambda profile: build_estimators(config, profile),
        profiles=profiles,
    )


def build_estimators(config: AgentConfig, profile: VehicleProfile | None) -> list[Estimator]:
    """The estimators of the profile's kind of car with its parameters; of a generic car without a profile."""
    if profile is None:
        return estimators_of_kind("generic")
    try:
        return estimators_of_kind(profile.kind, profile.health)
    except HealthError as error:
        raise ConfigurationError(f"{config.origin}: vehicle_profile {profile.name}: {error}") from error


def _replay_csv(section: Section, _profile: VehicleProfile | None) -> Source:
    return ReplayCsvSource(
        ReplayCsvConfig(
            path=section.path("path"),
            start=section.moment("start") if section.has("start") else None,
            period_seconds=section.duration("period", 0.5),
            speed=_speed(section),
        )
    )


def _replay_can(section: Section, _profile: VehicleProfile | None) -> Source:
    from edge_agent.sources.broadcast_mapping import read_mapping
    from edge_agent.sources.replay_can import ReplayCanConfig, ReplayCanSource

    return ReplayCanSource(
        ReplayCanConfig(
            path=section.path("path"),
            dbc=section.path("dbc"),
            mappings=tuple(read_mapping(entry) for entry in section.sections("signals")),
            period_seconds=section.duration("period", 0.1),
            start=section.moment("start") if section.has("start") else None,
            channel=section.text("channel") if section.has("channel") else None,
            speed=_speed(section),
        )
    )


def _speed(section: Section) -> float | None:
    """``speed: 1`` as recorded, ``10`` ten times faster; absent: as fast as possible."""
    if not section.has("speed"):
        return None
    speed = section.number("speed")
    if speed <= 0:
        raise section.error("speed", f"{speed:g} is no factor above zero; leave it out for as fast as possible")
    return speed


BUILDERS: dict[SourceKind, SourceBuilder] = {
    "obd_can": build_obd_can,
    "obd_elm327": build_obd_elm327,
    "replay_csv": _replay_csv,
    "replay_can": _replay_can,
}
CONNECTORS: dict[SourceKind, Callable[[Section, int | None], Connect]] = {
    "obd_can": can_connector,
    "obd_elm327": elm327_connector,
}
