"""Batteries replaced, measured and charged; voltages that cannot be; states of an older version."""

import json
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from health import signals
from health.errors import HealthError
from health.low_voltage_battery import LowVoltageBattery
from telemetry.records import Estimate, EventKind, Quantity, Sample, ServiceAction, ServiceRecord

START = datetime(2026, 3, 1, 6, tzinfo=UTC)
VOLTAGE = signals.LOW_VOLTAGE_BATTERY_VOLTAGE


def feed(battery: LowVoltageBattery, seconds: float, volts: float, rpm: float) -> None:
    values = {VOLTAGE.path: volts, signals.ENGINE_SPEED.path: rpm, signals.AMBIENT_TEMPERATURE.path: 15.0}
    battery.update(Sample(time=START + timedelta(seconds=seconds), monotonic_ms=0, values=values))


def morning(battery: LowVoltageBattery, day: float, rest: float, held: float | None = None) -> None:
    """Rest, a start (seen at 50 Hz where ``held`` is given), a drive."""
    begin = day * 86_400
    feed(battery, begin, rest, 0)
    for index in range(40 if held is not None else 0):
        feed(battery, begin + 1 + index * 0.02, held if held is not None and 2 < index < 38 else rest, 0)
    for second in range(3, 600, 10):
        feed(battery, begin + second, 14.2 + 0.01 * (second % 7), 1500)


def now(battery: LowVoltageBattery, day: float) -> Estimate:
    (estimate,) = battery.estimates(START + timedelta(days=day))
    return estimate


def record(action: ServiceAction, value: float | None = None, unit: str = "", **more: str) -> ServiceRecord:
    return ServiceRecord(
        id=uuid4(),
        time=START + timedelta(days=40),
        quantity=Quantity.LOW_VOLTAGE_BATTERY_HEALTH,
        action=action,
        by="workshop",
        reason="as ordered",
        value=value,
        unit=unit,
        **more,
    )


def test_a_replaced_battery_is_noticed_by_its_rest_and_by_its_starts() -> None:
    battery, rng = LowVoltageBattery(), random.Random(4)
    for day in range(40):
        morning(battery, day, 12.30 + rng.gauss(0, 0.03), 9.6 + rng.gauss(0, 0.1))
    assert battery.findings() == ()
    weak = now(battery, 39)
    for day in range(40, 46):
        morning(battery, day, 12.68 + rng.gauss(0, 0.03), 11.0 + rng.gauss(0, 0.1))
    found = battery.findings()
    assert [event.kind for event in found] == [EventKind.SERVICE_SUSPECTED] * 2
    assert [event.data["certainty"] for event in found] == [0.5, 0.9]
    assert found[0].data["quantity"] == "low_voltage_battery_health"
    assert battery.findings() == ()
    fresh = now(battery, 45)
    assert weak.high < 60
    assert fresh.value > 85


@pytest.mark.parametrize("charged_days", [1, 2])
def test_a_charger_for_a_night_is_no_new_battery(charged_days: int) -> None:
    battery = LowVoltageBattery()
    for day in range(40):
        morning(battery, day, 12.6 if 30 <= day < 30 + charged_days else 12.35)
    assert battery.findings() == ()


def test_a_battery_that_recovers_from_standing_is_no_new_one() -> None:
    battery = LowVoltageBattery()
    for day in range(30):
        morning(battery, day, 12.6)
    for day in range(30, 50):  # parked: wakes of the dongle alone
        feed(battery, day * 86_400, 12.6 - 0.02 * (day - 29), 0)
    for day in range(50, 60):
        morning(battery, day, 12.6)
    assert battery.findings() == ()


def test_missing_days_carry_no_trend_along() -> None:
    battery = LowVoltageBattery()
    for day in [*range(10), *range(60, 63)]:
        morning(battery, day, 12.6 - 0.02 * day if day < 10 else 12.4)
    assert now(battery, 62).value == pytest.approx(69, abs=6)


def test_time_going_backwards_is_ignored() -> None:
    battery = LowVoltageBattery()
    for day in range(5):
        morning(battery, day, 12.6)
    before = battery.state()
    morning(battery, 2, 11.0)
    assert battery.state() == before


def test_a_parked_car_s_voltage_may_stand_for_days() -> None:
    battery = LowVoltageBattery()
    morning(battery, 0, 12.6)
    for minute in range(200, 5 * 1440, 20):
        feed(battery, minute * 60, 12.6, 0)
    assert battery.findings() == ()
    assert now(battery, 5).limited_by != "doubtful_readings"


def test_a_voltage_that_stands_still_is_doubted_and_not_believed() -> None:
    battery = LowVoltageBattery()
    for day in range(5):
        morning(battery, day, 12.6)
    well = now(battery, 4)
    for day in range(5, 9):
        for second in range(0, 900, 10):
            feed(battery, day * 86_400 + second, 12.0, 0 if second < 60 else 1500)
    stuck = now(battery, 8)
    (found,) = battery.findings()
    assert found.kind is EventKind.SIGNAL_DOUBTED
    assert found.data["signal"] == VOLTAGE.path
    assert stuck.limited_by == "doubtful_readings"
    assert stuck.high - stuck.low > well.high - well.low
    assert stuck.value > 60
    for day in range(9, 12):
        morning(battery, day, 12.6)
    assert now(battery, 11).limited_by != "doubtful_readings"


