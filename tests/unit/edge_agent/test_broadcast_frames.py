"""Frames from a SocketCAN socket (a datagram pair with the kernel's frames in its place) and through python-can."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import can
import pytest
from can.interfaces.socketcan.utils import pack_filters as pack_filters_of_python_can

from edge_agent.errors import SourceError
from edge_agent.sources.broadcast_frames import (
    BusActivity,
    FrameFilter,
    PythonCanFrames,
    SocketCanFrames,
    pack_filters,
)
from edge_agent.sources.broadcast_layout import EXTENDED
from tests.unit.edge_agent.broadcast_support import can_frame

REMOTE = 0x4000_0000
FILTERS = (FrameFilter(key=0x0B4), FrameFilter(key=0x00FECA00 | EXTENDED, mask=0x03FFFF00 | EXTENDED))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, kernel:
        yield ours, kernel


def test_only_what_was_asked_for_is_given_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    frames = SocketCanFrames(pair[0], FILTERS, name="can0", counter=None)
    for frame in (
        can_frame(0x0B4, b"\x01\x02"),
        can_frame(0x0B5, b"\x03"),
        can_frame(0x0B4, b"\x04", extended=True),
        can_frame(0x0B4, b"", flags=REMOTE),
        can_frame(0x18FECA17, b"\x05" * 8, extended=True),
        can_frame(0x0CFECA03, b"\x06", extended=True),
        can_frame(0x18FECB17, b"\x07", extended=True),
        can_frame(0x0B4, b"\x08"),
    ):
        pair[1].send(frame)
    assert frames.read(5.0) == [
        (0x0B4, b"\x01\x02"),
        (0x18FECA17 | EXTENDED, b"\x05" * 8),
        (0x0CFECA03 | EXTENDED, b"\x06"),
        (0x0B4, b"\x08"),
    ]
    assert frames.activity().frames == 8
    assert frames.read(0.0) == []


def test_a_frame_of_can_fd_keeps_its_length(pair: tuple[socket.socket, socket.socket]) -> None:
    frames = SocketCanFrames(pair[0], FILTERS, name="can0", counter=None)
    data = bytes(range(48))
    pair[1].send(can_frame(0x0B4, data[:8])[:4] + bytes((48, 0, 0, 0)) + data.ljust(64, b"\x00"))
    assert frames.read(5.0) == [(0x0B4, data)]


def test_more_identifiers_than_any_bus_has_do_not_fill_the_memory(pair: tuple[socket.socket, socket.socket]) -> None:
    frames = SocketCanFrames(pair[0], FILTERS, name="can0", counter=None)
    for number in range(5000):
        pair[1].send(can_frame(number, b"", extended=True))
        frames.read(0.0)
    assert len(frames._known) <= 4096
    pair[1].send(can_frame(0x0B4, b"\x01"))
    assert frames.read(5.0) == [(0x0B4, b"\x01")]


def test_activity_is_that_of_the_whole_bus_where_the_system_counts_it(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    counter = tmp_path / "rx_packets"
    counter.write_text("1000\n", encoding="ascii")
    frames = SocketCanFrames(pair[0], FILTERS, name="can0", counter=counter)
    counter.write_text("1000\n", encoding="ascii")
    assert frames.activity() == BusActivity(frames=0, last_s=None)
    counter.write_text("5000\n", encoding="ascii")
    heard = frames.activity()
    assert heard.frames == 4000
    assert heard.last_s is not None
    assert frames.activity() is heard  # silence since
    counter.unlink()
    assert frames.activity() is heard


def test_filters_are_packed_as_the_kernel_takes_them() -> None:
    packed = pack_filters(FILTERS)
    assert packed == pack_filters_of_python_can(
        [
            {"can_id": 0x0B4, "can_mask": 0x1FFF_FFFF | EXTENDED | REMOTE},
            {"can_id": 0x00FECA00 | EXTENDED, "can_mask": 0x03FFFF00 | EXTENDED | REMOTE},
        ]
    )


def test_an_interface_that_goes_down_is_an_error_of_the_source() -> None:
    class Down(socket.socket):
        def recv(self, *_: object) -> bytes:
            raise OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN))

    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with kernel, Down(fileno=ours.detach()) as down:
        frames = SocketCanFrames(down, FILTERS, name="CAN bus socketcan:can0", counter=None)
        kernel.send(b"\0" * 16)
        with pytest.raises(SourceError, match=r"socketcan:can0 is gone .*; check the cable and the interface"):
            frames.read(5.0)


def test_an_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match="CAN bus socketcan:nocan9 cannot be opened"):
        SocketCanFrames.open("nocan9", FILTERS)


def test_closed_frames_say_so(pair: tuple[socket.socket, socket.socket]) -> None:
    frames = SocketCanFrames(pair[0], FILTERS, name="can0", counter=None)
    frames.close()
    frames.close()
    with pytest.raises(SourceError, match="is not open"):
        frames.read(0.0)


def test_through_python_can_the_same_frames_are_given() -> None:
    with can.Bus(interface="virtual", channel="frames") as car:
        frames = PythonCanFrames(can.Bus(interface="virtual", channel="frames"), FILTERS, name="CAN bus")
        for message in (
            can.Message(arbitration_id=0x0B4, data=b"\x01\x02", is_extended_id=False),
            can.Message(arbitration_id=0x0B4, data=b"\x03", is_extended_id=True),
            can.Message(arbitration_id=0x0B4, is_remote_frame=True, is_extended_id=False),
            can.Message(arbitration_id=0x0B4, is_error_frame=True, is_extended_id=False),
            can.Message(arbitration_id=0x18FECA17, data=b"\x05", is_extended_id=True),
            can.Message(arbitration_id=0x0B5, data=b"\x06", is_extended_id=False),
        ):
            car.send(message)
        assert frames.read(5.0) == [(0x0B4, b"\x01\x02"), (0x18FECA17 | EXTENDED, b"\x05")]
        assert frames.activity().frames == 6
        frames.close()
        frames.close()
        with pytest.raises(SourceError, match="is not open"):
            frames.read(0.0)


def test_a_bus_that_breaks_under_python_can_is_an_error_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with can.Bus(interface="virtual", channel="frames") as bus:

        def broken(_timeout: float) -> None:
            raise can.CanOperationError("unplugged")

        monkeypatch.setattr(bus, "recv", broken)
        frames = PythonCanFrames(bus, FILTERS, name="CAN bus slcan:ttyUSB0")
        with pytest.raises(SourceError, match=r"slcan:ttyUSB0 is gone \(unplugged\)"):
            frames.read(0.0)
