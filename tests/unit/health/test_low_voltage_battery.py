from datetime import UTC, datetime, timedelta

import pytest

from health import signals
from health.errors import HealthError
from health.low_voltage_battery import LowVoltageBattery, LowVoltageBatteryParameters
from telemetry.records import Estimate, Sample

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


def update(battery: LowVoltageBattery, seconds: float, **values: float) -> None:
    table = {
        "volts": signals.LOW_VOLTAGE_BATTERY_VOLTAGE,
        "module": signals.CONTROL_MODULE_VOLTAGE,
        "rpm": signals.ENGINE_SPEED,
        "speed": signals.SPEED,
        "ambient": signals.AMBIENT_TEMPERATURE,
    }
    battery.update(
        Sample(
            time=START + timedelta(seconds=seconds),
            monotonic_ms=0,
            values={table[key].path: value for key, value in values.items()},
        )
    )


def days(battery: LowVoltageBattery, rest: list[float], charging: float = 14.2) -> None:
    """Each morning a rest voltage, then a drive."""
    for day, volts in enumerate(rest):
        update(battery, day * 86_400, volts=volts, rpm=0)
        for second in range(10, 600, 10):
            update(battery, day * 86_400 + second, volts=charging, rpm=1500)


def health(battery: LowVoltageBattery) -> Estimate:
    newest = battery.state()["newest"]
    assert isinstance(newest, str)
    (estimate,) = battery.estimates(datetime.fromisoformat(newest))
    return estimate


@pytest.mark.parametrize(("volts", "percent"), [(12.65, 100), (12.45, 75), (12.24, 50), (12.06, 25), (11.89, 0)])
def test_the_published_table_comes_out(volts: float, percent: float) -> None:
    battery = LowVoltageBattery()
    days(battery, [volts] * 5)
    assert health(battery).value == pytest.approx(percent)
    assert health(battery).method == "low_voltage_battery_rest/2"
    assert health(battery).measurements == 5
    assert health(battery).low == pytest.approx(max(0, percent - 50), abs=15)  # rest does not tell how it cranks


def test_an_agm_battery_rests_higher() -> None:
    battery = LowVoltageBattery(LowVoltageBatteryParameters(battery="agm"))
    days(battery, [12.60])
    assert health(battery).value == pytest.approx(75)


def test_a_voltage_soon_after_driving_is_not_at_rest() -> None:
    battery = LowVoltageBattery()
    update(battery, 0, volts=14.2, rpm=1500)
    update(battery, 3600, volts=12.7, rpm=0)
    assert battery.estimates(START) == ()
    update(battery, 7300, volts=12.45, rpm=0)
    assert health(battery).value == pytest.approx(75)


def test_weakening_over_weeks_is_followed_with_its_trend() -> None:
    battery = LowVoltageBattery()
    days(battery, [12.65 - 0.02 * day for day in range(30)])
    assert battery.rest_trend_v_per_day == pytest.approx(-0.02, abs=0.004)
    assert health(battery).value < 35


def test_one_night_with_the_light_on_is_not_a_dead_battery() -> None:
    battery = LowVoltageBattery()
    days(battery, [12.65] * 20 + [11.9])
    assert health(battery).value > 60


def test_a_weak_alternator_leaves_the_battery_in_doubt() -> None:
    good, weak = LowVoltageBattery(), LowVoltageBattery()
    days(good, [12.2] * 5)
    days(weak, [12.2] * 5, charging=12.9)
    assert weak.charging_voltage_v == pytest.approx(12.9)
    assert health(weak).high == pytest.approx(health(good).high + 25)
    assert health(weak).limited_by == "weak_charging"


def test_charging_that_is_enough_in_the_heat_is_too_little_in_the_cold() -> None:
    cold, hot = LowVoltageBattery(), LowVoltageBattery()
    for battery, ambient in ((cold, -20.0), (hot, 35.0)):
        update(battery, 0, ambient=ambient)
        days(battery, [12.4] * 5, charging=13.5)
    assert health(cold).limited_by == "weak_charging"
    assert health(hot).limited_by != "weak_charging"


