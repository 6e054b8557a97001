import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from health.errors import HealthError
from health.forecast import Forecast, Foresight, TrajectoryPoint, foresee, prior_for
from health.forecasting.prior import PLAIN, TrendPrior
from telemetry.records import Quantity

START = datetime(2026, 1, 1, tzinfo=UTC)
BATTERY = prior_for(Quantity.TRACTION_BATTERY_SOH)
STEADY = prior_for(Quantity.TRACTION_BATTERY_SOH, PLAIN)
OIL = prior_for(Quantity.OIL_LIFE)
Floats = npt.NDArray[np.float64]


def at(days: Sequence[float] | Floats) -> list[datetime]:
    return [START + timedelta(days=float(day)) for day in days]


def rounded(values: Floats, step: float) -> list[float]:
    return [float(value) for value in np.round(values / step) * step]


def seen(
    days: Sequence[float] | Floats,
    values: Sequence[float],
    *,
    falls: bool = True,
    now: datetime | None = None,
    prior: TrendPrior = BATTERY,
) -> Foresight:
    times = at(days)
    foresight = foresee(times, values, falling=falls, now=now or times[-1], prior=prior)
    assert foresight is not None
    return foresight


def falling(days: Floats, values: Sequence[float], limit: float = 80.0, prior: TrendPrior = BATTERY) -> Forecast:
    return seen(days, values, prior=prior).crossing(limit)


def days_from_end(days: Floats, moment: datetime | None) -> float:
    assert moment is not None
    return (moment - START).total_seconds() / 86_400 - float(days[-1])


@pytest.mark.parametrize("step", [0.1, 0.4, 1.0])
def test_a_slowly_fading_battery_is_forecast(step: float) -> None:
    days = np.arange(150.0)
    forecast = falling(days, rounded(80.4 + 0.02 * (149 - days), step))
    assert forecast.probability_30d > 0.5
    assert forecast.slope_per_day == pytest.approx(-0.02, abs=0.004)
    assert days_from_end(days, forecast.median) == pytest.approx(20, abs=10)


@pytest.mark.parametrize("step", [0.1, 0.4, 1.0])
def test_a_healthy_battery_is_not(step: float) -> None:
    days = np.arange(150.0)
    forecast = falling(days, rounded(95 + 0.005 * (149 - days), step))
    assert forecast.probability_30d < 0.01
    assert forecast.median is None
    assert forecast.level == pytest.approx(95, abs=step)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(12)
    held = 0
    for _ in range(100):
        slope, noise = rng.uniform(0.02, 0.2), rng.uniform(0.1, 1.0)
        days = np.sort(rng.uniform(0, rng.uniform(60, 150), 70))
        left = rng.uniform(10, 60)
        truth = 80 + slope * (days[-1] + left - days)
        forecast = falling(days, rounded(truth + rng.normal(0, noise, 70), 0.1))
        crossing = START + timedelta(days=float(days[-1] + left))
        late = forecast.late or datetime.max.replace(tzinfo=UTC)
        held += forecast.early is not None and forecast.early <= crossing <= late
    assert 80 <= held <= 99


@pytest.mark.parametrize("where", [40, 100, 148, 149])
@pytest.mark.parametrize("size", [-60.0, -5.0])
def test_a_single_outlier_changes_little(where: int, size: float) -> None:
    days = np.arange(150.0)
    clean = rounded(80.4 + 0.02 * (149 - days), 0.1)
    spoilt = list(clean)
    spoilt[where] += size
    one, other = falling(days, clean), falling(days, spoilt)
    assert days_from_end(days, other.median) == pytest.approx(days_from_end(days, one.median), abs=3)


def test_a_flat_series_crosses_nothing() -> None:
    days = np.arange(60.0)
    forecast = falling(days, [95.0] * 60)
    assert forecast.median is None
    assert forecast.early is None or days_from_end(days, forecast.early) > 180  # a knee may come, not soon
    assert forecast.probability_30d < 0.001
    assert forecast.slope_per_day == pytest.approx(0, abs=1e-4)


def test_irregular_times_in_any_order_and_several_a_day() -> None:
    rng = np.random.default_rng(3)
    days = rng.uniform(0, 150, 300)
    forecast = seen(days, rounded(80.4 + 0.02 * (150 - days), 0.1), now=START + timedelta(days=150)).crossing(80)
    assert forecast.probability_30d > 0.8


