import pytest

from health.oil.distance import SeenDistance, unseen_km
from health.oil_life import OilLife, OilLifeParameters
from telemetry.records import Limitation
from tests.unit.health.oil_support import at, sample


def reading(state: SeenDistance, kilometres: float, hour: float = 0) -> float:
    return unseen_km(state, sample(3600 * hour, odometer=kilometres * 1000))


def test_distance_over_a_gap_is_told_once_and_by_two_readings() -> None:
    state = SeenDistance(speed_seen=True)
    assert reading(state, 1000) == 0
    state.gap = True
    assert reading(state, 1400, hour=20) == 0
    assert reading(state, 1400, hour=20) == pytest.approx(400)
    state.gap = True
    assert [reading(state, 1400, hour=40) for _ in range(3)] == [0, 0, 0]


def test_what_was_seen_and_the_steps_of_an_odometer_are_no_gap() -> None:
    state = SeenDistance(speed_seen=True)
    reading(state, 1000)
    state.gap, state.seen_km = True, 50.0
    assert reading(state, 1053, hour=1) == 0  # 1 km steps, and the speedometer's error
    assert reading(state, 1053, hour=1) == 0
    assert reading(state, 1060, hour=2) == 0
    assert reading(state, 1060, hour=2) == pytest.approx(10)


def test_small_gaps_add_up() -> None:
    state = SeenDistance(speed_seen=True)
    found = []
    for kilometres in range(1000, 1021):
        state.gap = True
        found.append(reading(state, kilometres, hour=kilometres - 1000))
    assert sum(found) == pytest.approx(20, abs=5)


@pytest.mark.parametrize("wrong_km", [0.0, 700.0, 1e5, 4_294_967.295])
@pytest.mark.parametrize("after_the_gap", [True, False])
def test_a_single_wrong_reading_is_no_driving(wrong_km: float, after_the_gap: bool) -> None:
    state = SeenDistance(speed_seen=True)
    reading(state, 50_000)
    if not after_the_gap:
        reading(state, wrong_km, hour=1)
    state.gap = True
    if after_the_gap:
        reading(state, wrong_km, hour=90)
    assert [reading(state, 50_000, hour=100 + index) for index in range(4)] == [0, 0, 0, 0]


def test_another_instrument_with_a_higher_count_is_no_driving() -> None:
    state = SeenDistance(speed_seen=True)
    reading(state, 50_000)
    state.gap = True
    assert [reading(state, 90_000, hour=24 + index) for index in range(3)] == [0, 0, 0]
    state.gap = True
    assert sum(reading(state, 90_100, hour=40) for _ in range(2)) == pytest.approx(100)


def test_without_a_gap_or_after_a_new_instrument_nothing_is_missing() -> None:
    state = SeenDistance(speed_seen=True)
    reading(state, 1000)
    assert reading(state, 1100) == 0  # sampled all the time, the speed only now and then
    state.gap = True
    assert reading(state, 200) == 0
    assert reading(state, 200.5) == 0


def test_distance_since_codes_were_cleared_serves_where_no_odometer_is() -> None:
    state = SeenDistance(speed_seen=True)
    unseen_km(state, sample(0, cleared_km=300))
    state.gap = True
    assert sum(unseen_km(state, sample(36_000, cleared_km=500)) for _ in range(2)) == pytest.approx(200)
    state.gap = True
    assert sum(unseen_km(state, sample(40_000, cleared_km=10)) for _ in range(2)) == 0  # cleared
    state.gap = True
    assert sum(unseen_km(state, sample(80_000, cleared_km=40)) for _ in range(2)) == pytest.approx(30)
    assert reading(state, 42_000, hour=30) == 0  # an odometer after all
    assert unseen_km(state, sample(120_000, cleared_km=900)) == 0


def test_a_dongle_that_was_away_charges_the_oil_by_distance_and_says_so() -> None:
    seen, away = (OilLife(OilLifeParameters(life_at_start=100)) for _ in range(2))
    for oil, driven_km in ((seen, 0), (away, 600)):
        for day in (*range(30), 40):
            begun_km = 60 * min(day, 30) + (driven_km if day == 40 else 0)
            for second in range(0, 3601, 10):
                odometer = 1000 * int(begun_km + second / 60)
                oil.update(sample(day * 86_400 + second, rpm=2000, oil=90, speed=60, odometer=odometer))
    more, less = away.estimates(at(0))[0], seen.estimates(at(0))[0]
    assert less.value - more.value == pytest.approx(10 * 120_000 / 35e6 * 100, rel=0.2)
    assert more.high - more.low > 1.5 * (less.high - less.low)
    assert (more.limited_by, less.limited_by) == (Limitation.UNSEEN_DRIVING, "")


def test_what_was_used_before_the_speed_was_told_does_not_make_unseen_driving_dearer() -> None:
    oil = OilLife(OilLifeParameters(life_at_start=100))
    for second in range(0, 360_000, 60):
        oil.update(sample(second, rpm=2000, oil=90))
    for second in range(360_000, 361_000, 10):
        oil.update(sample(second, rpm=2000, oil=90, speed=60))
    assert oil.effective_per_km() == pytest.approx(35e6 / 12_000, rel=0.1)
