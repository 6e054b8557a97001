"""The bus of the configuration + a DBC or SAE J1939 -> what is heard on it without asking."""

from dataclasses import replace
from pathlib import Path

from edge_agent.build_can import read_bus
from edge_agent.can_bus import CanBusConfig
from edge_agent.can_interfaces import interface_named
from edge_agent.errors import ConfigurationError
from edge_agent.section import Section
from edge_agent.sources.base import Source
from edge_agent.sources.broadcast import (
    BroadcastSource,
    FramesOpener,
    ListeningSource,
    open_frames,
    open_shared_frames,
)
from edge_agent.sources.broadcast_cache import cached_layouts
from edge_agent.sources.broadcast_listener import Listener, SignalListener
from edge_agent.sources.broadcast_mapping import read_mapping

# Interfaces whose bus several can open at once; a serial or USB adapter is opened once and shared.
_OPENED_BY_MANY = ("socketcan", "udp_multicast", "virtual")


def build_broadcast(section: Section, cache: Path) -> BroadcastSource:
    """The source of ``source: {kind: broadcast, interface: …, channel: …, dbc: …, signals: […]}``.

    With ``j1939: true`` it hears what heavy vehicles say; a DBC may then stand beside. An adapter that can is told to
    listen only, so that not even a wrong bit rate disturbs the bus. ``cache``: the folder of the compiled DBC.
    """
    heavy = section.flag("j1939")
    listeners = _listeners(section, cache, required=not heavy)
    if heavy:
        from edge_agent.j1939.listener import J1939Listener  # only where it is wanted: a dongle starts slowly

        listeners += (J1939Listener(period_s=_period_s(section)),)
    bus, automatic = read_bus(section, 250_000 if heavy else 500_000)
    if automatic:
        raise section.error("bitrate", "is found by asking, and nobody is asked here; give it, 500000 suits most cars")
    if interface_named(bus.interface).listening is not None:
        bus = replace(bus, listen_only=True)
    return BroadcastSource(bus, listeners, open_frames=_opener(bus))


def listening_too(section: Section, asking: Source, cache: Path, bit_rate: int | None) -> Source:
    """The source that asks, and what the section ``broadcast`` in its own lets hear on the same bus.

    ``bit_rate`` in bit/s, of the profile: holds where the section gives none.
    """
    bus, automatic = read_bus(section, bit_rate)
    if automatic:
        raise section.error("bitrate", "cannot be looked for while somebody listens; give it, 500000 suits most cars")
    inner = section.section("broadcast")
    heard = BroadcastSource(bus, _listeners(inner, cache), open_frames=_opener(bus))
    inner.done()
    return ListeningSource(asking, heard)


def _opener(bus: CanBusConfig) -> FramesOpener:
    """An adapter that opens once also has little room for frames: a thread of its own takes them at once."""
    return open_frames if bus.interface in _OPENED_BY_MANY else open_shared_frames


def _listeners(section: Section, cache: Path, *, required: bool = True) -> tuple[Listener, ...]:
    """What the DBC says, if there is one; ``required``: there must be."""
    if not section.has("dbc"):
        if required:
            raise section.error("dbc", "is missing: there is nothing to listen for; give a DBC with its signals")
        return ()
    mappings = tuple(read_mapping(entry) for entry in section.sections("signals"))
    if not mappings:
        raise section.error("signals", "is empty; give a list of message, signal and path")
    try:
        layouts = cached_layouts(section.path("dbc"), mappings, cache)
        return (SignalListener(layouts, period_s=_period_s(section)),)
    except (ConfigurationError, ValueError) as error:
        raise section.error("dbc", str(error)) from error


def _period_s(section: Section) -> float:
    period_s = section.duration("period", 1.0)
    if period_s <= 0:
        raise section.error("period", "is zero; give a time above it, 1s sends one value a second")
    return period_s
