from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from health import signals
from health.errors import HealthError
from health.oil_life import OilLife, OilLifeParameters
from telemetry.records import Quantity, Sample

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


def sample(seconds: float, **values: float) -> Sample:
    table = {
        "rpm": signals.ENGINE_SPEED,
        "oil": signals.OIL_TEMPERATURE,
        "coolant": signals.COOLANT_TEMPERATURE,
        "ecu": signals.OIL_LIFE,
    }
    return Sample(
        time=START + timedelta(seconds=seconds),
        monotonic_ms=0,
        values={table[key].path: value for key, value in values.items()},
    )


def run(estimator: OilLife, /, *, seconds: int, step: int, start: float = 0, **values: float) -> None:
    for second in range(0, seconds + 1, step):
        estimator.update(sample(start + second, **values))


def drive_year(parameters: OilLifeParameters, *, trip_km: float, speed_kmh: float, rpm: float, cold_c: float) -> float:
    """Kilometres until 0 % when the same trip is driven twice a day, the oil warming up in some 10 minutes."""
    oil = OilLife(parameters)
    oil.reset(START, "oil changed in a test")
    trip_s = int(trip_km / speed_kmh * 3600)
    kilometres, day = 0.0, 0
    while True:
        for hour in (7, 17):
            for second in range(0, trip_s + 1, 30):
                warm = cold_c + (90 - cold_c) * (1 - 2.718 ** (-second / 300))
                oil.update(sample(day * 86_400 + hour * 3600 + second, rpm=rpm, oil=warm))
            kilometres += trip_km
        value = oil.estimates(START + timedelta(days=day + 1))[0].value
        if value <= 0:
            return kilometres
        day += 1


def test_warm_revolutions_are_counted_without_penalty() -> None:
    oil = OilLife(OilLifeParameters(budget_revolutions=1_000_000, life_at_start=100))
    run(oil, seconds=3600, step=60, rpm=2000, oil=90)
    assert oil.revolutions == pytest.approx(120_000)
    assert oil.estimates(START + timedelta(hours=1))[0].value == pytest.approx(88.0)


@pytest.mark.parametrize("temperature", [-10, 30, 135])
def test_cold_and_hot_oil_age_faster(temperature: float) -> None:
    warm, other = OilLife(OilLifeParameters(life_at_start=100)), OilLife(OilLifeParameters(life_at_start=100))
    run(warm, seconds=3600, step=10, rpm=2000, oil=90)
    run(other, seconds=3600, step=10, rpm=2000, oil=temperature)
    now = START + timedelta(hours=1)
    assert 100 - other.estimates(now)[0].value > 1.5 * (100 - warm.estimates(now)[0].value)


def test_modelled_oil_lags_behind_the_coolant_and_is_less_certain() -> None:
    read, modelled = OilLife(OilLifeParameters(life_at_start=100)), OilLife(OilLifeParameters(life_at_start=100))
    for second in range(0, 600, 5):
        coolant = min(90.0, 10 + second)
        read.update(sample(second, rpm=2000, oil=coolant))
        modelled.update(sample(second, rpm=2000, coolant=coolant))
    ours, theirs = modelled.estimates(START)[0], read.estimates(START)[0]
    assert ours.value < theirs.value  # colder for longer
    assert ours.high - ours.low > theirs.high - theirs.low


def test_a_gap_is_engine_off_and_a_minute_is_not() -> None:
    oil = OilLife()
    oil.update(sample(0, rpm=2000))
    oil.update(sample(60, rpm=2000))
    assert oil.revolutions == pytest.approx(2000)
    oil.update(sample(3660, rpm=2000))
    assert oil.revolutions == pytest.approx(2000)


def test_time_cap_ends_the_oil_of_a_car_that_stands() -> None:
    oil = OilLife()
    oil.reset(START, "oil changed")
    assert oil.estimates(START + timedelta(days=182.5))[0].value == pytest.approx(50)
    assert oil.estimates(START + timedelta(days=400))[0].value == 0


def test_unknown_age_of_the_oil_is_said() -> None:
    oil = OilLife()
    assert oil.estimates(START) == ()
    oil.update(sample(0, rpm=800, coolant=80))
    estimate = oil.estimates(START)[0]
    assert (estimate.value, estimate.low, estimate.high) == (100, 10, 100)
    oil.reset(START + timedelta(days=1), "oil changed, workshop booking")
    assert oil.estimates(START + timedelta(days=1))[0].low == 100


def test_life_falls_monotonically_and_rises_by_a_reset_only() -> None:
    oil = OilLife(OilLifeParameters(budget_revolutions=500_000, life_at_start=80))
    seen = []
    for second in range(0, 7200, 20):
        oil.update(sample(second, rpm=2000 + second % 700, coolant=second % 100))
        seen.append(oil.estimates(START + timedelta(seconds=second))[0])
    for before, after in pairwise(seen):
        assert after.value <= before.value
        assert after.low <= before.low
    assert seen[-1].value < 40
    oil.reset(START + timedelta(hours=2), "oil changed")
    assert oil.estimates(START + timedelta(hours=2))[0].value == 100
    oil.update(sample(8000, rpm=2000))
    oil.update(sample(8100, rpm=2000))
    used = oil.estimates(START + timedelta(hours=3))[0].value
    oil.reset(START - timedelta(days=1), "a report that arrived late")
    assert oil.estimates(START + timedelta(hours=3))[0].value == used


def test_the_ecu_stands_beside_ours() -> None:
    oil = OilLife()
    oil.update(sample(0, rpm=0, ecu=42))
    ours, ecu = oil.estimates(START + timedelta(hours=1))
    assert (ours.source, ours.value > 99) == ("estimated", True)
    assert (ecu.source, ecu.value, ecu.time, ecu.quantity) == ("ecu", 42, START, Quantity.OIL_LIFE)


def test_a_reset_needs_a_reason_and_a_zone() -> None:
    with pytest.raises(HealthError, match="needs a reason"):
        OilLife().reset(START, " ")
    with pytest.raises(ValueError, match="time zone"):
        OilLife().reset(datetime(2026, 1, 1), "oil changed")  # noqa: DTZ001 - naive on purpose


def test_published_intervals_come_out_roughly() -> None:
    """GM's schedule: 4,800 km severe, 12,000 km normal, the time cap on the motorway; within 25 % at this stage."""
    parameters = OilLifeParameters()
    severe = drive_year(parameters, trip_km=6, speed_kmh=24, rpm=1800, cold_c=-10)
    normal = drive_year(parameters, trip_km=18, speed_kmh=45, rpm=1900, cold_c=10)
    motorway = drive_year(parameters, trip_km=25, speed_kmh=110, rpm=2500, cold_c=10)
    assert severe == pytest.approx(4800, rel=0.25)
    assert normal == pytest.approx(12_000, rel=0.25)
    assert motorway == pytest.approx(2 * 25 * 365, rel=0.02)
