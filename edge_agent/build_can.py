"""The CAN bus of a configuration: where it is, and how a tester is opened on it."""

from collections.abc import Sequence
from pathlib import Path

from edge_agent.can_bus import CanBusConfig
from edge_agent.can_interfaces import interface_named
from edge_agent.section import Section
from edge_agent.tester.base import ANY_IDENTIFIERS, Connect, IsoTpAddress
from edge_agent.tester.can import FUNCTIONAL_11_BIT, FUNCTIONAL_29_BIT, CanTester
from edge_agent.tester.find_bus import BusFinder
from firmware_profiles.profile import VehicleProfile

AUTO = "auto"
_MEMORY = "bus.json"  # in the state folder: the bit rate found the last time
_FUNCTIONAL = {11: FUNCTIONAL_11_BIT, 29: FUNCTIONAL_29_BIT, ANY_IDENTIFIERS: None}


def read_bus(section: Section, bit_rate: int | None) -> tuple[CanBusConfig, bool]:
    """The bus of a section, and whether its bit rate is to be found.

    ``bit_rate`` in bit/s holds where the section gives none; None: found. An interface whose rate is set elsewhere
    (SocketCAN: by the system) has none here.
    """
    interface = section.text("interface", "socketcan")
    if section.says("bitrate", AUTO):
        bit_rate = None
    elif section.has("bitrate"):
        bit_rate = section.integer("bitrate", minimum=10_000, maximum=8_000_000)
    rated = interface_named(interface).rated
    bus = CanBusConfig(
        interface=interface,
        channel=section.text("channel", "can0"),
        bitrate=bit_rate if rated else None,
        options=section.mapping("options") if section.has("options") else {},
    )
    return bus, rated and bit_rate is None


def can_connector(section: Section, bit_rate: int | None, *, state: Path | None = None) -> Connect:
    """Opens testers on the bus of the section.

    ``bit_rate`` as for :func:`read_bus`; ``state``: the folder in which what was found is kept.
    Keys: interface, channel, bitrate (``auto``: found without disturbing the bus), identifiers (``auto``, 11, 29),
    options, timeout.
    """
    bus, automatic = read_bus(section, bit_rate)
    finder = BusFinder(bus, None if state is None else state / _MEMORY) if automatic else None
    timeout_s = section.duration("timeout", 0.2)
    fixed = _identifiers(section)

    def connect(addresses: Sequence[IsoTpAddress], identifier_bits: int) -> CanTester:
        functional_id = _FUNCTIONAL[identifier_bits if fixed is None else fixed]
        found = bus if finder is None else finder.config(timeout_s=timeout_s)
        return CanTester.open(found, addresses, functional_id=functional_id, timeout_s=timeout_s)

    return connect


def bit_rate_of(profile: VehicleProfile) -> int | None:
    """What a profile fixes: that of a model the bit rate in bit/s; that of any car nothing."""
    return None if _of_any_car(profile) else profile.can.bit_rate


def identifier_bits_of(profile: VehicleProfile) -> int:
    """What a profile fixes: that of a model the length of identifiers; that of any car nothing."""
    return ANY_IDENTIFIERS if _of_any_car(profile) else profile.can.identifier_bits


def _of_any_car(profile: VehicleProfile) -> bool:
    return profile.kind == "generic"


def _identifiers(section: Section) -> int | None:
    if section.says("identifiers", AUTO):
        return ANY_IDENTIFIERS
    if not section.has("identifiers"):
        return None
    bits = section.integer("identifiers")
    if bits not in {11, 29}:
        raise section.error("identifiers", f"{bits} bits are none that CAN has; give auto, 11 or 29")
    return bits
