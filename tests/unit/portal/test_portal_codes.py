"""Trouble codes on a vehicle's page and in the API: drive on, soon or stop, with the reasons, in both languages."""

from datetime import UTC, datetime

import pytest

from health.signals import ENGINE_LOAD
from health.trouble_code_urgency import CodeEvidence, Status, urgency
from ingest.reading_store import TroubleCode
from portal.texts import Language
from portal.views.api import trouble_code_json
from portal.views.vehicle import code_lines

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def stored(status: Status = "confirmed") -> TroubleCode:
    return TroubleCode(code="P0301", ecu="7E8", status=status, mil=True, first_seen=NOW, last_seen=NOW)


@pytest.mark.parametrize(
    ("status", "load", "language", "level", "why"),
    [
        ("confirmed", 90.0, "en", "Stop", "90 % load"),
        ("confirmed", 90.0, "zh", "请停车", "90%"),
        ("confirmed", 20.0, "en", "See to it soon", "should not wait"),
        ("pending", 20.0, "zh", "尽快检修", "仅检测到一次"),
    ],
)
def test_an_owner_reads_the_level_and_why(
    status: Status, load: float, language: Language, level: str, why: str
) -> None:
    judged = urgency(CodeEvidence(code="P0301", status=status, frame={ENGINE_LOAD.path: load}))
    (line,) = code_lines([stored(status)], {"P0301": judged}, NOW, language)
    assert line.level_text == level
    assert why in line.why
    assert line.severity == judged.severity


def test_the_advice_has_the_deadline_of_the_level() -> None:
    judged = urgency(CodeEvidence(code="P0301", status="confirmed", frame={ENGINE_LOAD.path: 90.0}))
    (line,) = code_lines([stored()], {"P0301": judged}, NOW, "en")
    assert line.advice.startswith("Stop as soon as it is safe")


def test_the_api_gives_the_code_alone_and_its_circumstances() -> None:
    judged = urgency(CodeEvidence(code="P0301", status="confirmed", frame={ENGINE_LOAD.path: 90.0}))
    told = trouble_code_json(stored(), judged, "en")
    assert (told.severity, told.urgency, told.days_to_act) == ("urgent", "stop", 0)
    assert len(told.reasons) == len(judged.reasons)
