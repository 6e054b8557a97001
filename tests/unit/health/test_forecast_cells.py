"""The benchmark's forecasts of many cells at once are those the public function makes of each."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from health.forecast import crossing_days, foresee
from health.forecasting.prior import TrendPrior, prior_for
from tests.benchmarks.health.fit_forecast import LIMIT, fit_cells, score, training, wear_levels, with_numbers
from tests.benchmarks.health.forecast_cells import Cell, follow_all
from tests.benchmarks.health.forecast_metrics import Track, warnings_of, weighted_quantile
from tests.benchmarks.health.forecast_wear import WEARS
from tests.benchmarks.health.table import DATA

START = datetime(2026, 1, 1, tzinfo=UTC)
LFP = prior_for("traction_battery_soh", "lfp")


def cell(name: str, length: int, knee: float) -> Cell:
    days = np.arange(float(length))
    truth = 100 - 0.01 * days - 2 * np.exp((days - knee) / 40)
    return Cell(name=name, truth=truth, recorded=truth)


@pytest.mark.parametrize("prior", [LFP, prior_for("traction_battery_soh", "plain")])
def test_all_at_once_is_each_alone(prior: TrendPrior) -> None:
    series = [cell("one", 120, 100).noisy(0), cell("two", 90, 60).noisy(0)]
    for day in follow_all(prior, series, every=17):
        together = crossing_days(day.belief, prior, -LIMIT)
        for row, values in enumerate(series):
            if day.number >= values.size:
                continue
            times = [START + timedelta(days=number) for number in range(day.number + 1)]
            known = values[: day.number + 1].tolist()
            alone = foresee(times, known, falling=True, now=times[-1], prior=prior)
            assert alone is not None
            assert alone.crossing(LIMIT).probability_30d == pytest.approx(together.probability_30d[row], abs=1e-9)


def test_a_crossing_is_the_first_day_from_which_it_stays_below() -> None:
    truth = np.array([100.0, 86, 84, 86, 84, 83])
    assert Cell(name="x", truth=truth, recorded=truth).crossing(85) == 4
    assert np.isnan(Cell(name="x", truth=truth[:4], recorded=truth[:4]).crossing(85))


def track(crossing: float, warned: int, length: int = 400) -> Track:
    probability = np.zeros(length - 20)
    probability[warned - 20 :] = 0.5
    none = np.zeros(0)
    return Track(
        name="MIT/x", length=length, crossing=crossing, probability_30d=probability, asked=none, early=none,
        median=none, late=none, shares=np.zeros((30, 0)),
    )  # fmt: skip


def test_leads_misses_and_false_alarms_are_counted() -> None:
    found = [track(300, 250), track(300, 290), track(300, 305), track(300, 100), track(np.nan, 50), track(np.nan, 395)]
    counted = warnings_of(found, 0.2)
    assert (counted.crossings, counted.missed) == (4, 1)
    assert sorted(counted.leads.tolist()) == [10, 50, 200]
    assert counted.in_time == pytest.approx(2 / 4)
    assert counted.not_too_early == pytest.approx(2 / 3)
    assert counted.years == pytest.approx(2 * 290 / 365.25)
    assert counted.false_alarms_per_100_years == pytest.approx(100 / counted.years)


def test_quantiles_heed_their_weights() -> None:
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 8.0, 1.0]), 0.8) == 1
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 8.0, 1.0]), 0.95) == 3


def test_the_levels_of_simulated_wear_are_what_the_script_gives() -> None:
    wear = next(wear for wear in WEARS if wear.quantity == "tire_pressure")
    ((_, low, high),) = wear_levels(wear, range(1000, 1040))  # of the 150 it takes
    ((_, shipped_low, shipped_high),) = prior_for("tire_pressure").interval_levels
    assert low == pytest.approx(shipped_low, abs=0.03)
    assert high == pytest.approx(shipped_high, abs=0.06)


@pytest.mark.recordings
@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not in ../shared/data")
def test_the_shipped_numbers_score_better_than_others_on_the_cells_they_are_from() -> None:
    data = training(fit_cells("MIT")[::4])
    shipped = score(LFP, data)
    numbers = {
        "calm_start": LFP.calm_start, "faster_per_day": LFP.faster_per_day, "slower_per_day": LFP.slower_per_day,
        "slope_deviation_per_day": LFP.slope_deviation_per_day, "slope_noise": LFP.slope_noise[0].deviation,
        "relative_slope_noise": LFP.relative_slope_noise, "level_noise": LFP.level_noise[0].deviation,
    }  # fmt: skip
    for name, factor in (("faster_per_day", 0.1), ("faster_per_day", 10), ("slope_deviation_per_day", 10)):
        assert score(with_numbers(LFP, numbers | {name: factor * numbers[name]}), data) > shipped
