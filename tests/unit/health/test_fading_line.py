import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.tire.fading_line import FadingLine, add_hour, fit

MEMORY = 10.0


def line_of(points: list[tuple[int, float]], memory_days: float = MEMORY) -> FadingLine:
    line = FadingLine()
    for hour, value in points:
        add_hour(line, hour, value, memory_days=memory_days)
    return line


@given(
    st.lists(st.tuples(st.integers(6, 60), st.floats(-50, 50)), min_size=3, max_size=40),
    st.integers(0, 500_000),
)
def test_the_sums_give_what_weighted_least_squares_give(steps: list[tuple[int, float]], start: int) -> None:
    """Against the textbook's matrices: estimate (X'WX)^-1 X'Wy, covariance of the sandwich."""
    hours = np.cumsum([gap for gap, _ in steps]) + start
    values = np.array([value for _, value in steps])
    found = fit(line_of(list(zip(hours.tolist(), values.tolist(), strict=True))), prior_sd=1.5)
    assert found is not None
    days = (hours - hours[-1]) / 24
    weights = np.exp(days / MEMORY)
    design = np.column_stack([np.ones_like(days), days])
    inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
    level, slope = inverse @ design.T @ (weights * values)
    residual = values - design @ np.array([level, slope])
    variance = (4 * 1.5**2 + weights @ residual**2) / (4 + max(0.0, weights.sum() - 2))
    covariance = variance * inverse @ design.T @ (weights[:, None] ** 2 * design) @ inverse
    assert found.slope == pytest.approx(slope, rel=1e-5, abs=1e-5)
    assert found.level == pytest.approx(level, rel=1e-5, abs=1e-5)
    assert found.slope_sd == pytest.approx(math.sqrt(covariance[1, 1]), rel=1e-4)
    assert found.level_sd == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-4)
    expected, sd = found.at(2.0)
    assert expected == pytest.approx(level + 2 * slope, rel=1e-5, abs=1e-5)
    ahead = np.array([1.0, 2.0])
    assert sd == pytest.approx(math.sqrt(ahead @ covariance @ ahead + variance), rel=1e-4)


def test_the_interval_covers_the_slope_of_noisy_lines() -> None:
    rng, inside = random.Random(5), 0
    for _ in range(400):
        found = fit(line_of([(hour * 12, 0.3 * hour / 2 + rng.gauss(0, 1.5)) for hour in range(30)]), prior_sd=1.5)
        assert found is not None
        inside += abs(found.slope - 0.3) <= found.half_width
    assert 0.86 <= inside / 400 <= 0.95


def test_hours_in_a_row_count_as_one() -> None:
    """Their errors are alike: three drives of an hour each, hour upon hour, tell little more than one."""
    one = line_of([(24 * day, 0.0) for day in range(10)])
    three = line_of([(24 * day + hour, 0.0) for day in range(10) for hour in range(3)])
    apart = line_of([(24 * day + hour, 0.0) for day in range(10) for hour in (0, 8, 16)])
    assert one.s0 < three.s0 < 1.5 * one.s0
    assert apart.s0 > 2.5 * one.s0


def test_one_hour_has_no_slope() -> None:
    assert fit(line_of([(5, 1.0)]), prior_sd=1.5) is None
    assert fit(FadingLine(), prior_sd=1.5) is None