@pytest.mark.parametrize("days", [[], [0.0], [0.0, 1.0, 2.0, 3.0], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [0.0, 100.0]])
def test_nothing_is_said_of_little_data(days: list[float]) -> None:
    now = START + timedelta(days=101)
    assert foresee(at(days), [50.0] * len(days), falling=True, now=now, prior=OIL) is None


def test_only_the_part_after_a_repair_counts() -> None:
    days = np.arange(260.0)
    life = np.where(days < 240, 100 - 0.4 * days, 100 - 0.4 * (days - 240))
    forecast = falling(days, rounded(life, 0.4), limit=10, prior=OIL)
    assert forecast.days_of_data == pytest.approx(19)
    assert forecast.probability_30d < 0.01
    assert days_from_end(days, forecast.median) == pytest.approx((life[-1] - 10) / 0.4, rel=0.1)


def test_pads_rise_to_their_limit() -> None:
    days = np.arange(90.0)
    pads = prior_for(Quantity.PAD_WEAR)
    forecast = seen(days, rounded(70 + 0.25 * days, 1.0), falls=False, prior=pads).crossing(95)
    assert days_from_end(days, forecast.median) == pytest.approx((95 - 92.25) / 0.25, abs=4)
    assert forecast.slope_per_day == pytest.approx(0.25, abs=0.02)


def test_what_has_crossed_is_due_now() -> None:
    days = np.arange(30.0)
    forecast = falling(days, rounded(79 - 0.05 * days, 0.1))
    assert forecast.median == at(days)[-1]
    assert forecast.probability_30d > 0.99


def test_a_year_ahead_or_of_silence_stays_within_reason() -> None:
    days = np.arange(150.0)
    values = 95 - 0.01 * days + np.random.default_rng(0).normal(0, 1, 150)
    ahead = seen(days, values.tolist()).trajectory([365])[0]
    assert 60 < ahead.low < ahead.median < ahead.high < 110
    assert ahead.median == pytest.approx(95 - 0.01 * 515, abs=3)
    silent = seen(days, values.tolist(), now=START + timedelta(days=515)).crossing(80)
    assert 75 < silent.level < 95


@pytest.mark.parametrize("phase", range(0, 140, 20))
def test_whole_percents_of_a_steady_fade_are_no_knee(phase: int) -> None:
    """Where the history begins within a step must not matter."""
    days = np.arange(phase, phase + 400.0, 3)
    forecast = falling(days, rounded(84.5 - 5 / 730 * days, 1.0))
    left = (4.5 - 5 / 730 * float(days[-1])) * 730 / 5
    assert forecast.slope_per_day == pytest.approx(-5 / 730, abs=0.003)
    assert days_from_end(days, forecast.median) == pytest.approx(left, rel=0.35)
    assert forecast.probability_30d < 0.1


def test_silence_since_the_last_value_counts() -> None:
    days = np.arange(60.0)
    values = rounded(90 - 0.1 * days, 0.1)
    now = START + timedelta(days=59 + 20)
    forecast = seen(days, values, now=now).crossing(80)
    assert forecast.level == pytest.approx(82.1, abs=0.3)
    assert forecast.median is not None
    assert (forecast.median - now).days == pytest.approx(21, abs=2)


def test_the_trajectory_meets_the_forecast_and_widens() -> None:
    days = np.arange(100.0)
    rng = np.random.default_rng(5)
    values = [float(value) for value in 90 - 0.05 * days + rng.normal(0, 0.3, 100)]
    foresight = seen(days, values)
    points = foresight.trajectory([0, 30, 90])
    assert points[0].median == pytest.approx(foresight.crossing(80).level, abs=0.05)
    assert points[0].time == at(days)[-1]
    widths = [point.high - point.low for point in points]
    assert widths == sorted(widths)
    assert points[2].median == pytest.approx(90 - 0.05 * 189, abs=1)
    assert foresight.trajectory([]) == ()


def test_a_rising_trajectory_has_its_low_end_below() -> None:
    points = seen(np.arange(60.0), rounded(20 + 0.3 * np.arange(60.0), 0.5), falls=False, prior=OIL).trajectory([10])
    assert isinstance(points[0], TrajectoryPoint)
    assert points[0].low < points[0].median < points[0].high
    assert points[0].median == pytest.approx(20 + 0.3 * 69, abs=1)


