"""Which charges become windows."""

from datetime import timedelta
from random import Random

import pytest

from health import signals
from health.capacity.charge_observer import ChargeObserver
from health.capacity.charge_window import Doubt
from health.capacity.pool import Window
from telemetry.records import Sample
from tests.unit.health.traction_support import PARAMETERS, START


def charged(low: float, high: float, *, errors: tuple[float, float], capacity: float = 150.0) -> list[Window | Doubt]:
    """A charge at 30 A with a gauge that errs by so many points at its ends; then an hour's silence."""
    observer, found = ChargeObserver(), list[Window | Doubt]()
    steps = round((high - low) / 100 * capacity / 30 * 60)
    for index in range(steps + 1):
        share = index / steps
        shown = round(low + (high - low) * share + errors[0] + (errors[1] - errors[0]) * share)
        values = {
            signals.TRACTION_BATTERY_CURRENT.path: 30.0,
            signals.TRACTION_BATTERY_CHARGING.path: 1.0,
            signals.TRACTION_BATTERY_SOC.path: float(shown),
        }
        sample = Sample(time=START + timedelta(minutes=index), monotonic_ms=0, values=values)
        found += observer.take(sample, 150.0, PARAMETERS)
    last = Sample(time=START + timedelta(days=1), monotonic_ms=0, values={signals.TRACTION_BATTERY_CURRENT.path: 0.0})
    return found + observer.take(last, 150.0, PARAMETERS)


@pytest.mark.parametrize("errors", [(0.0, 0.0), (-4.0, 4.0), (4.0, -4.0)])
def test_a_charge_of_five_points_is_no_window_whatever_the_gauge_shows(errors: tuple[float, float]) -> None:
    assert charged(70, 75, errors=errors) == []


def test_short_windows_are_not_chosen_by_the_gauges_error() -> None:
    """Fifteen points by a gauge that errs by four: refusing what shows little would tell a smaller capacity."""
    rng, inverse = Random(1), list[float]()
    for _ in range(400):
        (window,) = charged(65, 80, errors=(rng.gauss(0, 2.8), rng.gauss(0, 2.8)))
        assert isinstance(window, Window)
        inverse.append(window.inverse_capacity)
    assert sum(inverse) / len(inverse) == pytest.approx(1, abs=0.06)
