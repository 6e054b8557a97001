"""Work on a car in words: forms read strictly, what was reported, what the owner is asked, the battery's durability."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from ingest.outbound.services import StoredService, Suspicion
from ingest.storing.state import EstimateState, SignalState, VehicleState
from portal.service_form import Filled, read_work, told_time
from portal.texts import LANGUAGES, Language
from portal.views.durability import durability_panel, vehicle_durability
from portal.views.service import questions, service_lines, state_of, work_form
from rules.services import JOBS, MEASURES
from telemetry.records import Quantity, Source

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
STORED = StoredService(
    id=UUID(int=1),
    vehicle_id=UUID(int=2),
    time=NOW,
    quantity="pad_wear",
    position="Row1",
    action="replaced",
    value=None,
    unit="",
    by_role="workshop",
    by_name="Nord",
    reason="reported",
    created_at=NOW,
    applied_at=None,
    refused_reason=None,
)


# The form


@pytest.mark.parametrize(("written", "value"), [("6.5", 6.5), ("6,5", 6.5), ("25", 25.0), ("0.5", 0.5)])
def test_a_number_may_have_a_point_or_a_comma(written: str, value: float) -> None:
    work, wrong = read_work(Filled(measures={"lining_Row1": written}), "en")
    assert ([entry.value for entry in work], wrong) == ([value], [])


@pytest.mark.parametrize("written", ["0", "26", "nan", "inf", "-6", "6.5.1", "1_0mm", "0x10"])
def test_what_is_no_sane_number_is_told_back_in_both_languages(written: str) -> None:
    for language in LANGUAGES:
        work, (wrong,) = read_work(Filled(measures={"lining_Row2.Left": written}), language)
        assert work == []
        assert written in wrong


def test_what_was_fitted_comes_before_what_was_measured() -> None:
    filled = Filled(jobs=frozenset({"pads_rear", "oil_changed"}), measures={"lining_Row2": "11", "lining_Row1": ""})
    work, _ = read_work(filled, "en")
    assert work == [JOBS["oil_changed"], JOBS["pads_rear"], MEASURES["lining_Row2"].work(11)]


def test_the_form_keeps_what_was_filled_in() -> None:
    form = work_form(frozenset({"tire_mended_Row1.Right"}), {"lining_Row1": "thin"}, "en")
    assert [field.text for field in form.mended if field.ticked] == ["Front right"]
    assert [field.written for field in form.linings if field.written] == ["thin"]
    assert {field.name for field in (*form.jobs, *form.mended)} == set(JOBS)
    assert {field.name for field in (*form.linings, *form.batteries)} == set(MEASURES)


def test_a_day_is_the_owners() -> None:
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)  # in Berlin the next day has begun
    assert told_time(date(2026, 3, 2), late, BERLIN) == late
    assert told_time(date(2026, 3, 1), late, BERLIN) == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert told_time(date(2026, 3, 3), late, BERLIN) is None
    assert told_time(date(2025, 3, 1), late, BERLIN) is None


# What was reported, and what is asked


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, "Front brake pads replaced"),
        ({"action": "measured", "value": 6.5, "unit": "mm"}, "Brake pads, Front axle: 6.5 mm measured"),
        ({"position": "Row9"}, "Brake pads, Row9: replaced or renewed"),
        ({"quantity": "wipers", "position": ""}, "wipers: replaced or renewed"),
    ],
)
def test_services_are_told_in_words_also_where_another_version_wrote_them(
    changes: dict[str, object], what: str
) -> None:
    (line,) = service_lines([replace(STORED, **changes)], "en", BERLIN)  # type: ignore[arg-type]  # fields by name
    assert (line.what, line.by, line.state_text) == (what, "reported by Nord", "on its way to the car")


def test_a_services_state() -> None:
    assert state_of(STORED) == "pending"
    assert state_of(replace(STORED, applied_at=NOW)) == "applied"
    assert state_of(replace(STORED, refused_reason="thin")) == "refused"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("quantity", Quantity)
def test_every_part_can_be_asked_about(quantity: Quantity, language: Language) -> None:
    suspicion = Suspicion(event_id=7, time=NOW, quantity=str(quantity), position="", certainty=0.874, why="?")
    (question,) = questions([suspicion], language, BERLIN)
    assert "87" in question.certainty_text
    assert "2" in question.text  # the day


# Durability


def car(source: Source = "estimated", *, value: float = 90.0, metres: float | None = 40_000_000.0) -> VehicleState:
    battery = EstimateState(
        quantity="traction_battery_soh",
        position="",
        value=value,
        low=value - 2,
        high=value + 2,
        source=source,
        method="test/1",
        time=NOW,
    )
    signals = {} if metres is None else {"traveled_distance": SignalState(value=metres, time=NOW)}
    return VehicleState(vehicle_id=uuid4(), estimates={f"traction_battery_soh/{source}": battery}, signals=signals)


def sentences(state: VehicleState, since: date | None) -> str:
    panel = durability_panel(state, since, "M1", NOW, "en")
    assert panel is not None
    return " ".join(panel.sentences)


def test_a_battery_is_told_its_margin_and_outlook() -> None:
    since = (NOW - timedelta(days=2 * 365.25)).date()
    told = sentences(car(value=95.0), since)
    assert "At least 80 % are required up to 5 years or 100,000 km" in told
    assert "15.0 points above it (90 % sure: 13.0 to 17.0)" in told
    assert "88 % are left then: it holds" in told
    assert "Only" not in told
    assert "2.0 points below it (90 % sure: 0.0 to 4.0)" in sentences(car(value=78.0), since)


def test_what_is_not_known_is_said() -> None:
    assert "Only the mileage is known" in sentences(car(), None)
    assert "Only the age is known" in sentences(car(metres=None), date(2025, 3, 2))
    assert "cannot be said which stage" in sentences(car(metres=None), None)
    assert "nothing is required any more" in sentences(car(), date(2010, 1, 1))


def test_our_estimate_counts_before_the_cars_own_and_no_battery_has_no_panel() -> None:
    both = VehicleState(vehicle_id=uuid4(), estimates={**car("ecu", value=99.0).estimates, **car(value=90.0).estimates})
    found = vehicle_durability(both, date(2025, 3, 2), "N1", NOW)
    assert found is not None
    assert (found.margin, found.stage.required) == (15.0, 75.0)
    assert durability_panel(VehicleState(vehicle_id=uuid4()), None, "M1", NOW, "en") is None