def test_wrong_use_is_refused() -> None:
    times = at(range(10))
    with pytest.raises(HealthError, match="10 times but 1 values"):
        foresee(times, [1.0], falling=True, now=times[-1], prior=OIL)
    with pytest.raises(HealthError, match="10 times but 2 half_widths"):
        foresee(times, [1.0] * 10, falling=True, now=times[-1], prior=OIL, half_widths=[1.0, 1.0])
    with pytest.raises(ValueError, match="time zone"):
        foresee(times, [1.0] * 10, falling=True, now=datetime(2026, 2, 1), prior=OIL)  # noqa: DTZ001 - naive on purpose
    with pytest.raises(HealthError, match="horizon_days"):
        seen(range(10), [1.0] * 10).crossing(0, horizon_days=0)


def test_the_dongle_does_not_load_numpy() -> None:
    code = "import sys, health.registry; sys.exit('numpy' in sys.modules or 'health.forecast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_estimate_whose_error_wanders_is_no_fading_battery() -> None:
    """The errors of successive estimates are nearly the same: a drift of weeks that is no wear."""
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        error, values = rng.normal(0, 1.5), []
        for day in range(150):
            error = error * (1 - 1 / 60) + rng.normal(0, 1.5 * (2 / 60) ** 0.5)
            values.append(float(92 - 0.005 * day + error))
        for end in range(10, 150, 20):
            alarms += seen(range(end), values[:end]).crossing(80).probability_30d > BATTERY.warn_probability
    assert alarms == 0


def test_an_error_that_all_estimates_share_widens_the_interval_and_does_not_shift_the_date() -> None:
    days = np.arange(150.0)
    times, values = at(days), rounded(84 - 0.02 * days, 0.1)

    def crossing(half_width: float) -> Forecast:
        widths = [half_width] * len(times)
        found = foresee(times, values, falling=True, now=times[-1], prior=STEADY, half_widths=widths)
        assert found is not None
        return found.crossing(80)

    exact, rough = crossing(0.1), crossing(2.0)
    assert days_from_end(days, rough.median) == pytest.approx(days_from_end(days, exact.median), abs=6)
    assert days_from_end(days, exact.early) > 25
    # 2 points at 0.02 a day: the limit may have been crossed already.
    assert days_from_end(days, rough.early) < 1
    assert rough.late is None or days_from_end(days, rough.late) > 130


def test_a_scatter_that_the_intervals_only_describe_is_not_counted_twice() -> None:
    rng = np.random.default_rng(11)
    days = np.arange(150.0)
    times, values = at(days), [float(value) for value in 90 - 0.02 * days + rng.normal(0, 1, 150)]
    found = foresee(times, values, falling=True, now=times[-1], prior=BATTERY, half_widths=[1.2] * 150)
    assert found is not None
    assert found.common_variance == 0


def test_values_known_to_nothing_are_no_forecast() -> None:
    times = at(range(20))
    widths = [float("inf")] * 20
    assert foresee(times, [90.0] * 20, falling=True, now=times[-1], prior=BATTERY, half_widths=widths) is None


def test_a_missing_month_and_doubled_days_change_little() -> None:
    days = np.arange(150.0)
    values = np.round(84 - 0.03 * days, 1)
    kept = (days < 60) | (days >= 90)
    gap = falling(days[kept], values[kept].tolist())
    whole = falling(days, values.tolist())
    doubled = falling(np.repeat(days, 2), np.repeat(values, 2).tolist())
    assert days_from_end(days, gap.median) == pytest.approx(days_from_end(days, whole.median), abs=8)
    assert doubled == whole


def test_a_knee_is_seen_sooner_with_the_fleet_than_without() -> None:
    rng = np.random.default_rng(2)
    days = np.arange(400.0)
    truth = 100 - 0.01 * days - 3.0 * np.exp((days - 400) / 45)
    values = truth + rng.normal(0, 0.5, 400)
    # Goes on to 85 % some 61 days later.
    later = 400 + np.arange(200.0)
    crossing = later[np.flatnonzero(100 - 0.01 * later - 3.0 * np.exp((later - 400) / 45) < 85)[0]] - 399
    lfp = prior_for(Quantity.TRACTION_BATTERY_SOH, "lfp")
    fleet, plain = (falling(days, values.tolist(), 85, prior) for prior in (lfp, STEADY))
    off_fleet = abs(days_from_end(days, fleet.median) - crossing)
    assert plain.median is None or off_fleet < abs(days_from_end(days, plain.median) - crossing)
    assert days_from_end(days, fleet.early) <= crossing
