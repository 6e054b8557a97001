"""Cars that tell the same by UDS, and cars with 29-bit identifiers: read by the same source."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from edge_agent.sources.base import TroubleCode
from edge_agent.tester.limits import Limits
from edge_agent.tester.polite import PoliteTester
from edge_agent.virtual_car.disturb import Disturbance, Disturbances
from edge_agent.virtual_car.wire import Wire
from tests.unit.edge_agent.obd_support import VIN, Clock, opened, polled
from tests.unit.edge_agent.timed_bus import TimedBus, reads

SPEED = "Vehicle.Speed"
PIDS = dict.fromkeys((0x01, 0x05, 0x0C, 0x0D, 0x33, 0x46), 1.0)


@pytest.mark.parametrize("bits", [11, 29])
@pytest.mark.parametrize("diagnostics", ["obd", "obd_on_uds"])
def test_any_dialect_with_any_identifiers(diagnostics: str, bits: int) -> None:
    clock = Clock()
    bus = TimedBus(clock)
    reader = reads(bus, functional_id=None, pids=PIDS, dtc_period_s=1.0, idle_wait_s=0.0)
    car = bus.car(diagnostics=diagnostics, identifier_bits=bits, faults=["misfire"], misfire_confirmed_after_s=0.2)
    engine, gearbox = ("7E8", "7E9") if bits == 11 else ("18DAF110", "18DAF118")
    with car, opened(reader, clock) as source:
        reading = polled(source)
        assert reading.faults == ()
        assert reading.vin == VIN
        assert len(reading.values) == len(PIDS) + 1  # PID 01 has two
        assert source.supported_pids[0x0D] == (engine, gearbox)
        codes: tuple[TroubleCode, ...] = ()
        for _ in range(200):
            clock.now += 1
            reading = polled(source)
            assert reading.faults == ()
            codes = reading.trouble_codes or ()
            if codes and codes[0].status == "confirmed":
                break
    # who reads the whole status byte is told of the lamp
    lamp = True if diagnostics == "obd_on_uds" else None
    assert codes == (TroubleCode(code="P0301", ecu=engine, status="confirmed", warning_lamp=lamp),)
    assert reading.ecus_read == frozenset({engine, gearbox})


def test_a_car_that_answers_neither_is_silent() -> None:
    bus = TimedBus()
    config = reads(bus, pids=PIDS, timeout_s=0.02, idle_wait_s=0.0)
    with bus.car(activity="parked"), opened(config) as source:
        reading = polled(source)
    assert reading.faults[0].request == "service 01 PID 00"
    assert source.supported_pids == {}


def test_a_refused_service_is_asked_in_the_other_way() -> None:
    bus = TimedBus()
    refuses = Disturbances(Disturbance(kind="negative", request=b"\x01", code=0x11))
    config = reads(bus, pids=PIDS, timeout_s=0.05, idle_wait_s=0.0, dtc_period_s=None, read_vin=False)
    with bus.car(disturbances=refuses), opened(config) as source:
        reading = polled(source)
    assert {fault.reason for fault in reading.faults} == {"NRC 0x11 (service not supported)"}
    assert dict(reading.values) == {}


@contextmanager
def minding(bus: TimedBus, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the source reckon load and patience by the time of the bus."""
    with monkeypatch.context() as patch:
        patch.setattr("edge_agent.sources.obd.PoliteTester", partial(PoliteTester, clock=bus.clock, sleep=bus.sleep))
        yield


def test_a_slow_ecu_is_read_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    bus, clock = TimedBus(), Clock()
    slow = Disturbances(Disturbance(kind="slow", request=b"\x01\x0c", delay_s=0.25))
    config = reads(bus, pids={0x0C: 1.0}, timeout_s=0.15, idle_wait_s=0.0, dtc_period_s=None, read_vin=False)
    with minding(bus, monkeypatch), bus.car(disturbances=slow), opened(config, clock) as source:
        first = polled(source)
        assert [fault.reason for fault in first.faults] == ["no answer in 150 ms"]
        for _ in range(50):  # and stays so
            clock.now += 1
            assert polled(source).faults == ()


def test_the_bus_is_not_loaded_more_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames counted on the wire: requests, flow control and answers."""
    wire, limits = Wire(250_000), Limits(requests_per_s=1000, bus_share=0.05, bit_rate=250_000)
    bus = TimedBus(wire=wire)
    config = reads(bus, pids=dict.fromkeys(PIDS, 0.001), limits=limits, longest_poll_s=0.2)
    started = bus.clock.now
    with minding(bus, monkeypatch), bus.car(), opened(config, bus.clock) as source:
        while bus.clock.now - started < 10.0:
            bus.sleep(0.001)
            polled(source)
        passed_s = bus.clock.now - started
    # a second's worth at once, and a frame of eight bytes is reckoned with all its stuff bits
    assert 0.2 * 0.05 * passed_s < wire.busy_s <= 0.05 * (passed_s + 1) * 1.05
