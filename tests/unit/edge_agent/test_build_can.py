"""``source: {kind: obd_can, …}``: what is configured, what is found out, and what errors say."""

from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from edge_agent.build_can import bit_rate_of, identifier_bits_of, read_bus
from edge_agent.build_obd import build_obd_can, limits
from edge_agent.errors import ConfigurationError
from edge_agent.section import Section
from edge_agent.tester.base import ANY_IDENTIFIERS
from edge_agent.tester.find_bus import BusFinder
from edge_agent.tester.limits import Limits
from edge_agent.virtual_car.wire import Wire
from firmware_profiles.loader import load_vehicle_profile
from tests.unit.edge_agent.obd_support import VIN, polled
from tests.unit.edge_agent.slcan_peer import slcan_on
from tests.unit.edge_agent.timed_bus import TimedBus

GENERIC = load_vehicle_profile("generic")
KONA = load_vehicle_profile("hyundai_kona_electric")


def section(**options: object) -> Section:
    return Section(options, where="agent.yaml: source", folder=Path())


@pytest.mark.parametrize(
    ("options", "fixed", "bit_rate", "found"),
    [
        ({"interface": "slcan", "channel": "/dev/ttyACM0"}, 500_000, 500_000, False),
        ({"interface": "slcan", "channel": "/dev/ttyACM0"}, None, None, True),
        ({"interface": "slcan", "channel": "/dev/ttyACM0", "bitrate": "auto"}, 500_000, None, True),
        ({"interface": "slcan", "channel": "/dev/ttyACM0", "bitrate": 250_000}, None, 250_000, False),
        ({"interface": "socketcan", "bitrate": "auto"}, None, None, False),  # the system's to set
        ({"bitrate": 500_000}, None, None, False),
    ],
)
def test_bit_rate(options: dict[str, object], fixed: int | None, bit_rate: int | None, *, found: bool) -> None:
    bus, automatic = read_bus(section(**options), fixed)
    assert (bus.bitrate, automatic) == (bit_rate, found)


def test_what_profiles_fix() -> None:
    assert (bit_rate_of(GENERIC), identifier_bits_of(GENERIC)) == (None, ANY_IDENTIFIERS)
    assert (bit_rate_of(KONA), identifier_bits_of(KONA)) == (500_000, 11)


def test_limits() -> None:
    assert limits(section(), 500_000) == Limits()
    configured = limits(section(max_requests_per_s=5, max_bus_percent=1), None)
    assert configured == Limits(requests_per_s=5, bus_share=0.01, bit_rate=250_000)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bitrate": "fast"}, "'fast' is not a whole number"),
        ({"identifiers": 12}, "give auto, 11 or 29"),
        ({"identifiers": "some"}, "not a whole number"),
        ({"max_bus_percent": 0.5}, "give 1 to 100 percent"),
        ({"max_bus_percent": 101}, "10 suits most cars"),
        ({"max_requests_per_s": 0.5}, "give 1 or more"),
        ({"max_bus_percents": 1}, "did you mean 'max_bus_percent'"),
    ],
)
def test_errors_name_the_key(options: dict[str, object], text: str) -> None:
    wrong = section(interface="virtual", channel="x", **options)
    with pytest.raises(ConfigurationError, match=text):
        _all_of(wrong)


def _all_of(wrong: Section) -> None:
    build_obd_can(wrong, GENERIC)
    wrong.done()


@pytest.mark.parametrize(("identifiers", "bits"), [("auto", 29), (29, 29), (None, 29), (11, 11)])
def test_any_car_is_found_by_its_identifiers(identifiers: object, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = TimedBus()
    bus.times_all(monkeypatch)
    options = {"interface": "virtual", "channel": bus.config.channel, "identifiers": identifiers}
    source = build_obd_can(section(**options), GENERIC)
    with bus.car(identifier_bits=bits):
        source.open()
        with closing(source):
            reading = polled(source)
    assert reading.vin == VIN
    assert "Vehicle.Speed" in reading.values


def test_all_of_it_over_slcan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(250_000)
    bus = TimedBus(wire=wire)
    bus.times_all(monkeypatch)
    finder = partial(BusFinder, open_bus=bus.really_opened, clock=bus.clock)
    monkeypatch.setattr("edge_agent.build_can.BusFinder", finder)
    with bus.car(identifier_bits=29), bus.chatter(), slcan_on(wire, bus) as adapter:
        options = {"sleep_after_open": 0.0}
        source = build_obd_can(
            section(interface="slcan", channel=adapter.port, options=options), GENERIC, state=tmp_path
        )
        source.open()
        with closing(source):
            reading = polled(source)
        assert wire.disturbed == 0
    assert reading.vin == VIN
    assert "250000" in (tmp_path / "bus.json").read_text()
