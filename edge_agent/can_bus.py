"""Opens a python-can bus as configured. Nothing here knows what is said on it."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

import can

from edge_agent.can_interfaces import SLCAN, interface_named, remedy
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.shared_bus import view_of

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024  # the kernel gives at most net.core.rmem_max
# linux/in.h and linux/in6.h; the socket module has no names for them.
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29


@dataclass(frozen=True, kw_only=True)
class CanBusConfig:
    """Where the bus is: a python-can interface ("socketcan", "slcan", "gs_usb", "pcan", …) and its channel.

    ``bitrate`` in bit/s, None where the interface has none; ``options`` go to ``can.Bus`` as they are.
    ``listen_only``: hear without acknowledging, where the interface can.
    """

    interface: str
    channel: str
    bitrate: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    listen_only: bool = False

    def __post_init__(self) -> None:
        kind = interface_named(self.interface)
        if self.bitrate is not None and kind.bit_rates is not None and self.bitrate not in kind.bit_rates:
            known = ", ".join(f"{rate:d}" for rate in sorted(kind.bit_rates))
            raise ConfigurationError(f"{self.name}: {self.bitrate} bit/s is none that {self.interface} has: {known}")
        if kind.numbered and not self.channel.isdecimal():
            raise ConfigurationError(
                f"{self.name}: the channel of {self.interface} is the number of the adapter; give '0' for the first"
            )
        if self.listen_only and kind.listening is None:
            raise ConfigurationError(f"{self.name}: {self.interface} cannot be told to listen only")

    @property
    def name(self) -> str:
        """The bus as errors call it."""
        return f"CAN bus {self.interface}:{self.channel}"


def open_can_bus(config: CanBusConfig) -> can.BusABC:
    """Open the bus, or a view of it where it is shared; SourceError says what is wrong and what to do.

    On ``udp_multicast`` frames stay on this host (hop limit 0) unless the options say otherwise, and the receive
    buffer is raised: with the default one, frames sent faster than they are read are lost without a word.
    """
    if (view := view_of(config.name)) is not None:
        return view
    kind = interface_named(config.interface)
    options: dict[str, object] = dict(config.options)
    if config.interface == "udp_multicast":
        options.setdefault("hop_limit", 0)
        options.setdefault("fd", False)
    if config.bitrate is not None and kind.rated:
        options["bitrate"] = config.bitrate
    if config.listen_only:
        options |= kind.listening or {}
    channel = int(config.channel) if kind.numbered else config.channel
    try:
        if config.interface == SLCAN:
            return _open_slcan(config.channel, options)
        bus = can.Bus(interface=config.interface, channel=channel, **options)  # type: ignore[arg-type]  # options are the interface's own
    except (can.CanError, OSError, ImportError, TypeError, ValueError) as error:
        raise SourceError(
            f"{config.name} cannot be opened ({error}); {remedy(config.interface, config.channel, error)}"
        ) from error
    if config.interface == "udp_multicast":
        _tune(bus)
    return bus


def _open_slcan(channel: str, options: Mapping[str, object]) -> can.BusABC:
    from edge_agent.slcan import TolerantSlcanBus  # pyserial, only where it is wanted

    return TolerantSlcanBus(channel, **options)  # type: ignore[arg-type]  # options are the interface's own


def _tune(bus: can.BusABC) -> None:
    with socket.socket(fileno=os.dup(bus.fileno())) as twin:  # options belong to the socket, not to the descriptor
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        # Linux otherwise hands every group joined by anybody on this port to every socket bound to the port.
        if twin.family == socket.AF_INET:
            twin.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        else:
            twin.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
