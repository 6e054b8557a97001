"""How much a code hurries: what raises it, what lowers it, and that more evidence of a fault never lowers it."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.signals import COOLANT_TEMPERATURE, ENGINE_LOAD, SPEED
from health.trouble_code_urgency import (
    HIGH_LOAD_PERCENT,
    OVERHEATED_CELSIUS,
    CodeEvidence,
    Lamp,
    Status,
    Urgency,
    urgency,
)
from health.urgency_words import advice_text, level_text, reason_texts, why_text
from telemetry.trouble_codes import LANGUAGES, SEVERITIES, Language, describe

CODES = (
    "P0301", "P0420", "P0442", "P0524", "P0217", "P0118", "P0335", "P0AA6", "C0035", "C0021", "B0001", "U0100", "P1234",
    "SPN 100 FMI 1", "SPN 190 FMI 2", "nonsense",
)  # fmt: skip
LAMPS: tuple[Lamp | None, ...] = (None, *get_args(Lamp))


def evidence(code: str = "P0301", status: Status = "confirmed", **frame: float) -> CodeEvidence:
    paths = {"coolant": COOLANT_TEMPERATURE, "load": ENGINE_LOAD, "speed": SPEED}
    return CodeEvidence(code=code, status=status, frame={paths[name].path: value for name, value in frame.items()})


def words(judged: Urgency) -> list[str]:
    return [reason.word for reason in judged.reasons]


def rank(given_evidence: CodeEvidence) -> tuple[int, float]:
    """The graver the larger; fewer days are graver."""
    judged = urgency(given_evidence)
    days = float("inf") if judged.days_to_act is None else judged.days_to_act
    return SEVERITIES.index(judged.severity), -days


any_evidence = st.builds(
    CodeEvidence,
    code=st.sampled_from(CODES),
    status=st.sampled_from(get_args(Status)),
    lamp=st.sampled_from(LAMPS),
    days_seen=st.integers(1, 30),
    frame=st.fixed_dictionaries(
        {},
        optional={
            COOLANT_TEMPERATURE.path: st.floats(-40, 200),
            ENGINE_LOAD.path: st.floats(0, 100),
            SPEED.path: st.floats(0, 250),
        },
    ),
    failed_this_cycle=st.sampled_from((None, True, False)),
)


@given(any_evidence)
def test_confirmed_never_hurries_less_than_pending_or_permanent(found: CodeEvidence) -> None:
    confirmed = rank(replace(found, status="confirmed"))
    assert confirmed >= rank(replace(found, status="pending"))
    assert confirmed >= rank(replace(found, status="permanent"))


@given(any_evidence, st.integers(1, 30))
def test_more_days_with_the_code_never_hurry_less(found: CodeEvidence, more: int) -> None:
    assert rank(replace(found, days_seen=found.days_seen + more)) >= rank(found)


@given(any_evidence)
def test_a_lamp_never_hurries_less(found: CodeEvidence) -> None:
    by_lamp = [rank(replace(found, lamp=lamp)) for lamp in LAMPS]
    assert by_lamp == sorted(by_lamp)


@given(any_evidence, st.sampled_from((COOLANT_TEMPERATURE, ENGINE_LOAD, SPEED)), st.floats(0, 100))
def test_a_worse_freeze_frame_never_hurries_less(found: CodeEvidence, signal: object, more: float) -> None:
    path = getattr(signal, "path", "")
    value = found.frame.get(path, 0.0)
    worse = min(value + more, 100.0 if path == ENGINE_LOAD.path else 215.0)
    assert rank(replace(found, frame={**found.frame, path: max(value, worse)})) >= rank(found)


@given(any_evidence)
def test_what_was_not_there_in_this_cycle_never_hurries_more(found: CodeEvidence) -> None:
    assert rank(replace(found, failed_this_cycle=False)) <= rank(found)


@given(any_evidence)
def test_level_severity_and_days_say_the_same(found: CodeEvidence) -> None:
    judged = urgency(found)
    assert (judged.level == "stop") == (judged.severity == "stop") == (judged.days_to_act == 0)
    assert (judged.level == "drive_on") == (judged.severity == "info") == (judged.days_to_act is None)


@given(any_evidence, st.sampled_from(LANGUAGES))
def test_every_reason_and_advice_has_its_words(found: CodeEvidence, language: Language) -> None:
    judged = urgency(found)
    assert len(reason_texts(judged, language)) == len(judged.reasons)
    for text in (why_text(judged, language), advice_text(found.code, judged, language)):
        assert text
        assert "{" not in text
        assert "None" not in text
    assert level_text(judged.level, language)


def test_a_code_alone_hurries_as_the_catalogue_says() -> None:
    for code in CODES:
        assert urgency(evidence(code)).severity == describe(code, "en").severity


def test_what_the_catalogue_stops_for_is_soon_at_least_when_seen_once() -> None:
    for code in ("P0AA6", "P0893", "P2428", "P0A95"):
        judged = urgency(evidence(code, "pending"))
        assert (judged.level, judged.days_to_act) == ("soon", 3)


@pytest.mark.parametrize("code", ["P0524", "P0217", "P0218", "P2783", "P2787", "P0A7E", "C0021"])
def test_where_harm_comes_within_minutes_one_report_is_enough(code: str) -> None:
    assert urgency(evidence(code, "pending")).level == "stop"


def test_a_pending_code_that_returns_counts_as_confirmed() -> None:
    once = urgency(evidence("P0420", "pending"))
    again = urgency(replace(evidence("P0420", "pending"), days_seen=2))
    assert (once.level, again.level) == ("drive_on", "soon")
    assert "pending" in words(once)
    assert words(again)[-1] == "repeated"


def test_a_code_that_comes_up_again_and_again_leaves_less_time() -> None:
    assert urgency(replace(evidence("P0420"), days_seen=2)).days_to_act == 14
    assert urgency(replace(evidence("P0420"), days_seen=3)).days_to_act == 7
    assert urgency(replace(evidence("P0301"), days_seen=3)).days_to_act == 1


def test_a_misfire_under_load_stops_once_confirmed() -> None:
    assert urgency(evidence(load=HIGH_LOAD_PERCENT)).level == "stop"
    assert urgency(evidence(load=HIGH_LOAD_PERCENT - 1)).level == "soon"
    assert urgency(evidence(status="pending", load=90)).severity == "urgent"
    assert "at_speed" in words(urgency(evidence(load=30, speed=130)))
    assert urgency(evidence("P0420", load=90)).level == "soon", "load says nothing of a catalyst"


def test_a_flashing_lamp_stops_even_what_is_pending() -> None:
    assert urgency(replace(evidence(status="pending"), lamp="flashing")).level == "stop"
    assert urgency(replace(evidence("SPN 190 FMI 2"), lamp="flashing")).severity == "urgent"


def test_an_overheated_engine_stops_whatever_the_code_and_not_by_a_broken_sensor() -> None:
    assert urgency(evidence("P0128", "pending", coolant=OVERHEATED_CELSIUS + 1)).level == "stop"
    assert urgency(evidence("P0128", coolant=OVERHEATED_CELSIUS)).level == "soon"
    assert urgency(evidence("P0118", coolant=140)).level == "soon", "the sensor itself is what fails"
    assert urgency(evidence("P0128", coolant=1000)).level == "soon", "no engine is that hot: misread"


def test_what_is_left_of_a_fault_is_a_step_less_and_still_worth_a_look() -> None:
    assert urgency(evidence("P0301", "permanent")).severity == "soon"
    assert urgency(evidence("P0420", "permanent")).severity == "soon"
    assert urgency(evidence("P0442", "permanent")).severity == "info"
    assert urgency(replace(evidence("P0301"), failed_this_cycle=False)).severity == "soon"


def test_an_unlisted_code_says_so() -> None:
    judged = urgency(evidence("P1234"))
    assert not judged.known
    assert words(judged)[-1] == "unlisted"


def test_advice_gives_the_deadline_of_the_circumstances() -> None:
    code = "P0301"
    alone, raised = urgency(evidence(code)), urgency(evidence(code, load=90))
    assert advice_text(code, alone, "en") == describe(code, "en").advice
    assert "three days" not in advice_text(code, raised, "en")
    often = urgency(replace(evidence("P0AA6", "pending"), days_seen=1))
    assert "3 days" in advice_text("P0AA6", often, "en")


def test_a_code_that_was_never_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        CodeEvidence(code="P0301", status="pending", days_seen=0)
