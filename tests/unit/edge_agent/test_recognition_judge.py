"""Which profile a fingerprint means, and that weak or contradictory evidence means none."""

from collections.abc import Mapping

import pytest

from edge_agent.profile_dids import profile_dids
from edge_agent.recognition.fingerprint import Fingerprint, Probe, Question, drive_of
from edge_agent.recognition.judge import CHOOSE_FROM, Recognition, choose, rank
from edge_agent.recognition.vin import check_digit_is_right
from firmware_profiles.loader import list_profiles, load_vehicle_profile
from firmware_profiles.profile import VehicleProfile
from tests.unit.edge_agent.recognition_support import (
    DIESEL,
    ELECTRIC,
    ID4_VIN,
    KONA_VIN,
    PETROL,
    SILVERADO_VIN,
    id4,
    kona,
    named,
    own_answers,
    silverado,
)

GENERIC = load_vehicle_profile("generic")
ALL = (kona(), id4(), silverado(), GENERIC)
REFUSED = Probe(reason="NRC 0x31 (request out of range)", nrc=0x31)
SILENT = Probe(reason="no answer in 200 ms", silent=True)


def answered(profile: VehicleProfile) -> dict[Question, Probe]:
    return {question: Probe(payload=payload) for question, payload in own_answers(profile).items()}


def all_are(profile: VehicleProfile, probe: Probe) -> dict[Question, Probe]:
    return {Question.of(definition): probe for definition in profile_dids(profile)}


def seen(
    vin: str | None,
    pids: frozenset[int] = ELECTRIC,
    probes: Mapping[Question, Probe] | None = None,
    fuel_type: int | None = None,
) -> Fingerprint:
    return Fingerprint(vin=vin, pids={"7E8": pids} if pids else {}, probes=probes or {}, fuel_type=fuel_type)


def best(fingerprint: Fingerprint, *profiles: VehicleProfile) -> Recognition:
    return choose(rank(fingerprint, profiles or ALL), GENERIC)


@pytest.mark.parametrize(
    ("profile", "vin", "pids"),
    [(kona(), KONA_VIN, ELECTRIC), (id4(), ID4_VIN, frozenset()), (silverado(), SILVERADO_VIN, PETROL)],
    ids=["kona", "id4", "silverado"],
)
def test_a_car_that_fits_and_answers_is_recognised(profile: VehicleProfile, vin: str, pids: frozenset[int]) -> None:
    found = best(seen(vin, pids, answered(profile)))
    assert found.profile == profile.name
    assert found.certainty > 0.9
    assert any(reason.startswith("The VIN begins with") for reason in found.reasons)
    assert any("answered plausibly" in reason for reason in found.reasons)
    assert vin not in " ".join(found.reasons), "reasons are logged and sent"


def test_the_reasons_are_sentences() -> None:
    found = best(seen(KONA_VIN, ELECTRIC, answered(kona())))
    for reason in found.reasons:
        assert reason[0].isalpha()
        assert reason.endswith(".")
    assert "Its model year, 2020, is within 2019 to 2024." in found.reasons
    assert any("traction_battery_soh 99.1 %" in reason for reason in found.reasons)


def test_each_answer_raises_and_each_refusal_lowers_the_certainty() -> None:
    profile = kona()
    answers = list(answered(profile).items())
    ladder = [rank(seen(KONA_VIN, ELECTRIC, dict(answers[:n])), [profile])[0].certainty for n in range(4)]
    assert ladder == sorted(ladder)
    assert len(set(ladder)) == 4
    asked = list(all_are(profile, REFUSED).items())
    down = [rank(seen(KONA_VIN, ELECTRIC, dict(asked[:n])), [profile])[0].certainty for n in range(4)]
    assert down == sorted(down, reverse=True)
    assert len(set(down)) == 4


def test_a_vin_alone_does_where_it_tells_the_model_and_not_where_it_tells_the_maker() -> None:
    exact = id4(vin=("WVGZZZE2",))
    assert best(seen(ID4_VIN, frozenset()), exact).profile == exact.name
    maker = id4(vin=("WVG",))
    assert best(seen(ID4_VIN, frozenset()), maker).profile == "generic"


def test_the_own_identifiers_refused_outweigh_a_vin_that_fits() -> None:
    found = best(seen(KONA_VIN, ELECTRIC, all_are(kona(), REFUSED)))
    assert found.profile == "generic"
    assert "Hyundai Kona Electric" in found.reasons[0]
    assert "not certain enough" in found.reasons[0]
    assert any("was refused: NRC 0x31" in reason for reason in found.reasons)


