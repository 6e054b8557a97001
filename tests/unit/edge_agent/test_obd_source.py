"""The source against ECUs on python-can's virtual bus: all layers, one process."""

import re
from collections.abc import Set as AbstractSet
from fractions import Fraction

import can
import pytest

from edge_agent.obd.did import DidDefinition, DidSignal
from edge_agent.obd.pids import PIDS
from edge_agent.sources.obd import DEFAULT_ECUS, ObdConfig, ObdSource
from edge_agent.tester.base import Exchange
from edge_agent.tester.testing import ScriptedTester
from tests.unit.edge_agent.obd_support import VIN, Clock, bitmap_then, opened, polled
from tests.unit.edge_agent.timed_bus import TimedBus, reads

SOH = "Vehicle.Powertrain.TractionBattery.StateOfHealth"
SPEED = "Vehicle.Speed"
RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
COUNT = "Vehicle.Diagnostics.DTCCount"
KONA = DidDefinition(
    did=0x0105,
    request_id=0x7E4,
    response_id=0x7EC,
    period_s=60,
    length=43,
    signals=(DidSignal(did=0x0105, path=SOH, bit_offset=200, bit_length=16, scale=Fraction(1, 10)),),
)


def test_discovers_and_reads_all_there_is() -> None:
    bus = TimedBus()
    config = reads(bus, pids=dict.fromkeys(PIDS, 1.0), dtc_period_s=1.0, uds_dtc_ecus=(DEFAULT_ECUS[0],))
    with bus.car(), opened(config) as source:
        assert source.supported_pids[0x0D] == ("7E8", "7E9")
        assert source.supported_pids[0x0C] == ("7E8",)
        assert 0x5B not in source.supported_pids
        reading = polled(source)
        assert reading.faults == ()
        assert reading.vin == VIN  # several frames
        assert reading.trouble_codes == ()
        expected = {s.path for pid in source.supported_pids for s in PIDS[pid].signals}
        assert set(reading.values) == expected
        assert reading.values["Vehicle.TraveledDistance"] == pytest.approx(42_000_000, abs=1000)
        assert reading.time is None


def test_reads_own_values_over_several_frames() -> None:
    bus = TimedBus()
    dids = [
        {
            "did": 0x0105,
            "request_id": 0x7E4,
            "response_id": 0x7EC,
            "length": 43,
            "signals": [{"path": SOH, "bit_offset": 200, "bit_length": 16, "scale": "1/10"}],
        }
    ]
    with (
        bus.car(kind="electric", dids=dids, condition={"soh_percent": 87.5}),
        opened(reads(bus, dids=(KONA,))) as source,
    ):
        assert polled(source).values[SOH] == pytest.approx(87.5, abs=0.06)


def test_a_makers_value_is_not_mixed_with_the_standard_one() -> None:
    bus = TimedBus()
    with (
        bus.car(kind="electric"),
        opened(reads(bus, pids={0xB2: 1.0, 0x0D: 1.0}, dids=(KONA,))) as source,
    ):
        reading = polled(source)
    assert set(reading.values) == {SPEED}  # this car does not know the maker's
    assert [fault.request for fault in reading.faults] == ["service 22 DID 0105 at 7E4"]


OTHER_VIN = "WVWZZZ1KZBW999999"


class Hasty(ScriptedTester):
    """Where one answer is enough it has that of the quickest ECU, the last one of its script."""

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        exchange = super().functional(request, expected=expected)
        if enough is not None:
            exchange.answers = dict(list(exchange.answers.items())[-enough:])
        return exchange


def test_the_vin_of_a_used_ecu_is_not_taken_for_the_car_s_because_it_is_quicker() -> None:
    vins = {"7E8": VIN, "7E9": OTHER_VIN}
    ecus = {ecu: bitmap_then({b"\x09\x02": b"\x49\x02\x01" + vin.encode()}) for ecu, vin in vins.items()}
    source = ObdSource(ObdConfig(dtc_period_s=None), lambda: Hasty(ecus), clock=Clock())
    source.open()
    assert polled(source).vin == VIN
    source.close()


