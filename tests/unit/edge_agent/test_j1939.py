"""J1939 against can-j1939, a stack of its own: what it encodes and sends on a bus is what is heard here."""

import time
from collections.abc import Callable

import can
import j1939
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.can_bus import CanBusConfig
from edge_agent.j1939 import dm1
from edge_agent.j1939.listener import J1939Listener
from edge_agent.j1939.parameters import PARAMETERS
from edge_agent.j1939.transport import BroadcastTransfers, Header, header
from edge_agent.sources.base import ReadFault, Reading, TroubleCode
from edge_agent.sources.broadcast import BroadcastSource
from edge_agent.sources.broadcast_layout import EXTENDED
from telemetry.catalogue import catalogue

RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
SPEED = "Vehicle.Speed"
COOLANT = "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"
OIL = "Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature"
BATTERY = "Vehicle.LowVoltageBattery.CurrentVoltage"
DISTANCE = "Vehicle.TraveledDistance"
MIL = "Vehicle.OBD.Status.IsMILOn"
PAD = "Vehicle.Chassis.Axle.Row1.Wheel.Left.Brake.PadWear"
ENGINE, INSTRUMENTS = 0x00, 0x17

CODES = st.builds(
    dm1.ActiveCode,
    spn=st.integers(1, (1 << 19) - 1),
    fmi=st.integers(0, 31),
    occurrences=st.integers(0, 126),
)


def key(group: int, source: int, priority: int = 6) -> int:
    identifier: int = j1939.MessageId(priority=priority, parameter_group_number=group, source_address=source).can_id
    return identifier | EXTENDED


def encoded(codes: list[dm1.ActiveCode]) -> bytes:
    return b"".join(j1939.DTC(spn=c.spn, fmi=c.fmi, oc=c.occurrences).dtc.to_bytes(4, "little") for c in codes)


def heard(frames: list[tuple[int, bytes]], listener: J1939Listener | None = None) -> Reading:
    listener = listener or J1939Listener(period_s=1.0)
    for at, (frame, data) in enumerate(frames):
        listener.hear(frame, data, at / 100)
    listener.take(10.0)
    return listener.take(20.0)


@given(st.lists(CODES, min_size=1, max_size=30))
def test_codes_are_those_that_were_encoded(codes: list[dm1.ActiveCode]) -> None:
    active = dm1.decode(b"\x44\xff" + encoded(codes) + (b"\xff\xff" if len(codes) == 1 else b""))
    assert active.codes == tuple(codes)
    assert (active.malfunction, active.stop, active.warning, active.protect) == ("on", "off", "on", "off")


@pytest.mark.parametrize("nothing", ["00000000ffff", "ffffffffffff", "00000000"])
def test_no_code_is_no_code(nothing: str) -> None:
    active = dm1.decode(b"\x00\xff" + bytes.fromhex(nothing))
    assert active.codes == ()
    assert active.malfunction == "off"


def test_a_code_says_of_the_lamp_what_is_known() -> None:
    one, two = (dm1.ActiveCode(spn=number, fmi=3, occurrences=1) for number in (110, 111))

    def lamps(first_byte: int, codes: list[dm1.ActiveCode]) -> list[bool | None]:
        told = dm1.decode(bytes((first_byte, 0xFF)) + encoded(codes)).trouble_codes("18FECA00")
        return [code.warning_lamp for code in told]

    assert lamps(0b01_000000, [one]) == [True]
    assert lamps(0b01_000000, [one, two]) == [None, None]
    assert lamps(0b00_000000, [one, two]) == [False, False]
    assert lamps(0b11_000000, [one]) == [None]


def test_a_code_said_twice_is_one_and_127_is_not_a_count() -> None:
    code = dm1.ActiveCode(spn=520192, fmi=31, occurrences=None)
    data = b"\xff\xff" + 2 * bytes.fromhex("00f0ff7f")
    assert dm1.decode(data).codes == (code, code)
    assert [each.code for each in dm1.decode(data).trouble_codes("18FECA00")] == ["SPN 520192 FMI 31"]


def test_older_forms_that_cannot_be_told_apart_are_faults_and_say_nothing_of_codes() -> None:
    data = b"\x44\xff" + encoded([dm1.ActiveCode(spn=110, fmi=0, occurrences=1)])[:3] + b"\x81"
    reading = heard([(key(dm1.GROUP, ENGINE), data)])
    assert reading.trouble_codes is None
    assert reading.ecus_read is None
    assert [fault.request for fault in reading.faults] == ["DM1 of 18FECA00"]
    assert "cannot be told apart" in reading.faults[0].reason


def test_truncated_messages_are_faults() -> None:
    reading = heard([(key(dm1.GROUP, ENGINE), b"\x44\xff\x01"), (key(61444, ENGINE), b"\x00\x00\x00")])
    assert reading.values == {}
    assert set(reading.faults) == {
        ReadFault(request="DM1 of 18FECA00", reason="3 bytes where DM1 has at least 6"),
        ReadFault(request="SPN 190 of 00", reason="3 bytes are too few"),
    }


