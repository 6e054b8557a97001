"""Several parameters in one request: only of an ECU that proved to cope, and never again after an oddity."""

from collections import Counter

import pytest

from edge_agent.sources.base import Reading
from edge_agent.sources.obd import ObdConfig, ObdSource
from edge_agent.tester.testing import Answer, ScriptedTester
from edge_agent.virtual_car.disturb import Disturbance, Disturbances
from tests.unit.edge_agent.obd_support import Clock, opened, polled
from tests.unit.edge_agent.timed_bus import TimedBus, reads

DATA = {0x05: "7B", 0x0C: "1AF8", 0x0D: "32", 0x0F: "5F", 0x33: "65", 0x46: "3C", 0x2F: "80", 0x0B: "64"}
BITMAPS = {0x00: "0A3A0001", 0x20: "00022001", 0x40: "04000000"}
EXPECTED = {
    "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature": 83,
    "Vehicle.Powertrain.CombustionEngine.Speed": 1726,
    "Vehicle.Speed": 50,
    "Vehicle.OBD.IntakeTemp": 55,
    "Vehicle.OBD.BarometricPressure": 101,
    "Vehicle.Exterior.AirTemperature": 20,
    "Vehicle.OBD.FuelLevel": pytest.approx(50.2, abs=0.01),
    "Vehicle.OBD.MAP": 100,
}


def ecu(request: bytes) -> bytes | None:
    """One that copes."""
    parts = [bytes((pid,)) + bytes.fromhex((DATA | BITMAPS)[pid]) for pid in request[1:] if pid in DATA | BITMAPS]
    return b"\x41" + b"".join(parts) if request[:1] == b"\x01" and parts else None


def source_over(tester: ScriptedTester, clock: Clock) -> ObdSource:
    config = ObdConfig(pids=dict.fromkeys(DATA, 1.0), read_vin=False, dtc_period_s=None, idle_wait_s=0.0)
    return ObdSource(config, lambda: tester, clock=clock)


def polls(
    answer: Answer, count: int, *, others: dict[str, Answer] | None = None
) -> tuple[ScriptedTester, list[Reading]]:
    tester, clock = ScriptedTester({"7E8": answer} | (others or {})), Clock()
    source = source_over(tester, clock)
    source.open()
    readings = []
    for _ in range(count):
        tester.asked.clear()
        clock.now += 1
        reading = source.poll()
        assert reading is not None
        readings.append(reading)
    return tester, readings


def test_an_ecu_that_copes_is_asked_for_six_at_once() -> None:
    tester, readings = polls(ecu, 3)
    assert all(dict(reading.values) == EXPECTED for reading in readings)
    assert all(reading.faults == () for reading in readings)
    assert sorted(len(request) - 1 for _, request in tester.asked) == [2, 6]
    assert {whom for whom, _ in tester.asked} == {"7DF"}  # the only ECU: no change of address


def test_among_others_it_is_asked_alone() -> None:
    def other(request: bytes) -> bytes | None:
        return {b"\x01\x00": bytes.fromhex("410000080000"), b"\x01\x0d": bytes.fromhex("410D32")}.get(request)

    tester, readings = polls(ecu, 3, others={"7E9": other})
    assert dict(readings[-1].values) == EXPECTED
    asked = Counter((whom, len(request) - 1) for whom, request in tester.asked)
    assert asked == {("7E8", 6): 1, ("7DF", 1): 2}  # what both have, and the one that is left


def odd(change: str) -> Answer:
    def answer(request: bytes) -> bytes | None:
        payload = ecu(request)
        if payload is None or len(request) <= 2:
            return payload
        if change == "moved":
            return payload[:1] + b"".join(bytes((pid,)) + bytes(len(bytes.fromhex(DATA[pid]))) for pid in request[1:])
        if change == "reversed":
            return ecu(request[:1] + request[:0:-1])
        return {
            "refused": b"\x7f\x01\x12",
            "first only": ecu(request[:2]),
            "silent": None,
            "longer": payload + b"\x00",
            "cut": payload[:-1],
        }[change]

    return answer


