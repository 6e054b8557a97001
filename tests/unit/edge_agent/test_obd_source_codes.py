"""Trouble codes through the source: which ECU was read in full, and what silence means."""

import threading
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

import pytest

from edge_agent.sources.base import Reading, TroubleCode
from edge_agent.sources.code_reader import CodeReader
from edge_agent.sources.obd import DEFAULT_ECUS
from edge_agent.tester.base import Exchange, IsoTpAddress
from edge_agent.tester.testing import ScriptedTester
from edge_agent.vehicle_watch import VehicleWatch
from tests.unit.edge_agent.obd_support import Answer, Clock, bitmap_then, opened, polled
from tests.unit.edge_agent.timed_bus import TimedBus, reads


def test_code_goes_from_pending_to_confirmed() -> None:
    clock = Clock()
    bus = TimedBus(clock)
    config = reads(bus, dtc_period_s=0.05, uds_dtc_ecus=(DEFAULT_ECUS[0],), idle_wait_s=0.0)
    seen: list[tuple[str, bool | None]] = []
    with bus.car(faults=["misfire"], misfire_confirmed_after_s=1.5), opened(config, clock) as source:
        for _ in range(200):
            clock.now += 0.1
            for code in polled(source).trouble_codes or ():
                assert (code.code, code.ecu) == ("P0301", "7E8")
                if (code.status, code.warning_lamp) not in seen:
                    seen.append((code.status, code.warning_lamp))
            if ("confirmed", True) in seen:
                break
    # one poll may see the code turn between two of its requests
    assert seen[0] == ("pending", False)
    assert seen[-1] == ("confirmed", True)


def test_codes_of_an_ecu_that_falls_silent_are_not_gone() -> None:
    bus, clock = TimedBus(), Clock()
    silent = threading.Event()

    def second(request: bytes) -> bytes | None:
        if request == b"\x03" and not silent.is_set():
            return bytes.fromhex("4301C100")
        return bitmap_then({b"\x07": b"\x47\x00"})(request)

    first = bitmap_then({b"\x03": b"\x43\x00", b"\x07": b"\x47\x00"})
    config = reads(bus, timeout_s=0.25, read_vin=False, dtc_period_s=1.0, idle_wait_s=0.0)
    with bus.ecus({0x7E8: first, 0x7EA: second}), opened(config, clock) as source:
        reading = polled(source)
        assert [(c.code, c.ecu) for c in reading.trouble_codes or ()] == [("U0100", "7EA")]
        assert [fault.request for fault in reading.faults] == ["service 0A"]  # a car without it, said once
        assert reading.ecus_read == frozenset({"7E8", "7EA"})
        silent.set()
        clock.now += 2
        reading = polled(source)
        assert reading.trouble_codes == ()
        assert reading.ecus_read == frozenset({"7E8"})
        assert [fault.request for fault in reading.faults] == ["service 03 at 7EA"]


def codes_after(watch: VehicleWatch, reading: Reading) -> list[str]:
    events = watch.observe(reading, datetime(2026, 1, 31, 12, tzinfo=UTC))
    return [f"{event.kind} {event.data['code']}" for event in events]


@pytest.mark.parametrize("lost", [b"\x03", b"\x07"])
def test_an_ecu_that_is_not_heard_at_the_first_read_keeps_its_codes(lost: bytes) -> None:
    """As after a restart of the agent, with a gateway or ECU that wakes up late."""
    bus, clock = TimedBus(), Clock()
    awake = threading.Event()
    codes = {b"\x03": bytes.fromhex("4301C100"), b"\x07": bytes.fromhex("4701C100")}

    def second(request: bytes) -> bytes | None:
        return None if request == lost and not awake.is_set() else bitmap_then(dict(codes))(request)

    first = bitmap_then({b"\x03": b"\x43\x00", b"\x07": b"\x47\x00"})
    watch = VehicleWatch(trip_gap_seconds=60)
    confirmed = TroubleCode(code="U0100", ecu="7EA", status="confirmed")
    assert codes_after(watch, Reading(trouble_codes=(confirmed,))) == ["dtc.appeared U0100"]
    config = reads(bus, timeout_s=0.1, read_vin=False, dtc_period_s=1.0, dtc_services=(3, 7))
    with bus.ecus({0x7E8: first, 0x7EA: second}), opened(config, clock) as source:
        reading = polled(source)
        assert reading.ecus_read == frozenset({"7E8"})
        assert codes_after(watch, reading) == []
        awake.set()
        codes |= {b"\x03": b"\x43\x00", b"\x07": b"\x47\x00"}
        clock.now += 2
        assert codes_after(watch, polled(source)) == ["dtc.cleared U0100"]


def test_an_ecu_without_service_0a_hides_no_codes() -> None:
    bus = TimedBus()
    script: dict[bytes, bytes | None] = {
        b"\x03": bytes.fromhex("43010301"),
        b"\x07": b"\x47\x00",
        b"\x0a": bytes.fromhex("7F0A11"),
    }
    with (
        bus.ecus({0x7E8: bitmap_then(script)}),
        opened(reads(bus, timeout_s=0.25, read_vin=False)) as source,
    ):
        reading = polled(source)
    assert [code.code for code in reading.trouble_codes or ()] == ["P0301"]
    assert reading.ecus_read == frozenset({"7E8"})


