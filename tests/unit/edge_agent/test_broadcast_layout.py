"""Decoding by layout against cantools' own: any signal, byte order, sign, page and float, from a DBC text."""

import math
import struct
from pathlib import Path

import cantools
import pytest
from cantools.database.can import Database
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ConfigurationError
from edge_agent.sources.broadcast_dbc import compile_layouts
from edge_agent.sources.broadcast_layout import EXTENDED, MessageDecoder, MessageLayout, SignalLayout, decoders
from edge_agent.sources.broadcast_mapping import CanMapping

SPEED = "Vehicle.Speed"
RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
OIL = "Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature"
HEAD = 'VERSION ""\nBU_: ECU\n'


def compiled(folder: Path, text: str, *mappings: CanMapping) -> dict[int, MessageDecoder]:
    (folder / "car.dbc").write_text(HEAD + text, encoding="ascii")
    return dict(decoders(compile_layouts(folder / "car.dbc", mappings)))


@st.composite
def signals(draw: st.DrawFn) -> tuple[str, int]:
    """A signal of a DBC that fits its message, and the message's length in bytes."""
    size = draw(st.integers(1, 8))
    little = draw(st.booleans())
    first = draw(st.integers(0, 8 * size - 1))  # in the order in which the byte order counts bits
    length = draw(st.integers(1, 8 * size - first))
    start = first if little else first & ~7 | 7 - (first & 7)
    scale = draw(st.sampled_from(["1", "0.5", "0.01", "0.00390625", "100", "-0.1"]))
    offset = draw(st.sampled_from(["0", "-40", "-273.15", "1000"]))
    sign = draw(st.sampled_from("+-"))
    return f'SG_ S : {start}|{length}@{1 if little else 0}{sign} ({scale},{offset}) [0|0] "" ECU', size


@given(signals(), st.binary(min_size=8, max_size=8))
def test_a_signal_has_the_value_that_cantools_gives_it(
    tmp_path_factory: pytest.TempPathFactory, described: tuple[str, int], data: bytes
) -> None:
    line, size = described
    text = f"BO_ 291 M: {size} ECU\n {line}\n"
    ours = compiled(tmp_path_factory.mktemp("dbc"), text, CanMapping(message="M", signal="S", path=SPEED))[291]
    database = cantools.database.load_string(HEAD + text, "dbc")
    assert isinstance(database, Database)
    theirs = database.decode_message(291, data[:size])
    assert isinstance(theirs, dict)
    decoded = ours.decode(data)  # padded, as recorders do
    assert decoded.faults == []
    assert decoded.values[SPEED] == pytest.approx(float(str(theirs["S"])), rel=1e-12, abs=1e-9)


PAGES = """BO_ 2147484000 M: 8 ECU
 SG_ Outer M : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ Inner m1M : 4|4@1+ (1,0) [0|0] "" ECU
 SG_ Always : 56|8@1+ (1,0) [0|0] "" ECU
 SG_ First m0 : 15|16@0- (0.5,1) [0|0] "" ECU
 SG_ Deep m3 : 8|12@1+ (1,0) [0|0] "" ECU
SG_MUL_VAL_ 2147484000 Inner Outer 1-1;
SG_MUL_VAL_ 2147484000 First Outer 0-0;
SG_MUL_VAL_ 2147484000 Deep Inner 3-3,5-5;
"""


