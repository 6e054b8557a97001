from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.forecasting.series import (
    BLOCK_DAYS,
    SETTLING_DAYS,
    block_of,
    block_value,
    daily_medians,
    in_blocks,
    noise_variances,
    since_repair,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_day_counts_once_by_its_median_and_what_is_to_come_not_at_all() -> None:
    times = [START + HOUR, START + 3 * HOUR, START + 5 * HOUR, START + 30 * HOUR, START + 200 * HOUR]
    days, medians = daily_medians(times, [5.0, 90.0, 6.0, float("nan"), 1.0], START + 100 * HOUR)
    assert medians.tolist() == [6.0]
    assert days[0] % 1 == pytest.approx(3 / 24)


def test_a_lasting_jump_away_from_the_limit_begins_anew_in_both_directions() -> None:
    days = np.arange(40.0)
    life = np.where(days < 30, 40 - days, 100 - (days - 30))
    assert since_repair(days, life, falling=True)[0].tolist() == days[30:].tolist()
    assert since_repair(days, -life, falling=False)[0].tolist() == days[30:].tolist()
    assert since_repair(days, life, falling=False)[0].size == 40


@given(st.integers(25, 120), st.integers(0, 1000))
def test_the_noise_of_a_day_does_not_depend_on_later_days(length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    days, values = np.arange(float(length)), rng.normal(0, 1, length).round(2)
    known = length - 4
    assert noise_variances(days[:known], values[:known]) == pytest.approx(noise_variances(days, values)[:known])


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("slope", [0.0, -0.2])
def test_the_noise_is_found_whatever_the_trend(noise: float, slope: float) -> None:
    rng = np.random.default_rng(8)
    days = np.arange(300.0)
    found = noise_variances(days, 90 + slope * days + rng.normal(0, noise, 300))
    assert found[-1] ** 0.5 == pytest.approx(noise, rel=0.15)


def test_of_a_coarsely_rounded_value_the_rounding_is_the_noise() -> None:
    days = np.arange(200.0)
    found = noise_variances(days, np.round(90 - 0.02 * days))
    # The same rounding error for some 50 days: their mean is no better than one of them.
    assert found[-1] > 20 / 12


def test_a_value_that_has_not_changed_yet_is_as_coarse_as_its_first_change() -> None:
    days = np.arange(150.0)
    values = np.where(days < 100, 84.0, 83.0)
    assert noise_variances(days, values)[0] > 1 / 12
    assert noise_variances(days[:100], values[:100])[0] < 0.02


def test_at_first_days_stand_alone_then_in_blocks() -> None:
    days = np.arange(37.0)
    blocks = block_of(days)
    assert blocks[: SETTLING_DAYS + 1].tolist() == list(range(SETTLING_DAYS + 1))
    assert np.bincount(blocks[SETTLING_DAYS:])[SETTLING_DAYS:].tolist() == [5, 5, 5, 2]
    assert BLOCK_DAYS == 5


def test_blocks_keep_mean_and_information() -> None:
    rng = np.random.default_rng(1)
    days = np.arange(60.0)
    values, noise = rng.normal(50, 1, 60), np.full(60, 1.0)
    at, means, variances = in_blocks(days, values, noise)
    counts = 1 / variances
    assert counts.sum() == pytest.approx(60)
    assert (at * counts).sum() / 60 == pytest.approx(days.mean())
    assert (means * counts).sum() / 60 == pytest.approx(values.mean(), abs=0.01)


def test_an_outlier_in_a_block_is_cut() -> None:
    value, variance = block_value(np.array([80.0, 80.5, 20.0, 79.5, 80.0]), np.array(0.25))
    assert float(value) == pytest.approx(80, abs=0.5)
    assert float(variance) == pytest.approx(0.05)


def test_gaps_leave_blocks_out() -> None:
    days = np.concatenate([np.arange(10.0), np.arange(100.0, 110.0)])
    at, _, variances = in_blocks(days, np.full(20, 3.0), np.full(20, 1.0))
    assert at[:10].tolist() == list(range(10))
    assert at[10:].tolist() == [102.0, 107.0]
    assert variances[10:].tolist() == [0.2, 0.2]
