"""Tyres pumped up, changed and pierced; sensors that sleep or stand still; services; states of an older version."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from health import signals
from health.errors import HealthError
from health.tires import Tires
from telemetry.records import Estimate, EventKind, Quantity, Sample, ServiceAction, ServiceRecord

START = datetime(2026, 3, 1, tzinfo=UTC)
Pressure = Callable[[str, float], float | None]  # of wheel and day, kPa at 20 celsius


def drive(
    tires: Tires,
    first: float,
    last: float,
    pressure: Pressure,
    *,
    wheels: tuple[str, ...] = signals.WHEELS,
    temperatures: bool = True,
) -> None:
    """Two drives of forty minutes a day in air of 5 to 15 celsius; tyres warm by 15 K."""
    rng = random.Random(3)
    for turn in range(int(first * 2), int(last * 2)):
        for minute in range(0, 40, 2):
            day = turn / 2 + 0.3 + minute / 1440
            air = 10 + 5 * (-1) ** turn
            celsius = air + 15 * min(1.0, minute / 25)
            values = {signals.SPEED.path: 40.0, signals.AMBIENT_TEMPERATURE.path: float(air)}
            for wheel in wheels:
                at20 = pressure(wheel, day)
                if at20 is None:
                    continue
                gauge = (at20 + 101.3) * (celsius + 273.15) / 293.15 - 101.3 + rng.gauss(0, 0.4)
                values[signals.TIRE_PRESSURE[wheel].path] = round(gauge / 2.5) * 2.5 if at20 else 0.0
                if temperatures:
                    values[signals.TIRE_TEMPERATURE[wheel].path] = float(round(celsius))
            tires.update(Sample(time=START + timedelta(days=day), monotonic_ms=0, values=values))


def rates(tires: Tires, day: float) -> dict[str, Estimate]:
    return {estimate.position: estimate for estimate in tires.estimates(START + timedelta(days=day))}


def sound(_wheel: str, _day: float) -> float:
    return 230.0


def only(position: str, rate: float, since: float = 0.0) -> Pressure:
    return lambda wheel, day: 230 - (rate * max(0.0, day - since) if wheel == position else 0.0)


def test_a_nail_after_weeks_is_told_within_days() -> None:
    tires = Tires()
    drive(tires, 0, 30, sound)
    drive(tires, 30, 34, only("Row1.Right", 6, since=30))
    found = rates(tires, 34)
    assert found["Row1.Right"].low > 2
    assert all(found[wheel].high < 1 for wheel in found if wheel != "Row1.Right")


def test_a_sound_tyre_is_given_what_all_tyres_lose() -> None:
    tires = Tires()
    drive(tires, 0, 20, sound)
    for estimate in rates(tires, 20).values():
        assert estimate.value == pytest.approx(0.17, abs=0.1)
        assert estimate.limited_by == ""
        assert estimate.measurements == 39  # the running hour waits


def test_two_leaks_at_once_do_not_make_the_sound_wheels_seem_tight() -> None:
    tires = Tires()
    drive(tires, 0, 10, lambda wheel, day: 230 - (4 * day if wheel.startswith("Row2") else 0))
    for wheel, estimate in rates(tires, 10).items():
        assert estimate.value == pytest.approx(4.17 if wheel.startswith("Row2") else 0.17, abs=0.3)


def test_three_wheels_are_enough_for_one_leak() -> None:
    tires = Tires()
    drive(tires, 0, 10, only("Row1.Left", 4), wheels=signals.WHEELS[:3], temperatures=False)
    found = rates(tires, 10)
    assert found["Row1.Left"].value == pytest.approx(4.17, abs=0.4)
    assert found["Row1.Right"].value == pytest.approx(0.17, abs=0.4)


def test_one_wheel_is_compared_with_the_cold_air() -> None:
    tires = Tires()
    drive(tires, 0, 12, only("Row1.Left", 4), wheels=("Row1.Left",), temperatures=False)
    (found,) = tires.estimates(START + timedelta(days=12))
    assert found.method == "tire_pressure_rls/2+cold"
    assert found.limited_by == "modelled_temperature"
    assert found.low < 4 < found.high
    assert found.value == pytest.approx(4, abs=0.5)


def test_pressures_and_temperatures_may_come_one_after_the_other() -> None:
    tires, apart = Tires(), Tires()
    wheels = ("Row1.Left", "Row1.Right")
    samples: list[Sample] = []

    class Recorder(Tires):
        def update(self, sample: Sample) -> None:
            samples.append(sample)

    drive(Recorder(), 0, 8, only("Row1.Left", 3), wheels=wheels)
    for sample in samples:
        tires.update(sample)
        for part in (".Temperature", ".Pressure"):
            values = {path: value for path, value in sample.values.items() if path.endswith(part)}
            apart.update(Sample(time=sample.time, monotonic_ms=0, values=values))
    assert rates(apart, 8) == rates(tires, 8)
    assert rates(apart, 8)["Row1.Left"].method == "tire_pressure_rls/2+own"


def test_one_tyre_pumped_up_is_told_and_the_lines_begin_anew() -> None:
    tires = Tires()
    leak = only("Row2.Left", 4)
    drive(tires, 0, 8, leak)
    drive(tires, 8, 12, lambda wheel, day: leak(wheel, day - 8 if wheel == "Row2.Left" else day))
    (found,) = tires.findings()
    assert found.kind is EventKind.SERVICE_SUSPECTED
    assert found.data["position"] == "Row2.Left"
    assert found.data["quantity"] == "tire_pressure_loss"
    assert rates(tires, 12)["Row2.Left"].value == pytest.approx(4.17, abs=0.6)
    assert tires.findings() == ()


@pytest.mark.parametrize("temperatures", [True, False])
def test_winter_tyres_are_told_once_for_the_car(temperatures: bool) -> None:
    tires, rng = Tires(), random.Random(1)
    fitted = {wheel: 250 + rng.uniform(-6, 6) for wheel in signals.WHEELS}
    drive(tires, 0, 15, sound, temperatures=temperatures)
    drive(tires, 15, 20, lambda wheel, _day: fitted[wheel], temperatures=temperatures)
    (found,) = tires.findings()
    assert found.data["position"] == ""
    assert all(estimate.value < 0.8 for estimate in rates(tires, 20).values())


def test_one_hour_in_the_sun_is_no_pump() -> None:
    tires = Tires()
    drive(tires, 0, 10, lambda wheel, day: 250.0 if wheel == "Row1.Left" and 6.2 < day < 6.35 else 230.0)
    assert tires.findings() == ()
    assert abs(rates(tires, 10)["Row1.Left"].value) < 0.5


def test_a_blow_out_is_no_pumping_up_of_the_others() -> None:
    tires = Tires()
    drive(tires, 0, 10, lambda wheel, day: 120.0 if wheel == "Row1.Left" and day > 8 else 230.0)
    assert tires.findings() == ()
    assert rates(tires, 10)["Row1.Left"].low > 2


def test_a_sensor_that_sleeps_is_no_flat_tyre() -> None:
    tires = Tires()
    drive(tires, 0, 10, lambda wheel, day: 0.0 if wheel == "Row2.Right" and 4 < day < 5 else 230.0)
    drive(tires, 10, 12, lambda wheel, _day: None if wheel == "Row2.Right" else 230.0)
    assert all(abs(estimate.value) < 0.5 for estimate in rates(tires, 12).values())
    assert tires.findings() == ()


def test_a_sensor_that_stands_still_is_doubted() -> None:
    tires, samples = Tires(), random.Random(2)
    drive(tires, 0, 6, sound)
    for turn in range(8):
        for minute in range(40):
            level = 225 + 20 * min(1.0, minute / 25) + samples.gauss(0, 0.4)
            values = {signal.path: level for signal in signals.TIRE_PRESSURE.values()}
            values[signals.TIRE_PRESSURE["Row1.Left"].path] = 240.0
            time = START + timedelta(days=6 + turn / 2, minutes=minute)
            tires.update(Sample(time=time, monotonic_ms=0, values=values))
    (found,) = tires.findings()
    assert found.kind is EventKind.SIGNAL_DOUBTED
    assert found.data["signal"] == signals.TIRE_PRESSURE["Row1.Left"].path
    said = rates(tires, 10)
    assert said["Row1.Left"].limited_by == "doubtful_readings"
    assert said["Row1.Left"].high - said["Row1.Left"].low > said["Row1.Right"].high - said["Row1.Right"].low


def test_missing_days_and_time_going_backwards_do_no_harm() -> None:
    tires = Tires()
    drive(tires, 0, 6, only("Row1.Left", 3))
    drive(tires, 9, 12, only("Row1.Left", 3))
    assert rates(tires, 12)["Row1.Left"].value == pytest.approx(3.17, abs=0.3)
    before = tires.state()
    drive(tires, 2, 4, lambda _wheel, _day: 150.0)
    assert tires.state() == before
    assert rates(tires, 30)["Row1.Left"].limited_by == "old_measurements"


def record(action: ServiceAction, position: str = "", value: float | None = None) -> ServiceRecord:
    return ServiceRecord(
        id=uuid4(),
        time=START + timedelta(days=8),
        quantity=Quantity.TIRE_PRESSURE_LOSS,
        action=action,
        position=position,
        by="owner",
        reason="pumped up",
        value=value,
        unit="" if value is None else "kPa",
    )


@pytest.mark.parametrize("position", ["", "Row1", "Row1.Left"])
def test_a_service_counts_once(position: str) -> None:
    tires = Tires()
    drive(tires, 0, 8, only("Row1.Left", 4))
    pumped = record(ServiceAction.ADJUSTED, position)
    tires.serviced(pumped)
    assert rates(tires, 8) == {}
    drive(tires, 9, 14, sound)
    tires.serviced(pumped)
    assert rates(tires, 14)["Row1.Left"].value < 1
    assert tires.findings() == ()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (record(ServiceAction.MEASURED, value=210), "say 'adjusted' when the tyre was pumped up"),
        (record(ServiceAction.ADJUSTED, "Row3"), "no wheel at 'Row3'; known: Row1.Left"),
    ],
)
def test_a_senseless_record_is_refused(wrong: ServiceRecord, text: str) -> None:
    with pytest.raises(HealthError, match=text):
        Tires().serviced(wrong)


def van(tires: Tires, first: int, last: int) -> None:
    """Sound tyres of 500 kPa in front and 800 kPa behind; the air cools by 1 K a day, and nobody reads the wheels'."""
    rng = random.Random(5)
    for hour in range(first * 24 + 7, last * 24, 12):
        for minute in range(0, 40, 5):
            day = hour / 24 + minute / 1440
            values = {signals.SPEED.path: 40.0}
            for wheel in signals.WHEELS:
                at20 = 500 if wheel.startswith("Row1") else 800
                celsius = 20 - day + 10 * min(1.0, minute / 25)
                gauge = (at20 + 101.3) * (celsius + 273.15) / 293.15 - 101.3 + rng.gauss(0, 1)
                values[signals.TIRE_PRESSURE[wheel].path] = round(gauge / 5) * 5.0
            tires.update(Sample(time=START + timedelta(days=day), monotonic_ms=0, values=values))


