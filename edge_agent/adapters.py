"""The adapter an engineer names on the command line, or the one that is found: text -> how a tester is opened.

``can:INTERFACE:CHANNEL`` with ``@BITRATE`` and options as in an address (``can:slcan:/dev/ttyACM0@500000``,
``can:udp_multicast:239.74.163.2?port=45001``), ``elm327:PORT`` with ``@BAUD`` (``elm327:/dev/ttyUSB0``,
``elm327:socket://192.168.0.10:35000``).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from edge_agent.build import CONNECTORS
from edge_agent.can_bus import CanBusConfig
from edge_agent.config import SourceKind
from edge_agent.errors import ConfigurationError
from edge_agent.section import Section
from edge_agent.tester.base import Connect

BIT_RATE: Final = 500_000  # bit/s, of nearly every car since 2008 (ISO 15765-4)
_NETWORK_INTERFACES: Final = Path("/sys/class/net")
_CAN_LINK_TYPE: Final = "280"  # ARPHRD_CAN of linux/if_arp.h
_EXAMPLES: Final = "can:socketcan:can0, can:slcan:/dev/ttyACM0, elm327:/dev/ttyUSB0, elm327:socket://192.168.0.10:35000"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter by its address, and how it is opened. ``bus``: where it shows raw frames too."""

    address: str
    connect: Connect
    bus: CanBusConfig | None = None


def adapter_at(address: str) -> Adapter:
    """The adapter of an address; ConfigurationError says how one is written."""
    kind, _, rest = address.partition(":")
    if kind == "can":
        options = _can_options(address, rest)
        return Adapter(address=address, connect=_connector("obd_can", address, options), bus=_bus(options))
    if kind == "elm327" and rest:
        port, at, baud = rest.rpartition("@")
        options = {"port": port if at else rest} | ({"baud": _whole(address, baud)} if at else {})
        return Adapter(address=address, connect=_connector("obd_elm327", address, options))
    raise ConfigurationError(f"adapter {address!r}: write it as one of {_EXAMPLES}")


def found_adapters(
    *,
    interfaces: Path = _NETWORK_INTERFACES,
    serial_ports: Callable[[], Iterable[str]] | None = None,
) -> tuple[str, ...]:
    """Addresses of the adapters this machine shows: CAN network interfaces first, then serial ports as ELM327."""
    found = []
    if interfaces.is_dir():
        for entry in sorted(interfaces.iterdir()):
            kind = entry / "type"
            if kind.is_file() and kind.read_text(encoding="ascii").strip() == _CAN_LINK_TYPE:
                found.append(f"can:socketcan:{entry.name}")
    found += [f"elm327:{port}" for port in sorted((serial_ports or _serial_ports)())]
    return tuple(found)


def _serial_ports() -> Iterable[str]:
    """USB and Bluetooth serial ports; a machine's built-in ones lead to no car."""
    from serial.tools.list_ports import comports

    return [port.device for port in comports() if port.vid is not None or "rfcomm" in port.device]


def _can_options(address: str, rest: str) -> dict[str, object]:
    rest, _, query = rest.partition("?")
    interface, _, channel = rest.partition(":")
    channel, _, bit_rate = channel.partition("@")
    if not interface or not channel:
        raise ConfigurationError(f"adapter {address!r}: name interface and channel, as in can:socketcan:can0")
    options: dict[str, object] = {"interface": interface, "channel": channel}
    if bit_rate:
        options["bitrate"] = _whole(address, bit_rate)
    if query:
        options["options"] = {key: int(value) if value.isdecimal() else value for key, value in parse_qsl(query)}
    return options


def _bus(options: dict[str, object]) -> CanBusConfig:
    """To listen on: a bit rate that was not given is the usual one, where the interface takes any."""
    rate, more = options.get("bitrate", BIT_RATE), options.get("options", {})
    assert isinstance(rate, int)
    assert isinstance(more, dict)
    interface = str(options["interface"])
    return CanBusConfig(
        interface=interface,
        channel=str(options["channel"]),
        bitrate=None if interface == "socketcan" else rate,
        options=more,
    )


def _connector(kind: SourceKind, address: str, options: dict[str, object]) -> Connect:
    section = Section(options, where=f"adapter {address}", folder=Path.cwd())
    connect = CONNECTORS[kind](section, None)
    section.done()
    return connect


def _whole(address: str, text: str) -> int:
    if not text.isdecimal():
        raise ConfigurationError(f"adapter {address!r}: {text!r} after '@' is no number of bit/s or baud")
    return int(text)