def test_a_vin_that_is_misread_once_is_no_other_car() -> None:
    """A line to an adapter has no checksum."""
    clock = Clock()
    misread = [OTHER_VIN]

    def engine(request: bytes) -> bytes | None:
        if request == b"\x09\x02":
            return b"\x49\x02\x01" + (misread.pop() if misread else VIN).encode()
        return bitmap_then({})(request)

    source = ObdSource(ObdConfig(dtc_period_s=None), lambda: ScriptedTester({"7E8": engine}), clock=clock)
    source.open()
    reading = polled(source)
    assert reading.vin is None
    assert [fault.reason for fault in reading.faults] == ["not the same VIN when asked again"]
    clock.now += 61
    assert polled(source).vin == VIN
    source.close()


def test_whose_values_they_are_is_known_before_they_are_read() -> None:
    script: dict[bytes, bytes | None] = {b"\x09\x02": b"\x49\x02\x01" + VIN.encode(), b"\x01\x0d": b"\x41\x0d\x32"}
    scripted = ScriptedTester({"7E8": bitmap_then(script)})
    source = ObdSource(ObdConfig(pids={0x0D: 1.0}, dtc_period_s=None), lambda: scripted, clock=Clock())
    source.open()
    scripted.asked.clear()
    assert polled(source).values
    assert [request for _, request in scripted.asked] == [b"\x09\x02", b"\x09\x02", b"\x01\x0d"]
    source.close()


@pytest.mark.parametrize("has_health", [False, True])
def test_the_state_of_certified_energy_is_read_where_there_is_no_state_of_health(has_health: bool) -> None:
    further = {bytes((1, base)): bytes((0x41, base, 0, 0, 0, 1)) for base in range(0x00, 0xC0, 0x20)}
    script: dict[bytes, bytes | None] = {**further, b"\x01\xc0": bytes.fromhex("41C000004000")}
    script |= {b"\x01\xd2": bytes.fromhex("41D201CC80"), b"\x01\xb2": bytes.fromhex("41B2E6")}
    if has_health:
        script[b"\x01\xa0"] = bytes.fromhex("41A000004001")
    scripted = ScriptedTester({"7E8": bitmap_then(script)})
    config = ObdConfig(pids={0xB2: 1.0, 0xD2: 1.0}, dtc_period_s=None, read_vin=False)
    source = ObdSource(config, lambda: scripted, clock=Clock())
    source.open()
    assert polled(source).values[SOH] == pytest.approx(90.2 if has_health else 80, abs=0.01)
    asked = {request for _, request in scripted.asked}
    assert (b"\x01\xd2" in asked, b"\x01\xb2" in asked) == (not has_health, has_health)
    source.close()


def test_vin_is_asked_again_soon_where_it_failed() -> None:
    bus, clock = TimedBus(), Clock()
    script: dict[bytes, bytes | None] = {b"\x09\x02": b"\x7f\x09\x22"}
    config = reads(bus, timeout_s=0.25, idle_wait_s=0.0, dtc_period_s=None)
    with bus.ecus({0x7E8: bitmap_then(script)}), opened(config, clock) as source:
        reading = polled(source)
        assert (reading.vin, reading.faults[0].request) == (None, "service 09 item 02 at 7E8")
        script[b"\x09\x02"] = b"\x49\x02\x01" + VIN.encode()
        clock.now += 61
        assert polled(source).vin == VIN
        clock.now += 61
        assert polled(source).vin is None


def test_each_read_has_its_own_period() -> None:
    bus, clock = TimedBus(), Clock()
    config = reads(bus, pids={0x0D: 1.0, 0x0C: 5.0}, dtc_period_s=10.0, idle_wait_s=0.0)
    with bus.car(), opened(config, clock) as source:
        first = polled(source)
        assert set(first.values) == {SPEED, RPM}
        assert first.trouble_codes == ()
        second = polled(source)
        assert (dict(second.values), second.trouble_codes, second.vin) == ({}, None, None)
        clock.now += 1
        assert set(polled(source).values) == {SPEED}
        clock.now += 4
        assert set(polled(source).values) == {SPEED, RPM}
        clock.now += 5
        assert polled(source).trouble_codes == ()


def test_a_silent_car_is_faults_and_asked_again() -> None:
    bus, clock = TimedBus(), Clock()
    config = reads(bus, pids={0x0D: 1.0}, timeout_s=0.15, idle_wait_s=0.0, discovery_period_s=10)
    with opened(config, clock) as source:
        reading = polled(source)
        assert (dict(reading.values), reading.trouble_codes, reading.vin) == ({}, None, None)
        assert reading.faults[0].request == "service 01 PID 00"
        assert reading.faults[0].reason == "no answer in 300 ms"  # it was asked at opening: now it gets longer
        assert polled(source).faults == ()  # not before its time
        with bus.car():
            clock.now += 11
            polled(source)
            assert SPEED in polled(source).values


