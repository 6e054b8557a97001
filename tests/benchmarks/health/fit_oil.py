"""Where the numbers of oil life come from that are chosen by data; run by hand, it prints them.

``python -m tests.benchmarks.health.fit_oil``: engine speeds of the simulated car (recorded trips of the fit side), the
budget (normal pattern and its published interval; severe and motorway are not looked at), and the error of modelled oil
temperature (simulated cars of the fit side).
"""

import math
from statistics import mean, median
from typing import Final

from health.oil.parameters import NORMAL_INTERVAL_KM
from health.oil_life import OilLife, OilLifeParameters
from tests.benchmarks.health.oil_driving import Car, samples
from tests.benchmarks.health.oil_patterns import NORMAL, PATTERNS, START, cars, effective, trip
from tests.benchmarks.health.oil_trips import recorded_trips
from tests.benchmarks.health.table import Split, split_of

_STEP_KMH: Final = 10
_FEWEST: Final = 5  # readings of a bin


def engine_speeds() -> list[tuple[float, float]]:
    """Middle of each ten km/h and the mean engine speed there, rpm."""
    bins: dict[int, list[float]] = {}
    for _, _, speed, engine_speed in _fit_readings():
        if speed > 0:
            bins.setdefault(int(speed // _STEP_KMH), []).append(engine_speed)
    return [(_STEP_KMH * (key + 0.5), mean(found)) for key, found in sorted(bins.items()) if len(found) >= _FEWEST]


def idle_speeds() -> tuple[float, float]:
    """Median engine speed at rest, of all readings and of those with the coolant below 50 degrees; rpm."""
    idle = [(engine_speed, coolant) for _, coolant, speed, engine_speed in _fit_readings() if speed == 0]
    running = [(engine_speed, coolant) for engine_speed, coolant in idle if engine_speed > 300]
    return median(speed for speed, _ in running), median(speed for speed, coolant in running if coolant < 50)


def budget_revolutions() -> float:
    """Effective revolutions of the normal pattern over its published interval, in the compact car."""
    return effective(trip(Car(), NORMAL)) / NORMAL.trip_km * NORMAL_INTERVAL_KM


def temperature_error_k(split: Split) -> float:
    """Root mean square error of modelled oil temperature, over all patterns, each weighing the same."""
    squares = []
    for car in cars(split):
        for pattern in PATTERNS:
            steps = trip(car, pattern)
            oil = OilLife(OilLifeParameters())
            errors = []
            for index, sample in enumerate(samples(steps, START, air_c=pattern.air_c, every_s=5)):
                oil.update(sample)
                errors.append((oil.oil_temperature_c or 0.0) - steps[5 * index].oil_c)
            squares.append(mean(error**2 for error in errors))
    return math.sqrt(mean(squares))


def _fit_readings() -> list[tuple[float, float, float, float]]:
    return [
        (reading.seconds, reading.coolant_c, reading.speed_kmh, reading.engine_speed_rpm)
        for trip_ in recorded_trips()
        if split_of("trips", trip_.name) == "fit"
        for reading in trip_.readings
    ]


def main() -> None:
    """Print all of it."""
    for speed, engine_speed in engine_speeds():
        print(f"({speed:.1f}, {engine_speed:.1f}),")  # noqa: T201 - this is its output
    print(f"idle, cold idle: {idle_speeds()} rpm")  # noqa: T201
    print(f"budget: {budget_revolutions() / 1e6:.2f} million effective revolutions")  # noqa: T201
    print(f"error of modelled oil temperature: {temperature_error_k('fit'):.1f} K")  # noqa: T201


if __name__ == "__main__":
    main()
