"""What is asked of a car, in which order, and within which bound; by script, without a bus."""

import pytest

from edge_agent.obd.answers import AnswerError
from edge_agent.recognition.fingerprint import Fingerprint
from edge_agent.recognition.take import (
    QUESTIONS_OF_A_PROFILE,
    QUESTIONS_OF_A_ROUND,
    ask,
    questions_for,
    recognise,
    take_fingerprint,
    vin_by_identifier,
)
from edge_agent.tester.base import address_of
from edge_agent.tester.testing import ScriptedTester
from firmware_profiles.loader import list_profiles
from tests.unit.edge_agent.recognition_support import (
    ELECTRIC,
    ID4_VIN,
    KONA_VIN,
    PETROL,
    car,
    id4,
    kona,
    own_answers,
    silverado,
)


def test_standard_obd_shows_ecus_parameters_vin_and_fuel() -> None:
    tester = car(pids=PETROL | {0x51}, vin=KONA_VIN, more={"7E8": {b"\x01\x51": b"\x41\x51\x01"}})
    found = take_fingerprint(tester)
    assert found == Fingerprint(vin=KONA_VIN, pids={"7E8": PETROL | {0x51}}, fuel_type=1)
    assert found.identifier_bits == 11
    assert not found.silent


def test_a_silent_car_is_asked_once_by_each_dialect() -> None:
    tester = car(obd=None)
    assert take_fingerprint(tester).silent
    assert tester.asked == [("7DF", b"\x01\x00"), ("7DF", b"\x22\xf4\x00")]


def test_a_car_of_the_new_dialect_is_read_by_identifiers() -> None:
    """SAE J1979-2: service 01 is nobody's, the same parameters stand at F4xx and the VIN at F802."""
    script = {
        bytes.fromhex("22F400"): bytes.fromhex("62F400 00180001"),
        bytes.fromhex("22F420"): bytes.fromhex("62F420 00000001"),
        bytes.fromhex("22F440"): bytes.fromhex("62F440 00008000"),
        bytes.fromhex("22F451"): bytes.fromhex("62F451 04"),
        bytes.fromhex("22F802"): bytes.fromhex("62F802") + KONA_VIN.encode(),
    }
    tester = car(obd=None, more={"7E8": script})
    pids, at = {"7E8": frozenset({0x0C, 0x0D, 0x51})}, address_of("7E8")
    assert take_fingerprint(tester) == Fingerprint(vin=KONA_VIN, vin_at=at, pids=pids, fuel_type=4)


def test_the_vin_is_read_by_identifier_where_service_09_is_refused() -> None:
    tester = car(more={"7E8": {b"\x22\xf1\x90": b"\x62\xf1\x90" + KONA_VIN.encode()}})
    found = take_fingerprint(tester)
    assert (found.vin, found.vin_at) == (KONA_VIN, address_of("7E8"))


@pytest.mark.parametrize("content", [b"", b"\xff" * 17, b"KM8K33AG4LU00000", b"0" * 17 + b"1"])
def test_what_is_no_vin_is_none(content: bytes) -> None:
    tester = car(more={"7E8": {b"\x22\xf1\x90": b"\x62\xf1\x90" + content, b"\x09\x02": b"\x49\x02\x01" + content}})
    assert take_fingerprint(tester).vin is None


def test_extended_identifiers_are_told_by_who_answers() -> None:
    found = take_fingerprint(car(obd="18DAF110", vin=ID4_VIN))
    assert found.identifier_bits == 29
    assert address_of("18DAF110").transmit_id == 0x18DA10F1
    assert address_of("7EC").transmit_id == 0x7E4


def test_a_fitting_vin_has_the_own_identifiers_confirm_it() -> None:
    tester = car(kona(), vin=KONA_VIN)
    fingerprint, ranked = recognise(tester, take_fingerprint(tester), (kona(), id4(), silverado()))
    assert ranked[0].profile == "hyundai_kona_electric"
    assert ranked[0].certainty > 0.95
    assert len(ranked) == 1, "the others are ruled out by the VIN"
    assert 0 < len(fingerprint.probes) <= 2 * QUESTIONS_OF_A_PROFILE
    kona_ecus = {question.address.ecu for question in own_answers(kona())}
    assert {ecu for ecu, request in tester.asked if request[0] == 0x22} <= kona_ecus