def test_a_car_that_falls_asleep_is_not_asked_everything() -> None:
    bus, clock = TimedBus(), Clock()
    config = reads(bus, pids=dict.fromkeys(PIDS, 1.0), dids=(KONA,), timeout_s=0.15, idle_wait_s=0.0, dtc_period_s=1.0)
    with opened(config, clock) as source:
        with bus.car():
            clock.now += 20
            polled(source)
            polled(source)
        clock.now += 100
        reading = polled(source)
    assert dict(reading.values) == {}
    assert reading.trouble_codes is None
    asked = [fault for fault in reading.faults if "no answer" in fault.reason]
    assert 0 < len({fault.request.split(" at ")[0] for fault in asked}) <= 3
    assert any("not asked" in fault.reason for fault in reading.faults)


def test_a_car_that_sleeps_is_asked_seldom() -> None:
    """Each request keeps the bus awake a little longer and drains the battery of a parked car."""
    bus, clock = TimedBus(), Clock()
    config = reads(bus, pids=dict.fromkeys(PIDS, 1.0), timeout_s=0.01, idle_wait_s=0.0, dtc_period_s=1.0)
    with opened(config, clock) as source, bus.node() as listener:
        with bus.car():
            clock.now += 20
            polled(source)
            assert SPEED in polled(source).values
        while listener.recv(0) is not None:
            pass
        for _ in range(100):
            clock.now += 1
            polled(source)
        asked = 0
        while listener.recv(0) is not None:
            asked += 1
        assert 10 <= asked <= 20
        with bus.car():
            clock.now += 10
            assert SPEED in polled(source).values


def test_ecus_that_a_car_lacks_do_not_make_it_silent() -> None:
    bus, clock = TimedBus(), Clock()
    absent = [
        DidDefinition(
            did=did,
            request_id=ecu,
            response_id=ecu + 8,
            period_s=1.0,
            signals=(DidSignal(did=did, path=SOH),),
        )
        for ecu in (0x7E2, 0x7E3, 0x7E4)
        for did in (0x0101, 0x0102)
    ]
    config = reads(bus, pids={0x0D: 1.0}, dids=tuple(absent), timeout_s=0.1, idle_wait_s=0.0)
    with bus.car(), opened(config, clock) as source:
        reading = polled(source)
        assert SPEED in reading.values
        assert reading.trouble_codes == ()
        assert reading.vin == VIN
        asked = [fault.request for fault in reading.faults if "no answer" in fault.reason]
        assert asked == [f"service 22 DID 0101 at {ecu}" for ecu in ("7E2", "7E3", "7E4")]
        for _ in range(8):
            clock.now += 1
            reading = polled(source)
            assert SPEED in reading.values
            assert reading.faults == ()


def test_an_ecu_that_wakes_up_late_is_found() -> None:
    bus, clock = TimedBus(), Clock()
    ecus = {0x7E8: bitmap_then({b"\x01\x0d": b"\x41\x0d\x32"}, "00080000")}
    late = bitmap_then({b"\x01\x0c": bytes.fromhex("410C0FA0")}, "00100000")
    ecus[0x7E9] = lambda request: late(request) if clock.now > 1500 else None
    config = reads(bus, pids={0x0D: 1.0, 0x0C: 1.0}, timeout_s=0.1, read_vin=False, dtc_period_s=None)
    with bus.ecus(ecus), opened(config, clock) as source:
        assert dict(polled(source).values) == {SPEED: 50}
        clock.now += 700
        values = dict(polled(source).values) | dict(polled(source).values)
        assert values == {SPEED: 50, RPM: 1000}
        assert source.supported_pids == {0x0D: ("7E8",), 0x0C: ("7E9",)}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("7F0112", r"NRC 0x12 \(sub-function not supported\)"),
        ("7F0122", "NRC 0x22"),
        ("410D", "0 data bytes, expected 1"),
        ("410D1122", "2 data bytes, expected 1"),
        ("410C1122", "only an answer to something else"),
        ("430D11", "only an answer to something else"),
        ("7F0378", "only an answer to something else"),
    ],
)
def test_a_wrong_answer_is_a_fault_and_never_a_value(answer: str, reason: str) -> None:
    bus = TimedBus()
    script: dict[bytes, bytes | None] = {b"\x01\x0d": bytes.fromhex(answer)}
    config = reads(bus, pids={0x0D: 1.0}, timeout_s=0.08, read_vin=False, dtc_period_s=None)
    with bus.ecus({0x7E8: bitmap_then(script)}), opened(config) as source:
        reading = polled(source)
    assert dict(reading.values) == {}
    (fault,) = reading.faults
    assert fault.request == "service 01 PID 0D at 7E8"
    assert re.search(reason, fault.reason)