def test_answers_that_cannot_be_true_speak_against() -> None:
    profile = kona()
    high = {question: Probe(payload=payload[:3] + b"\xff" * 60) for question, payload in own_answers(profile).items()}
    found = rank(seen(KONA_VIN, ELECTRIC, high), [profile])[0]
    assert found.certainty < 0.2
    assert any("answered what cannot be" in reason for reason in found.reasons)
    short = {question: Probe(payload=payload[:4]) for question, payload in own_answers(profile).items()}
    found = rank(seen(KONA_VIN, ELECTRIC, short), [profile])[0]
    assert found.certainty < 0.1
    assert any("not as expected" in reason for reason in found.reasons)


def test_an_ecu_that_is_busy_says_little() -> None:
    profile = kona()
    busy = rank(seen(KONA_VIN, probes=all_are(profile, Probe(reason="NRC 0x22", nrc=0x22))), [profile])[0]
    lacking = rank(seen(KONA_VIN, probes=all_are(profile, REFUSED)), [profile])[0]
    assert busy.certainty > lacking.certainty + 0.2


def test_another_vin_rules_a_profile_out_even_if_it_answers() -> None:
    found = best(seen("KNDC3DLC5N5000001", ELECTRIC, answered(kona())))
    assert found.profile == "generic"
    assert found.reasons == ("No profile fits what this car shows of itself.",)


def test_another_drive_contradicts() -> None:
    found = best(seen(SILVERADO_VIN, ELECTRIC, answered(silverado())))
    assert found.profile == "generic"
    assert any("It is an electric car, not a petrol one" in reason for reason in found.reasons)
    diesel = best(seen(SILVERADO_VIN, DIESEL, answered(silverado())))
    assert diesel.profile == "generic"


def test_another_model_year_contradicts_where_it_is_certain() -> None:
    old = SILVERADO_VIN[:9] + "F" + SILVERADO_VIN[10:]
    found = best(seen(old, PETROL, answered(silverado())))
    assert found.profile == "generic"
    assert "Chevrolet Silverado 1500, petrol, from 2022: Its model year, 2015, is outside 2022 to now." in found.reasons
    european = ID4_VIN[:9] + "H" + ID4_VIN[10:]  # the maker may put there what it likes
    assert best(seen(european, frozenset(), answered(id4()))).profile == id4().name


def test_a_wrong_check_digit_halves_what_the_vin_says() -> None:
    right = next(vin for digit in "0123456789X" if check_digit_is_right(vin := f"1GCUYDED{digit}NZ000001"))
    wrong = right[:8] + ("1" if right[8] != "1" else "2") + right[9:]
    sure = rank(seen(right, PETROL), [silverado()])[0]
    unsure = rank(seen(wrong, PETROL), [silverado()])[0]
    assert sure.certainty > unsure.certainty + 0.1
    assert any("may be misread" in reason for reason in unsure.reasons)


def test_two_that_explain_the_car_alike_are_both_named_and_neither_chosen() -> None:
    first, second = named("ford_f150", vin=("1FT",)), named("ford_f250_power_stroke", vin=("1FT",))
    vin = "1FTFW1E50MFA00001"
    found = best(seen(vin, frozenset(), answered(first)), first, second)
    assert found.profile == "generic"
    assert first.title in found.reasons[0]
    assert second.title in found.reasons[0]
    assert "too nearly alike" in found.reasons[0]


def test_the_more_exact_of_two_fitting_patterns_wins() -> None:
    broad, exact = named("ford_f150", vin=("1FT",)), named("ford_f250_power_stroke", vin=("1FT7W2BT",))
    ranked = rank(seen("1FT7W2BT5MEC00001", frozenset(), answered(broad)), [broad, exact])
    assert ranked[0].profile == exact.name


def test_without_a_vin_several_own_identifiers_are_needed() -> None:
    profile = kona()
    probes = answered(profile)
    one = dict(list(probes.items())[:1])
    assert best(seen(None, ELECTRIC, one), profile).profile == "generic"
    found = best(seen(None, ELECTRIC, probes), profile)
    assert found.profile == profile.name
    assert "The VIN could not be read." in found.reasons


