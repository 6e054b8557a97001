"""Freeze frames of codes that come up: read once, of the ECU that keeps one, and never a fault where there is none."""

from collections.abc import Callable

from edge_agent.sources.base import DtcStatus, TroubleCode
from edge_agent.sources.frame_reader import TELLING_PIDS, FrameReader, read_frame
from edge_agent.tester.testing import ScriptedTester
from tests.unit.edge_agent.obd_support import Clock, opened, polled
from tests.unit.edge_agent.timed_bus import TimedBus, reads

COOLANT = "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"
LOAD = "Vehicle.OBD.EngineLoad"
ECUS = frozenset({"7E8"})
FRAME = {
    "020200": "4202000301",  # kept because of P0301
    "020000": "420000583B0001",  # 02, 04, 05, 0B, 0C, 0D, 0F, 10 and 20
    "020400": "420400FF",
    "020500": "420500A0",
    "020C00": "420C002EE0",
    "020D00": "420D0050",
    "020B00": "420B0033",
}


def ecu(script: dict[str, str]) -> Callable[[bytes], bytes | None]:
    def answer(request: bytes) -> bytes | None:
        found = script.get(request.hex().upper())
        return None if found is None else bytes.fromhex(found)

    return answer


def code(name: str = "P0301", status: DtcStatus = "pending", at: str = "7E8") -> TroubleCode:
    return TroubleCode(code=name, ecu=at, status=status)


def asked(tester: ScriptedTester) -> list[str]:
    return [request.hex().upper() for _, request in tester.asked]


def test_the_frame_of_a_new_code_is_read_in_its_telling_parameters() -> None:
    tester = ScriptedTester({"7E8": ecu(FRAME)})
    frames = FrameReader(tester).of_new((code(),), ECUS)
    assert frames["7E8", "P0301"].values == {
        LOAD: 100.0,
        COOLANT: 120.0,
        "Vehicle.Powertrain.CombustionEngine.Speed": 3000.0,
        "Vehicle.Speed": 80.0,
    }
    assert len(asked(tester)) == 2 + len(TELLING_PIDS)


def test_it_is_read_again_only_when_a_code_comes_up_or_changes_its_status() -> None:
    tester = ScriptedTester({"7E8": ecu(FRAME)})
    reader = FrameReader(tester)
    reader.of_new((code(),), ECUS)
    tester.asked.clear()
    assert reader.of_new((code(),), ECUS) == {}
    assert asked(tester) == []
    assert set(reader.of_new((code(status="confirmed"),), ECUS)) == {("7E8", "P0301")}
    tester.asked.clear()
    assert reader.of_new((), ECUS) == {}
    assert asked(tester) == []
    assert set(reader.of_new((code(status="confirmed"),), ECUS)) == {("7E8", "P0301")}, "it was gone and is back"


def test_a_frame_of_another_code_is_not_taken_for_this_one() -> None:
    tester = ScriptedTester({"7E8": ecu(FRAME)})
    assert FrameReader(tester).of_new((code("P0420"),), ECUS) == {}
    assert asked(tester) == ["020200"]


def test_an_ecu_without_the_service_is_no_sleeping_one() -> None:
    for script in ({}, {"020200": "7F0211"}, {"020200": "4202000000"}):
        tester = ScriptedTester({"7E8": ecu(script)})
        tester.unanswered = 1
        assert FrameReader(tester).of_new((code(),), ECUS) == {}
        assert tester.unanswered == 1


def test_an_ecu_that_does_not_speak_standard_obd_is_not_asked() -> None:
    tester = ScriptedTester({"7A8": ecu(FRAME)})
    assert FrameReader(tester).of_new((code(at="7A8"),), ECUS) == {}
    assert asked(tester) == []


def test_the_whole_frame_has_all_that_the_ecu_keeps() -> None:
    tester = ScriptedTester({"7E8": ecu(FRAME | {"022000": "42200000000000"})})
    frame = read_frame(tester, "7E8", "P0301")
    assert "Vehicle.OBD.EngineLoad" in frame.values
    assert {fault.request for fault in frame.faults} <= {"service 02 PID 0F frame 00", "service 02 PID 10 frame 00"}
    assert any(request == "022000" for request in asked(tester))


def test_a_car_that_begins_to_misfire_tells_in_what_moment() -> None:
    clock = Clock()
    bus = TimedBus(clock)
    config = reads(bus, dtc_period_s=0.05, idle_wait_s=0.0)
    seen = []
    with bus.car(faults=["misfire"], misfire_confirmed_after_s=1.5), opened(config, clock) as source:
        for _ in range(200):
            clock.now += 0.1
            reading = polled(source)
            if reading.freeze_frames:
                seen.append(reading)
            if any(entry.status == "confirmed" for entry in reading.trouble_codes or ()):
                break
    assert seen
    assert set(seen[0].freeze_frames) == {("7E8", "P0301")}
    assert COOLANT in seen[0].freeze_frames["7E8", "P0301"]
