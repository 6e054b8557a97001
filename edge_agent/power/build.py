"""Configuration -> what saves power beside the agent. The only place that knows every kind of sensor."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_agent.clock import Clock
from edge_agent.config import AgentConfig
from edge_agent.outbox import Outbox
from edge_agent.power.controller import CommandController, NoController
from edge_agent.power.port import AlwaysOn, Power
from edge_agent.section import Section

if TYPE_CHECKING:
    from edge_agent.can_bus import CanBusConfig
    from edge_agent.power.cranking_burst import CrankingBurst
    from edge_agent.power.watch import Voltmeter, Watch

FOUND: Final = "bus.json"  # beside the outbox: what edge_agent.build_can keeps of bit rates it found
USUAL_BIT_RATE: Final = 500_000


def build_power(config: AgentConfig, outbox: Outbox, clock: Clock, *, wait: Callable[[float], object]) -> Power:
    """What the configuration says; ``wait`` lets time pass and ends early when the agent is told to stop."""
    if config.power.mode == "off":
        return AlwaysOn()
    from edge_agent.power.keeper import PowerKeeper

    governed = config.power.mode == "governed"
    voltage = config.power.voltage
    return PowerKeeper(
        settings=config.power.settings,
        watch=build_watch(config, wait=wait),
        controller=CommandController(config.power.off_command) if governed else NoController(),
        outbox=outbox,
        clock=clock,
        cranking=None if voltage is None or voltage.file is None else _cranking(voltage.file, voltage.scale),
    )


def build_watch(config: AgentConfig, *, wait: Callable[[float], object]) -> "Watch":
    """What can be seen of the parked car with this configuration."""
    from edge_agent.power.watch import CarWatch, IgnitionLine

    line = config.power.ignition
    return CarWatch(
        bus=_bus(config),
        voltmeter=_voltmeter(config),
        line=None if line is None else IgnitionLine(path=line.file, on=line.on),
        wait=wait,
    )


def _cranking(file: Path, scale: float) -> "CrankingBurst":
    from edge_agent.power.cranking_burst import CrankingBurst
    from edge_agent.power.watch import FileVoltmeter

    return CrankingBurst(FileVoltmeter(path=file, scale=scale).read)


def _bus(config: AgentConfig) -> "Callable[[], CanBusConfig] | None":
    """The bus of the source, listened to while the source is closed; its rate may be found only later."""
    if config.source.kind not in {"obd_can", "broadcast"}:
        return None
    from edge_agent.build import build_profile
    from edge_agent.build_can import bit_rate_of, read_bus
    from edge_agent.can_interfaces import interface_named

    profile = build_profile(config)
    section = Section(config.source.options, where=f"{config.origin}: source", folder=config.folder)
    bus, automatic = read_bus(section, None if profile is None else bit_rate_of(profile))
    bus = replace(bus, listen_only=interface_named(bus.interface).listening is not None)

    def resolved() -> "CanBusConfig":
        return replace(bus, bitrate=_found(config.outbox_path.with_name(FOUND), bus.name)) if automatic else bus

    return resolved


def _found(path: Path, name: str) -> int:
    """The bit rate that asking found the last time; before the first time most cars' is listened at."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    rate = content.get(name) if isinstance(content, dict) else None
    return rate if isinstance(rate, int) else USUAL_BIT_RATE


def _voltmeter(config: AgentConfig) -> "Voltmeter | None":
    from edge_agent.power.watch import Elm327Voltmeter, FileVoltmeter, serial_adapter

    source = config.power.voltage
    if source is None and config.source.kind == "obd_elm327":
        port, baud = config.source.options.get("port"), config.source.options.get("baud", 38_400)
        return Elm327Voltmeter(serial_adapter(port, baud)) if isinstance(port, str) and isinstance(baud, int) else None
    if source is None:
        return None
    if source.file is not None:
        return FileVoltmeter(path=source.file, scale=source.scale)
    assert source.adapter is not None
    return Elm327Voltmeter(serial_adapter(source.adapter, source.baud))
