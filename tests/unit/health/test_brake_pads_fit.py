"""The table of what slow sampling sees of friction energy is what its script gives; the simulated cars are sound."""

import math
import random

import pytest

from health.pads.parameters import BrakePadsParameters
from tests.benchmarks.health.fit_pads import fitting_trips, recuperating, share_seen
from tests.benchmarks.health.pads_fleet import determination, drive_fleet
from tests.benchmarks.health.sim_braking import Life, Style, made_car, made_trip
from tests.benchmarks.health.table import DATA

recorded = pytest.mark.skipif(not (DATA / "obd_trips").is_dir(), reason="the recordings are not part of the project")


@recorded
@pytest.mark.parametrize("step_s", [5.0, 10.0])
def test_the_stored_table_makes_up_for_what_slow_sampling_misses(step_s: float) -> None:
    shares = share_seen(fitting_trips(), step_s)
    assert sum(shares) / len(shares) == pytest.approx(1, abs=0.02)


def test_one_visit_explains_wear_by_another_law_better_than_none() -> None:
    points = drive_fleet(3, None, label="test", cases=("1 Hz", "fine gauge"))
    after = [point for point in points if point.visits > 0]
    truth = [point.truth for point in after]
    assert determination(truth, [point.said["fine gauge"].value for point in after]) > 0.85
    held = [point.said["1 Hz"].low <= point.truth <= point.said["1 Hz"].high for point in points]
    assert sum(held) / len(held) > 0.7


def test_a_simulated_car_wears_by_the_energy_that_braking_leaves_to_friction() -> None:
    style = Style(city=0.7, acceleration=1.2, deceleration=1.8, top_kmh=110)
    trip = made_trip("way", style, 10, 1)
    petrol, electric = made_car(4, electric=False), made_car(4, electric=True)
    lives = [Life(car, 100.0, random.Random(5)) for car in (petrol, electric)]
    for life in lives:
        metres = math.fsum(step[3] for step in life.drive(trip))
        assert metres == pytest.approx(1000 * trip.km, rel=0.01)
    assert 0 < lives[1].worn[0] < 0.7 * lives[0].worn[0]


def test_friction_of_electric_cars_departs_from_the_truth_by_no_more_than_is_allowed_for() -> None:
    parameters = BrakePadsParameters()
    _, of_cars, of_routine = recuperating("fitdrift-made", None, 6)
    recuperated = 6.0  # times the friction: what such cars save
    assert of_cars < math.hypot(parameters.seen_error, parameters.recuperation_error * recuperated)
    assert of_routine < 1.2 * math.hypot(parameters.drift_error, parameters.recuperation_drift * recuperated)
