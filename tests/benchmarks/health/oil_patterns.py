"""The patterns of use that oil life is fitted and judged by, and cars driven by them through the estimator.

Cycles and temperatures were fixed before anything was computed with them; the car's gears and heat stores were not
(three were tried, severe use came out at 4,930 to 5,064 km with each). Normal: the type approval cycle of UN R83
twice (22 km, the length of a WLTC), at the European mean of 14 degrees that WLTP corrects to. Severe: what the
General Motors schedule calls so, trips below 6.4 km in freezing weather, as UN R83 drives them in its cold test (type
VI): the urban part, 4.05 km at -7 degrees; every six hours, so that 4,800 km fit into a year. Motorway: 50 km at 120
km/h a day, 18,500 km in a year, the yearly distance of the United States' EPA.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from health.intervals import interpolate
from health.oil_life import PENALTY, OilLife
from telemetry.records import Estimate, Sample
from tests.benchmarks.health.oil_driving import (
    NEDC,
    URBAN,
    Car,
    Cycle,
    Step,
    drive,
    kilometres,
    motorway,
    samples,
    soaked,
    some_car,
)
from tests.benchmarks.health.table import Split, seed_of

START: Final = datetime(2026, 1, 5, tzinfo=UTC)
_CARS: Final[dict[Split, int]] = {"fit": 8, "judged": 16}


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A trip that is driven over and over. ``goal_km``: the published interval, None where the time cap ends it."""

    name: str
    cycle: Cycle
    air_c: float
    hours: float  # from start to start
    goal_km: float | None

    @property
    def trip_km(self) -> float:
        """Length of the trip."""
        return kilometres(tuple(self.cycle))


NORMAL: Final = Pattern(name="normal", cycle=NEDC * 2, air_c=14.0, hours=12.0, goal_km=12_000.0)
SEVERE: Final = Pattern(name="severe", cycle=URBAN, air_c=-7.0, hours=6.0, goal_km=4_800.0)
MOTORWAY: Final = Pattern(name="motorway", cycle=motorway(48), air_c=14.0, hours=24.0, goal_km=None)
PATTERNS: Final = (NORMAL, SEVERE, MOTORWAY)


def cars(split: Split) -> list[Car]:
    """Cars that differ from one another, one set to choose errors by and one to judge."""
    return [some_car(Random(seed_of("oil", split, number))) for number in range(_CARS[split])]


def trip(car: Car, pattern: Pattern) -> list[Step]:
    """The trip of a car that does nothing else: engine and oil begin as the rest before left them."""
    metal, oil = pattern.air_c, pattern.air_c
    steps: list[Step] = []
    for _ in range(2):
        steps = drive(car, pattern.cycle, air_c=pattern.air_c, metal_c=metal, oil_c=oil)
        rest_s = pattern.hours * 3600 - len(steps)
        metal, oil = soaked(car, steps[-1].coolant_c - car.sensor_k, steps[-1].oil_c, rest_s, pattern.air_c)
    return steps


def effective(steps: list[Step]) -> float:
    """Effective revolutions of a trip by its true oil temperature."""
    return sum(step.engine_speed_rpm / 60 * interpolate(PENALTY, step.oil_c) for step in steps)


def trips(steps: list[Step], pattern: Pattern, *, oil_read: bool, every_s: int = 5) -> Iterator[list[Sample]]:
    """The same trip for ever, at its hours."""
    first = samples(steps, START, air_c=pattern.air_c, oil_read=oil_read, every_s=every_s)
    begin = START
    while True:
        later = begin - START
        yield [Sample(time=sample.time + later, monotonic_ms=0, values=sample.values) for sample in first]
        begin += timedelta(hours=pattern.hours)


def used_up(oil: OilLife, pattern: Pattern, steps: list[Step], *, oil_read: bool) -> list[tuple[int, Estimate]]:
    """Number of trips and the estimate after each ten of them, until nothing is left; the oil is fresh at the start."""
    oil.reset(START, "benchmark: fresh oil")
    found: list[tuple[int, Estimate]] = []
    for number, driven in enumerate(trips(steps, pattern, oil_read=oil_read), start=1):
        for sample in driven:
            oil.update(sample)
        if number % 10 == 0:
            found.append((number, oil.estimates(driven[-1].time)[0]))
            if found[-1][1].value <= 0:
                return found
    raise AssertionError("trips never end")