def test_an_ecu_of_the_match_that_answers_speaks_for_it() -> None:
    profile = kona(ecus=(0x7E8,))
    without = rank(seen(KONA_VIN), [kona()])[0]
    found = rank(seen(KONA_VIN), [profile])[0]
    assert found.certainty > without.certainty
    assert "ECU 7E8 answers." in found.reasons


def test_silence_beside_answers_is_sleep_and_alone_speaks_against() -> None:
    profile = kona()
    answers = answered(profile)
    by_ecu = {question.address.ecu for question in answers}
    assert len(by_ecu) > 1
    one = next(question.address.ecu for question in answers)
    partly = {q: (p if q.address.ecu == one else SILENT) for q, p in answers.items()}
    assert best(seen(KONA_VIN, ELECTRIC, partly)).profile == profile.name
    nobody = rank(seen(KONA_VIN, ELECTRIC, all_are(profile, SILENT)), [profile])[0]
    assert nobody.certainty < rank(seen(KONA_VIN, ELECTRIC), [profile])[0].certainty


def test_certainties_of_all_and_of_no_profile_add_up_to_one() -> None:
    ranked = rank(seen(None, ELECTRIC, answered(kona())), ALL)
    assert 0 < sum(found.certainty for found in ranked) < 1
    assert all(0 <= found.certainty <= 1 for found in ranked)


def test_an_empty_fingerprint_means_generic_for_every_profile_that_ships() -> None:
    found = choose(rank(Fingerprint(), list_profiles().vehicles), GENERIC)
    assert found.profile == "generic"


def test_a_profile_without_match_is_never_chosen() -> None:
    assert rank(seen(KONA_VIN, ELECTRIC), [GENERIC, load_vehicle_profile("virtual_electric")]) == ()


@pytest.mark.parametrize(
    ("pids", "fuel_type", "drive"),
    [
        (PETROL, None, "petrol"),
        (DIESEL, None, "diesel"),
        (ELECTRIC, None, "electric"),
        (frozenset({0x01, 0x0D}), None, "electric"),
        (PETROL | {0x5B}, None, "hybrid"),
        (PETROL, 4, "diesel"),
        (PETROL, 8, "electric"),
        (DIESEL, 17, "hybrid"),
        (PETROL, 0, "petrol"),
        (frozenset({0x0C, 0x0D}), None, "combustion"),
    ],
)
def test_what_it_runs_on(pids: frozenset[int], fuel_type: int | None, drive: str) -> None:
    found = drive_of(seen(None, pids, fuel_type=fuel_type))
    assert found is not None
    assert found[0] == drive


def test_nothing_is_said_of_the_drive_without_parameters() -> None:
    assert drive_of(Fingerprint()) is None
    assert drive_of(seen(None, frozenset({0x05, 0x0D}))) is None


def test_a_choice_below_the_threshold_is_the_generic_one_with_the_rest_of_the_certainty() -> None:
    weak = Recognition(profile="a", title="A", certainty=CHOOSE_FROM - 0.01, reasons=("It may be.",))
    found = choose([weak], GENERIC)
    assert found.profile == "generic"
    assert found.certainty == pytest.approx(1 - weak.certainty)
    assert found.reasons[-1] == "A: It may be."
    strong = Recognition(profile="a", title="A", certainty=CHOOSE_FROM, reasons=("It is.",))
    assert choose([strong], GENERIC) is strong


def test_an_ecu_that_answers_everything_with_one_byte_is_no_car_of_ours() -> None:
    """As simulators do, and memories nobody has written to."""
    profile = load_vehicle_profile("ford_f250_power_stroke")
    probes = {
        Question.of(definition): Probe(payload=b"\x62" + definition.request[1:] + bytes(8))
        for definition in profile_dids(profile)
    }
    found = best(seen(None, DIESEL, probes), profile)
    assert found.profile == "generic"
    assert sum("one byte over and over" in reason for reason in found.reasons) == len(probes)


@pytest.mark.parametrize("name", ["mazda_cx5", "nissan_altima", "jeep_grand_cherokee"])
def test_without_a_vin_the_answers_of_one_ecu_do_not_tell_which_of_a_maker_s_models_it_is(name: str) -> None:
    profile = load_vehicle_profile(name)
    found = best(seen(None, PETROL, answered(profile)), profile)
    assert found.certainty < CHOOSE_FROM
    assert sum("answered plausibly" in reason for reason in found.reasons) == 4
