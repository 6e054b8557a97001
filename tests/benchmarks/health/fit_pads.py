"""What was chosen for pads: the table of what slow sampling sees, and how wide the errors of the model must be.

Run by hand: ``python -m tests.benchmarks.health.fit_pads``. The table in health/pads/driving.py is fitted to the
recorded trips on the side of fitting. The errors in health/pads/parameters.py are chosen by hand so that the intervals
of two fleets no row is judged by hold the truth nine times in ten: simulated cars on those trips, and on made drives of
their own seeds. What of a recuperating car's braking counts as friction (health/pads/friction_energy.py) was chosen
from a few round values so that the true wear per energy estimated differs little between cars and between two routines
of one car; the latter is what ``recuperation_drift`` stands for.
"""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from health import signals
from health.pads import driving as pad_driving
from health.pads.driving import Brake, Driving
from health.pads.parameters import BrakePadsParameters
from health.told import Told
from telemetry.records import Sample
from tests.benchmarks.health.pads_fleet import Case, drive_fleet, routine_of
from tests.benchmarks.health.sim_braking import STEP_S, Life, Trip, made_car, recorded_trips
from tests.benchmarks.health.table import DATA, seed_of, split_of

START: Final = datetime(2026, 1, 5, 6, tzinfo=UTC)
STEPS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0)
PARAMETERS: Final = BrakePadsParameters(mass_kg=1300.0, engine_displacement_l=1.4)


def seen_j(trip: Trip, step_s: float, *, phase: int = 0) -> float:
    """Friction energy of a trip as the estimator sums it from whole km/h every so many seconds."""
    driving, told = Driving(row1=Brake(), row2=Brake()), Told()
    every = round(step_s / STEP_S)
    for index in range(phase, len(trip.speed), every):
        values = {signals.SPEED.path: float(round(trip.speed[index] * 3.6))}
        if trip.rpm is not None:
            values[signals.ENGINE_SPEED.path] = float(trip.rpm[index])
        moment = START + timedelta(seconds=index * STEP_S)
        driving.update(PARAMETERS, told, Sample(time=moment, monotonic_ms=0, values=values))
    driving.end_deceleration(PARAMETERS)
    return driving.seen_j


def share_seen(trips: Sequence[Trip], step_s: float) -> list[float]:
    """Of each trip: energy seen at such steps, mean over where they begin, to that at half a second."""
    every = round(step_s / STEP_S)
    shares = []
    for trip in trips:
        phases = range(0, every, max(1, every // 5))
        shares.append(sum(seen_j(trip, step_s, phase=phase) for phase in phases) / len(phases) / seen_j(trip, STEP_S))
    return shares


def fitting_trips() -> list[Trip]:
    """The trips that may be used to choose something."""
    return [trip for trip in recorded_trips(DATA / "obd_trips") if split_of("trips", trip.name) == "fit"]


def fitted(trips: Sequence[Trip], *, rounds: int = 4) -> tuple[tuple[float, float], ...]:
    """The table with which, on the mean of the trips, as much is seen at each step as at half a second."""
    table = dict.fromkeys(STEPS_S, 1.0)
    kept = pad_driving.SEEN_SHARE
    try:
        for _ in range(rounds):
            for step_s in STEPS_S[1:]:
                pad_driving.SEEN_SHARE = tuple(table.items())  # type: ignore[misc]
                shares = share_seen(trips, step_s)
                table[step_s] *= sum(shares) / len(shares)
    finally:
        pad_driving.SEEN_SHARE = kept  # type: ignore[misc]
    return tuple((step_s, round(share, 2)) for step_s, share in table.items())


def recuperating(label: str, trips: Sequence[Trip] | None, cars: int) -> tuple[float, float, float]:
    """Of electric cars, log of true friction energy to that estimated: mean, deviation of cars, and of a routine."""
    found: list[tuple[float, float]] = []
    for number in range(cars):
        seed = seed_of("pads", label, number)
        rng = random.Random(seed)
        life = Life(replace(made_car(seed, electric=True), ageing=0.0), 1.0, rng)
        driving, told, parameters = (
            Driving(row1=Brake(), row2=Brake()),
            Told(),
            BrakePadsParameters(mass_kg=life.car.mass_kg),
        )
        first, second = (_true_to_estimated(life, driving, told, parameters, routine_of(rng, trips)) for _ in range(2))
        found.append((first, second))
    means = [(first + second) / 2 for first, second in found]
    routine = math.sqrt(sum((first - second) ** 2 for first, second in found) / 2 / cars)
    return statistics.fmean(means), statistics.pstdev(means), routine


def _true_to_estimated(
    life: Life, driving: Driving, told: Told, parameters: BrakePadsParameters, routine: Sequence[Trip]
) -> float:
    car, before, seen = life.car, list(life.worn), driving.seen_j
    moment = START if driving.last is None else driving.last
    for trip in routine:
        moment += timedelta(hours=5)
        for index, (speed, _, battery_w, _) in enumerate(life.drive(trip)):
            if index % round(1 / STEP_S) == 0:
                values = {
                    signals.SPEED.path: float(round(speed * 3.6)),
                    signals.TRACTION_BATTERY_VOLTAGE.path: 360.0,
                    signals.TRACTION_BATTERY_CURRENT.path: round(battery_w / 360.0, 1),
                }
                driving.update(parameters, told, Sample(time=moment, monotonic_ms=0, values=values))
            moment += timedelta(seconds=STEP_S)
        life.park()
    driving.end_deceleration(parameters)
    worn_mm3_mj = (
        (life.worn[axle] - before[axle]) / 100 * car.volume_mm3[axle] / car.k_mm3_mj[axle] for axle in (0, 1)
    )
    return math.log(2e6 * sum(worn_mm3_mj) / (driving.seen_j - seen))


def main() -> None:
    """Print the table, and how far single trips are from it."""
    trips = fitting_trips()
    print(fitted(trips))  # noqa: T201
    for step_s in STEPS_S[1:]:
        shares = share_seen(trips, step_s)
        mean = sum(shares) / len(shares)
        spread = (sum((share - mean) ** 2 for share in shares) / len(shares)) ** 0.5
        print(f"{step_s:4.1f} s with the table stored: {mean:.3f}, from trip to trip +- {spread:.3f}")  # noqa: T201


def show_recuperation() -> None:
    """Print how friction estimated of electric cars departs from the truth."""
    for label, trips in (("fitdrift-real", fitting_trips()), ("fitdrift-made", None)):
        mean, of_cars, of_routine = recuperating(label, trips, 24)
        print(f"{label}: mean {mean:+.2f}, between cars +- {of_cars:.2f}, between routines +- {of_routine:.3f}")  # noqa: T201


def show_coverage() -> None:
    """Print how often the intervals of the fleets of fitting hold the truth."""
    cases: tuple[Case, ...] = ("1 Hz", "fine gauge")
    for label, trips, cars in (("devreal", fitting_trips(), 12), ("devmade", None, 16)):
        points = drive_fleet(cars, trips, label=label, cases=cases)
        for case in cases:
            for when, chosen in (
                ("before", [point for point in points if point.visits == 0]),
                ("after", [point for point in points if point.visits > 0]),
            ):
                held = [one.low <= point.truth <= one.high for point in chosen for one in [point.said[case]]]
                print(f"{label}, {case}, {when} the first visit: {sum(held) / len(held):.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
    show_recuperation()
    show_coverage()