def test_a_smart_alternator_that_rests_now_and_then_is_not_weak() -> None:
    battery = LowVoltageBattery()
    update(battery, 0, volts=12.5, rpm=0)
    for second in range(1, 3600):
        update(battery, second, volts=14.6 if second % 300 < 100 else 12.7, rpm=1800)
    assert health(battery).limited_by != "weak_charging"


def crank(battery: LowVoltageBattery, held: float, step: float, ambient: float = 21, start: float = 0) -> None:
    update(battery, start, volts=12.6, rpm=0, ambient=ambient)
    for index in range(50):
        volts = 12.6 if index < 5 else held - 1.5 if index < 7 else held if index < 40 else 12.4
        update(battery, start + 1 + index * step, volts=volts, rpm=0 if index < 45 else 900)


def test_the_dip_is_used_when_sampled_fast_enough() -> None:
    strong, weak, cold = LowVoltageBattery(), LowVoltageBattery(), LowVoltageBattery()
    crank(strong, 10.9, 0.02)
    crank(weak, 9.7, 0.02)
    crank(cold, 9.7, 0.02, ambient=-18)
    assert health(strong).method == "low_voltage_battery_rest+cranking/2"
    assert health(weak).value < health(cold).value < health(strong).value
    assert health(weak).low < 10
    assert health(strong).limited_by == "few_measurements"


def test_starts_that_agree_narrow_the_interval() -> None:
    once, often = LowVoltageBattery(), LowVoltageBattery()
    crank(once, 10.8, 0.02)
    for day in range(12):
        crank(often, 10.8, 0.02, start=day * 86_400)
    width = [health(battery).high - health(battery).low for battery in (once, often)]
    assert 30 <= width[1] < width[0]


def test_the_dip_is_not_used_when_sampled_too_slowly() -> None:
    battery = LowVoltageBattery()
    crank(battery, 9.7, 0.5)
    assert battery.starts == 1
    assert health(battery).method == "low_voltage_battery_rest/2"
    assert health(battery).limited_by == "slow_sampling"
    assert health(battery).value > 75
    assert health(battery).low < 60


def test_a_warm_restart_is_a_start_but_says_nothing_of_the_battery() -> None:
    battery = LowVoltageBattery()
    crank(battery, 10.9, 0.02)
    crank(battery, 9.0, 0.02, start=600)
    assert battery.starts == 2
    assert health(battery).measurements == 2  # a day of rest, and one start from rest


def test_a_control_module_stands_in_for_the_battery() -> None:
    battery = LowVoltageBattery()
    update(battery, 0, module=12.24, rpm=0)
    assert health(battery).value == pytest.approx(50)


def test_a_reset_forgets() -> None:
    battery = LowVoltageBattery()
    days(battery, [11.9] * 5)
    battery.reset(START + timedelta(days=6), "battery replaced")
    assert battery.estimates(START + timedelta(days=6)) == ()
    with pytest.raises(HealthError, match="needs a reason"):
        battery.reset(START, "")


def test_an_electric_car_that_drives_does_not_rest() -> None:
    """Its converter may hold the battery below the voltage that counts as charging."""
    battery = LowVoltageBattery()
    for second in range(0, 10_800, 10):
        update(battery, second, module=12.9, speed=50)
    assert battery.estimates(START + timedelta(hours=3)) == ()


def test_a_drive_alone_leaves_the_health_as_it_was() -> None:
    """As live, with the engine running: only the control module's voltage, and no rest to judge by."""
    fresh = LowVoltageBattery()
    for second in range(0, 10_800, 10):
        update(fresh, second, module=14.2, rpm=1500)
    assert fresh.estimates(START + timedelta(hours=3)) == ()

    known = LowVoltageBattery()
    days(known, [12.45] * 5)
    before = health(known)
    for second in range(0, 10_800, 10):
        update(known, 5 * 86_400 + second, module=14.2, rpm=1500)
    after = health(known)
    assert (after.value, after.low, after.high) == (before.value, before.low, before.high)


def test_a_rest_voltage_of_long_ago_says_less_and_less() -> None:
    battery = LowVoltageBattery()
    days(battery, [12.65] * 8)
    (fresh,) = battery.estimates(START + timedelta(days=8))
    (old,) = battery.estimates(START + timedelta(days=38))
    assert old.low < fresh.low - 20
    assert old.limited_by == "old_measurements"
