"""Whole payloads over CAN frames, with both identifier lengths and with what goes wrong on a bus."""

import logging
from contextlib import closing

import can
import pytest

from edge_agent.isotp_link import IsoTpLink
from edge_agent.obd import did
from edge_agent.obd.answers import AnswerError
from edge_agent.sources.obd import DEFAULT_ECUS
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.can import CanTester
from tests.unit.edge_agent.obd_support import VIN, Clock
from tests.unit.edge_agent.timed_bus import TimedBus


@pytest.mark.parametrize(("request_id", "response_id"), [(0x7E0, 0x7E8), (0x18DA10F1, 0x18DAF110)])
@pytest.mark.parametrize("length", [1, 7, 8, 62, 500, 4095])
def test_a_payload_arrives_whole(request_id: int, response_id: int, length: int) -> None:
    near = IsoTpAddress(transmit_id=request_id, receive_id=response_id)
    far = IsoTpAddress(transmit_id=response_id, receive_id=request_id)
    payload = bytes(n % 251 for n in range(length))
    with can.Bus("link", interface="virtual") as one, can.Bus("link", interface="virtual") as two:
        sender, receiver = IsoTpLink(one, [near], stmin_ms=0), IsoTpLink(two, [far], stmin_ms=0)
        sender.send(near, payload)
        arrived: list[tuple[IsoTpAddress, bytes]] = []
        looks = 0
        while not arrived and looks < 5000:
            sender.pump(0)
            arrived = receiver.pump(0)
            looks += 1
        assert arrived == [(far, payload)]


def test_our_log_names_no_content_of_a_frame(caplog: pytest.LogCaptureFixture) -> None:
    near, far = IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8), IsoTpAddress(transmit_id=0x7E8, receive_id=0x7E0)
    caplog.set_level(logging.DEBUG, logger="edge_agent")
    with can.Bus("log", interface="virtual") as one, can.Bus("log", interface="virtual") as two:
        sender, receiver = IsoTpLink(one, [near], stmin_ms=0), IsoTpLink(two, [far], stmin_ms=0)
        sender.send(near, VIN.encode())
        for _ in range(50):
            sender.pump(0)
            receiver.pump(0)
    assert VIN.encode()[:5].hex() not in caplog.text.lower()


def test_a_payload_that_breaks_off_is_no_answer_and_the_next_one_is() -> None:
    address = IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8)
    bus = TimedBus()
    with bus.open(bus.config) as one, bus.node() as ecu:
        link = IsoTpLink(one, [address], clock=bus.clock)
        tester = CanTester(one, link, config=bus.config, functional_id=0x7DF, timeout_s=0.05, clock=bus.clock)

        def answer(data: str) -> None:
            ecu.send(can.Message(arbitration_id=0x7E8, data=bytes.fromhex(data), is_extended_id=False))

        link.send(address, b"\x22\x01\x05")
        answer("102E620105003FFF")  # the first of seven frames, and no more
        assert link.pump(0.05) == []
        assert link.receiving()
        with pytest.raises(AnswerError, match="no answer in 50 ms"):
            tester.physical(address, did.request(0x0105))
        assert not link.receiving()
        assert tester.unanswered == 1


class Stalled(Clock):
    """The clock of a process that is not run for ``stall_s`` after it has looked at the time."""

    stall_s = 0.0

    def __call__(self) -> float:
        now = self.now
        self.now, self.stall_s = now + self.stall_s, 0.0
        return now


@pytest.mark.parametrize("request_text", ["010D", "0902"])
def test_an_answer_that_lay_ready_while_this_process_stood_still_is_not_late(request_text: str) -> None:
    """As on a small computer that is busy: the ECU has answered in its time."""
    clock, request = Stalled(), bytes.fromhex(request_text)
    answers = {b"\x01\x0d": b"\x41\x0d\x32", b"\x09\x02": b"\x49\x02\x01" + VIN.encode()}
    bus = TimedBus(clock)
    with bus.ecus({0x7E8: answers.get}), closing(bus.tester(DEFAULT_ECUS)) as tester:
        clock.stall_s = 1.0
        assert tester.physical(DEFAULT_ECUS[0], request) == answers[request]
        clock.stall_s = 1.0
        assert tester.functional(request, expected={"7E8"}).answers == {"7E8": answers[request]}
        assert clock.stall_s == 0.0


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_frame_that_is_cut_does_not_move_up_what_follows(cut: int) -> None:
    """A serial line to the adapter loses bytes; the filling of the last frame must not take their place."""
    address = IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8)
    whole = [bytes.fromhex(data) for data in ("1010620105010203", "2104050607080910", "221112130000AAAA")]
    with can.Bus("cut", interface="virtual") as one, can.Bus("cut", interface="virtual") as ecu:
        link = IsoTpLink(one, [address])

        def arrived(frames: list[bytes]) -> list[bytes]:
            for data in frames:
                ecu.send(can.Message(arbitration_id=0x7E8, data=data, is_extended_id=False))
            found = [payload for _, payload in link.pump(0.02)]
            link.forget()
            return found

        last_may_be_short = [*whole[:2], bytes.fromhex("22111213")]
        short = list(whole)
        short[cut] = short[cut][: 3 if cut == 2 else 6]
        assert arrived(short) == []
        assert arrived(whole) == [bytes.fromhex("62010501020304050607080910111213")]
        assert arrived(last_may_be_short) == [bytes.fromhex("62010501020304050607080910111213")]


def test_frames_of_the_car_itself_are_left_alone() -> None:
    address = IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8)
    with can.Bus("busy", interface="virtual") as one, can.Bus("busy", interface="virtual") as car:
        link = IsoTpLink(one, [address])
        for identifier in (0x0B4, 0x1D0, 0x7E9):
            car.send(can.Message(arbitration_id=identifier, data=bytes(8), is_extended_id=False))
        car.send(can.Message(arbitration_id=0x7E8, data=bytes.fromhex("FFFFFFFFFFFFFFFF"), is_extended_id=False))
        car.send(can.Message(arbitration_id=0x7E8, is_extended_id=False, is_remote_frame=True, dlc=8))
        car.send(can.Message(arbitration_id=0x7E8, data=bytes.fromhex("03410D2AAAAAAAAA"), is_extended_id=False))
        assert link.pump(0.5) == [(address, bytes.fromhex("410D2A"))]