@given(st.binary(min_size=8, max_size=8))
def test_pages_are_those_of_cantools_nested_ones_too(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    ours = compiled(
        tmp_path_factory.mktemp("dbc"),
        PAGES,
        CanMapping(message="M", signal="Always", path=SPEED),
        CanMapping(message="M", signal="First", path=RPM),
        CanMapping(message="M", signal="Deep", path=OIL),
    )[352 | EXTENDED]
    outer, inner = data[0] & 15, data[0] >> 4
    assert ours.page(data) == (outer, inner)
    expected = {SPEED: float(data[7])}
    if outer == 0:
        expected[RPM] = int.from_bytes(data[1:3], "big", signed=True) * 0.5 + 1
    if outer == 1 and inner in {3, 5}:
        expected[OIL] = float(int.from_bytes(data[1:3], "little") & 0xFFF)
    assert ours.decode(data).values == expected
    database = cantools.database.load_string(HEAD + PAGES, "dbc")
    assert isinstance(database, Database)
    if outer == 0 or (outer == 1 and inner in {3, 5}):  # cantools refuses a page that the DBC does not describe
        theirs = database.messages[0].decode(data)
        assert isinstance(theirs, dict)
        names = {"Always": SPEED, "First": RPM, "Deep": OIL}
        assert expected == {names[name]: value for name, value in theirs.items() if name in names}


def test_floats_are_read_as_such_and_infinity_is_a_fault(tmp_path: Path) -> None:
    text = 'BO_ 1 M: 8 ECU\n SG_ F : 0|32@1- (2,1) [0|0] "" ECU\n SG_ G : 39|32@0- (1,0) [0|0] "" ECU\n'
    text += "SIG_VALTYPE_ 1 F : 1;\nSIG_VALTYPE_ 1 G : 1;\n"
    ours = compiled(
        tmp_path,
        text,
        CanMapping(message="M", signal="F", path=SPEED),
        CanMapping(message="M", signal="G", path=RPM),
    )[1]
    decoded = ours.decode(struct.pack("<f", 1.5) + struct.pack(">f", math.inf))
    assert decoded.values == {SPEED: 4.0}
    (fault,) = decoded.faults
    assert (fault.request, fault.reason) == ("frame 001 M.G", "inf is not a number")


def test_what_the_car_calls_no_value_is_none(tmp_path: Path) -> None:
    text = 'BO_ 1 M: 2 ECU\n SG_ S : 0|8@1- (1,0) [0|0] "" ECU\n SG_ R : 8|8@1+ (1,0) [0|0] "" ECU\n'
    text += 'VAL_ 1 S -1 "SNA" 3 "Third" ;\nVAL_ 1 R 254 "Signal_Invalid" 255 "Not Available" 0 "Terror" ;\n'
    ours = compiled(
        tmp_path,
        text,
        CanMapping(message="M", signal="S", path=SPEED),
        CanMapping(message="M", signal="R", path=RPM),
    )[1]
    assert ours.decode(b"\xff\xfe").values == {}
    assert ours.decode(b"\x03\xff").values == {SPEED: 3.0}
    assert ours.decode(b"\xfe\x00").values == {SPEED: -2.0, RPM: 0.0}


def test_a_truncated_frame_gives_a_fault_and_no_value(tmp_path: Path) -> None:
    text = 'BO_ 180 SPEED: 4 ECU\n SG_ S : 0|8@1+ (1,0) [0|0] "" ECU\n'
    ours = compiled(tmp_path, text, CanMapping(message="SPEED", signal="S", path=SPEED))[180]
    decoded = ours.decode(b"\x01\x02\x03")
    assert decoded.values == {}
    (fault,) = decoded.faults
    assert (fault.request, fault.reason) == ("frame 0B4 SPEED", "3 bytes where the message has 4")


def test_factor_and_offset_lead_to_the_unit_of_the_catalogue(tmp_path: Path) -> None:
    text = 'BO_ 1 M: 1 ECU\n SG_ OIL : 0|8@1+ (1,-40) [0|0] "degF" ECU\n'
    ours = compiled(tmp_path, text, CanMapping(message="M", signal="OIL", path=OIL, factor=5 / 9, offset=-160 / 9))[1]
    assert ours.decode(b"\xfc").values == {OIL: pytest.approx(100.0)}


def test_only_what_is_due_is_decoded(tmp_path: Path) -> None:
    text = 'BO_ 1 M: 2 ECU\n SG_ A : 0|8@1+ (1,0) [0|0] "" ECU\n SG_ B : 8|8@1+ (1,0) [0|0] "" ECU\n'
    ours = compiled(
        tmp_path, text, CanMapping(message="M", signal="A", path=SPEED), CanMapping(message="M", signal="B", path=RPM)
    )[1]
    assert ours.decode(b"\x01\x02", due=frozenset({RPM})).values == {RPM: 2.0}


def test_a_layout_outside_its_message_is_refused() -> None:
    signal = SignalLayout(name="S", path=SPEED, start=8, length=9, little_endian=True)
    with pytest.raises(ValueError, match="signal S lies outside the 2 bytes"):
        decoders((MessageLayout(key=1, name="M", length=2, signals=(signal,)),))


def test_a_file_that_describes_no_bus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "car.cdd").write_text("<CANDELA/>", encoding="ascii")
    with pytest.raises(ConfigurationError, match=r"cannot be read|describes no CAN bus"):
        compile_layouts(tmp_path / "car.cdd", [CanMapping(message="M", signal="S", path=SPEED)])
