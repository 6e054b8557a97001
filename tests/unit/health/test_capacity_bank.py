"""The filters and their mixture on windows of known capacity: what they follow, learn and leave in the interval."""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health.capacity import bank as capacity_bank
from health.capacity import filter as capacity_filter
from health.capacity.bank import Bank
from health.capacity.filter import FilterParameters, Kind
from health.errors import HealthError

START = datetime(2026, 3, 1, tzinfo=UTC)
PARAMETERS = FilterParameters()
SIGMA = 0.04  # of x
Y = 0.5


def fed(
    truths: list[float], rng: random.Random, *, sigma: float = SIGMA, kind: Kind = "gauge", lasting: float = 0.0
) -> Bank:
    bank = capacity_bank.start(START, PARAMETERS)
    error = 0.0
    for day, truth in enumerate(truths):
        bank = capacity_bank.advanced(bank, START + timedelta(days=day), PARAMETERS)
        error = lasting * error + (1 - lasting**2) ** 0.5 * rng.gauss(0, sigma)
        capacity_bank.observe(bank, kind, (Y / truth + error) / Y, (SIGMA / Y) ** 2, 0.0)
    return bank


def capacity(bank: Bank) -> float:
    return 1 / bank.mixture()[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda bank: bank.filters.pop(),
        lambda bank: bank.weights.append(0.0),
        lambda bank: bank.filters[0].mean.pop(),
        lambda bank: bank.filters[0].covariance[2].clear(),
        lambda bank: bank.filters[0].covariance[0].__setitem__(0, -1.0),
        lambda bank: bank.filters[0].covariance[0].__setitem__(1, 1e9),
        lambda bank: bank.filters[0].mean.__setitem__(0, math.nan),
        lambda bank: bank.filters[0].noise.pop("gauge"),
    ],
)
def test_a_damaged_bank_is_refused(damage: Callable[[Bank], object]) -> None:
    bank = capacity_bank.start(START, PARAMETERS)
    capacity_bank.check(bank, PARAMETERS)
    damage(bank)
    with pytest.raises(HealthError):
        capacity_bank.check(bank, PARAMETERS)


def test_a_steady_capacity_is_pooled_and_what_is_common_stays_in_the_error() -> None:
    bank = fed([0.9] * 300, random.Random(1))
    u, variance = bank.mixture()
    assert 1 / u == pytest.approx(0.9, abs=0.03)
    assert variance**0.5 > 0.7 * PARAMETERS.gauge_scale_error * u


@pytest.mark.parametrize("fade", [0.0002, 0.0015])
def test_fading_is_followed_without_lag(fade: float) -> None:
    truths = [1.0 - fade * day for day in range(150)]
    errors = [capacity(fed(truths, random.Random(seed))) - truths[-1] for seed in range(12)]
    assert abs(sum(errors) / 12) < 0.02


def test_rests_tell_the_scale_of_the_gauge() -> None:
    rng = random.Random(3)
    bank = capacity_bank.start(START, PARAMETERS)
    for _ in range(200):
        capacity_bank.observe(bank, "gauge", 1.03 / 0.9 + rng.gauss(0, 0.02), (SIGMA / Y) ** 2, 0.0)
        capacity_bank.observe(bank, "rests", 1 / 0.9 + rng.gauss(0, 0.01), 0.015**2, 0.0)
    assert capacity(bank) == pytest.approx(0.9, abs=0.012)
    assert bank.likeliest.mean[3] == pytest.approx(0.03, abs=0.012)


def test_one_wild_window_moves_it_by_no_more_than_the_clipping_allows() -> None:
    bank = fed([0.9] * 40, random.Random(4))
    before = capacity(bank)
    capacity_bank.observe(bank, "gauge", 2.5, (SIGMA / Y) ** 2, 0.0)
    assert abs(capacity(bank) - before) < 0.02


@pytest.mark.parametrize(("sigma", "low", "high"), [(0.01, 0.05, 0.3), (0.04, 0.6, 1.5), (0.07, 1.9, 4.5)])
def test_the_noise_of_a_gauge_is_learned(sigma: float, low: float, high: float) -> None:
    bank = fed([0.9] * 300, random.Random(5), sigma=sigma)
    assert low < bank.likeliest.noise["gauge"] < high


def test_errors_that_last_widen_the_interval() -> None:
    independent = fed([0.9] * 150, random.Random(6)).mixture()[1]
    lasting = fed([0.9] * 150, random.Random(6), lasting=0.8).mixture()[1]
    assert lasting > 1.3 * independent


def test_the_likeliest_way_of_fading_is_found() -> None:
    assert fed([0.9] * 200, random.Random(7), sigma=0.004).likeliest.covariance[1][1] < 1e-8
    rng = random.Random(8)
    level, wild = 1.0, []
    for _ in range(150):
        level = max(0.6, level - 0.002 + rng.gauss(0, 0.006))
        wild.append(level)
    bank = fed(wild, rng, sigma=0.004)
    assert bank.weights[2] == max(bank.weights)


@settings(max_examples=60, deadline=None)
@given(
    windows=st.lists(
        st.tuples(
            st.sampled_from(["gauge", "rests", "voltage"]),
            st.floats(0.3, 3.0),
            st.floats(1e-4, 0.2),
            st.floats(0, 2),
            st.floats(0, 200),
        ),
        max_size=30,
    )
)
def test_variances_stay_positive_whatever_comes(windows: list[tuple[Kind, float, float, float, float]]) -> None:
    bank, time = capacity_bank.start(START, PARAMETERS), START
    for kind, z, error, low_end, days in windows:
        time += timedelta(days=days)
        bank = capacity_bank.advanced(bank, time, PARAMETERS)
        capacity_bank.observe(bank, kind, z, error**2, low_end)
        for one in bank.filters:
            assert all(one.covariance[i][i] > 0 for i in range(6))
            assert all(one.covariance[i][j] == pytest.approx(one.covariance[j][i]) for i in range(6) for j in range(i))


def test_advancing_leaves_the_given_bank_as_it_is_and_widens_the_other() -> None:
    bank = fed([0.9] * 20, random.Random(9))
    before = bank.mixture()
    later = capacity_bank.advanced(bank, START + timedelta(days=400), PARAMETERS)
    assert bank.mixture() == before
    assert later.mixture()[1] > 2 * before[1]


def test_a_restart_keeps_the_gauge_and_forgetting_the_gauge_the_capacity() -> None:
    bank = fed([0.9] * 60, random.Random(10))
    noise = bank.likeliest.noise["gauge"]
    capacity_bank.restart(bank, 1 / 0.7, 0.02, PARAMETERS)
    assert capacity(bank) == pytest.approx(0.7)
    assert bank.likeliest.noise["gauge"] == noise
    one = bank.filters[0]
    capacity_filter.forget_gauge(one, PARAMETERS)
    assert one.mean[0] == pytest.approx(1 / 0.7)
    assert one.mean[3] == PARAMETERS.gauge_scale
