from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.errors import HealthError
from health.oil.parameters import penalty_errors
from health.oil_life import OilLife, OilLifeParameters
from telemetry.records import Limitation, Quantity
from tests.unit.health.oil_support import START, at, run, sample

FRESH = OilLifeParameters(life_at_start=100)


def drive_year(
    *, trip_km: float, speed_kmh: float, rpm: float, cold_c: float, warm_up_s: float, hours: int = 12
) -> float:
    """Kilometres until 0 % when the same trip is driven every so many hours, the oil warming with a time constant."""
    oil = OilLife()
    oil.reset(START, "oil changed in a test")
    trip_s = int(trip_km / speed_kmh * 3600)
    kilometres, day = 0.0, 0
    while True:
        for hour in range(0, 24, hours):
            for second in range(0, trip_s + 1, 30):
                warm = cold_c + (90 - cold_c) * (1 - 2.718 ** (-second / warm_up_s))
                oil.update(sample(day * 86_400 + hour * 3600 + second, rpm=rpm, oil=warm))
            kilometres += trip_km
        if oil.estimates(START + timedelta(days=day + 1))[0].value <= 0:
            return kilometres
        day += 1


def test_warm_revolutions_are_counted_without_penalty() -> None:
    oil = OilLife(OilLifeParameters(budget_revolutions=1_000_000, life_at_start=100))
    run(oil, seconds=3600, step=60, rpm=2000, oil=90)
    assert oil.revolutions == pytest.approx(120_000)
    assert oil.estimates(at(3600))[0].value == pytest.approx(88.0)


@pytest.mark.parametrize("temperature", [-10, 30, 135])
def test_cold_and_hot_oil_age_faster(temperature: float) -> None:
    warm, other = OilLife(FRESH), OilLife(FRESH)
    run(warm, seconds=3600, step=10, rpm=2000, oil=90)
    run(other, seconds=3600, step=10, rpm=2000, oil=temperature)
    assert 100 - other.estimates(at(3600))[0].value > 1.5 * (100 - warm.estimates(at(3600))[0].value)


def test_contamination_is_a_second_factor() -> None:
    clean, dusty = OilLife(FRESH), OilLife(OilLifeParameters(life_at_start=100, contamination=1.5))
    for oil in (clean, dusty):
        run(oil, seconds=3600, step=10, rpm=2000, oil=90)
    used, more = (100 - oil.estimates(START)[0].value for oil in (clean, dusty))
    assert more == pytest.approx(1.5 * used)


def test_modelled_oil_lags_behind_the_coolant_and_is_less_certain() -> None:
    read, modelled = OilLife(FRESH), OilLife(FRESH)
    for second in range(0, 600, 5):
        coolant = min(90.0, 10 + second)
        read.update(sample(second, rpm=2000, oil=coolant))
        modelled.update(sample(second, rpm=2000, coolant=coolant))
    ours, theirs = modelled.estimates(START)[0], read.estimates(START)[0]
    assert ours.value < theirs.value  # colder for longer
    assert ours.high - ours.low > theirs.high - theirs.low
    assert (ours.limited_by, theirs.limited_by) == (Limitation.MODELLED_TEMPERATURE, "")


def test_the_interval_of_modelled_oil_is_bent_as_the_penalty_is() -> None:
    more, less = penalty_errors(105.0, 10.0)
    assert more > 0.1
    assert less == 0
    assert penalty_errors(92.0, 8.0)[0] < 0.01
    cold_more, cold_less = penalty_errors(30.0, 10.0)
    assert cold_more > 0.1
    assert cold_less > 0.1


def test_a_gap_is_engine_off_and_a_minute_is_not() -> None:
    oil = OilLife()
    oil.update(sample(0, rpm=2000))
    oil.update(sample(60, rpm=2000))
    assert oil.revolutions == pytest.approx(2000)
    oil.update(sample(3660, rpm=2000))
    assert oil.revolutions == pytest.approx(2000)
    assert oil.estimates(at(3660))[0].measurements == 2


def test_time_cap_ends_the_oil_of_a_car_that_stands() -> None:
    oil = OilLife()
    oil.reset(START, "oil changed")
    half = oil.estimates(START + timedelta(days=182.5))[0]
    assert half.value == pytest.approx(50)
    assert half.limited_by == ""
    assert oil.estimates(START + timedelta(days=400))[0].value == 0


