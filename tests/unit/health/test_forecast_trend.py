from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.forecasting.prior import Alternative, TrendPrior, prior_for, regimes
from health.forecasting.trend import Belief, advance, begin, leap, observe

Floats = npt.NDArray[np.float64]
LFP = prior_for("traction_battery_soh", "lfp")
ONE = replace(
    prior_for("traction_battery_soh", "plain"),
    slope_noise=(Alternative(deviation=0.002, share=1.0),),
    level_noise=(Alternative(deviation=0.1, share=1.0),),
)


def started(prior: TrendPrior, level: float = 10.0) -> Belief:
    return begin(prior, regimes(prior), np.array(level), np.array(4.0))


def test_with_one_regime_it_is_the_textbook_kalman_filter() -> None:
    rng = np.random.default_rng(4)
    values = 10 + 0.05 * np.arange(30) + rng.normal(0, 0.5, 30)
    mean = np.array([10.0, ONE.slope_per_day])
    covariance = np.diag([4.0, ONE.slope_deviation_per_day**2])
    belief = started(ONE)
    step, q, r = 1.0, 0.002**2, 0.25
    transition = np.array([[1.0, step], [0.0, 1.0]])
    noise = q * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]]) + np.diag([0.01 * step, 0.0])
    for value in values:
        mean, covariance = transition @ mean, transition @ covariance @ transition.T + noise
        gain = covariance[:, 0] / (covariance[0, 0] + r)
        mean = mean + gain * (value - mean[0])
        covariance = covariance - np.outer(gain, covariance[0])
        belief = observe(advance(belief, regimes(ONE), step), np.array(value), np.array(r))
    assert belief.level.item() == pytest.approx(mean[0])
    assert belief.slope.item() == pytest.approx(mean[1])
    assert belief.level_variance.item() == pytest.approx(covariance[0, 0])
    assert belief.covariance.item() == pytest.approx(covariance[0, 1])
    assert belief.slope_variance.item() == pytest.approx(covariance[1, 1])


def test_a_regime_grows_its_slope_exponentially() -> None:
    growth = 0.05
    prior = replace(ONE, growth_per_day=(growth,), slope_per_day=0.2)
    belief = leap(started(prior), regimes(prior), 20.0)
    assert belief.slope.item() == pytest.approx(0.2 * np.exp(growth * 20))
    assert belief.level.item() == pytest.approx(10 + 0.2 * (np.exp(growth * 20) - 1) / growth)


def test_growth_ends_at_the_fastest_slope_there_is() -> None:
    prior = replace(ONE, growth_per_day=(0.05,), slope_per_day=0.2, slope_deviation_per_day=1e-9, fastest_per_day=0.4)
    prior = replace(prior, slope_noise=(Alternative(deviation=0.0, share=1.0),))
    belief = leap(started(prior), regimes(prior), 100.0)
    until = np.log(2) / 0.05
    assert belief.slope.item() == pytest.approx(0.4)
    assert belief.level.item() == pytest.approx(10 + 0.2 / 0.05 + 0.4 * (100 - until))


@given(days=st.floats(0.01, 2000))
def test_changes_of_regime_are_probabilities(days: float) -> None:
    transition = regimes(LFP).transition(days)
    assert np.min(transition) > -1e-9
    assert np.sum(transition, axis=1) == pytest.approx(np.ones(len(LFP.growth_per_day)))


def test_regimes_change_as_often_as_the_rates_say() -> None:
    transition = regimes(LFP).transition(0.01)
    assert transition[0, 1] / 0.01 == pytest.approx(LFP.faster_per_day, rel=1e-3)
    assert transition[1, 0] / 0.01 == pytest.approx(LFP.slower_per_day, rel=1e-3)
    assert transition[0, 2] / 0.01 == pytest.approx(0, abs=1e-4)


def test_many_small_steps_are_one_long_advance() -> None:
    arrays = regimes(ONE)
    small = started(ONE)
    for _ in range(40):
        small = advance(small, arrays, 0.5)
    whole = advance(started(ONE), arrays, 20.0)
    assert whole.level_variance.item() == pytest.approx(small.level_variance.item())
    assert whole.slope_variance.item() == pytest.approx(small.slope_variance.item())


def test_a_day_without_value_teaches_nothing() -> None:
    belief = advance(started(LFP), regimes(LFP), 3.0)
    same = observe(belief, np.array(np.nan), np.array(1.0))
    assert same.level == pytest.approx(belief.level)
    assert same.weight == pytest.approx(belief.weight)
    assert same.slope_variance == pytest.approx(belief.slope_variance)


def test_an_outlier_moves_a_belief_no_farther_than_its_bound() -> None:
    belief = advance(started(LFP), regimes(LFP), 1.0)
    far, farther = (observe(belief, np.array(value), np.array(1.0)) for value in (50.0, 5000.0))
    assert far.level == pytest.approx(farther.level)
    assert far.weight == pytest.approx(farther.weight)


@given(values=st.lists(st.floats(-100, 100), min_size=1, max_size=40), gap=st.floats(0.1, 60))
def test_beliefs_stay_beliefs_whatever_comes(values: list[float], gap: float) -> None:
    belief = started(LFP, values[0])
    for value in values:
        belief = observe(advance(belief, regimes(LFP), gap), np.array(value), np.array(0.5))
        assert np.sum(belief.weight) == pytest.approx(1)
        assert np.min(belief.weight) >= 0
        assert np.min(belief.level_variance) > 0
        assert np.min(belief.slope_variance) > 0
        assert np.all(np.isfinite(belief.level))


def test_several_series_at_once_are_each_alone() -> None:
    arrays, values = regimes(LFP), np.array([3.0, 80.0])
    both = begin(LFP, arrays, values, np.array([1.0, 2.0]))
    both = observe(advance(both, arrays, 2.0), values + 1, np.array([0.5, 0.7]))
    for row, (level, variance, noise) in enumerate(((3.0, 1.0, 0.5), (80.0, 2.0, 0.7))):
        alone = begin(LFP, arrays, np.array(level), np.array(variance))
        alone = observe(advance(alone, arrays, 2.0), np.array(level + 1), np.array(noise))
        assert both.level[row] == pytest.approx(alone.level)
        assert both.weight[row] == pytest.approx(alone.weight)
        assert both.mean_slope()[row] == pytest.approx(alone.mean_slope())
