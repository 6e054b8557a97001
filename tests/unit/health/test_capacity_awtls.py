"""Weighted total least squares: against its own cost function on a grid, and on data of known capacity."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health.capacity.awtls import PooledWindows
from health.errors import HealthError

SIGMA_X, SIGMA_Y = 0.04, 0.005


def windows(rng: random.Random, capacity: float, count: int) -> list[tuple[float, float]]:
    found = []
    for _ in range(count):
        x = rng.uniform(0.2, 0.7)
        found.append((x + rng.gauss(0, SIGMA_X), capacity * x + rng.gauss(0, SIGMA_Y)))
    return found


def pool(found: list[tuple[float, float]], *, forgetting: float = 1.0) -> PooledWindows:
    sums = PooledWindows(scale=SIGMA_X / SIGMA_Y)
    for x, y in found:
        sums.add(x, y, SIGMA_X, SIGMA_Y, forgetting=forgetting)
    return sums


def cost(found: list[tuple[float, float]], capacity: float) -> float:
    """Plett's equation, y scaled."""
    scale = SIGMA_X / SIGMA_Y
    q = capacity * scale
    weight = q * q / SIGMA_X**2 + 1 / (SIGMA_Y * scale) ** 2
    return sum((y * scale - q * x) ** 2 / (q * q + 1) ** 2 * weight for x, y in found)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), capacity=st.floats(0.5, 1.2), count=st.integers(2, 40))
def test_the_estimate_is_where_the_cost_is_least_and_its_error_the_curvature(
    seed: int, capacity: float, count: int
) -> None:
    found = windows(random.Random(seed), capacity, count)
    estimate, error = pool(found).capacity()
    step = 1e-4
    before, here, after = (cost(found, estimate + by) for by in (-step, 0, step))
    assert here <= before
    assert here <= after
    assert error == pytest.approx((2 * step**2 / (before - 2 * here + after)) ** 0.5, rel=1e-2)


def test_it_is_not_pulled_down_as_regression_of_charge_on_state_of_charge_is() -> None:
    rng = random.Random(1)
    pooled, regressed = [], []
    for _ in range(300):
        found = windows(rng, 0.85, 20)
        pooled.append(pool(found).capacity()[0] - 0.85)
        regressed.append(sum(x * y for x, y in found) / sum(x * x for x, _ in found) - 0.85)
    assert abs(sum(pooled) / 300) < 0.003
    assert sum(regressed) / 300 < -0.004


def test_forgetting_follows_a_change() -> None:
    rng = random.Random(2)
    found = windows(rng, 1.0, 30) + windows(rng, 0.8, 30)
    assert pool(found, forgetting=0.8).capacity()[0] == pytest.approx(0.8, abs=0.06)
    assert pool(found).capacity()[0] > 0.86


def test_without_windows_there_is_no_capacity() -> None:
    with pytest.raises(HealthError, match="add one first"):
        PooledWindows(scale=8.0).capacity()
