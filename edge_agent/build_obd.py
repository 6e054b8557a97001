"""Vehicle profile + bus or adapter of the configuration -> how the car is read."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from edge_agent.build_can import bit_rate_of, can_connector, identifier_bits_of
from edge_agent.profile_dids import profile_dids
from edge_agent.section import Section
from edge_agent.sources.obd import DEFAULT_ECUS, ECUS_29_BIT, ObdConfig, ObdSource
from edge_agent.tester.base import Connect, IsoTpAddress, Tester
from edge_agent.tester.find_bus import OBD_BIT_RATES
from edge_agent.tester.limits import SMALLEST_BUS_SHARE, SMALLEST_REQUESTS_PER_S, Limits
from firmware_profiles.profile import VehicleProfile


def build_obd_can(section: Section, profile: VehicleProfile | None, *, state: Path | None = None) -> ObdSource:
    """The source of ``source: {kind: obd_can, interface: …, channel: …}``; what to read comes from the profile.

    ``state``: the folder in which what was found out of the bus is kept.
    """
    if profile is None:
        raise section.error("kind", "obd_can needs a vehicle profile; set vehicle_profile, 'generic' reads any car")
    connect = can_connector(section, bit_rate_of(profile), state=state)
    config = replace(obd_config(profile), limits=limits(section, bit_rate_of(profile)))
    return ObdSource(config, lambda: connect(config.addresses, identifier_bits_of(profile)))


def build_obd_elm327(section: Section, profile: VehicleProfile | None) -> ObdSource:
    """The source of ``source: {kind: obd_elm327, port: …}``; what to read comes from the profile."""
    if profile is None:
        raise section.error("kind", "obd_elm327 needs a vehicle profile; set vehicle_profile, 'generic' reads any car")
    connect = elm327_connector(section, profile.can.bit_rate)
    config = replace(obd_config(profile), limits=limits(section, bit_rate_of(profile)))
    return ObdSource(config, lambda: connect(config.addresses, profile.can.identifier_bits))


def elm327_connector(section: Section, _bit_rate: int | None) -> Connect:
    """Opens testers at the adapter of the section, which finds bit rate and identifiers of the car by itself."""
    from edge_agent.tester.elm327 import LONGEST_TIMEOUT_S, Elm327Tester  # only where it is wanted

    port = section.text("port")
    baud = section.integer("baud", minimum=1200, maximum=4_000_000) if section.has("baud") else None
    timeout_s = section.duration("timeout", 0.2)
    if not 0 < timeout_s <= LONGEST_TIMEOUT_S:
        raise section.error("timeout", f"{timeout_s:g} s is not what an ELM327 waits; give up to 1s, 200ms suits most")
    if find_spec("obd") is None:
        raise section.error("kind", "obd_elm327 needs python-OBD; install it with: pip install 'wearcast[elm327]'")

    def connect(_addresses: Sequence[IsoTpAddress], _identifier_bits: int) -> Tester:
        return Elm327Tester.open(port, baud=baud, timeout_s=timeout_s)

    return connect


def limits(section: Section, bit_rate: int | None) -> Limits:
    """What reading may take of the bus; a bit rate that is not known yet is taken for the slower one of OBD.

    Keys: max_requests_per_s, max_bus_percent.
    """
    usual = Limits()
    percent = section.number("max_bus_percent", 100 * usual.bus_share)
    if not 100 * SMALLEST_BUS_SHARE <= percent <= 100:
        raise section.error(
            "max_bus_percent",
            f"{percent:g} is no share of the bus that suffices; give {100 * SMALLEST_BUS_SHARE:g} to 100 percent, "
            "10 suits most cars",
        )
    requests_per_s = section.number("max_requests_per_s", usual.requests_per_s)
    if requests_per_s < SMALLEST_REQUESTS_PER_S:
        raise section.error(
            "max_requests_per_s", f"{requests_per_s:g} asks next to nothing; give {SMALLEST_REQUESTS_PER_S:g} or more"
        )
    return Limits(
        requests_per_s=requests_per_s,
        bus_share=percent / 100,
        bit_rate=min(OBD_BIT_RATES) if bit_rate is None else bit_rate,
    )


def obd_config(profile: VehicleProfile) -> ObdConfig:
    """What the profile says of a car, in the source's terms."""
    codes = profile.trouble_codes
    return ObdConfig(
        ecus=ECUS_29_BIT if profile.can.identifier_bits == 29 else DEFAULT_ECUS,
        pids={item.pid: item.period_s for item in profile.poll if item.service == 0x01},
        dids=profile_dids(profile),
        dtc_period_s=codes.period_s if codes is not None else None,
        dtc_services=codes.services if codes is not None else (),
        uds_dtc_ecus=tuple(
            IsoTpAddress(transmit_id=ecu.request_id, receive_id=ecu.response_id)
            for ecu in (codes.uds_19 if codes is not None else ())
        ),
    )