def test_a_record_counts_once_and_starts_anew() -> None:
    battery = LowVoltageBattery()
    for day in range(20):
        morning(battery, day, 12.1)
    replaced = record(ServiceAction.REPLACED)
    battery.serviced(replaced)
    assert battery.estimates(START + timedelta(days=40)) == ()
    morning(battery, 41, 12.65)
    battery.serviced(replaced)
    assert now(battery, 41).value == pytest.approx(100, abs=2)


def test_a_tester_draws_the_estimate_and_is_forgotten_slowly() -> None:
    battery = LowVoltageBattery()
    for day in range(41):
        morning(battery, day, 12.65)
    before = now(battery, 40)
    battery.serviced(record(ServiceAction.MEASURED, 62, "percent"))
    after = now(battery, 40)
    assert abs(after.value - 62) < 8 < before.value - after.value
    assert after.high - after.low < before.high - before.low
    for day in range(41, 700):
        morning(battery, day, 12.65)
    assert now(battery, 699).value > after.value + 10


def test_an_older_measurement_told_late_does_not_count() -> None:
    battery = LowVoltageBattery()
    for day in range(50):
        morning(battery, day, 12.6)
    battery.reset(START + timedelta(days=45), "battery replaced")
    morning(battery, 50, 12.6)
    before = now(battery, 50)
    battery.serviced(record(ServiceAction.MEASURED, 5, "percent"))  # of the 40th day: the former battery
    assert now(battery, 50) == before


def test_starts_of_long_ago_say_less() -> None:
    battery, rng = LowVoltageBattery(), random.Random(4)
    for day in range(30):
        morning(battery, day, 12.3 + rng.gauss(0, 0.03), 9.9 + rng.gauss(0, 0.1))
    early, late = LowVoltageBattery(), LowVoltageBattery()
    for later, since in ((early, 30), (late, 1500)):
        later.restore(battery.state())
        for day in range(since, since + 20):
            morning(later, day, 12.3)
    near, far = now(early, 49), now(late, 1519)
    assert far.high - far.low > 1.2 * (near.high - near.low)


def test_charging_forgets_the_rest_but_not_the_starts() -> None:
    battery = LowVoltageBattery()
    for day in range(20):
        morning(battery, day, 12.2, 10.6)
    battery.serviced(record(ServiceAction.ADJUSTED))
    morning(battery, 41, 12.65)
    assert now(battery, 41).method == "low_voltage_battery_rest+cranking/2"
    assert (now(battery, 41).measurements or 0) > 15


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (record(ServiceAction.MEASURED, 480, "A"), "480 A: give what the tester says"),
        (record(ServiceAction.MEASURED, 130, "percent"), "0 to 100 percent"),
        (record(ServiceAction.REPLACED, position="Row1"), "one 12 V battery, none at 'Row1'"),
    ],
)
def test_a_senseless_record_is_refused(wrong: ServiceRecord, text: str) -> None:
    with pytest.raises(HealthError, match=text):
        LowVoltageBattery().serviced(wrong)


def test_records_of_other_parts_are_ignored() -> None:
    battery = LowVoltageBattery()
    morning(battery, 0, 12.6)
    before = battery.state()
    battery.serviced(
        ServiceRecord(
            id=UUID(int=1),
            time=START,
            quantity=Quantity.OIL_LIFE,
            action=ServiceAction.REPLACED,
            by="owner",
            reason="oil change",
        )
    )
    assert battery.state() == before


def test_a_finding_survives_a_restart_and_is_told_once() -> None:
    battery = LowVoltageBattery()
    for second in range(0, 900, 10):
        feed(battery, second, 12.0, 0 if second < 60 else 1500)
    again = LowVoltageBattery()
    again.restore(json.loads(json.dumps(battery.state())))
    assert [event.kind for event in again.findings()] == [EventKind.SIGNAL_DOUBTED]
    last = LowVoltageBattery()
    last.restore(json.loads(json.dumps(again.state())))
    assert last.findings() == ()


FIRST_VERSION = {
    "estimator": "low_voltage_battery",
    "version": 1,
    "newest": "2026-03-20T07:00:00Z",
    "active": "2026-03-20T07:00:00Z",
    "rest_at": "2026-03-20T06:00:00Z",
    "rest_v": 12.41,
    "temperature": 7.0,
    "day": 20532,
    "day_sum_v": 24.82,
    "day_count": 2,
    "level_v": 12.45,
    "level_day": 20531,
    "trend_v": -0.002,
    "level_weight": 0.31,
    "trend_weight": 0.12,
    "days": 19,
    "voltage_at": "2026-03-20T07:00:00Z",
    "engine_speed": 1500.0,
    "dip_v": None,
    "dip_from_v": 0.0,
    "crank_margin_v": 1.0,
    "charging_v": 14.2,
}


def test_what_an_older_version_learned_is_kept() -> None:
    battery = LowVoltageBattery()
    battery.restore(FIRST_VERSION)
    estimate = now(battery, 19)
    assert estimate.method == "low_voltage_battery_rest+cranking/2"
    assert estimate.value == pytest.approx(72, abs=8)
    assert battery.charging_voltage_v == 14.2
    morning(battery, 20, 12.45)
    assert battery.findings() == ()
    with pytest.raises(HealthError, match="damaged state"):
        LowVoltageBattery().restore({**FIRST_VERSION, "day_count": "two"})
