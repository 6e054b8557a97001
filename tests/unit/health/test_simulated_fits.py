"""The numbers of the tyres and the 12 V battery that come from simulation are what their scripts give (fewer cars)."""

import pytest

from health import tires
from health.starter_battery.evidence import REST_ONLY_DOWN
from health.tires import TiresParameters
from tests.benchmarks.health.fit_low_voltage_battery import overstated_points
from tests.benchmarks.health.fit_tires import WAYS, scatter_kpa


def test_the_scatter_of_tyre_pressures() -> None:
    compared, reduced, alone = (scatter_kpa(way, 10) for way in WAYS)
    assert round((compared + alone) / 2 * 2) / 2 == TiresParameters().sensor_error_kpa
    assert reduced / compared == pytest.approx(tires._REDUCED_SHARE, abs=0.1)


def test_how_far_rest_overstates_a_battery() -> None:
    assert overstated_points(14) == pytest.approx(REST_ONLY_DOWN, abs=7)
