"""The bit rate and the identifiers of a bus, found without disturbing it; slcan for real, over a pseudo-terminal."""

from contextlib import closing, nullcontext
from pathlib import Path

import can
import pytest

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.obd import service01
from edge_agent.sources.obd import DEFAULT_ECUS
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.can import FUNCTIONAL_29_BIT, CanTester
from edge_agent.tester.find_bus import BusFinder, Heard, find_bit_rate
from edge_agent.virtual_car.wire import Wire
from tests.unit.edge_agent.obd_support import VIN
from tests.unit.edge_agent.slcan_peer import slcan_on
from tests.unit.edge_agent.timed_bus import TimedBus

# An interface that listens only, and one that cannot: what the wire's nodes do is theirs by this configuration.
LISTENING = CanBusConfig(interface="pcan", channel="PCAN_USBBUS1")
SPEAKING = CanBusConfig(interface="gs_usb", channel="0")


def asked_on(wire: Wire) -> list[can.Message]:
    return [message for message in wire.sent if message.arbitration_id in {0x7DF, FUNCTIONAL_29_BIT}]


@pytest.mark.parametrize(
    ("frames", "errors", "verdict"),
    [(0, 0, "silent"), (1, 0, "right"), (100, 3, "right"), (3, 3, "wrong"), (0, 1, "wrong")],
)
def test_what_was_heard(frames: int, errors: int, verdict: str) -> None:
    assert Heard(frames=frames, errors=errors).verdict == verdict


@pytest.mark.parametrize("bit_rate", [500_000, 250_000])
@pytest.mark.parametrize("bits", [11, 29])
@pytest.mark.parametrize("chatty", [True, False])
def test_found_by_listening_or_by_asking(bit_rate: int, bits: int, *, chatty: bool) -> None:
    wire = Wire(bit_rate)
    bus = TimedBus(wire=wire)
    with bus.car(identifier_bits=bits), bus.chatter() if chatty else nullcontext():
        found = find_bit_rate(LISTENING, open_bus=bus.open, clock=bus.clock)
        assert found == bit_rate
        if chatty:
            assert asked_on(wire) == []  # what was heard was enough
            assert wire.disturbed == 0
        else:
            assert wire.disturbed == (bit_rate != 500_000)  # one question at the wrong rate, and no second
        tester = CanTester.open(
            CanBusConfig(interface="pcan", channel="x", bitrate=found),
            DEFAULT_ECUS,
            functional_id=None,
            stmin_ms=0,
            open_bus=bus.open,
            clock=bus.clock,
        )
        try:
            before = tester.identifier_bits
            assert before is None
            answers = tester.functional(service01.request(0), expected=None).answers
            assert set(answers) == ({"7E8", "7E9"} if bits == 11 else {"18DAF110", "18DAF118"})
            assert tester.identifier_bits == bits
            vin = (
                tester.physical(IsoTpAddress(transmit_id=0x18DA10F1, receive_id=0x18DAF110), b"\x09\x02")
                if bits == 29
                else tester.physical(DEFAULT_ECUS[0], b"\x09\x02")
            )
            assert vin[3:] == VIN.encode()
        finally:
            tester.close()


def test_nothing_is_sent_at_a_rate_at_which_frames_arrive_damaged() -> None:
    wire = Wire(125_000)  # a body bus: neither rate of OBD
    bus = TimedBus(wire=wire)
    with bus.car(), bus.chatter():
        with pytest.raises(SourceError, match="arrive damaged at 500 and 250 kbit/s"):
            find_bit_rate(LISTENING, open_bus=bus.open, clock=bus.clock)
        assert asked_on(wire) == []
        assert wire.disturbed == 0


def test_an_adapter_that_cannot_listen_only_leaves_at_the_first_error() -> None:
    wire = Wire(250_000)
    bus = TimedBus(wire=wire)
    with bus.car(), bus.chatter():
        assert find_bit_rate(SPEAKING, open_bus=bus.open, clock=bus.clock) == 250_000
    assert asked_on(wire) == []
    assert 0 < wire.disturbed < 20  # frames that it met while it learned


def test_a_silent_bus_says_so() -> None:
    bus = TimedBus(wire=Wire(500_000))
    with bus.car(activity="parked"), pytest.raises(SourceError, match="switch the ignition on"):
        find_bit_rate(LISTENING, open_bus=bus.open, clock=bus.clock)


def test_the_rate_is_remembered(tmp_path: Path) -> None:
    memory = tmp_path / "bus.json"
    wire = Wire(250_000)
    bus = TimedBus(wire=wire)
    opened: list[CanBusConfig] = []

    def open_bus(config: CanBusConfig) -> can.BusABC:
        opened.append(config)
        return bus.open(config)

    with bus.car(), bus.chatter():
        assert BusFinder(LISTENING, memory, open_bus=open_bus, clock=bus.clock).config().bitrate == 250_000
        assert [config.bitrate for config in opened] == [500_000, 250_000]
        opened.clear()
        finder = BusFinder(LISTENING, memory, open_bus=open_bus, clock=bus.clock)
        assert finder.config().bitrate == 250_000
        assert [(config.bitrate, config.listen_only) for config in opened] == [(250_000, True)]
        assert asked_on(wire) == []
    with bus.car(activity="parked"):
        assert finder.config().bitrate == 250_000  # asleep: believed without a question
        assert asked_on(wire) == []
    wire.bit_rate = 500_000  # put into another car
    with bus.car(), bus.chatter():
        assert finder.config().bitrate == 500_000
        assert "500000" in memory.read_text()
    assert wire.disturbed == 0


