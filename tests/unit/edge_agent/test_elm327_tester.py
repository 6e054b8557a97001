"""Asking through an ELM327: what it is told, what its replies come to. The process between is left out here."""

import pytest

from edge_agent.obd.answers import AnswerError
from edge_agent.tester.base import IsoTpAddress
from edge_agent.virtual_car.disturb import Disturbance
from tests.unit.edge_agent.elm327_bench import ALL, BRAKES, ENGINE, ENGINE_29, ENGINE_SPEED, SPEED, Bench
from tests.unit.edge_agent.obd_support import VIN


def test_all_ecus_are_asked_and_the_answers_named_by_them() -> None:
    bench = Bench()
    assert bench.tester.functional(SPEED, expected=ALL).answers == {"7E8": b"\x41\x0d\x00", "7E9": b"\x41\x0d\x00"}
    vin = bench.tester.functional(b"\x09\x02", expected=None, enough=1)
    assert vin.answers == {"7E8": b"\x49\x02\x01" + VIN.encode()}
    assert bench.tester.unanswered == 0
    assert bench.tester.protocol == "6"


def test_settings_are_sent_once_and_the_known_number_of_frames_with_the_request() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    assert bench.told() == [
        *("ATE0", "ATL0", "ATS0", "ATH1", "ATCAF1", "ATTP6", "ATAT1", "ATST32", "ATCRA", "ATFCSM0", "ATSH7DF"),
        "010D",
    ]
    before = bench.direct.now
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.told() == ["010D2"]
    assert bench.direct.now == before  # it does not wait for more


def test_a_number_of_frames_that_is_wrong_hides_no_ecu() -> None:
    bench = Bench()
    codes = b"\x03"
    assert bench.tester.functional(codes, expected=ALL).answers == {"7E8": b"\x43\x00", "7E9": b"\x43\x00"}
    bench.told()
    bench.disturbances.set(Disturbance(kind="padded", ecu="7E8", size=8))  # two frames where there was one
    answers = bench.tester.functional(codes, expected=ALL).answers
    assert bench.told() == ["032", "03"]
    assert answers == {"7E8": b"\x43\x00" + b"\x55" * 8, "7E9": b"\x43\x00"}
    for _ in range(4):
        assert bench.tester.functional(codes, expected=ALL).answers == answers


def test_an_ecu_beside_obd_is_reached_with_flow_control_and_obd_again_afterwards() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    bench.told()
    answer = bench.tester.physical(BRAKES, b"\x22\x2b\x01")
    assert len(answer) == 3 + 30
    assert bench.told() == ["ATSH760", "ATCRA768", "ATFCSH760", "ATFCSD300000", "ATFCSM1", "222B01"]
    assert bench.tester.physical(BRAKES, b"\x22\x2b\x01") == answer
    assert bench.told() == ["222B015"]
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.told() == ["ATCRA", "ATFCSM0", "ATSH7DF", "010D2"]
    assert bench.tester.physical(ENGINE, b"\x19\x02\xff")[:2] == b"\x59\x02"
    assert bench.told() == ["ATSH7E0", "1902FF"]


def test_29_bit_identifiers() -> None:
    bench = Bench(car={"identifier_bits": 29, "dids": []})
    answers = bench.tester.functional(SPEED, expected=None).answers
    assert answers
    assert all(name.startswith("18DAF1") for name in answers)
    assert bench.tester.functional(b"\x09\x02", expected=None).answers["18DAF110"][3:] == VIN.encode()
    assert bench.tester.physical(ENGINE_29, b"\x19\x02\xff")[:2] == b"\x59\x02"
    assert {"ATCP18", "ATSHDB33F1", "ATSHDA10F1"} <= set(bench.told())


def test_an_ecu_with_identifiers_of_the_other_length_is_asked_by_the_other_protocol() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    bench.told()
    with pytest.raises(AnswerError, match="CAN ERROR"):  # this car has none
        bench.tester.physical(IsoTpAddress(transmit_id=0x17FC0076, receive_id=0x17FE0076), b"\x22\x02\x8c")
    assert bench.told() == [
        *("ATTP7", "ATCP17", "ATSHFC0076", "ATCRA17FE0076", "ATFCSH17FC0076", "ATFCSD300000", "ATFCSM1"),
        "22028C",
    ]
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.told() == ["ATTP6", "ATCRA", "ATFCSM0", "ATSH7DF", "010D2"]


