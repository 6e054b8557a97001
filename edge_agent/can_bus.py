"""Opens a python-can bus as configured. Nothing here knows what is said on it."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

import can

from edge_agent.errors import SourceError

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024  # the kernel gives at most net.core.rmem_max
# linux/in.h and linux/in6.h; the socket module has no names for them.
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29


@dataclass(frozen=True, kw_only=True)
class CanBusConfig:
    """Where the bus is: a python-can interface ("socketcan", "virtual", "udp_multicast", …) and its channel.

    ``bitrate`` in bit/s, None where the interface has none; ``options`` go to ``can.Bus`` as they are.
    """

    interface: str
    channel: str
    bitrate: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)


def open_can_bus(config: CanBusConfig) -> can.BusABC:
    """Open the bus; SourceError says what is wrong and what to do.

    On ``udp_multicast`` frames stay on this host (hop limit 0) unless the options say otherwise, and the receive
    buffer is raised: with the default one, frames sent faster than they are read are lost without a word.
    """
    options: dict[str, object] = dict(config.options)
    if config.interface == "udp_multicast":
        options.setdefault("hop_limit", 0)
        options.setdefault("fd", False)
    if config.bitrate is not None and config.interface not in {"virtual", "udp_multicast"}:
        options["bitrate"] = config.bitrate
    try:
        bus = can.Bus(interface=config.interface, channel=config.channel, **options)  # type: ignore[arg-type]  # options are the interface's own
    except (can.CanError, OSError, TypeError, ValueError) as error:
        hint = "is it up, and may this user open it?"
        if config.interface == "udp_multicast":
            hint = "multicast needs a route: 'ip route add 239.0.0.0/8 dev lo' gives one"
        raise SourceError(f"CAN bus {config.interface}:{config.channel} cannot be opened ({error}); {hint}") from error
    if config.interface == "udp_multicast":
        _tune(bus)
    return bus


def _tune(bus: can.BusABC) -> None:
    with socket.socket(fileno=os.dup(bus.fileno())) as twin:  # options belong to the socket, not to the descriptor
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        # Linux otherwise hands every group joined by anybody on this port to every socket bound to the port.
        if twin.family == socket.AF_INET:
            twin.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        else:
            twin.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