def test_a_car_that_falls_asleep_before_service_0a_may_still_have_it() -> None:
    bus, clock = TimedBus(), Clock()
    asked: list[bytes] = []

    def engine(request: bytes) -> bytes | None:
        if request[0] in {3, 7, 10}:
            asked.append(request)
            if len(asked) > 2 and clock.now < 1001:  # asleep after 03 and 07
                return None
        codes = {b"\x03": b"\x43\x00", b"\x07": b"\x47\x00", b"\x0a": bytes.fromhex("4A010301")}
        return bitmap_then(dict(codes))(request)

    config = reads(bus, timeout_s=0.1, read_vin=False, dtc_period_s=1.0)
    with bus.ecus({0x7E8: engine}), opened(config, clock) as source:
        assert polled(source).trouble_codes is None
        clock.now += 20
        assert [(c.code, c.status) for c in polled(source).trouble_codes or ()] == [("P0301", "permanent")]


@pytest.mark.parametrize("answer", ["7F0311", "430103", "43010000FF"])
def test_a_failed_read_of_codes_is_not_an_empty_list(answer: str) -> None:
    bus = TimedBus()
    script: dict[bytes, bytes | None] = {b"\x03": bytes.fromhex(answer), b"\x07": b"\x47\x00", b"\x0a": b"\x4a\x00"}
    with (
        bus.ecus({0x7E8: bitmap_then(script)}),
        opened(reads(bus, timeout_s=0.25, read_vin=False)) as source,
    ):
        reading = polled(source)
    assert reading.trouble_codes is None
    assert [fault.request for fault in reading.faults] == ["service 03 at 7E8"]


@pytest.mark.parametrize("service", [b"\x03", b"\x0a"])
@pytest.mark.parametrize("answer", ["7F{}22", "{}0103", "{}010000FF"])
def test_what_cannot_be_read_at_first_is_asked_again_and_its_codes_are_kept(service: bytes, answer: str) -> None:
    """A refusal or half an answer shows that there is such a service; the next read must not do without it."""
    bus, clock = TimedBus(), Clock()
    told = "7F" if answer.startswith("7F") else ""
    number = service[0] if told else service[0] + 0x40
    script: dict[bytes, bytes | None] = {b"\x03": b"\x43\x00", b"\x07": b"\x47\x00", b"\x0a": b"\x4a\x00"}
    script[service] = bytes.fromhex(answer.format(f"{number:02X}"))
    config = reads(bus, timeout_s=0.1, read_vin=False, dtc_period_s=1.0)
    with bus.ecus({0x7E8: bitmap_then(script)}), opened(config, clock) as source:
        for _ in range(3):
            reading = polled(source)
            assert reading.trouble_codes is None
            assert [fault.request for fault in reading.faults] == [f"service {service.hex().upper()} at 7E8"]
            clock.now += 2
        script[service] = bytes((service[0] + 0x40, 1, 0x03, 0x01))
        assert [code.code for code in polled(source).trouble_codes or ()] == ["P0301"]


def test_an_ecu_that_comes_up_between_two_services_was_not_read() -> None:
    bus = TimedBus()
    engine = bitmap_then({b"\x03": b"\x43\x00", b"\x07": b"\x47\x00"})
    late: Answer = {b"\x07": b"\x47\x00"}.get  # it is not among those that were found, and 03 it did not hear
    config = reads(bus, timeout_s=0.1, read_vin=False, dtc_services=(3, 7))
    with bus.ecus({0x7E8: late, 0x7EA: engine}), opened(config) as source:
        reading = polled(source)
    assert reading.ecus_read == frozenset({"7EA"})


class Noisy(ScriptedTester):
    """An adapter that gives no usable reply about service 0A for a while."""

    noisy = True

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        if request == b"\x0a" and self.noisy:
            return Exchange(trouble="the adapter wrote something that is no frame (x)")
        return super().functional(request, expected=expected, enough=enough)


def test_trouble_of_the_adapter_is_no_sign_that_a_car_lacks_service_0a() -> None:
    codes = {b"\x03": b"\x43\x00", b"\x07": b"\x47\x00", b"\x0a": bytes.fromhex("4A010301")}
    tester = Noisy({"7E8": codes.get})
    reader = CodeReader(tester, services=(3, 7, 10), uds_ecus=())
    assert reader.read({"7E8"}).codes is None
    tester.noisy = False
    assert [code.code for code in reader.read({"7E8"}).codes or ()] == ["P0301"]


def test_codes_known_by_service_03_are_not_gone_where_only_uds_was_asked() -> None:
    """Discovery may fail at a start; what UDS tells of the ECU is not all of its codes."""
    script = {b"\x03": bytes.fromhex("43010420"), b"\x07": b"\x47\x00", b"\x0a": b"\x4a\x00"}
    script[b"\x19\x02\x0c"] = bytes.fromhex("5902FF")
    tester = ScriptedTester({"7E8": script.get})
    reader = CodeReader(tester, services=(3, 7, 10), uds_ecus=(DEFAULT_ECUS[0],))
    read = reader.read(frozenset())
    assert read.ecus_read == {"7E8"}
    assert [code.code for code in read.codes or ()] == ["P0420"]


def test_a_car_that_knows_only_uds_is_read_by_it() -> None:
    tester = ScriptedTester({"7EC": {b"\x19\x02\x0c": bytes.fromhex("5902FF0A1B0008")}.get})
    address = IsoTpAddress(transmit_id=0x7E4, receive_id=0x7EC)
    read = CodeReader(tester, services=(3, 7, 10), uds_ecus=(address,)).read(frozenset())
    assert read.ecus_read == {"7EC"}
    assert [code.code for code in read.codes or ()] == ["P0A1B"]
