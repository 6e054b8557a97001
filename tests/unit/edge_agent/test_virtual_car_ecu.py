from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.obd import did, service01, trouble_codes
from edge_agent.obd.did import DidDefinition, DidSignal
from edge_agent.obd.pids import PIDS
from edge_agent.obd.vehicle_information import decode_vin
from edge_agent.virtual_car.config import CarCondition, Kind, VirtualCarConfig
from edge_agent.virtual_car.ecu import Ecu, ecus_of
from edge_agent.virtual_car.encode import ENCODERS, SUPPORTED_PIDS
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.signals import signals

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
VIN = "WVWZZZ1KZAW000001"
KINDS: tuple[Kind, ...] = ("petrol", "diesel", "electric")
SOH = "Vehicle.Powertrain.TractionBattery.StateOfHealth"
OIL_LIFE = "Vehicle.Powertrain.CombustionEngine.EngineOil.LifeRemainingPercent"
OIL = DidDefinition(
    did=0x4DC0,
    request_id=0x7E0,
    response_id=0x7E8,
    period_s=1,
    signals=(DidSignal(did=0x4DC0, path=OIL_LIFE, scale=Fraction(100, 255)),),
)
KONA = DidDefinition(
    did=0x0105,
    request_id=0x7E4,
    response_id=0x7EC,
    period_s=1,
    length=43,
    signals=(DidSignal(did=0x0105, path=SOH, bit_offset=200, bit_length=16, scale=Fraction(1, 10)),),
)


def car(kind: Kind = "petrol", *, driven_s: float = 120.0, **changes: object) -> LiveCar:
    document: dict[str, object] = {"name": "test", "vin": VIN, "kind": kind} | changes
    live = LiveCar(VirtualCarConfig.from_dict(document), now=NOW)
    live.advance(driven_s)
    return live


def engine(live: LiveCar) -> Ecu:
    return ecus_of(live)[0]


def ask(ecu: Ecu, request: str, *, functional: bool = False) -> str | None:
    answer = ecu.answer(bytes.fromhex(request), functional=functional)
    return None if answer is None else answer.hex().upper()


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_it_claims_is_read_as_it_truly_is(kind: Kind) -> None:
    live = car(kind)
    true = signals(live.model)
    for pid in SUPPORTED_PIDS[kind]:
        answer = engine(live).answer(service01.request(pid))
        assert answer is not None
        decoded = service01.decode(pid, answer)
        assert decoded.faults == ()
        for signal in PIDS[pid].signals:
            # half a step of the sensor, and what rounding of floats adds
            step = 0.5 if signal.bit_length == 1 else float(signal.scale) * 0.5001
            assert decoded.values[signal.path] == pytest.approx(true[signal.path], abs=step), f"{pid:02X}"


def test_all_parameters_of_the_decoder_have_an_encoder() -> None:
    assert set(ENCODERS) == set(PIDS)


@pytest.mark.parametrize("kind", KINDS)
def test_bitmaps_say_what_is_there(kind: Kind) -> None:
    ecu = engine(car(kind))
    found: set[int] = set()
    base = 0
    while True:
        answer = ecu.answer(service01.request(base))
        assert answer is not None
        supported = service01.decode_supported(base, answer)
        found |= {pid for pid in supported if pid % 0x20}
        base += 0x20
        if base not in supported:
            break
    assert found == SUPPORTED_PIDS[kind]


@pytest.mark.parametrize(
    ("request_hex", "answer"),
    [
        ("01F1", "7F0112"),  # a parameter it does not have
        ("01", "7F0113"),
        ("0908", "7F0912"),
        ("22FFFF", "7F2231"),
        ("22FF", "7F2213"),
        ("1003", "7F1011"),
        ("1914", "7F1912"),
        ("020C00", "7F0212"),  # no frame is kept
        ("0202", "7F0213"),
        ("14000001", "7F1431"),
        ("22F40C", "7F2231"),
        ("3E00", "7E00"),
        ("3E80", None),  # positive answer suppressed
        ("3E01", "7F3E12"),
        ("03", "4300"),
        ("0301", "7F0313"),
        ("", None),
    ],
)
def test_physical_answers(request_hex: str, answer: str | None) -> None:
    assert ask(engine(car()), request_hex) == answer


