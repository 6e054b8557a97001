"""Raw frames: recorded from a bus, summed up by identifier, and read by a DBC."""

import threading
from pathlib import Path

import can
import pytest

from edge_agent.can_bus import CanBusConfig
from edge_agent.diagnose.frames import FrameTable, decoded, read_frames, record_frames
from edge_agent.errors import SourceError

DBC = """VERSION ""
BU_: X
BO_ 180 SPEED: 8 X
 SG_ KMH : 7|16@0+ (0.01,0) [0|300] "km/h" X
 SG_ TEMP : 23|8@0- (1,-40) [-40|215] "C" X
"""


def frame(identifier: int, data: str, at: float = 0.0, *, extended: bool = False) -> can.Message:
    return can.Message(arbitration_id=identifier, data=bytes.fromhex(data), timestamp=at, is_extended_id=extended)


def test_identifiers_with_their_rate_and_the_bytes_that_move() -> None:
    table = FrameTable()
    for n in range(5):
        table.add(frame(0xB4, f"00{n:02X}FF", n * 0.1))
    table.add(frame(0xB4, "0000FF", 0.5, extended=True))
    table.add(can.Message(is_error_frame=True))
    table.add(can.Message(arbitration_id=0xB4, is_remote_frame=True, is_extended_id=False))
    plain, extended = table.rows()
    assert (plain.name, plain.count, plain.moving) == ("0B4", 5, frozenset({1}))
    assert plain.period_s == pytest.approx(0.1)
    assert plain.data == bytes.fromhex("0004FF")
    assert (extended.name, extended.period_s) == ("000000B4", None)


def test_a_frame_that_grows_moves_its_new_bytes() -> None:
    table = FrameTable()
    for data in ("01", "010203"):
        table.add(frame(1, data))
    assert table.rows()[0].moving == {1, 2}


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    bus = CanBusConfig(interface="virtual", channel="frames")
    out = tmp_path / "bus.log"
    sent = [frame(0x100 + n, f"{n:02X}") for n in range(20)]
    looks = iter(range(25))

    def go_on() -> bool:
        look = next(looks)
        if look == 0:
            threading.Thread(target=lambda: [other.send(message) for message in sent]).start()
        return look < 22

    with can.Bus(interface="virtual", channel="frames") as other:
        count, _ = record_frames(bus, out, go_on=go_on)
    assert count == 20
    read = [(message.arbitration_id, bytes(message.data)) for message in read_frames(out)]
    assert read == [(message.arbitration_id, bytes(message.data)) for message in sent]


def test_a_dbc_says_what_is_in_them(tmp_path: Path) -> None:
    dbc = tmp_path / "car.dbc"
    dbc.write_text(DBC)
    frames = [frame(180, "1388320000000000", 1.0), frame(181, "00", 1.1), frame(180, "13", 1.2)]
    first, cut = decoded(frames, dbc)
    assert first == (1.0, {"SPEED.KMH": 50.0, "SPEED.TEMP": 10.0})
    assert cut == (1.2, {}), "a frame cut short gives no value"


def test_broken_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "car.dbc"
    broken.write_text("BO_ nonsense")
    with pytest.raises(SourceError, match=r"car\.dbc cannot be read"):
        list(decoded([], broken))
    with pytest.raises(SourceError, match=r"none\.log"):
        list(read_frames(tmp_path / "none.log"))
