"""Brake pads told of services: measured, replaced, worked on; and pads changed without a word."""

import json
from dataclasses import replace

import pytest

from health.brake_pads import BrakePads, BrakePadsParameters
from health.errors import HealthError
from telemetry.records import EventKind, Limitation, Quantity, ServiceAction
from tests.unit.health.brake_pads_support import drive_stops, record, sample, wheel

# Pads so thin that a hundred stops from 50 km/h wear them by a quarter.
THIN = BrakePadsParameters(
    pad_volume_row1_mm3=1000, pad_volume_row2_mm3=600, wear_at_start_row1=0, wear_at_start_row2=0
)


def driven(stops: int = 100, parameters: BrakePadsParameters = THIN) -> tuple[BrakePads, float]:
    pads = BrakePads(parameters)
    return pads, drive_stops(pads, stops)


def width(pads: BrakePads, position: str = "Row1.Left") -> float:
    return wheel(pads, position).high - wheel(pads, position).low


def test_a_measured_thickness_moves_the_estimate_to_it_and_narrows_the_interval() -> None:
    pads, now = driven()
    before = wheel(pads)
    wide = width(pads)
    assert before.limited_by == Limitation.NOT_CALIBRATED
    pads.serviced(record(1, now, value=9.3, unit="mm"))  # 2.7 of 9 mm: 30 percent
    after = wheel(pads)
    assert after.value == pytest.approx(30, abs=1)
    assert width(pads) < 0.4 * wide
    assert (after.measurements, after.limited_by) == (1, Limitation.FEW_MEASUREMENTS)
    assert wheel(pads, "Row2.Left").measurements == 0


def test_what_was_learned_is_the_wear_per_energy_and_not_only_the_level() -> None:
    plain, now = driven()
    told, _ = driven()
    factor = 1.6
    told.serviced(record(1, now, value=factor * wheel(plain).value, unit="percent"))
    nominal = wheel(plain).value
    drive_stops(plain, 50, begin_s=now)
    drive_stops(told, 50, begin_s=now)
    assert wheel(told).value == pytest.approx(factor * 1.5 * nominal, rel=0.06)


def test_one_measurement_of_pads_of_unknown_start_gives_the_level_and_the_second_the_rate() -> None:
    parameters = replace(THIN, wear_at_start_row1=None)
    pads, now = driven(20, parameters)
    assert wheel(pads).limited_by == Limitation.START_UNKNOWN
    assert pads.remaining_distance(sample(now).time)[0].position == "Row2.Left"
    pads.serviced(record(1, now, value=40, unit="percent"))
    assert wheel(pads).value == pytest.approx(40, abs=1)
    now = drive_stops(pads, 100, begin_s=now)
    wide, nominal = width(pads), wheel(pads).value - 40
    pads.serviced(record(2, now, value=40 + 0.5 * nominal, unit="percent"))
    level = wheel(pads).value
    drive_stops(pads, 100, begin_s=now)
    assert width(pads) < 0.7 * wide
    assert wheel(pads).value - level == pytest.approx(0.5 * nominal, rel=0.35)


def test_pads_of_a_car_that_is_new_are_new_and_one_measurement_tells_their_rate() -> None:
    def measured(odometer_m: float) -> BrakePads:
        pads = BrakePads(BrakePadsParameters(pad_volume_row1_mm3=1000))
        now = drive_stops(pads, 100, odometer_m=odometer_m)
        pads.serviced(record(1, now, value=45, unit="percent"))
        drive_stops(pads, 100, begin_s=now)
        return pads

    new, old = measured(0), measured(80_000_000)
    assert wheel(new).value == pytest.approx(90, rel=0.1)
    assert wheel(old).value < 80
    assert width(new) < 0.7 * width(old)


def test_left_and_right_are_told_apart_by_what_was_measured_on_each() -> None:
    pads, now = driven()
    pads.serviced(record(1, now, value=24, unit="percent", position="Row1.Left"))
    one_side = width(pads, "Row1.Right")
    assert one_side > width(pads, "Row1.Left")
    pads.serviced(record(2, now, value=32, unit="percent", position="Row1.Right"))
    assert wheel(pads, "Row1.Left").value < wheel(pads, "Row1.Right").value
    assert width(pads, "Row1.Right") < one_side