@pytest.mark.parametrize("request_hex", ["01F1", "22FFFF", "1003", "0908"])
def test_silence_where_asked_with_others(request_hex: str) -> None:
    assert ask(engine(car()), request_hex, functional=True) is None


def test_several_parameters_in_one_request() -> None:
    answer = ask(engine(car()), "010D0C")
    assert answer is not None
    assert answer.startswith("410D")
    assert len(answer) == 2 * (1 + 2 + 3)


def test_vin() -> None:
    answer = engine(car()).answer(bytes.fromhex("0902"))
    assert answer is not None
    assert decode_vin(answer) == VIN


def test_own_values_by_identifier() -> None:
    electric = LiveCar(
        VirtualCarConfig(name="e", vin=VIN, kind="electric", dids=(KONA,), condition=CarCondition(soh_percent=81.25)),
        now=NOW,
    )
    bms = ecus_of(electric)[1]
    assert bms.role.address.receive_id == 0x7E4
    answer = bms.answer(did.request(0x0105))
    assert answer is not None
    assert len(answer) == 3 + 43
    assert did.decode(KONA, answer).values[SOH] == pytest.approx(81.25, abs=0.06)
    assert ask(engine(electric), "220105") == "7F2231"  # another ECU has it


def test_own_values_by_local_identifier() -> None:
    signal = DidSignal(did=0x61, path=SOH, bit_length=16, scale=Fraction(1, 100))
    leaf = DidDefinition(did=0x61, service=0x21, request_id=0x79B, response_id=0x7BB, period_s=10, signals=(signal,))
    electric = LiveCar(VirtualCarConfig(name="e", vin=VIN, kind="electric", dids=(leaf,)), now=NOW)
    battery = ecus_of(electric)[1]
    answer = battery.answer(leaf.request)
    assert answer is not None
    assert answer[:2].hex() == "6161"
    assert did.decode(leaf, answer).values[SOH] > 80
    assert ask(battery, "2162") == "7F2131"
    assert ask(battery, "220061") == "7F2231"  # the other service has identifiers of its own


def test_a_part_the_car_does_not_have_is_refused() -> None:
    live = LiveCar(VirtualCarConfig(name="p", vin=VIN, kind="electric", dids=(OIL,)), now=NOW)
    assert ask(engine(live), "224DC0") == "7F2231"


def test_misfire_is_pending_then_confirmed_then_cleared() -> None:
    live = car(driven_s=30)
    ecu = engine(live)
    live.switch_on(["misfire"])
    assert ask(ecu, "07") == "4700"
    live.advance(2)
    assert ask(ecu, "07") == "47010301"
    assert ask(ecu, "03") == "4300"
    assert ask(ecu, "0101") == "410100070000"
    live.advance(10)
    assert ask(ecu, "03") == "43010301"
    assert ask(ecu, "0A") == "4A010301"
    assert ask(ecu, "0101") == "410181070000"
    by_status = ecu.answer(bytes.fromhex("19020C"))
    assert by_status is not None
    (code,) = trouble_codes.decode_by_status(by_status, ecu="7E8")
    assert (code.code, code.status, code.warning_lamp) == ("P0301", "confirmed", True)

    live.model.dtc.failing = False
    assert ask(ecu, "04") == "44"
    live.advance(10)
    assert ask(ecu, "03") == "4300"
    assert ask(ecu, "07") == "4700"
    assert ask(ecu, "0A") == "4A010301"  # permanent codes cannot be cleared by a tester


def test_other_ecus_keep_no_codes_of_the_engine() -> None:
    live = car(faults=["misfire"])
    transmission = ecus_of(live)[1]
    assert ask(transmission, "03") == "4300"
    assert ask(transmission, "0101") == "410100070000"
    assert ask(transmission, "0902") == "7F0911"


def test_a_parked_car_sleeps() -> None:
    ecu = engine(car(activity="parked"))
    assert ask(ecu, "0100") is None
    assert ask(ecu, "0100", functional=True) is None


@given(st.binary(max_size=12))
def test_no_request_breaks_it(request_bytes: bytes) -> None:
    live = car(driven_s=3)
    for ecu in ecus_of(live):
        answer = ecu.answer(request_bytes)
        if answer:
            assert answer[0] == 0x7F or answer[0] == request_bytes[0] + 0x40