def test_unknown_age_of_the_oil_is_said() -> None:
    oil = OilLife()
    assert oil.estimates(START) == ()
    oil.update(sample(0, rpm=800, coolant=80))
    estimate = oil.estimates(START)[0]
    assert (estimate.value, estimate.low, estimate.high) == (100, 10, 100)
    assert estimate.limited_by == Limitation.START_UNKNOWN
    oil.reset(START + timedelta(days=1), "oil changed, workshop booking")
    assert oil.estimates(START + timedelta(days=1))[0].low == 100


def test_life_falls_monotonically_and_rises_by_a_reset_only() -> None:
    oil = OilLife(OilLifeParameters(budget_revolutions=500_000, life_at_start=80))
    seen = []
    for second in range(0, 7200, 20):
        oil.update(sample(second, rpm=2000 + second % 700, coolant=second % 100))
        seen.append(oil.estimates(at(second))[0])
    for before, after in pairwise(seen):
        assert after.value <= before.value
        assert after.low <= before.low
    assert seen[-1].value < 40
    oil.reset(at(7200), "oil changed")
    assert oil.estimates(at(7200))[0].value == 100


READINGS = st.fixed_dictionaries(
    {},
    optional={
        "rpm": st.floats(0, 8000),
        "oil": st.floats(-60, 220),
        "coolant": st.floats(-60, 220),
        "load": st.floats(-10, 120),
        "speed": st.floats(0, 250),
        "air": st.floats(-70, 90),
        "odometer": st.floats(0, 4e8),
        "cleared_km": st.floats(0, 65_535),
        "service_km": st.floats(-1e4, 1e5),
        "ecu": st.floats(0, 100),
    },
)


@given(st.lists(st.tuples(st.floats(-1000, 1e6), READINGS), max_size=40))
def test_whatever_is_read_life_never_rises_and_lies_in_its_interval(
    steps: list[tuple[float, dict[str, float]]],
) -> None:
    oil, time, before = OilLife(FRESH), 0.0, 100.0
    for step_s, readings in steps:
        time = max(0.0, time + step_s)  # backwards now and then
        oil.update(sample(time, **readings))
        ours = [estimate for estimate in oil.estimates(at(time)) if estimate.source == "estimated"]
        for estimate in ours:
            assert estimate.value <= before + 1e-9
            before = estimate.value


def test_time_that_goes_backwards_counts_nothing() -> None:
    oil = OilLife(FRESH)
    run(oil, seconds=600, step=10, rpm=2000, oil=90)
    revolutions = oil.revolutions
    run(oil, seconds=500, step=10, start=-1000, rpm=3000, oil=90)
    assert oil.revolutions == revolutions


def test_the_ecu_stands_beside_ours() -> None:
    oil = OilLife()
    oil.update(sample(0, rpm=0, ecu=42))
    ours, ecu = oil.estimates(at(3600))
    assert (ours.source, ours.value > 99) == ("estimated", True)
    assert (ecu.source, ecu.value, ecu.time, ecu.quantity) == ("ecu", 42, START, Quantity.OIL_LIFE)


def test_a_reset_needs_a_reason_and_a_zone() -> None:
    with pytest.raises(HealthError, match="needs a reason"):
        OilLife().reset(START, " ")
    with pytest.raises(ValueError, match="time zone"):
        OilLife().reset(datetime(2026, 1, 1), "oil changed")  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize("wrong", [{"budget_revolutions": 0.0}, {"oil_lag_s": -1.0}, {"unseen_error": 2.0}])
def test_parameters_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(HealthError, match=next(iter(wrong))):
        OilLifeParameters(**wrong)


def test_published_intervals_come_out_of_plain_patterns_too() -> None:
    """GM's schedule by patterns unlike the benchmark's (constant engine speed): within a fifth; see the health page."""
    severe = drive_year(trip_km=4, speed_kmh=19, rpm=1200, cold_c=-10, warm_up_s=600, hours=6)
    normal = drive_year(trip_km=20, speed_kmh=45, rpm=1900, cold_c=10, warm_up_s=500)
    motorway = drive_year(trip_km=25, speed_kmh=110, rpm=2500, cold_c=10, warm_up_s=500)
    assert severe == pytest.approx(4800, rel=0.2)
    assert normal == pytest.approx(12_000, rel=0.2)
    assert motorway == pytest.approx(2 * 25 * 365, rel=0.02)