@given(st.integers(0, 7), st.integers(0, 0x3FFFF), st.integers(0, 255), st.integers(0, 255))
def test_identifiers_are_read_as_the_other_stack_reads_them(prio: int, group: int, to: int, source: int) -> None:
    directed = group >> 8 & 0xFF < 240
    group = group & 0x3FF00 if directed else group
    identifier = prio << 26 | group << 8 | (to << 8 if directed else 0) | source
    theirs = j1939.MessageId(can_id=identifier)
    number = theirs.parameter_group_number
    assert header(identifier) == Header(
        group=number & ~0xFF if directed else number, source=theirs.source_address, destination=to if directed else 255
    )


ANNOUNCE = Header(group=0xEC00, source=1, destination=255)
PACKET = Header(group=0xEB00, source=1, destination=255)


def transfer(size: int) -> list[tuple[Header, bytes]]:
    """The frames of a broadcast of ``size`` bytes counting up."""
    content = bytes(index % 251 for index in range(size))
    packets = -(-size // 7)
    frames = [(ANNOUNCE, bytes((32, size & 0xFF, size >> 8, packets, 0xFF, 0xCA, 0xFE, 0x00)))]
    parts = (content[7 * number :][:7].ljust(7, b"\xff") for number in range(packets))
    return frames + [(PACKET, bytes((number,)) + part) for number, part in enumerate(parts, 1)]


@pytest.mark.parametrize("size", [9, 14, 15, 1785])
def test_a_transfer_is_put_together(size: int) -> None:
    transfers = BroadcastTransfers()
    found = [transfers.hear(*frame, at / 20) for at, frame in enumerate(transfer(size))]
    assert found[:-1] == [None] * (len(found) - 1)
    assert found[-1] == (0xFECA, bytes(index % 251 for index in range(size)))


@pytest.mark.parametrize("wrong", ["lost", "late", "doubled", "size", "directed", "unannounced"])
def test_a_transfer_that_is_not_whole_gives_nothing(wrong: str) -> None:
    frames = [(frame, data, at / 20) for at, (frame, data) in enumerate(transfer(30))]
    if wrong == "lost":
        del frames[2]
    elif wrong == "late":
        frames = [*frames[:3], *((frame, data, at + 1.0) for frame, data, at in frames[3:])]
    elif wrong == "doubled":
        frames.insert(2, frames[2])
    elif wrong == "size":
        frames[0] = (ANNOUNCE, frames[0][1][:3] + b"\x02" + frames[0][1][4:], 0.0)
    elif wrong == "directed":
        frames = [(Header(group=frame.group, source=1, destination=5), data, at) for frame, data, at in frames]
    else:
        del frames[0]
    transfers = BroadcastTransfers()
    assert [transfers.hear(*frame) for frame in frames] == [None] * len(frames)


def test_transfers_of_two_control_units_may_mix() -> None:
    transfers = BroadcastTransfers()
    found = []
    for at, (frame, data) in enumerate(transfer(20)):
        for source in (1, 2):
            one = Header(group=frame.group, source=source, destination=255)
            found.append(transfers.hear(one, data, at / 20))
    assert sum(each is not None for each in found) == 2


def test_every_parameter_is_one_of_the_catalogue_and_tells_values_from_what_is_none() -> None:
    for parameter in PARAMETERS:
        assert parameter.path in catalogue()
        first, length = parameter.first_byte - 1, parameter.length

        def at(top: int, first: int = first, length: int = length) -> bytes:
            """A message whose number has this highest byte, the lower ones 0."""
            return bytes(first) + (top << 8 * (length - 1)).to_bytes(length, "little") + bytes(8 - first - length)

        assert parameter.value(at(0)) == parameter.offset
        assert parameter.value(at(0xFA)) is not None
        assert [parameter.value(at(top)) for top in (0xFB, 0xFE, 0xFF)] == [None, None, None]


def test_known_frames_have_their_values() -> None:
    reading = heard(
        [
            (key(61444, ENGINE), bytes.fromhex("f07d7d0032ffffff")),  # 0x3200 / 8
            (key(65265, ENGINE), bytes.fromhex("ff0050ffffffffff")),  # 0x5000 / 256
            (key(65262, ENGINE), bytes.fromhex("7dff9030ffffffff")),
            (key(65271, ENGINE), bytes.fromhex("ffffffff2c02ffff")),
            (key(65217, INSTRUMENTS), bytes.fromhex("40420f00ffffffff")),
            (key(65196, 0x0B), bytes.fromhex("7dfeffffffffffff")),
        ]
    )
    assert reading.values == {
        RPM: 1600.0,
        SPEED: 80.0,
        COOLANT: 85.0,
        OIL: pytest.approx(115.5),
        BATTERY: pytest.approx(27.8),
        DISTANCE: 5_000_000.0,
        PAD: pytest.approx(50.0),
    }


def test_of_several_voices_the_lowest_address_speaks_and_the_finer_odometer() -> None:
    listener = J1939Listener(period_s=1.0)
    fine, coarse = bytes.fromhex("40420f00ffffffff"), bytes.fromhex("ffffffff409c0000")
    both = [
        (key(65217, INSTRUMENTS), fine),
        (key(65248, ENGINE), coarse),
        (key(65265, INSTRUMENTS), bytes.fromhex("ff0051ffffffffff")),
        (key(65265, ENGINE), bytes.fromhex("ff0050ffffffffff")),
    ]
    assert heard(both, listener).values == {DISTANCE: 5_000_000.0, SPEED: 80.0}
    listener.hear(key(65265, INSTRUMENTS), bytes.fromhex("ff0051ffffffffff"), 30.0)
    assert listener.take(30.0).values == {}  # the engine's is not there: the other one is another value


def test_codes_are_those_of_the_control_units_heard() -> None:
    listener = J1939Listener(period_s=1.0)
    one = encoded([dm1.ActiveCode(spn=110, fmi=0, occurrences=1)])
    reading = heard(
        [
            (key(dm1.GROUP, ENGINE), b"\x40\xff" + one + b"\xff\xff"),
            (key(dm1.GROUP, 0x0B), b"\x00\xff\x00\x00\x00\x00\xff\xff"),
        ],
        listener,
    )
    assert reading.trouble_codes == (
        TroubleCode(code="SPN 110 FMI 0", ecu="18FECA00", status="confirmed", warning_lamp=True),
    )
    assert reading.ecus_read == frozenset({"18FECA00", "18FECA0B"})
    assert reading.values[MIL] == 1.0
    assert listener.take(25.0).trouble_codes is None  # nobody said anything: nothing is gone
    listener.hear(key(dm1.GROUP, 0x0B), b"\x00\xff\x00\x00\x00\x00\xff\xff", 26.0)
    later = listener.take(26.0)
    assert (later.trouble_codes, later.ecus_read) == ((), frozenset({"18FECA0B"}))
    assert later.values[MIL] == 1.0  # the engine's lamp has not gone out


@pytest.mark.parametrize(("text", "vin"), [(b"1HGCM82633A004352*", "1HGCM82633A004352"), (b"NO VIN*", None)])
def test_a_vin_that_is_said_is_taken_if_it_is_one(text: bytes, vin: str | None) -> None:
    reading = heard([(key(65260, ENGINE), text)])
    assert reading.vin == vin
    assert bool(reading.faults) == (vin is None)


class Truck:
    """A control unit of can-j1939 on a virtual bus: engine speed, and DM1, in one frame or by transfer."""

    def __init__(self, codes: list[dict[str, int]]) -> None:
        self._codes = codes
        self._bus = can.Bus(interface="virtual", channel="truck")
        self._ecu = j1939.ElectronicControlUnit(send_message=self._send)
        name = j1939.Name(identity_number=1, function=0, manufacturer_code=666)
        self._application = j1939.ControllerApplication(name, ENGINE)
        self._ecu.add_ca(controller_application=self._application)
        self._application.start()

    def _send(self, identifier: int, extended: bool, data: list[int], fd_format: bool = False) -> None:
        del fd_format
        self._bus.send(can.Message(arbitration_id=identifier, is_extended_id=extended, data=data))

    def talk(self) -> bool:
        """Say it once; False while the address is still being claimed."""
        if self._application.state != j1939.ControllerApplication.State.NORMAL:
            return False
        self._application.send_pgn(0, 0xF0, 0x04, 3, [0xF0, 0x7D, 0x7D, 0x00, 0x32, 0xFF, 0xFF, 0xFF])
        j1939.Dm1(self._application)._send({"cb": lambda: ({"mil": j1939.DtcLamp.ON}, self._codes)})
        return True

    def close(self) -> None:
        self._application.stop()
        self._ecu.stop()
        self._bus.shutdown()


# A truck says its codes again and again (SAE J1939-73, 5.7.1): a message whose parts a standing machine held apart for
# longer than SAE J1939-21 allows is given up, as it has to be. Longer than the longest of them takes.
REPEATED_S = 3.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be within 60 s"
        time.sleep(0.02)


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_truck_on_a_bus_is_read_by_listening(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.sources.broadcast.SILENT_S", 60.0)  # a busy machine sends a long message slowly
    codes = [{"spn": 100 + number, "fmi": number % 32, "oc": 1} for number in range(count)]
    source = BroadcastSource(CanBusConfig(interface="virtual", channel="truck"), (J1939Listener(period_s=0.1),))
    source.open()
    truck = Truck(codes)
    found: dict[str, float] = {}
    told: set[str] = set()
    try:
        until(truck.talk)
        said = time.monotonic()

        def poll() -> bool:
            nonlocal said
            if time.monotonic() - said > REPEATED_S and truck.talk():
                said = time.monotonic()
            reading = source.poll()
            assert reading is not None
            assert reading.faults == ()
            found.update(reading.values)
            told.update(code.code for code in reading.trouble_codes or ())
            return RPM in found and len(told) == count

        until(poll)
    finally:
        truck.close()
        source.close()
    assert found == {RPM: 1600.0, MIL: 1.0}
    assert told == {f"SPN {code['spn']} FMI {code['fmi']}" for code in codes}
