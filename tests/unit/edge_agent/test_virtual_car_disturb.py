"""What a virtual car's answers become when told so, and how they look to who asks."""

from contextlib import closing
from datetime import UTC, datetime

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ConfigurationError
from edge_agent.obd.answers import AnswerError
from edge_agent.sources.obd import DEFAULT_ECUS
from edge_agent.tester.base import LONGEST_PENDING_S, IsoTpAddress
from edge_agent.tester.can import CanTester
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.disturb import KINDS, Disturbance, Disturbances, Reply, segmented
from edge_agent.virtual_car.garage import apply_control
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.responder import Responder
from tests.unit.edge_agent.obd_support import VIN, car_on, virtual_bus
from tests.unit.edge_agent.timed_bus import TimedBus

SPEED = b"\x01\x0d"
ENGINE = DEFAULT_ECUS[0]
REPLY = Reply(identifier=0x7E8, payload=bytes.fromhex("410D32"))
LONG = Reply(identifier=0x7E8, payload=b"\x49\x02\x01" + VIN.encode())


@pytest.mark.parametrize(
    ("disturbance", "payloads"),
    [
        (Disturbance(kind="negative", code=0x12), ["7F0112"]),
        (Disturbance(kind="silence"), []),
        (Disturbance(kind="shortened"), ["410D"]),
        (Disturbance(kind="shortened", size=9), ["41"]),
        (Disturbance(kind="padded", size=2), ["410D325555"]),
        (Disturbance(kind="pending", size=2), ["7F0178", "7F0178", "410D32"]),
        (Disturbance(kind="silence", request=b"\x01\x0c"), ["410D32"]),
        (Disturbance(kind="silence", ecu="7E9"), ["410D32"]),
        (Disturbance(kind="silence", several=True), ["410D32"]),
        (Disturbance(kind="first_only"), ["410D32"]),
    ],
)
def test_what_comes_instead(disturbance: Disturbance, payloads: list[str]) -> None:
    replies = Disturbances(disturbance).disturbed(SPEED, REPLY)
    assert [reply.payload.hex().upper() for reply in replies] == payloads


def test_several_parameters() -> None:
    request, reply = bytes.fromhex("010D0C"), Reply(identifier=0x7E8, payload=bytes.fromhex("410D320C0FA0"))
    (first,) = Disturbances(Disturbance(kind="first_only")).disturbed(request, reply)
    (reverse,) = Disturbances(Disturbance(kind="reordered")).disturbed(request, reply)
    assert (first.payload.hex(), reverse.payload.hex()) == ("410d32", "410c0fa00d32")


def test_so_many_times_and_then_no_more() -> None:
    disturbances = Disturbances(Disturbance(kind="silence", times=2))
    assert [len(disturbances.disturbed(SPEED, REPLY)) for _ in range(4)] == [0, 0, 1, 1]
    disturbances.set(Disturbance(kind="silence"))
    assert disturbances.disturbed(SPEED, REPLY) == ()
    disturbances.set()
    assert disturbances.disturbed(SPEED, REPLY) == (REPLY,)


def test_the_answer_to_the_request_before() -> None:
    disturbances = Disturbances(Disturbance(kind="stale"))
    assert disturbances.disturbed(b"\x09\x02", LONG) == ()
    (stale,) = disturbances.disturbed(SPEED, REPLY)
    assert stale.payload == LONG.payload


def test_frames_of_an_answer_that_breaks_off() -> None:
    (short,) = Disturbances(Disturbance(kind="breaks_off")).disturbed(SPEED, REPLY)
    assert short.frames == (bytes.fromhex("0341"),)
    (long,) = Disturbances(Disturbance(kind="breaks_off", size=2)).disturbed(b"\x09\x02", LONG)
    assert long.frames == segmented(LONG.payload)[:2]
    assert len(segmented(LONG.payload)) == 3


def test_the_answer_of_another() -> None:
    (reply,) = Disturbances(Disturbance(kind="wrong_ecu", as_ecu="7EA")).disturbed(SPEED, REPLY)
    assert (reply.identifier, reply.frames) == (0x7EA, segmented(REPLY.payload))


@given(kind=st.sampled_from(KINDS), request=st.binary(min_size=1, max_size=7), payload=st.binary(min_size=1))
def test_no_disturbance_breaks_the_car(kind: str, request: bytes, payload: bytes) -> None:
    disturbance = Disturbance(kind=kind)  # type: ignore[arg-type]  # a literal by parameter
    try:
        replies = Disturbances(disturbance).disturbed(request, Reply(identifier=0x7E8, payload=payload))
    except AnswerError:
        assert kind in {"first_only", "reordered"}  # what no ECU of ours answers
        return
    assert all(len(reply.payload) >= 1 for reply in replies)


def test_from_plain_data() -> None:
    made = Disturbance.from_dict({"kind": "negative", "request": "010C", "ecu": "7E9", "code": 0x21, "times": 2})
    assert made == Disturbance(kind="negative", request=b"\x01\x0c", ecu="7E9", code=0x21, times=2)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"kind": "silense"}, "is none of negative"),
        ({"kind": "silence", "request": "1G"}, "first bytes in hex"),
        ({"kind": "silence", "tims": 1}, "did you mean 'times'"),
        ({"kind": "pending", "size": 0}, "size is above 0"),
    ]
    for document, reason in wrong:
        with pytest.raises(ConfigurationError, match=reason):
            Disturbance.from_dict(document)


