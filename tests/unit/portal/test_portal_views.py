"""What pages show, from records alone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from ingest.reading_store import DeviceState, EstimatePoint, EstimateState, VehicleState
from ingest.registry import Device, Vehicle
from portal.calendar_file import calendar_file
from portal.formats import ago, day, money, number, span
from portal.views.durability import battery_estimate
from portal.views.fleet import Filter, FleetRow, chips_of, fleet, fleet_row
from portal.views.health import Curve, by_place, health_cards
from portal.views.offer import offer_page, stage_of
from portal.views.quantities import shown_quantities, worst
from portal.views.workshop import day_page
from rules.alerts import Alert
from rules.booking.records import Period
from rules.booking.transitions import BookingState
from rules.booking.views import BayDay, BookingView, DayEntry, FreeSlot, OfferView, WorkshopDay
from telemetry.records import Limitation

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


def estimate(quantity: str, value: float, *, source: str = "estimated", position: str = "") -> EstimateState:
    return EstimateState(
        quantity=quantity,
        position=position,
        value=value,
        low=value - 1,
        high=value + 1,
        source="ecu" if source == "ecu" else "estimated",
        method="test/1",
        time=NOW - timedelta(hours=1),
    )


def curve(quantity: str, *, now_at: float, per_day: float, days: int = 60, position: str = "") -> Curve:
    points = tuple(
        EstimatePoint(
            time=NOW - (days - n) * DAY,
            value=now_at - per_day * (days - n),
            low=now_at - per_day * (days - n) - 1,
            high=now_at - per_day * (days - n) + 1,
            source="estimated",
        )
        for n in range(days + 1)
    )
    return Curve(
        quantity=quantity, position=position, latest=(estimate(quantity, now_at, position=position),), points=points
    )


def test_the_ecus_value_comes_first_and_the_estimate_beside_it() -> None:
    places = by_place([estimate("oil_life", 44.0), estimate("oil_life", 40.0, source="ecu"), estimate("unheard_of", 1)])
    assert [entry.source for entry in places["oil_life", ""]] == ["ecu", "estimated"]
    assert list(places) == [("oil_life", "")]
    (card,) = health_cards(
        [Curve(quantity="oil_life", position="", latest=places["oil_life", ""], points=())],
        now=NOW, language="en", zone=BERLIN,
    )  # fmt: skip
    assert card.main.source == "ecu"
    assert card.main.value_text == "40"
    assert card.main.beside_text == "Estimated: 44 % (43\N{EN DASH}45)"


def test_an_interval_narrower_than_its_digits_is_not_written() -> None:
    told = replace(estimate("pad_wear", 54.0), low=53.8, high=54.2)
    (card,) = health_cards(
        [Curve(quantity="pad_wear", position="", latest=(told,), points=())], now=NOW, language="en", zone=BERLIN
    )
    assert card.main.interval_text == ""


def test_a_value_that_is_a_guess_is_called_uncertain_and_not_judged() -> None:
    found = curve("traction_battery_soh", now_at=79, per_day=-0.1)
    guess = replace(found, latest=(replace(found.latest[0], limited_by=Limitation.FLAT_VOLTAGE),))
    (sure,) = health_cards([found], now=NOW, language="en", zone=BERLIN)
    assert (sure.tone, sure.main.value_text) == ("act", "79.0")
    (card,) = health_cards([guess], now=NOW, language="en", zone=BERLIN)
    assert (card.tone, card.main.value_text, card.main.forecast, card.main.chart) == (
        "unknown",
        "uncertain",
        None,
        None,
    )
    assert card.main.forecast_text == "The value is too uncertain to judge or to forecast."
    state = VehicleState(vehicle_id=uuid4(), estimates={"soh": guess.latest[0]})
    (chip,) = chips_of(state, "zh")
    assert (chip.tone, chip.text) == ("unknown", "无法确定")
    assert battery_estimate(state) is None


def test_what_was_a_guess_is_no_part_of_a_forecast() -> None:
    found = curve("traction_battery_soh", now_at=85, per_day=-0.1)
    guessed = tuple(replace(point, limited_by=Limitation.FLAT_VOLTAGE) for point in found.points)
    (card,) = health_cards([replace(found, points=guessed)], now=NOW, language="en", zone=BERLIN)
    assert card.main.forecast is None


def test_a_falling_value_is_forecast_to_its_limit() -> None:
    limit = shown_quantities()["oil_life"].limit
    (card,) = health_cards([curve("oil_life", now_at=limit + 20, per_day=-0.5)], now=NOW, language="en", zone=BERLIN)
    forecast = card.main.forecast
    assert forecast is not None
    assert forecast.median is not None
    assert abs((forecast.median - NOW) - 40 * DAY) < 6 * DAY
    assert "Expected to reach its limit of 10 %" in card.main.forecast_text
    assert card.main.chart is not None
    assert "chart-crossing" in card.main.chart


def test_a_limit_in_sight_is_worth_watching_before_the_value_is() -> None:
    (card,) = health_cards([curve("oil_life", now_at=40.0, per_day=-1.5)], now=NOW, language="en", zone=BERLIN)
    assert shown_quantities()["oil_life"].tone(40.0) == "good"
    assert card.tone == "watch"


def test_a_limit_reached_is_said_plainly_in_both_languages() -> None:
    worn = curve("pad_wear", now_at=91.0, per_day=0.3, position="Row1.Left")
    (english,) = health_cards([worn], now=NOW, language="en", zone=BERLIN)
    (chinese,) = health_cards([worn], now=NOW, language="zh", zone=BERLIN)
    assert english.main.forecast_text == "The limit of 85 % is reached."
    assert chinese.main.forecast_text == "已达到极限 85 %。"
    assert (english.tone, english.main.label, chinese.main.label) == ("act", "Front left", "左前")


def test_wheels_share_a_card_with_the_worst_first() -> None:
    curves = [curve("pad_wear", now_at=value, per_day=0.1, position=wheel) for wheel, value in
              (("Row1.Left", 30.0), ("Row2.Right", 72.0), ("Row1.Right", 31.0))]  # fmt: skip
    (card,) = health_cards(curves, now=NOW, language="en", zone=BERLIN)
    assert [item.position for item in card.items] == ["Row2.Right", "Row1.Right", "Row1.Left"]
    assert card.tone == "watch"


def test_what_presses_most_comes_first() -> None:
    cards = health_cards(
        [curve("traction_battery_soh", now_at=97.0, per_day=0.0), curve("oil_life", now_at=5.0, per_day=-0.3)],
        now=NOW, language="en", zone=BERLIN,
    )  # fmt: skip
    assert [card.quantity for card in cards] == ["oil_life", "traction_battery_soh"]


def test_limits_are_those_of_the_rules() -> None:
    limits = {name: shown.limit for name, shown in shown_quantities().items()}
    assert limits["oil_life"] == 10
    assert limits["pad_wear"] == 85
    assert limits["traction_battery_soh"] == 80
    assert limits["low_voltage_battery_health"] == 40


@pytest.mark.parametrize(
    ("quantity", "value", "tone"),
    [("oil_life", 10.0, "act"), ("oil_life", 24.0, "watch"), ("oil_life", 26.0, "good"),
     ("pad_wear", 85.0, "act"), ("pad_wear", 75.0, "watch"), ("pad_wear", 20.0, "good")],
)  # fmt: skip
def test_values_are_judged_by_their_limit(quantity: str, value: float, tone: str) -> None:
    assert shown_quantities()[quantity].tone(value) == tone


def test_the_worst_of_nothing_is_unknown() -> None:
    assert worst([]) == "unknown"
    assert worst(["good", "act", "watch"]) == "act"


# The fleet


def alert(severity: str = "soon") -> Alert:
    return Alert(
        id=uuid4(), vehicle_id=uuid4(), rule_id="oil_life_low", rule_version="1", subject="",
        severity=severity,  # type: ignore[arg-type]  # the parameter is text here
        title_en="Oil", title_zh="机油", text_en="", text_zh="", job=None, evidence={}, opened_at=NOW, closed_at=None,
    )  # fmt: skip


def row(
    label: str, *, oil: float | None = None, alerts: tuple[Alert, ...] = (), seen: datetime | None = NOW
) -> FleetRow:
    vehicle_id = uuid4()
    estimates = {} if oil is None else {"oil_life": estimate("oil_life", oil)}
    return fleet_row(
        Vehicle(
            id=vehicle_id, owner_id=uuid4(), label=label, vin=None, profile="generic", in_service_since=None,
            created_at=NOW,
        ),
        VehicleState(vehicle_id=vehicle_id, version=1, last_sample_at=seen, estimates=estimates),
        alerts,
        [Device(id=f"dongle-{label.lower()}", vehicle_id=vehicle_id, hardware="x", enabled=True, created_at=NOW)],
        {f"dongle-{label.lower()}": DeviceState(
            device_id=f"dongle-{label.lower()}", boot=uuid4(), state="online", time=NOW, version="1",
            pending_batches=4)},
        now=NOW, language="en", zone=BERLIN,
    )  # fmt: skip


def test_the_fleet_shows_what_presses_most_first() -> None:
    view = fleet([row("Good", oil=80), row("Low", oil=4), row("Called", oil=80, alerts=(alert("urgent"),)), row("New")])
    assert [entry.label for entry in view.rows] == ["Called", "Low", "Good", "New"]
    assert (view.vehicles, view.with_alerts, view.to_watch, view.pending_batches) == (4, 1, 2, 16)


@pytest.mark.parametrize(
    ("search", "only", "found"),
    [("", "all", {"Good", "Low", "Old"}), ("low", "all", {"Low"}), ("dongle-good", "all", {"Good"}),
     ("", "watch", {"Low"}), ("", "silent", {"Old"}), ("", "alerts", set()), ("good low", "all", set())],
)  # fmt: skip
def test_the_fleet_can_be_searched(search: str, only: Filter, found: set[str]) -> None:
    rows = [row("Good", oil=80), row("Low", oil=4), row("Old", oil=80, seen=NOW - 8 * DAY)]
    assert {entry.label for entry in fleet(rows, search=search, only=only).rows} == found


def test_a_car_never_heard_of_says_so() -> None:
    entry = row("New", seen=None)
    assert (entry.last_seen_text, entry.silent, entry.tone) == ("never", True, "unknown")


# Offers


def booking(state: BookingState = BookingState.PROPOSED, **changes: object) -> BookingView:
    start = NOW + DAY
    offers = tuple(
        OfferView(
            id=UUID(int=rank), rank=rank, workshop_id=UUID(int=10 + rank), workshop_name=f"W{rank}",
            time_zone="Europe/Berlin", bay_id=uuid4(), period=Period(start=start, end=start + timedelta(hours=1)),
            price=Decimal("99.50"), currency="EUR", distance_km=3.25, rating=4.6, score=1.0,
            chosen=rank == 1, free=rank != 3,
        )
        for rank in (1, 2, 3)
    )  # fmt: skip
    view = BookingView(
        id=UUID(int=5), alert_id=uuid4(), vehicle_id=uuid4(), vehicle_label="Blue Polo", owner_id=uuid4(),
        owner_name="Ada", owner_language="en", owner_time_zone="Asia/Shanghai", workshop_id=UUID(int=11),
        workshop_name="W1", time_zone="Europe/Berlin", bay_id=uuid4(), bay_name="Bay 1", job="oil_change",
        period=Period(start=start, end=start + timedelta(hours=1)), price=Decimal("99.50"), currency="EUR", state=state,
        held_until=NOW + timedelta(hours=5, minutes=30), sequence=0, report=None, created_at=NOW, changed_at=NOW,
        severity="soon", title_en="Oil is due", title_zh="机油到期", text_en="Change it.", text_zh="请更换。",
        vin=None, profile="generic", offers=offers,
    )  # fmt: skip
    return replace(view, **changes)  # type: ignore[arg-type]  # fields by name


def test_the_held_offer_says_how_long_and_in_whose_time() -> None:
    offer = offer_page(booking(), (), now=NOW, language="en", zone=ZoneInfo("Asia/Shanghai"))
    assert (offer.stage, offer.time_left, offer.when) == ("open", "5 h", "Tue 3 Mar, 10:00\N{EN DASH}11:00")
    assert offer.own_time == "In your time zone: Tue 3 Mar, 17:00\N{EN DASH}18:00 (Asia/Shanghai)"
    assert [(card.chosen, card.available) for card in offer.cards] == [(True, True), (False, True), (False, False)]
    assert (offer.price, offer.cards[0].distance) == ("€99.50", "3.2 km")


def test_a_hold_is_over_when_its_time_is_and_not_when_a_worker_notices() -> None:
    later = NOW + timedelta(hours=6)
    assert stage_of(booking(), later) == "ran_out"
    assert stage_of(booking(BookingState.EXPIRED), NOW) == "ran_out"
    assert stage_of(booking(BookingState.CONFIRMED), later) == "confirmed"
    offer = offer_page(booking(), (), now=later, language="zh", zone=BERLIN)
    assert offer.time_left is None
    assert not any(card.chosen for card in offer.cards)


def test_free_times_are_listed_by_the_workshops_day() -> None:
    starts = [datetime(2026, 3, 2, 22, 30, tzinfo=UTC), datetime(2026, 3, 2, 23, 30, tzinfo=UTC)]  # 23:30 and 00:30
    slots = [
        FreeSlot(workshop_id=uuid4(), time_zone="Europe/Berlin", bay_id=uuid4(), period=Period(start=s, end=s + DAY))
        for s in starts
    ]
    days = offer_page(booking(), slots, now=NOW, language="en", zone=BERLIN).days
    assert [(entry.day, [label for _, label in entry.slots]) for entry in days] == [
        ("Mon 2 Mar", ["23:30"]),
        ("Tue 3 Mar", ["00:30"]),
    ]
    assert datetime.fromisoformat(days[0].slots[0][0]) == starts[0]


def test_the_calendar_file_holds_the_appointment_and_nobodys_address() -> None:
    text = calendar_file(booking(BookingState.CONFIRMED), "en", link="http://h/b", stamp=NOW).decode()
    assert "DTSTART;TZID=Europe/Berlin:20260303T100000" in text
    assert "UID:00000000-0000-0000-0000-000000000005@wearcast" in text
    assert "BEGIN:VTIMEZONE" in text
    assert "mailto" not in text


# The workshop's day


def entry(start: datetime, minutes: int, state: BookingState = BookingState.CONFIRMED) -> DayEntry:
    held = state is BookingState.PROPOSED
    return DayEntry(
        booking_id=uuid4(), period=Period(start=start, end=start + timedelta(minutes=minutes)), job="oil_change",
        state=state, vehicle_label=None if held else "Polo", vin=None, owner_name=None,
        title_en=None if held else "Oil", title_zh=None if held else "机油", report=None,
    )  # fmt: skip


def test_the_timetable_places_each_booking_once_and_fills_every_row() -> None:
    opens = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)  # 08:00 in Berlin
    facts = WorkshopDay(
        workshop_id=uuid4(), workshop_name="W", time_zone="Europe/Berlin", day=date(2026, 3, 3),
        open=(Period(start=opens, end=opens + timedelta(hours=3)),),
        bays=(
            BayDay(bay_id=uuid4(), name="A", skills=frozenset(), entries=(entry(opens + timedelta(minutes=45), 45),)),
            BayDay(bay_id=uuid4(), name="B", skills=frozenset(),
                   entries=(entry(opens, 60), entry(opens + timedelta(hours=1), 60, BookingState.PROPOSED))),
        ),
    )  # fmt: skip
    view = day_page(facts, now=NOW, language="en")
    for column in range(2):
        covered = sum(cell.rows for row in view.rows if (cell := row.cells[column]) is not None)
        assert covered == len(view.rows)
    booked = [cell for row in view.rows for cell in row.cells if cell is not None and cell.kind == "booked"]
    assert len(booked) == 3
    held = view.bays[1].entries[1]
    assert (held.vehicle, held.has_page, held.state) == (None, False, "proposed")
    assert (view.booked, view.held, view.hours) == (2, 1, "08:00\N{EN DASH}11:00")


def test_a_closed_day_is_said() -> None:
    facts = WorkshopDay(
        workshop_id=uuid4(), workshop_name="W", time_zone="Europe/Berlin", day=date(2026, 3, 8), open=(), bays=()
    )
    view = day_page(facts, now=NOW, language="zh")
    assert (view.is_closed, view.rows, view.day_text) == (True, (), "2026年3月8日 星期日")


# Formats


@pytest.mark.parametrize(
    ("seconds", "text"), [(30, "just now"), (90, "1 min ago"), (7200, "2 h ago"), (3 * 86400, "3 days ago")]
)
def test_how_long_ago(seconds: int, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW, "en") == text


def test_numbers_money_days_and_spans() -> None:
    assert number(-0.2) == "0"
    assert number(81.46, 1) == "81.5"
    assert money(Decimal("12.5"), "CHF") == "12.50 CHF"
    assert day(NOW, "en", BERLIN) == "2 March 2026"
    assert day(NOW, "zh", BERLIN) == "2026年3月2日"
    assert span(timedelta(hours=30), "en") == "30 h"
    assert span(-DAY, "en") == "0 min"
