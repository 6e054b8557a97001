"""The numbers chosen by data are those their script gives, and the published intervals come out of them."""

import pytest

from health.oil_life import OilLife, OilLifeParameters
from tests.benchmarks.health.fit_oil import budget_revolutions, temperature_error_k
from tests.benchmarks.health.oil_driving import ECE_15, EUDC, Car, kilometres
from tests.benchmarks.health.oil_patterns import SEVERE, START, effective, trip, trips


def test_the_cycles_are_as_long_as_the_regulation_says() -> None:
    """UN R83, Annex 4a: 195 s and 1.013 km in theory, 400 s and 6.955 km."""
    assert sum(seconds for seconds, _ in ECE_15) == 195
    assert sum(seconds for seconds, _ in EUDC) == 400
    assert kilometres(ECE_15) == pytest.approx(1.013, rel=0.02)
    assert kilometres(EUDC) == pytest.approx(6.955, rel=0.01)


def test_the_budget_is_that_of_the_normal_pattern() -> None:
    assert OilLifeParameters().budget_revolutions == pytest.approx(budget_revolutions(), rel=0.01)


def test_the_error_of_modelled_oil_is_that_of_the_fit_side() -> None:
    assert OilLifeParameters().modelled_error_k == pytest.approx(temperature_error_k("fit"), rel=0.05)


def test_severe_use_comes_to_the_published_interval() -> None:
    """A tenth of the interval through the estimator; the benchmark drives all of it."""
    steps = trip(Car(), SEVERE)
    oil = OilLife(OilLifeParameters(time_cap_days=1e6))
    oil.reset(START, "fresh oil")
    for _, driven in zip(range(100), trips(steps, SEVERE, oil_read=True, every_s=10), strict=False):
        for sample in driven:
            oil.update(sample)
    used = 100 - oil.estimates(START)[0].value
    interval_km = 100 * SEVERE.trip_km * 100 / used
    assert interval_km == pytest.approx(4800, rel=0.1)
    assert interval_km == pytest.approx(
        OilLifeParameters().budget_revolutions * SEVERE.trip_km / effective(steps), rel=0.02
    )
