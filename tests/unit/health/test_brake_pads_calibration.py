"""The Bayesian update alone, and the physics that feeds it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.pads import friction_energy
from health.pads.calibration import Factor, Posterior, Stretch, Thickness, posterior
from health.pads.parameters import BrakePadsParameters


def prior(start: float | None = 0.0, *measured: Thickness, known: Factor | None = None) -> Posterior:
    return posterior(start=start, known=known, usual=1.0, spread=0.3, drift=0.08, measured=measured)


def thickness(wear: float, worn: float, error: float = 4.0) -> Thickness:
    return Thickness(stretch=Stretch(wear=wear, doubt=0.0), worn=worn, error=error)


def test_before_a_measurement_the_interval_covers_the_published_range_as_often_as_it_says() -> None:
    said = prior().after(Stretch(wear=40.0, doubt=0.0))
    low, high = said.quantile(0.05), said.quantile(0.95)
    rng = random.Random(1)
    inside = 0
    for _ in range(4000):
        factor = math.exp(rng.uniform(-0.805, 0.805) + rng.gauss(0, 0.3))
        inside += low <= 40 * factor * (1 + rng.gauss(0, 0.08)) <= high
    assert 0.88 < inside / 4000 < 0.97
    assert said.median() == pytest.approx(40.0)


def test_after_a_measurement_wear_to_come_lies_in_the_interval_as_often_as_it_says() -> None:
    rng = random.Random(2)
    inside = 0
    for _ in range(400):
        factor = math.exp(rng.uniform(-0.805, 0.805) + rng.gauss(0, 0.3))
        worn = 45 * factor * (1 + rng.gauss(0, 0.08))
        said = prior(0.0, thickness(45, worn + rng.gauss(0, 4))).after(Stretch(wear=30, doubt=0.0))
        later = worn + 30 * factor * (1 + rng.gauss(0, 0.08))
        inside += said.quantile(0.05) <= later <= said.quantile(0.95)
    assert 0.86 < inside / 400 < 0.95


@given(
    wear=st.floats(1, 200),
    worn=st.floats(0, 120),
    more=st.floats(0, 200),
    doubt=st.floats(0, 50),
    start=st.none() | st.floats(0, 100),
)
def test_whatever_is_measured_the_posterior_is_one(
    wear: float, worn: float, more: float, doubt: float, start: float | None
) -> None:
    said = prior(start, thickness(wear, worn), thickness(more, worn + more)).after(Stretch(wear=more, doubt=doubt))
    assert math.fsum(at.weight for at in said.branches) == pytest.approx(1)
    quantiles = [said.quantile(share) for share in (0.05, 0.5, 0.95)]
    assert quantiles == sorted(quantiles)
    assert said.below(quantiles[2]) == pytest.approx(0.95, abs=0.01)
    near, middle, far = (
        said.distance_km(share, per_km=0.002, rate_error=0.2, furthest_km=300_000) for share in (0.05, 0.5, 0.95)
    )
    assert 0 <= near <= middle <= far <= 300_000


@given(error=st.floats(0.5, 10), worn=st.floats(20, 80))
def test_a_better_gauge_never_widens(error: float, worn: float) -> None:
    def width(error: float) -> float:
        said = prior(0.0, thickness(45, worn, error))
        return said.quantile(0.95) - said.quantile(0.05)

    assert width(error) <= width(1.5 * error) + 0.05


def test_a_factor_far_outside_the_published_range_is_learned_all_the_same() -> None:
    assert prior(0.0, thickness(20, 90)).median() == pytest.approx(90, abs=6)
    assert prior(0.0, thickness(90, 15)).median() == pytest.approx(15, abs=5)


def test_wear_of_unknown_start_only_bounds_the_factor() -> None:
    free, bounded = prior(None, thickness(5, 60)), prior(None, thickness(80, 60))
    assert free.factor().deviation > 0.4
    assert bounded.factor().mean < free.factor().mean - 0.3
    assert free.median() == pytest.approx(60, abs=0.5)


def test_what_former_pads_taught_is_the_next_ones_prior() -> None:
    said = prior(0.0, known=Factor(mean=0.5, deviation=0.2)).after(Stretch(wear=10, doubt=0))
    assert said.median() == pytest.approx(10 * math.exp(0.5), rel=0.01)


def test_wear_per_energy_rises_with_heat_above_the_threshold_alone() -> None:
    assert friction_energy.wear_factor(20) == friction_energy.wear_factor(225) == 1
    factors = [friction_energy.wear_factor(disc) for disc in (230, 300, 400, 500, 900)]
    assert factors == sorted(factors)
    assert 5 < factors[3] < 10


def test_a_disc_warms_by_its_stop_and_cools_on_the_road_faster_than_at_rest() -> None:
    parameters = BrakePadsParameters()
    warm = 15 + friction_energy.heated_k(parameters, "Row1", 0.7 * 0.6e6)  # a stop from 100 km/h
    assert 60 < warm < 100
    driving, parked = (friction_energy.cooled_c(warm, 15, speed, 300) for speed in (25.0, 0.0))
    assert 15 < driving < parked < warm


def test_hard_braking_takes_more_to_the_front() -> None:
    parameters = BrakePadsParameters()
    assert friction_energy.axle_share(parameters, "Row1", 2.0) == 0.7
    assert friction_energy.axle_share(parameters, "Row1", 9.0) > 0.75
    total = sum(friction_energy.axle_share(parameters, row, 9.0) for row in ("Row1", "Row2"))
    assert total == pytest.approx(1)
