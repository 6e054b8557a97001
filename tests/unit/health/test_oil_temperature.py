import math
from itertools import pairwise

import pytest

from health.errors import HealthError
from health.oil.temperature import OilTemperature, OilTemperatureModel, Source, follow, rest
from tests.unit.health.oil_support import sample

MODEL = OilTemperatureModel(speed_rise_k=9.7, load_rise_k=20.0, lag_s=240.0)


def drive(
    state: OilTemperature, seconds: int, *, start: int = 0, rpm: float = 1500.0, speed: float = 40.0, **values: float
) -> list[tuple[float, Source]]:
    """Ten-second steps; values given are read at each."""
    return [
        follow(
            state,
            MODEL,
            sample(start + second, **values),
            engine_speed_rpm=rpm,
            speed_kmh=speed,
            seconds=10.0 if second else 0.0,
        )
        for second in range(0, seconds + 1, 10)
    ]


def test_the_published_equation_at_its_own_terms() -> None:
    truck = OilTemperatureModel(speed_rise_k=12.0, load_rise_k=20.0, lag_s=240.0)
    settled = truck.settled(coolant_c=90, engine_speed_rpm=2000, load_percent=50, speed_kmh=0, air_c=20)
    assert settled == pytest.approx(-9 + 0.012 * 2000 + 0.95 * 90 + 0.21 * 95 * 0.5, abs=0.1)


def test_oil_starts_with_the_coolant_lags_and_ends_above_it_at_load() -> None:
    state = OilTemperature()
    oil = [drive(state, 0, coolant=10.0, air=10.0)[0][0]]
    for second in range(10, 2400, 10):
        coolant = min(88.0, 10 + second / 5)
        warm = sample(second, coolant=coolant, load=50.0)
        oil.append(follow(state, MODEL, warm, engine_speed_rpm=2500, speed_kmh=80, seconds=10)[0])
    assert oil[0] == pytest.approx(10, abs=1)
    assert all(later >= earlier for earlier, later in pairwise(oil))
    assert oil[39] < 80  # the coolant is at 88
    assert 88 < oil[-1] < 108


def test_outside_air_cools_a_moving_sump_and_bounds_the_model() -> None:
    settled = [
        MODEL.settled(coolant_c=88, engine_speed_rpm=3000, load_percent=50, speed_kmh=speed, air_c=air)
        for speed, air in ((0, 30), (110, 30), (110, -10))
    ]
    assert settled[0] > settled[1] > settled[2]
    assert MODEL.settled(coolant_c=20, engine_speed_rpm=700, load_percent=15, speed_kmh=0, air_c=25) == 25


def test_a_short_stop_leaves_the_oil_its_own_temperature_and_a_night_does_not() -> None:
    for seconds, expected in ((300.0, 88 - 38 * math.exp(-300 / 900)), (36_000.0, 5.0)):
        state = OilTemperature(oil=50.0, coolant=88.0, air=5.0, air_read=True)
        rest(state, seconds)
        found, source = drive(state, 0, coolant=88.0 if seconds == 300 else 5.0)[0]
        assert found == pytest.approx(expected, abs=0.5)
        assert source == "modelled"


def test_a_reading_counts_between_readings_and_is_followed_when_it_stops() -> None:
    state = OilTemperature()
    assert drive(state, 0, oil=95.0, coolant=88.0)[0] == (95.0, "read")
    assert {source for _, source in drive(state, 110, start=10, coolant=88.0)} == {"read"}
    later, source = drive(state, 120, start=130, coolant=88.0)[0]
    assert source == "modelled"
    assert later == pytest.approx(95.0, abs=1)


def test_a_broken_wire_is_no_reading() -> None:
    state = OilTemperature()
    temperature, source = drive(state, 0, oil=-40.0, coolant=60.0)[0]
    assert temperature == pytest.approx(60.0)
    assert source == "modelled"


def test_without_a_coolant_the_warm_up_is_assumed_from_the_air() -> None:
    state = OilTemperature()
    found = drive(state, 1800, air=-5.0, load=30.0)
    assert {source for _, source in found} == {"assumed"}
    assert found[0][0] == pytest.approx(-5.0, abs=1)
    assert 70 < found[-1][0] < 100


def test_the_coldest_intake_air_stands_for_the_outside_air() -> None:
    state = OilTemperature()
    for intake in (30.0, 26.0, 45.0):
        drive(state, 0, intake=intake, coolant=26.0)
    assert state.air == 26.0
    rest(state, 36_000)
    assert state.air is None


@pytest.mark.parametrize(("coolant", "doubted"), [(20.0, True), (-12.0, True), (75.0, False), (90.0, False)])
def test_a_coolant_that_stays_cold_is_doubted_and_a_steady_thermostat_is_not(coolant: float, *, doubted: bool) -> None:
    state = OilTemperature()
    found = drive(state, 1200, coolant=coolant)
    assert state.coolant_doubted is doubted
    assert found[-1][1] == ("assumed" if doubted else "modelled")


def test_a_coolant_that_is_hot_after_each_night_is_doubted_until_it_moves() -> None:
    state = OilTemperature()
    for day in range(3):
        drive(state, 600, start=day * 86_400, coolant=88.0)
        rest(state, 80_000)
    drive(state, 10, start=4 * 86_400, coolant=88.0)
    assert state.coolant_doubted
    drive(state, 10, start=4 * 86_400 + 20, coolant=40.0)
    assert not state.coolant_doubted


def test_the_model_s_numbers_are_checked() -> None:
    with pytest.raises(HealthError, match="oil_lag_s"):
        OilTemperatureModel(speed_rise_k=9.7, load_rise_k=20.0, lag_s=0.0)