@pytest.mark.parametrize("lacks", [{"ATS0"}, {"ATCAF1"}, {"ATAT."}, {"ATL0"}, {"ATFCSM0"}, {"ATCRA"}])
def test_what_an_adapter_lacks_is_done_without(lacks: set[str]) -> None:
    bench = Bench(lacks=frozenset(lacks))
    for _ in range(2):
        assert len(bench.tester.physical(BRAKES, b"\x22\x2b\x01")) == 33
        assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert len(bench.tester.lacking) == 1


def test_without_flow_control_a_long_answer_is_truncated_and_no_value() -> None:
    bench = Bench(lacks=frozenset({"ATFC.*"}))
    with pytest.raises(AnswerError, match="truncated answer of 768: 6 of 33 bytes"):
        bench.tester.physical(BRAKES, b"\x22\x2b\x01")
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert "ATFCSH" in bench.tester.lacking


def test_an_adapter_without_receive_addresses_cannot_reach_other_ecus() -> None:
    bench = Bench(lacks=frozenset({"ATCRA.+"}))
    with pytest.raises(AnswerError, match="cannot reach the ECU: it does not know ATCRA768"):
        bench.tester.physical(BRAKES, b"\x22\x2b\x01")
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL


def test_a_negative_answer_says_its_code() -> None:
    bench = Bench()
    with pytest.raises(AnswerError, match="NRC 0x31"):
        bench.tester.physical(ENGINE, b"\x22\xff\xff")
    bench.disturbances.set(Disturbance(kind="negative", code=0x22))
    assert bench.tester.functional(ENGINE_SPEED, expected={"7E8"}).answers == {"7E8": b"\x7f\x01\x22"}
    assert bench.tester.unanswered == 0


@pytest.mark.parametrize(("size", "delay_s"), [(1, 0.1), (1, 0.6), (3, 0.9)])
def test_an_ecu_that_asks_for_patience_gets_it(size: int, delay_s: float) -> None:
    bench = Bench()
    bench.disturbances.set(Disturbance(kind="pending", size=size, delay_s=delay_s))
    assert len(bench.tester.physical(BRAKES, b"\x22\x2b\x01")) == 33
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL


@pytest.mark.parametrize("delay_s", [0.5, 1.5])
def test_patience_has_an_end(delay_s: float) -> None:
    bench = Bench()
    bench.disturbances.set(Disturbance(kind="pending", size=1000, delay_s=delay_s))
    before = bench.direct.now
    with pytest.raises(AnswerError, match=r"asked for patience|did not end its reply"):
        bench.tester.physical(BRAKES, b"\x22\x2b\x01")
    exchange = bench.tester.functional(SPEED, expected=ALL)
    assert exchange.answers == {}
    assert exchange.trouble is not None
    assert bench.direct.now - before < 60


def test_what_changes_the_car_is_never_asked_twice() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    bench.told()
    bench.disturbances.set(Disturbance(kind="pending", size=1, delay_s=5.0))
    exchange = bench.tester.functional(b"\x04", expected=ALL)
    assert exchange.answers == {}
    assert exchange.trouble == "asked for patience (NRC 0x78) and gave no answer"
    with pytest.raises(AnswerError, match="asked for patience"):
        bench.tester.physical(ENGINE, b"\x14\xff\xff\xff")
    assert bench.told().count("04") == 1


def test_an_answer_of_another_ecu_is_not_this_ones() -> None:
    bench = Bench()
    bench.disturbances.set(Disturbance(kind="wrong_ecu", as_ecu="7EF"))
    with pytest.raises(AnswerError, match="no answer"):
        bench.tester.physical(ENGINE, b"\x19\x02\xff")


def test_voltage_and_name_are_the_adapters_own() -> None:
    bench = Bench(voltage=lambda: 11.8, version="ELM327 v1.5")
    assert bench.tester.supply_voltage() == 11.8
    assert bench.tester.identity() == "ELM327 v1.5"
    assert bench.told() == ["ATRV", "ATI"]
    with pytest.raises(AnswerError, match="does not measure the voltage"):
        Bench(lacks=frozenset({"ATRV"})).tester.supply_voltage()


def test_a_request_of_several_frames_does_not_fit() -> None:
    bench = Bench()
    with pytest.raises(AnswerError, match="8 bytes: an ELM327 sends up to 7"):
        bench.tester.physical(ENGINE, bytes(8))
    assert bench.tester.functional(b"", expected=None).trouble is not None
