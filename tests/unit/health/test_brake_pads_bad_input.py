"""Readings of brakes that cannot be right: recognised, or in the interval."""

from datetime import timedelta

import pytest

from health import signals
from health.brake_pads import BrakePads, BrakePadsParameters
from telemetry.records import EventKind, Limitation
from tests.unit.health.brake_pads_support import START, drive_stops, sample, wheel

NEW = BrakePadsParameters(wear_at_start_row1=0, wear_at_start_row2=0)


def doubted(pads: BrakePads) -> list[object]:
    return [found.data["signal"] for found in pads.findings() if found.kind is EventKind.SIGNAL_DOUBTED]


def width(pads: BrakePads) -> float:
    return wheel(pads).high - wheel(pads).low


def test_a_speed_that_sticks_is_told_once_and_its_distance_counts_as_unseen() -> None:
    pads = BrakePads(NEW)
    now = drive_stops(pads, 10)
    before = wheel(pads)
    for second in range(1800):
        pads.update(sample(now + second, speed=50))
    assert doubted(pads) == [signals.SPEED.path]
    assert doubted(pads) == []
    after = wheel(pads)
    assert after.limited_by == Limitation.DOUBTFUL_READINGS
    assert after.value > before.value
    assert after.high - after.low > before.high - before.low
    pads.update(sample(now + 1801, speed=48))
    assert wheel(pads).limited_by != Limitation.DOUBTFUL_READINGS


def test_a_constant_speed_that_the_odometer_confirms_is_believed() -> None:
    pads = BrakePads(NEW)
    for second in range(3600):
        pads.update(sample(second, speed=72, odometer=second * 20 // 1000 * 1000))
    assert doubted(pads) == []
    assert wheel(pads).value == 0


def test_a_speed_that_sticks_while_the_car_is_parked_wears_nothing_where_the_odometer_says_so() -> None:
    pads = BrakePads(NEW)
    for second in range(3600):
        pads.update(sample(second, speed=72, odometer=50_000_000))
    assert doubted(pads) == [signals.SPEED.path]
    assert wheel(pads).value == 0


def test_a_speed_that_stays_at_nought_is_told_by_the_odometer_and_its_distance_charged() -> None:
    pads = BrakePads(NEW)
    for second in range(3600):
        pads.update(sample(second, speed=0, odometer=second * 20 // 1000 * 1000))
    assert doubted(pads) == [signals.SPEED.path]
    assert wheel(pads).value > 0
    assert wheel(pads).method.endswith("+unseen")


def test_a_speed_that_falls_as_no_tyre_can_make_it_fall_is_no_braking() -> None:
    pads = BrakePads(NEW)
    for second in range(60):
        pads.update(sample(second, speed=0 if second == 30 else 90))
    assert wheel(pads).value == 0


def test_time_that_runs_backwards_changes_nothing() -> None:
    pads = BrakePads(NEW)
    now = drive_stops(pads, 10)
    before = pads.state()
    for second in range(20):
        pads.update(sample(now - 100 + second, speed=100 - 5 * second))
    assert pads.state() == before


def test_a_day_missing_is_charged_by_the_odometer_and_widens_the_interval() -> None:
    whole, missing = BrakePads(NEW), BrakePads(NEW)
    day_s = 86_400
    for day in range(10):
        for pads in (whole, missing):
            if pads is whole or day != 5:
                drive_stops(pads, 150, begin_s=day * day_s, odometer_m=1e7 + day * 15_000)
    assert wheel(missing).value == pytest.approx(wheel(whole).value, rel=0.15)
    assert width(missing) > width(whole)


def test_a_day_missing_without_an_odometer_widens_the_interval() -> None:
    whole, missing = BrakePads(NEW), BrakePads(NEW)
    for day in range(10):
        drive_stops(whole, 20, begin_s=day * 43_200)
        if day not in {4, 5, 6}:
            drive_stops(missing, 20, begin_s=day * 43_200)
    relative = {pads: width(pads) / wheel(pads).value for pads in (whole, missing)}
    assert relative[missing] > 1.02 * relative[whole]


def test_a_current_of_the_wrong_sign_is_noticed_and_turned_round() -> None:
    def drive(sign: float) -> BrakePads:
        pads, now = BrakePads(NEW), 0.0
        for _ in range(30):
            for step in range(20):
                pads.update(sample(now, speed=4 * step, amps=-120 * sign, volts=360))
                now += 1
            for step in range(20):
                pads.update(sample(now, speed=80 - 4 * step, amps=70 * sign, volts=360))
                now += 1
        return pads

    right, wrong = drive(1), drive(-1)
    assert doubted(right) == []
    assert doubted(wrong) == [signals.TRACTION_BATTERY_CURRENT.path]
    assert wheel(wrong).value < 2.5 * wheel(right).value


def test_a_battery_car_whose_current_is_not_read_is_taken_to_recuperate() -> None:
    plain, battery = BrakePads(NEW), BrakePads(NEW)
    battery.update(sample(0, volts=360))
    drive_stops(plain, 20, begin_s=1)
    drive_stops(battery, 20, begin_s=1)
    assert wheel(battery).value < 0.7 * wheel(plain).value
    relative = {pads: wheel(pads).high / wheel(pads).value for pads in (plain, battery)}
    assert relative[battery] > relative[plain]


def test_pads_the_car_itself_tells_new_are_suspected_and_open_the_interval() -> None:
    pads = BrakePads(BrakePadsParameters(wear_at_start_row1=70, wear_at_start_row2=0))
    now = drive_stops(pads, 5)
    for step in range(5):
        pads.update(sample(now + step, pad=72 if step < 3 else 2))
    (found,) = pads.findings()
    assert found.kind is EventKind.SERVICE_SUSPECTED
    assert (found.data["position"], found.data["certainty"]) == ("Row1", 0.9)
    assert wheel(pads).value > 70
    assert wheel(pads).low < 5
    assert wheel(pads).limited_by == Limitation.START_UNKNOWN
    pads.reset(START + timedelta(seconds=now + 10), "front pads changed", "Row1")
    assert wheel(pads).limited_by == Limitation.NOT_CALIBRATED


def test_one_misread_value_of_the_car_is_no_new_pad() -> None:
    pads = BrakePads(NEW)
    for step, worn in enumerate([72, 72, 0, 72, 72]):
        pads.update(sample(step, pad=worn))
    assert pads.findings() == ()


def test_slow_sampling_is_seen_in_part_and_said_so() -> None:
    fast, slow = BrakePads(NEW), BrakePads(NEW)
    trace = [(90.0, 60), *((90.0 - 3 * step, 1) for step in range(31)), (0.0, 20)]
    speeds = [speed for _ in range(60) for speed, seconds in trace for _ in range(seconds)]
    for second, speed in enumerate(speeds):
        fast.update(sample(second, speed=speed))
        if second % 10 == 0:
            slow.update(sample(second, speed=speed))
    assert 0.5 < wheel(slow).value / wheel(fast).value < 2
    slow_width, fast_width = (width(pads) / wheel(pads).value for pads in (slow, fast))
    assert slow_width > fast_width