def test_by_the_control_file() -> None:
    car = LiveCar(VirtualCarConfig(name="one", vin=VIN), now=datetime(2026, 6, 1, tzinfo=UTC))
    responder = Responder(car)
    assert responder.asked(0x7DF, SPEED)
    apply_control(car, {"one": {"disturb": [{"kind": "silence"}]}})
    assert responder.asked(0x7DF, SPEED) == ()
    apply_control(car, {"one": {"faults": []}})
    assert responder.asked(0x7DF, SPEED) == ()
    apply_control(car, {"one": {"disturb": []}})
    assert responder.asked(0x7DF, SPEED)
    apply_control(car, {"one": {"activity": "parked"}})
    assert responder.asked(0x7DF, SPEED) == ()
    apply_control(car, {"one": {"activity": "ignition_on"}})
    assert responder.asked(0x7DF, SPEED)
    with pytest.raises(ConfigurationError, match=r"control.one.activity"):
        apply_control(car, {"one": {"activity": "flying"}})
    with pytest.raises(ConfigurationError, match=r"control.one.disturb\[0\]"):
        apply_control(car, {"one": {"disturb": [{"kind": "x"}]}})


def test_on_the_bus() -> None:
    bus, disturbances = TimedBus(), Disturbances()
    with bus.car(disturbances=disturbances), closing(bus.tester(DEFAULT_ECUS, timeout_s=0.15)) as tester:
        assert tester.physical(ENGINE, b"\x09\x02") == LONG.payload
        for disturbance, reason in [
            (Disturbance(kind="negative"), "NRC 0x22"),
            (Disturbance(kind="silence"), "no answer"),
            (Disturbance(kind="breaks_off"), "no answer"),
            (Disturbance(kind="wrong_ecu"), "no answer"),
            (Disturbance(kind="slow", delay_s=0.4), "no answer"),
        ]:
            disturbances.set(disturbance)
            with pytest.raises(AnswerError, match=reason):
                tester.physical(ENGINE, b"\x09\x02")
        disturbances.set(Disturbance(kind="pending", size=3, delay_s=0.1))
        assert tester.physical(ENGINE, SPEED)[:2] == b"\x41\x0d"


def test_an_ecu_that_is_never_ready_is_not_waited_for_without_end() -> None:
    never = Disturbances(Disturbance(kind="pending", size=100, delay_s=0.5))
    bus = TimedBus()
    with bus.car(disturbances=never), closing(bus.tester(DEFAULT_ECUS)) as tester:
        started = bus.clock.now
        with pytest.raises(AnswerError, match=r"asked for patience \(NRC 0x78\)"):
            tester.physical(ENGINE, SPEED)
        assert bus.clock.now - started == pytest.approx(LONGEST_PENDING_S, abs=0.1)
        started = bus.clock.now
        assert not tester.functional(SPEED, expected={"7E8", "7E9"}).answers
        assert bus.clock.now - started == pytest.approx(LONGEST_PENDING_S, abs=0.1)


def test_once_the_patient_ones_have_answered_nobody_is_waited_for() -> None:
    bus, patient = TimedBus(), Disturbances(Disturbance(kind="pending", size=2, delay_s=0.2))
    with bus.car(disturbances=patient), closing(bus.tester(DEFAULT_ECUS, timeout_s=0.1)) as tester:
        started = bus.clock.now
        assert set(tester.functional(SPEED, expected=None).answers) == {"7E8", "7E9"}
        assert bus.clock.now - started == pytest.approx(0.4, abs=0.1)


def test_a_late_answer_goes_out_while_something_else_is_asked() -> None:
    bus, disturbances = TimedBus(), Disturbances(Disturbance(kind="slow", delay_s=0.1, times=1))
    with bus.car(disturbances=disturbances), bus.open(bus.config) as other:
        for pid in (0x0D, 0x0C):
            other.send(can.Message(arbitration_id=0x7E0, data=bytes((2, 1, pid)), is_extended_id=False))
        pids: list[int] = []
        while (frame := other.recv(0.5)) is not None:
            if frame.arbitration_id == 0x7E8:
                pids.append(frame.data[2])
        assert pids == [0x0C, 0x0D]


def test_a_car_that_lives_by_itself_is_disturbed_from_another_thread() -> None:
    bus, disturbances = virtual_bus(), Disturbances(Disturbance(kind="negative"))
    with (
        car_on(bus, disturbances=disturbances),
        closing(CanTester.open(bus, DEFAULT_ECUS, timeout_s=30)) as tester,  # each wait ends with the answer
    ):
        with pytest.raises(AnswerError, match="NRC 0x22"):
            tester.physical(ENGINE, SPEED)
        disturbances.set()
        assert tester.physical(ENGINE, SPEED)[:2] == b"\x41\x0d"


def test_ecus_with_29_bit_identifiers() -> None:
    car = LiveCar(VirtualCarConfig(name="one", vin=VIN, identifier_bits=29), now=datetime(2026, 6, 1, tzinfo=UTC))
    replies = Responder(car).asked(0x18DB33F1, SPEED)
    assert [reply.identifier for reply in replies] == [0x18DAF110, 0x18DAF118]
    assert Responder(car).asked(0x7DF, SPEED) == ()
    assert Responder(car).addresses[0] == IsoTpAddress(transmit_id=0x18DAF110, receive_id=0x18DA10F1)
    with pytest.raises(ConfigurationError, match="neither 11 nor 29"):
        VirtualCarConfig(name="one", vin=VIN, identifier_bits=12)