def test_new_pads_begin_anew_and_keep_what_was_learned_of_the_brake() -> None:
    learned, now = driven()
    learned.serviced(record(1, now, value=1.7 * wheel(learned).value, unit="percent"))
    fresh = BrakePads(THIN)
    learned.serviced(record(2, now))
    assert wheel(learned).value == 0
    drive_stops(learned, 50, begin_s=now)
    drive_stops(fresh, 50)
    assert wheel(learned).value == pytest.approx(1.7 * wheel(fresh).value, rel=0.1)
    assert width(learned) < width(fresh) * 1.7
    assert wheel(learned).limited_by == Limitation.FEW_MEASUREMENTS


def test_a_record_counts_once_and_outlives_a_restart() -> None:
    pads, now = driven()
    told = record(1, now)
    pads.serviced(told)
    now = drive_stops(pads, 10, begin_s=now)
    again = BrakePads(THIN)
    again.restore(json.loads(json.dumps(pads.state())))
    again.serviced(replace(told, time=sample(now).time))
    assert again.state() == pads.state()


def test_a_report_that_comes_late_counts_for_its_moment() -> None:
    at_once, then = driven(50)
    at_once.serviced(record(1, then, value=20, unit="percent"))
    drive_stops(at_once, 50, begin_s=then)
    late, now = driven(50)
    now = drive_stops(late, 50, begin_s=now)
    late.serviced(record(1, then, value=20, unit="percent"))
    assert wheel(late).value == pytest.approx(wheel(at_once).value, rel=0.02)
    late.serviced(record(2, then))
    assert wheel(late).value == pytest.approx(wheel(at_once).value / 2, rel=0.2)


def test_work_on_the_brake_keeps_the_level_and_forgets_the_factor() -> None:
    pads, now = driven(60)
    pads.serviced(record(1, now, value=2.5 * wheel(pads).value, unit="percent"))
    level = wheel(pads).value
    pads.serviced(record(2, now, action=ServiceAction.ADJUSTED))
    assert wheel(pads).value == pytest.approx(level, abs=1)
    drive_stops(pads, 50, begin_s=now)
    told, now = driven(60)
    told.serviced(record(1, now, value=2.5 * wheel(told).value, unit="percent"))
    drive_stops(told, 50, begin_s=now)
    assert wheel(pads).value - level < 0.6 * (wheel(told).value - level)


@pytest.mark.parametrize(
    ("value", "unit", "position", "text"),
    [
        (6.5, "cm", "Row1", "give 'mm' of lining left or 'percent' worn"),
        (17.0, "mm", "Row1", "measure without the backing plate"),
        (-1.0, "mm", "Row1", "measure without the backing plate"),
        (200.0, "percent", "Row1", "give 0 \\(new\\) to 150"),
        (6.5, "mm", "Row3", "no pads at 'Row3'"),
    ],
)
def test_a_measurement_that_makes_no_sense_is_refused_and_changes_nothing(
    value: float, unit: str, position: str, text: str
) -> None:
    pads, now = driven(5)
    before = pads.state()
    with pytest.raises(HealthError, match=text):
        pads.serviced(record(1, now, value=value, unit=unit, position=position))
    assert pads.state() == before


def test_other_parts_are_not_our_business() -> None:
    pads, now = driven(5)
    before = pads.state()
    pads.serviced(replace(record(1, now), quantity=Quantity.OIL_LIFE))
    assert pads.state() == before


def test_pads_thicker_than_they_can_be_were_changed_by_somebody_who_said_nothing() -> None:
    pads, now = driven(200)
    pads.serviced(record(1, now, value=5.0, unit="mm"))
    now = drive_stops(pads, 40, begin_s=now)
    pads.serviced(record(2, now, value=11.5, unit="mm"))
    assert wheel(pads).value == pytest.approx(100 * 0.5 / 9, abs=2)
    (found,) = pads.findings()
    assert found.kind is EventKind.SERVICE_SUSPECTED
    assert found.data["position"] == "Row1"
    certainty = found.data["certainty"]
    assert isinstance(certainty, float)
    assert certainty > 0.9
    assert pads.findings() == ()