def test_an_adapter_that_cannot_listen_only_believes_what_it_knows_of_a_sleeping_car() -> None:
    wire = Wire(250_000)
    bus = TimedBus(wire=wire)
    with bus.car(activity="parked"):
        found = find_bit_rate(SPEAKING, known=250_000, open_bus=bus.open, clock=bus.clock)
    assert found == 250_000
    assert wire.disturbed == 0


@pytest.mark.parametrize("content", ["{ half", "[]", '{"CAN bus pcan:PCAN_USBBUS1": "500000"}', '{"x": 1}'])
def test_a_memory_that_says_nothing(tmp_path: Path, content: str) -> None:
    memory = tmp_path / "bus.json"
    memory.write_text(content)
    bus = TimedBus(wire=Wire(500_000))
    with bus.car(), bus.chatter():
        for path in (memory, tmp_path / "no" / "bus.json"):
            assert BusFinder(LISTENING, path, open_bus=bus.open, clock=bus.clock).config().bitrate == 500_000


def test_slcan_over_a_serial_line() -> None:
    wire = Wire(250_000)
    bus = TimedBus(wire=wire)
    with bus.car(identifier_bits=29), bus.chatter(), slcan_on(wire, bus) as adapter:
        config = CanBusConfig(interface="slcan", channel=adapter.port, options={"sleep_after_open": 0.0})
        found = BusFinder(config, None, open_bus=bus.really_opened, clock=bus.clock).config()
        assert found.bitrate == 250_000
        assert {mode[-1] for mode in adapter.modes} == {"L"}
        tester = CanTester.open(found, (), functional_id=None, stmin_ms=0, open_bus=bus.really_opened, clock=bus.clock)
        with closing(tester):
            answers = tester.functional(service01.request(0), expected=None, enough=2).answers
            assert set(answers) == {"18DAF110", "18DAF118"}
            adapter.garbage = b"t7E8\xff\xfe\rT18DA\rz\rt7E89ZZ\rt7E8803410D\r"
            engine = IsoTpAddress(transmit_id=0x18DA10F1, receive_id=0x18DAF110)
            assert tester.physical(engine, b"\x09\x02")[3:] == VIN.encode()
        assert wire.disturbed == 0


def test_slcan_that_is_pulled_out() -> None:
    wire = Wire(500_000)
    bus = TimedBus(wire=wire)
    with bus.car(), bus.chatter(), slcan_on(wire, bus) as adapter:
        options = {"sleep_after_open": 0.0}
        config = CanBusConfig(interface="slcan", channel=adapter.port, bitrate=500_000, options=options)
        with closing(CanTester.open(config, DEFAULT_ECUS, open_bus=bus.really_opened, clock=bus.clock)) as tester:
            assert tester.functional(service01.request(0), expected=None, enough=1).answers
            adapter.unplug()
            with pytest.raises(SourceError, match=r"slcan:/dev/pts/\d+ is gone .*check the cable"):
                tester.functional(service01.request(0), expected=None)


@pytest.mark.parametrize(
    ("interface", "channel", "text"),
    [
        ("slcan", "/dev/ttyNOPE", "there is no /dev/ttyNOPE; is the adapter plugged in"),
        ("gs_usb", "0", "modprobe gs_usb"),
        ("pcan", "PCAN_USBBUS1", "modprobe peak_usb"),
        ("socketcan", "nocan7", "modprobe can_raw|there is no nocan7"),
        ("sockatcan", "can0", "interfaces for cars are socketcan, slcan, gs_usb and pcan"),
    ],
)
def test_an_interface_that_does_not_open_says_what_helps(interface: str, channel: str, text: str) -> None:
    bit_rate = None if interface == "socketcan" else 500_000
    config = CanBusConfig(interface=interface, channel=channel, bitrate=bit_rate, options={"sleep_after_open": 0})
    with pytest.raises(SourceError, match=text):
        open_can_bus(config)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"interface": "slcan", "channel": "/dev/ttyACM0", "bitrate": 333_000}, "is none that slcan has: 10000, 20000"),
        ({"interface": "gs_usb", "channel": "can0"}, "give '0' for the first"),
        ({"interface": "gs_usb", "channel": "0", "listen_only": True}, "cannot be told to listen only"),
    ],
)
def test_what_an_interface_does_not_have(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        CanBusConfig(**options)  # type: ignore[arg-type]  # wrong on purpose
