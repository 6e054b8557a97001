"""What a virtual ECU tells an engineer, read with the decoders: each was written from the standard on its own."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ConfigurationError
from edge_agent.obd import clear, dtc_records, freeze_frame, obd_on_uds, vehicle_information
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.pids import PIDS
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.ecu import Ecu, ecus_of
from edge_agent.virtual_car.encode import ENCODERS, SUPPORTED_PIDS
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.signals import signals
from tests.unit.edge_agent.obd_support import VIN

RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
T = TypeVar("T")


def car(**changes: object) -> LiveCar:
    live = LiveCar(
        VirtualCarConfig.from_dict({"name": "t", "vin": VIN} | changes), now=datetime(2026, 6, 1, tzinfo=UTC)
    )
    live.advance(60)
    return live


def engine(live: LiveCar) -> Ecu:
    return ecus_of(live)[0]


def read(ecu: Ecu, request: bytes, decode: Callable[[bytes], T]) -> T:
    answer = ecu.answer(request)
    assert answer is not None
    return decode(answer)


def test_the_frame_of_the_moment_in_which_a_code_came_up() -> None:
    live = car()
    ecu = engine(live)
    assert read(ecu, freeze_frame.request(2), freeze_frame.decode_cause) is None
    live.switch_on(["misfire"])
    live.advance(1)
    rpm = signals(live.model)[RPM]
    live.advance(30)
    assert signals(live.model)[RPM] != pytest.approx(rpm, abs=0.5)
    assert read(ecu, freeze_frame.request(2), freeze_frame.decode_cause) == "P0301"
    held = read(ecu, freeze_frame.request(0), lambda answer: freeze_frame.decode_supported(0, answer))
    assert {0x02, 0x0C, 0x0D} <= held
    decoded = read(ecu, freeze_frame.request(0x0C), lambda answer: freeze_frame.decode(0x0C, answer))
    assert decoded.values[RPM] == pytest.approx(rpm, abs=0.25)
    with pytest.raises(AnswerError, match="NRC 0x12"):
        read(ecu, freeze_frame.request(0x0C, 1), lambda answer: freeze_frame.decode(0x0C, answer, 1))


@pytest.mark.parametrize(("kind", "name"), [("petrol", "ECM - EngineControl"), ("electric", "HPCM - HybridPtCtrl")])
def test_who_the_ecu_is(kind: str, name: str) -> None:
    ecu = engine(car(kind=kind))
    asked = vehicle_information.request
    assert read(ecu, asked(0), vehicle_information.decode_supported) == {2, 4, 6, 10}
    assert read(ecu, asked(4), vehicle_information.decode_calibration_ids) == ("WEARCAST-0001",)
    assert read(ecu, asked(6), vehicle_information.decode_calibration_numbers) == ("1791BC82",)
    assert read(ecu, asked(10), vehicle_information.decode_ecu_name) == name


def test_codes_with_all_that_is_kept_beside_them() -> None:
    live = car()
    ecu = engine(live)
    count = dtc_records.count_request()
    assert read(ecu, count, dtc_records.decode_count) == 0
    assert read(ecu, dtc_records.records_request(), dtc_records.decode_records) == ()
    identification = dtc_records.snapshot_identification_request()
    assert read(ecu, identification, dtc_records.decode_snapshot_identification) == ()
    live.switch_on(["misfire"])
    live.advance(30)
    assert read(ecu, count, dtc_records.decode_count) == 1
    (code,) = read(ecu, dtc_records.records_request(), dtc_records.decode_records)
    assert (code.code, code.confirmed, code.warning_lamp, code.failing_now) == ("P0301", True, True, True)
    assert code.tested_since_clear is None  # a bit that this ECU does not keep
    assert read(ecu, identification, dtc_records.decode_snapshot_identification) == (("P0301", 1),)
    lengths = {0xF400 | pid: PIDS[pid].length for pid in PIDS}
    same, (snapshot,) = read(
        ecu,
        dtc_records.snapshot_request("P0301"),
        lambda answer: dtc_records.decode_snapshots("P0301", answer, lengths),
    )
    assert (same.code, same.status) == (code.code, code.status)
    assert live.model.dtc.frozen is not None
    assert snapshot.values[0xF40C] == ENCODERS[0x0C](live.model.dtc.frozen)
    _, extended = read(
        ecu, dtc_records.extended_request("P0301"), lambda answer: dtc_records.decode_extended("P0301", answer)
    )
    assert extended is not None
    assert (extended.number, extended.rest) == (1, b"\x01")
    with pytest.raises(AnswerError, match="NRC 0x31"):
        read(ecu, dtc_records.snapshot_request("P0302"), lambda answer: dtc_records.decode_snapshots("P0302", answer))


@pytest.mark.parametrize(
    ("diagnostics", "request_bytes"),
    [
        ("obd", clear.CLEAR_OBD),
        ("obd", clear.uds_request()),
        ("obd_on_uds", clear.uds_request(clear.EMISSIONS_GROUP)),
    ],
)
def test_cleared_on_request(diagnostics: str, request_bytes: bytes) -> None:
    live = car(faults=["misfire"], diagnostics=diagnostics)
    ecu = engine(live)
    assert live.model.dtc.confirmed
    live.model.dtc.failing = False
    answer = ecu.answer(request_bytes)
    assert answer is not None
    clear.require_cleared(request_bytes, answer)
    assert (live.model.dtc.confirmed, live.model.dtc.frozen, live.model.dtc.permanent) == (False, None, True)


def test_obd_on_uds() -> None:
    live = car(faults=["misfire"], diagnostics="obd_on_uds")
    ecu = engine(live)
    for request in (b"\x01\x00", b"\x03", b"\x09\x02", b"\x02\x00\x00", b"\x04"):
        assert ecu.answer(request) == bytes((0x7F, request[0], 0x11))
        assert ecu.answer(request, functional=True) is None
    found: set[int] = set()
    base = 0
    while base == 0 or base in found:
        found |= read(ecu, obd_on_uds.request(base), partial(obd_on_uds.decode_supported, base))
        base += 0x20
    assert {pid for pid in found if pid % 0x20} == SUPPORTED_PIDS["petrol"]
    true = signals(live.model)
    decoded = read(ecu, obd_on_uds.request(0x0C), lambda answer: obd_on_uds.decode(0x0C, answer))
    assert decoded.values[RPM] == pytest.approx(true[RPM], abs=0.25)
    for request in (obd_on_uds.VIN_REQUEST, obd_on_uds.VIN_REQUEST_OF_MAKER):
        assert read(ecu, request, partial(obd_on_uds.decode_vin, request)) == VIN
    (record,) = read(ecu, dtc_records.emissions_request(), dtc_records.decode_emissions)
    assert (record.code, record.confirmed) == ("P0301", True)
    (record,) = read(ecu, dtc_records.permanent_request(), dtc_records.decode_permanent)
    assert record.code == "P0301"
    assert read(ecus_of(live)[1], dtc_records.emissions_request(), dtc_records.decode_emissions) == ()
    with pytest.raises(ConfigurationError, match="diagnostics"):
        car(diagnostics="kwp")


@pytest.mark.parametrize("diagnostics", ["obd", "obd_on_uds"])
@given(request_bytes=st.binary(max_size=8))
def test_no_request_breaks_it(diagnostics: str, request_bytes: bytes) -> None:
    live = LiveCar(
        VirtualCarConfig.from_dict({"name": "t", "vin": VIN, "diagnostics": diagnostics, "faults": ["misfire"]}),
        now=datetime(2026, 6, 1, tzinfo=UTC),
    )
    live.advance(5)
    for start in (b"", b"\x19", b"\x02", b"\x22", b"\x14"):
        for ecu in ecus_of(live):
            answer = ecu.answer(start + request_bytes)
            if answer:
                assert answer[0] == 0x7F or answer[0] == (start + request_bytes)[0] + 0x40


def test_with_the_ignition_on_and_the_engine_off_it_stands_and_keeps_its_codes() -> None:
    live = car(faults=["misfire"])
    assert signals(live.model)[RPM] > 0
    live.activity = "ignition_on"
    live.advance(5)
    assert (signals(live.model)[RPM], signals(live.model)["Vehicle.Speed"]) == (0, 0)
    assert engine(live).answer(b"\x03") == b"\x43\x01\x03\x01"