def test_the_weather_is_no_leak_where_axles_have_unlike_pressures() -> None:
    tires = Tires()
    van(tires, 0, 12)
    found = rates(tires, 12)
    assert len(found) == 4
    for estimate in found.values():
        assert estimate.low < 0.17 * (650 + 101) / 341 < estimate.high
        assert abs(estimate.value) < 0.8


def test_another_level_of_a_former_version_s_differences_is_no_jump() -> None:
    tires = Tires()
    drive(tires, 0, 15, sound)
    state = json.loads(json.dumps(tires.state()))
    for index, wheel in enumerate(state["wheels"].values()):
        wheel["first_kpa"] = None
        for line in ("long", "short"):
            wheel[line]["sy"] += 4 * index * wheel[line]["s0"]
            wheel[line]["sty"] += 4 * index * wheel[line]["s1"]
            wheel[line]["syy"] += 8 * index * wheel[line]["sy"] - 16 * index**2 * wheel[line]["s0"]
    updated = Tires()
    updated.restore(state)
    drive(updated, 15, 17, sound)
    assert updated.findings() == ()
    for estimate in rates(updated, 17).values():
        assert estimate.value == pytest.approx(0.17, abs=0.2)
        assert estimate.measurements == 33


def test_what_an_older_version_learned_is_kept() -> None:
    """A leak of 3 kPa per day at one wheel, six hours a day over eight days, as version 1 summed it."""
    hours = [(day * 24 + hour) for day in range(8) for hour in range(8, 14)]
    newest = hours[-1] + 490_000
    wheels: dict[str, object] = {}
    for wheel in signals.WHEELS:
        rate = 3.0 if wheel == "Row1.Left" else 0.0
        points = [((hour - hours[-1]) / 24, -rate * hour / 24) for hour in hours]
        wheels[wheel] = {
            "hour": newest,
            "sum_kpa": 1.0,
            "count": 1,
            "at_hour": newest,
            "first_hour": newest - 173,
            "hours": len(hours),
            "relative": True,
            "s0": float(len(hours)),
            "s1": sum(days for days, _ in points),
            "s2": sum(days**2 for days, _ in points),
            "sy": sum(value for _, value in points),
            "sty": sum(days * value for days, value in points),
            "syy": sum(value**2 for _, value in points),
        }
    first = {"estimator": "tires", "version": 1, "newest": "2025-11-24T16:00:00Z", "wheels": wheels}
    tires = Tires()
    tires.restore(json.loads(json.dumps(first)))
    assert rates(tires, 0)["Row1.Left"].value == pytest.approx(3.17, abs=0.02)
    again = Tires()
    again.restore(json.loads(json.dumps(tires.state())))
    assert rates(again, 0) == rates(tires, 0)
    with pytest.raises(HealthError, match="damaged state"):
        Tires().restore({**first, "wheels": 3})
