import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from health.errors import HealthError
from health.forecast import SLOPE_PRIOR_PER_DAY, Forecast, forecast_crossing, trajectory
from telemetry.records import Quantity

START = datetime(2026, 1, 1, tzinfo=UTC)
Floats = npt.NDArray[np.float64]


def at(days: Sequence[float] | Floats) -> list[datetime]:
    return [START + timedelta(days=float(day)) for day in days]


def rounded(values: Floats, step: float) -> list[float]:
    return [float(value) for value in np.round(values / step) * step]


def falling(days: Floats, values: Sequence[float], limit: float = 80.0) -> Forecast:
    times = at(days)
    forecast = forecast_crossing(times, values, limit=limit, falling=True, now=times[-1])
    assert forecast is not None
    return forecast


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
    assert (forecast.median, forecast.early) == (None, None)
    assert forecast.probability_30d < 0.001
    assert forecast.slope_per_day == pytest.approx(0, abs=1e-6)


def test_irregular_times_in_any_order_and_several_a_day() -> None:
    rng = np.random.default_rng(3)
    days = rng.uniform(0, 150, 300)
    times, values = at(days), rounded(80.4 + 0.02 * (150 - days), 0.1)
    now = START + timedelta(days=150)
    forecast = forecast_crossing(times, values, limit=80, falling=True, now=now)
    assert forecast is not None
    assert forecast.probability_30d > 0.8


@pytest.mark.parametrize("days", [[], [0.0], [0.0, 1.0, 2.0, 3.0], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [0.0, 100.0]])
def test_nothing_is_said_of_little_data(days: list[float]) -> None:
    now = START + timedelta(days=101)
    assert forecast_crossing(at(days), [50.0] * len(days), limit=10, falling=True, now=now) is None
    assert trajectory(at(days), [50.0] * len(days), falling=True, now=now, days=[0, 30]) == ()


def test_only_the_part_after_a_repair_counts() -> None:
    days = np.arange(260.0)
    life = np.where(days < 240, 100 - 0.4 * days, 100 - 0.4 * (days - 240))
    forecast = falling(days, rounded(life, 0.4), limit=10)
    assert forecast.days_of_data == pytest.approx(19)
    assert forecast.probability_30d < 0.01
    assert days_from_end(days, forecast.median) == pytest.approx((life[-1] - 10) / 0.4, rel=0.1)


def test_pads_rise_to_their_limit() -> None:
    days = np.arange(90.0)
    times, values = at(days), rounded(70 + 0.25 * days, 1.0)
    forecast = forecast_crossing(times, values, limit=95, falling=False, now=times[-1])
    assert forecast is not None
    assert days_from_end(days, forecast.median) == pytest.approx((95 - 92.25) / 0.25, abs=4)
    assert forecast.slope_per_day == pytest.approx(0.25, abs=0.02)


def test_what_has_crossed_is_due_now() -> None:
    days = np.arange(30.0)
    forecast = falling(days, rounded(79 - 0.05 * days, 0.1))
    assert forecast.median == at(days)[-1]
    assert forecast.probability_30d > 0.99


def test_silence_since_the_last_value_counts() -> None:
    days = np.arange(60.0)
    values = rounded(90 - 0.1 * days, 0.1)
    now = START + timedelta(days=59 + 20)
    forecast = forecast_crossing(at(days), values, limit=80, falling=True, now=now)
    assert forecast is not None
    assert forecast.level == pytest.approx(82.1, abs=0.3)
    assert forecast.median is not None
    assert (forecast.median - now).days == pytest.approx(21, abs=2)


def test_the_trajectory_meets_the_forecast_and_widens() -> None:
    days = np.arange(100.0)
    rng = np.random.default_rng(5)
    values = [float(value) for value in 90 - 0.05 * days + rng.normal(0, 0.3, 100)]
    times = at(days)
    forecast = falling(days, values)
    points = trajectory(times, values, falling=True, now=times[-1], days=[0, 30, 90])
    assert points[0].median == pytest.approx(forecast.level)
    assert points[0].time == times[-1]
    widths = [point.high - point.low for point in points]
    assert widths == sorted(widths)
    assert points[2].median == pytest.approx(90 - 0.05 * 189, abs=1)


def test_wrong_use_is_refused() -> None:
    times = at(range(10))
    with pytest.raises(HealthError, match="one time per value"):
        forecast_crossing(times, [1.0], limit=0, falling=True, now=times[-1])
    with pytest.raises(ValueError, match="time zone"):
        forecast_crossing(times, [1.0] * 10, limit=0, falling=True, now=datetime(2026, 2, 1))  # noqa: DTZ001 - naive on purpose
    with pytest.raises(HealthError, match="horizon_days"):
        forecast_crossing(times, [1.0] * 10, limit=0, falling=True, now=times[-1], horizon_days=0)


def test_the_dongle_does_not_load_numpy() -> None:
    code = "import sys, health.registry; sys.exit('numpy' in sys.modules or 'health.forecast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_estimate_whose_error_wanders_is_no_fading_battery() -> None:
    """The errors of successive estimates are nearly the same: a drift of weeks that is no wear."""
    prior = SLOPE_PRIOR_PER_DAY[Quantity.TRACTION_BATTERY_SOH]
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        error, values = rng.normal(0, 1.5), []
        for day in range(150):
            error = error * (1 - 1 / 60) + rng.normal(0, 1.5 * (2 / 60) ** 0.5)
            values.append(float(92 - 0.005 * day + error))
        times = at(range(150))
        for end in range(10, 150, 20):
            now = times[end - 1]
            forecast = forecast_crossing(
                times[:end], values[:end], limit=80, falling=True, now=now, slope_prior_per_day=prior
            )
            assert forecast is not None
            alarms += forecast.probability_30d > 0.5
    assert alarms == 0