def test_a_gauge_that_errs_by_half_a_millimetre_is_no_change_of_pads() -> None:
    pads, now = driven(200)
    pads.serviced(record(1, now, value=7.0, unit="mm"))
    now = drive_stops(pads, 10, begin_s=now)
    pads.serviced(record(2, now, value=7.5, unit="mm"))
    assert pads.findings() == ()
    assert wheel(pads).value > 40


def test_more_measurements_than_are_kept_leave_the_state_small() -> None:
    pads, now = driven(20)
    for number in range(12):
        now = drive_stops(pads, 5, begin_s=now)
        pads.serviced(record(number + 1, now, value=wheel(pads).value, unit="percent"))
    assert wheel(pads).measurements == 6
    assert len(json.dumps(pads.state())) < 4000


def test_the_remaining_distance_shrinks_with_wear_and_narrows_with_a_measurement() -> None:
    pads, now = driven(1000, replace(THIN, pad_volume_row1_mm3=10_000))
    before = {one.position: one for one in pads.remaining_distance(sample(now).time)}["Row1.Left"]
    pads.serviced(record(1, now, value=25, unit="percent"))
    measured = {one.position: one for one in pads.remaining_distance(sample(now).time)}["Row1.Left"]
    assert measured.high_km / measured.low_km < 0.6 * before.high_km / before.low_km
    driven_km = pads._state.driving.seen_km
    assert measured.low_km < 3 * driven_km < measured.high_km  # a quarter in so many, three are left
    now = drive_stops(pads, 1500, begin_s=now)
    later = {one.position: one for one in pads.remaining_distance(sample(now).time)}["Row1.Left"]
    assert later.value_km < 0.6 * measured.value_km
    assert later.low_km <= later.value_km <= later.high_km


def test_a_start_told_wrongly_gives_way_to_a_measurement_and_not_the_wear_per_energy() -> None:
    pads, now = driven(5)
    nominal = wheel(pads).value
    pads.serviced(record(1, now, value=50, unit="percent"))
    assert wheel(pads).value == pytest.approx(50, abs=1)
    drive_stops(pads, 50, begin_s=now)
    assert wheel(pads).value - 50 == pytest.approx(10 * nominal, rel=0.3)


def test_new_pads_that_measure_thinner_than_the_profile_says_count_as_measured() -> None:
    pads, now = driven()
    pads.serviced(record(1, now))
    pads.serviced(record(2, now, value=9.0, unit="mm"))
    assert wheel(pads).value == pytest.approx(100 * 3 / 9, abs=1)


def test_a_change_told_after_the_measurement_of_the_new_pads_does_not_lose_it() -> None:
    def told(first: int) -> BrakePads:
        pads, change = driven()
        now = drive_stops(pads, 60, begin_s=change)
        records = [record(1, change), record(2, now, value=25, unit="percent")]
        for one in (records[first], records[1 - first]):
            pads.serviced(one)
        drive_stops(pads, 30, begin_s=now)
        return pads

    in_order, reversed_ = wheel(told(0)), wheel(told(1))
    assert reversed_.measurements == in_order.measurements == 1
    assert (reversed_.low, reversed_.value, reversed_.high) == pytest.approx(
        (in_order.low, in_order.value, in_order.high), rel=0.02
    )


def test_a_report_dated_ahead_does_not_bar_those_after_it() -> None:
    day_s = 86_400
    pads, now = driven()
    pads.serviced(record(1, now + 100 * day_s))
    now = drive_stops(pads, 60, begin_s=now + day_s)
    pads.serviced(record(2, now, value=25, unit="percent"))
    assert wheel(pads).value == pytest.approx(25, abs=2)
    assert wheel(pads).measurements == 1
