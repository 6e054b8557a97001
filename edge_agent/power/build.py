"""Configuration -> what saves power beside the agent. The only place that knows every kind of sensor."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_agent.clock import Clock
from edge_agent.config import AgentConfig
from edge_agent.outbox import Outbox
from edge_agent.power.controller import CommandController, NoController
from edge_agent.power.port import AlwaysOn, Power
from edge_agent.section import Section

if TYPE_CHECKING:
    from edge_agent.can_bus import CanBusConfig
    from edge_agent.power.watch import Voltmeter, Watch


def build_power(config: AgentConfig, outbox: Outbox, clock: Clock, *, wait: Callable[[float], object]) -> Power:
    """What the configuration says; ``wait`` lets time pass and ends early when the agent is told to stop."""
    if config.power.mode == "off":
        return AlwaysOn()
    from edge_agent.power.keeper import PowerKeeper

    governed = config.power.mode == "governed"
    return PowerKeeper(
        settings=config.power.settings,
        watch=build_watch(config, wait=wait),
        controller=CommandController(config.power.off_command) if governed else NoController(),
        outbox=outbox,
        clock=clock,
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


def _bus(config: AgentConfig) -> "CanBusConfig | None":
    """The bus of the source, listened to while the source is closed."""
    if config.source.kind not in {"obd_can", "broadcast"}:
        return None
    from edge_agent.can_bus import CanBusConfig

    section = Section(config.source.options, where=f"{config.origin}: source", folder=config.folder)
    interface = section.text("interface", "socketcan")
    options = section.mapping("options") if section.has("options") else {}
    if interface == "slcan":
        options.setdefault("listen_only", True)
    return CanBusConfig(
        interface=interface,
        channel=section.text("channel", "can0"),
        bitrate=section.integer("bitrate") if section.has("bitrate") and interface != "socketcan" else None,
        options=options,
    )


def _voltmeter(config: AgentConfig) -> "Voltmeter | None":
    from edge_agent.power.watch import Elm327Voltmeter, FileVoltmeter, serial_adapter

    source = config.power.voltage
    if source is None:
        return None
    if source.file is not None:
        return FileVoltmeter(path=source.file, scale=source.scale)
    assert source.adapter is not None
    return Elm327Voltmeter(serial_adapter(source.adapter, source.baud))