@pytest.mark.parametrize("change", ["refused", "first only", "silent", "longer", "cut", "moved", "reversed"])
def test_an_oddity_ends_it_for_good(change: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    tester, readings = polls(odd(change), 4)
    assert all(dict(reading.values) == EXPECTED for reading in readings)
    assert all(reading.faults == () for reading in readings)
    assert {len(request) - 1 for _, request in tester.asked} == {1}
    assert sum("one parameter at a time" in r.message for r in caplog.records) == 1


def test_an_oddity_that_comes_later_ends_it_too() -> None:
    bad = False

    def answer(request: bytes) -> bytes | None:
        return odd("reversed")(request) if bad else ecu(request)

    tester, clock = ScriptedTester({"7E8": answer}), Clock()
    source = source_over(tester, clock)
    source.open()
    for turn in range(5):
        bad = turn == 2
        tester.asked.clear()
        clock.now += 1
        reading = source.poll()
        assert reading is not None
        assert dict(reading.values) == EXPECTED
        reasons = [fault.reason for fault in reading.faults]
        assert [reason[:23] for reason in reasons] == (["answer to several holds"] if bad else [])
        if turn in {1, 2}:
            assert max(len(request) - 1 for _, request in tester.asked) == 6
    assert {len(request) - 1 for _, request in tester.asked} == {1}
    source.close()
    source.open()  # the adapter was pulled out and put in again
    tester.asked.clear()
    clock.now += 1
    source.poll()
    assert {len(request) - 1 for _, request in tester.asked} == {1}


def test_a_car_that_falls_asleep_is_not_taken_for_one_that_cannot() -> None:
    asleep = False
    tester, clock = ScriptedTester({"7E8": lambda request: None if asleep else ecu(request)}), Clock()
    source = source_over(tester, clock)
    source.open()
    for turn in range(8):
        asleep = turn in {2, 3}
        tester.asked.clear()
        clock.now += 20
        reading = source.poll()
        assert reading is not None
        if asleep:
            assert dict(reading.values) == {}
            assert len(tester.asked) <= 5
    assert sorted(len(request) - 1 for _, request in tester.asked) == [2, 6]


def test_a_parameter_that_is_never_answered_hides_no_other() -> None:
    def answer(request: bytes) -> bytes | None:
        return None if {0x05, 0x0C} & set(request[1:]) else ecu(request)

    tester, clock = ScriptedTester({"7E8": answer}), Clock()
    source = source_over(tester, clock)
    source.open()
    seen: dict[str, float] = {}
    for _ in range(4):
        clock.now += 1
        reading = source.poll()
        assert reading is not None
        seen |= reading.values
    assert len(seen) == len(DATA) - 2


@pytest.mark.parametrize(
    "disturbance",
    [
        Disturbance(kind="negative", code=0x13, several=True),
        Disturbance(kind="silence", several=True),
        Disturbance(kind="first_only"),
        Disturbance(kind="reordered"),
        Disturbance(kind="breaks_off", several=True),
        Disturbance(kind="garbage", several=True),
    ],
    ids=lambda disturbance: disturbance.kind,
)
def test_over_a_bus(disturbance: Disturbance) -> None:
    bus, clock, disturbances = TimedBus(), Clock(), Disturbances()
    pids = dict.fromkeys((0x05, 0x0C, 0x33, 0x46, 0x2F, 0x42, 0x0F), 1.0)
    config = reads(bus, pids=pids, timeout_s=0.3, read_vin=False, dtc_period_s=None, idle_wait_s=0.0)
    with bus.car(disturbances=disturbances, activity="short_trips"), opened(config, clock) as source:
        for turn in range(5):
            disturbances.set(*([disturbance] if turn == 2 else []))
            clock.now += 1
            reading = polled(source)
            assert len(reading.values) == len(pids)
            assert [fault.request[:15] for fault in reading.faults] == (["service 01 PIDs"] if turn == 2 else [])