def test_an_unknown_vin_asks_nothing_of_the_makers() -> None:
    tester = car(vin="KNDC3DLC5N5000001", pids=PETROL)
    _, ranked = recognise(tester, take_fingerprint(tester), (kona(), id4(), silverado()))
    assert ranked == ()
    assert not [request for _, request in tester.asked if request[0] == 0x22]


def test_a_car_without_standard_obd_is_found_by_its_own_identifiers_and_then_tells_its_vin() -> None:
    """As electric cars behind a gateway: the first answers lead to the ECU that keeps the VIN."""
    profile = id4()
    gateway = next(iter(own_answers(profile))).address.ecu
    tester = car(profile, obd=None, more={gateway: {b"\x22\xf1\x90": b"\x62\xf1\x90" + ID4_VIN.encode()}})
    fingerprint, ranked = recognise(tester, take_fingerprint(tester), (kona(), profile, silverado()))
    assert fingerprint.vin == ID4_VIN
    assert ranked[0].profile == profile.name
    assert ranked[0].certainty > 0.95


def test_questions_are_bounded_however_many_profiles_may_fit() -> None:
    tester = car(obd=None)
    everything = [profile for profile in list_profiles().vehicles if not profile.simulated]
    fingerprint, _ = recognise(tester, take_fingerprint(tester), everything)
    asked = [whom for whom, request in tester.asked if whom != "7DF"]
    assert len(asked) == len(set(asked)) <= QUESTIONS_OF_A_ROUND, "each ECU once"
    assert fingerprint.silent


def test_each_ecu_of_a_profile_is_asked_before_one_is_asked_twice() -> None:
    questions = questions_for(Fingerprint(vin=KONA_VIN), [kona()])
    assert len(questions) == QUESTIONS_OF_A_PROFILE
    ecus = [question.address.ecu for question in questions]
    distinct = len({question.address.ecu for question in own_answers(kona())})
    assert len(set(ecus[:distinct])) == min(distinct, QUESTIONS_OF_A_PROFILE)


def test_a_silent_ecu_is_not_asked_again() -> None:
    tester = car(obd=None)
    questions = [question for question in own_answers(kona()) if question.address.ecu == "7EC"]
    assert len(questions) > 1
    probes = ask(tester, questions)
    assert len(tester.asked) == 1
    assert all(probe.silent for probe in probes.values())


def test_a_refusal_is_no_silence() -> None:
    tester = car(kona())
    question = next(iter(own_answers(kona())))
    unknown = ask(tester, [type(question)(address=question.address, request=b"\x22\xff\xff")])
    (probe,) = unknown.values()
    assert (probe.silent, probe.nrc, probe.payload) == (False, 0x31, None)
    assert "NRC 0x31" in probe.reason
    with pytest.raises(AnswerError):
        tester.physical(question.address, b"\x22\xff\xff")


def test_a_drive_that_contradicts_leaves_the_car_generic_after_asking() -> None:
    tester = car(kona(), vin=KONA_VIN, pids=PETROL)
    _, ranked = recognise(tester, take_fingerprint(tester), [kona()])
    assert ranked[0].certainty < car_certainty()


def car_certainty() -> float:
    tester = car(kona(), vin=KONA_VIN, pids=ELECTRIC)
    return recognise(tester, take_fingerprint(tester), [kona()])[1][0].certainty


def test_a_vin_given_by_identifier_is_believed_if_it_is_given_twice() -> None:
    misread = [b"\x62\xf1\x90" + ID4_VIN.encode()]

    def answer(request: bytes) -> bytes | None:
        if request != b"\x22\xf1\x90":
            return None
        return misread.pop() if misread else b"\x62\xf1\x90" + KONA_VIN.encode()

    tester = ScriptedTester({"7E8": answer})
    assert vin_by_identifier(tester, [address_of("7E8")]) == (None, None)
    assert vin_by_identifier(tester, [address_of("7E8")]) == (KONA_VIN, address_of("7E8"))