def test_a_late_answer_to_an_earlier_request_is_not_taken() -> None:
    bus = TimedBus()
    script: dict[bytes, bytes | None] = {b"\x01\x0d": bytes.fromhex("410C1122"), b"\x01\x0c": bytes.fromhex("410C0FA0")}
    config = reads(bus, pids={0x0D: 1.0, 0x0C: 1.0}, timeout_s=0.25, read_vin=False, dtc_period_s=None)
    with bus.ecus({0x7E8: bitmap_then(script)}), opened(config) as source:
        reading = polled(source)
    assert dict(reading.values) == {RPM: 1000}
    assert [fault.request for fault in reading.faults] == ["service 01 PID 0D at 7E8"]


def test_several_ecus_give_one_value_and_a_sum() -> None:
    bus = TimedBus()
    engine: dict[bytes, bytes | None] = {
        b"\x01\x01": bytes.fromhex("410102000000"),
        b"\x01\x0d": bytes.fromhex("410D32"),
    }
    other: dict[bytes, bytes | None] = {
        b"\x01\x01": bytes.fromhex("410181000000"),
        b"\x01\x0d": bytes.fromhex("410D33"),
    }
    ecus = {0x7E8: bitmap_then(engine, "80080000"), 0x7EA: bitmap_then(other, "80080000")}
    config = reads(bus, pids={0x01: 1.0, 0x0D: 1.0}, timeout_s=0.25, read_vin=False, dtc_period_s=None)
    with bus.ecus(ecus), opened(config) as source:
        reading = polled(source)
    assert reading.faults == ()
    assert reading.values == {SPEED: 50, COUNT: 3, "Vehicle.OBD.Status.IsMILOn": 1}


def test_a_sum_over_some_of_the_ecus_is_no_value() -> None:
    bus = TimedBus()
    engine: dict[bytes, bytes | None] = {b"\x01\x01": bytes.fromhex("410102000000")}
    ecus = {0x7E8: bitmap_then(engine, "80000000"), 0x7EA: bitmap_then({}, "80000000")}
    config = reads(bus, pids={0x01: 1.0}, timeout_s=0.05, read_vin=False, dtc_period_s=None)
    with bus.ecus(ecus), opened(config) as source:
        reading = polled(source)
    assert dict(reading.values) == {}
    assert [fault.request for fault in reading.faults] == ["service 01 PID 01 at 7EA"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("7F2231", "NRC 0x31"),
        (None, "no answer"),
        ("620105" + "00" * 10, "10 data bytes, expected 43"),
        ("620106" + "00" * 43, "only an answer to something else"),
        ("620105" + "FF" * 43, "outside"),
    ],
)
def test_a_failed_read_of_an_own_value_is_a_fault(answer: str | None, reason: str) -> None:
    bus = TimedBus()
    script: dict[bytes, bytes | None] = {b"\x22\x01\x05": None if answer is None else bytes.fromhex(answer)}
    config = reads(bus, dids=(KONA,), timeout_s=0.08, read_vin=False, dtc_period_s=None)
    with bus.ecus({0x7EC: bitmap_then(script)}), opened(config) as source:
        reading = polled(source)
    assert dict(reading.values) == {}
    (fault,) = reading.faults
    assert fault.request == "service 22 DID 0105 at 7E4"
    assert reason in fault.reason


def test_an_ecu_that_asks_for_patience_gets_it() -> None:
    bus = TimedBus()
    late = can.Message(arbitration_id=0x7E8, data=bytes.fromhex("03410D2AAAAAAAAA"), is_extended_id=False)

    def slow(request: bytes) -> bytes | None:
        if request == b"\x01\x0d":
            bus.send_later(0.3, late)
            return bytes.fromhex("7F0178")
        return bitmap_then({})(request)

    config = reads(bus, pids={0x0D: 1.0}, timeout_s=0.1, read_vin=False, dtc_period_s=None)
    with bus.ecus({0x7E8: slow}), opened(config) as source:
        assert polled(source).values == {SPEED: 42}
