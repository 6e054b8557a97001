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
    (estimate,) = battery.estimates(START + timedelta(days=30))
    return estimate


@pytest.mark.parametrize(("volts", "percent"), [(12.65, 100), (12.45, 75), (12.24, 50), (12.06, 25), (11.89, 0)])
def test_the_published_table_comes_out(volts: float, percent: float) -> None:
    battery = LowVoltageBattery()
    days(battery, [volts] * 5)
    assert health(battery).value == pytest.approx(percent)
    assert health(battery).method == "low_voltage_battery_rest/1"
    assert health(battery).high - health(battery).low >= 15


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


def crank(battery: LowVoltageBattery, dip: float, step: float, ambient: float = 21) -> None:
    update(battery, 0, volts=12.6, rpm=0, ambient=ambient)
    for index in range(20):
        update(battery, 1 + index * step, volts=dip if 4 < index < 12 else 12.5, rpm=0 if index < 19 else 900)


def test_the_dip_is_used_when_sampled_fast_enough() -> None:
    strong, weak, cold = LowVoltageBattery(), LowVoltageBattery(), LowVoltageBattery()
    crank(strong, 10.9, 0.02)
    crank(weak, 9.7, 0.02)
    crank(cold, 9.7, 0.02, ambient=-18)
    assert health(strong).method == "low_voltage_battery_rest+cranking/1"
    assert health(weak).value < health(cold).value < health(strong).value
    assert health(weak).low < 10


def test_the_dip_is_not_used_when_sampled_too_slowly() -> None:
    battery = LowVoltageBattery()
    crank(battery, 9.7, 0.5)
    assert health(battery).method == "low_voltage_battery_rest/1"
    assert health(battery).value > 75


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
    assert health(known) == before
