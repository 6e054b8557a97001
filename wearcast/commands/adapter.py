"""Which adapter a diagnosing command uses: the one named, the one of an ``agent.yaml``, or the one that is found."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge_agent.can_bus import CanBusConfig
    from edge_agent.config import AgentConfig
    from edge_agent.tester.base import Connect

AdapterOption = Annotated[
    str | None,
    typer.Option(
        help="elm327:/dev/ttyUSB0, elm327:socket://192.168.0.10:35000, can:socketcan:can0, can:slcan:/dev/ttyACM0 …; "
        "without it the one that is found."
    ),
]
ConfigOption = Annotated[Path | None, typer.Option(help="Use the adapter of this agent.yaml.")]


NOBODY = (
    "Nobody answered. Is the ignition on? `wearcast agent doctor` looks for the reason step by step; "
    "without a car, `wearcast agent garage` gives a virtual one."
)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """An adapter by name, how it is opened, and the configuration it came from, if any."""

    name: str
    connect: "Connect"
    bus: "CanBusConfig | None" = None  # where it shows raw frames
    config: "AgentConfig | None" = None


def choose(adapter: str | None, config: Path | None) -> Chosen:
    """The adapter to use, told to who waits at a terminal: an ELM327 takes seconds to find its car.

    ConfigurationError says what was looked for where none is found.
    """
    chosen = _chosen(adapter, config)
    if sys.stderr.isatty():
        typer.echo(f"Connecting by {chosen.name} …", err=True)
    return chosen


def _chosen(adapter: str | None, config: Path | None) -> Chosen:
    from edge_agent.adapters import adapter_at, found_adapters
    from edge_agent.build import build_connect
    from edge_agent.config import load_config
    from edge_agent.errors import ConfigurationError

    loaded = None if config is None else load_config(config, needs_password=False)
    if adapter is not None:
        named = adapter_at(adapter)
        return Chosen(name=adapter, connect=named.connect, bus=named.bus, config=loaded)
    if loaded is not None:
        return Chosen(name=f"the source of {config}", connect=build_connect(loaded), config=loaded)
    found = found_adapters()
    if not found:
        raise ConfigurationError(
            "no adapter was found: no CAN network interface, no USB or Bluetooth serial port. Plug one in, or name it: "
            "--adapter elm327:/dev/ttyUSB0, elm327:socket://192.168.0.10:35000, can:socketcan:can0"
        )
    if len(found) > 1:
        raise ConfigurationError(f"several adapters were found; name one by --adapter: {', '.join(found)}")
    only = adapter_at(found[0])
    return Chosen(name=only.address, connect=only.connect, bus=only.bus)
