"""A fleet of simulated cars driven through the estimator: what it said, what a plain method says, and what was true."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from health import signals
from health.brake_pads import BrakePads, BrakePadsParameters
from health.pads.axle import SIDES
from health.pads.parameters import ROWS
from telemetry.records import Estimate, Quantity, Sample, ServiceAction, ServiceRecord
from tests.benchmarks.health.sim_braking import STEP_S, Car, Life, Style, Trip, made_car, made_trip, pieces
from tests.benchmarks.health.table import seed_of

Case = Literal["1 Hz", "0.5 Hz", "0.1 Hz", "start unknown", "fine gauge", "one wheel"]
CASES: Final[tuple[Case, ...]] = ("1 Hz", "0.5 Hz", "0.1 Hz", "start unknown", "fine gauge", "one wheel")
_EVERY_S: Final[dict[Case, float]] = {"0.5 Hz": 2.0, "0.1 Hz": 10.0}  # the others: 1.0
_FINE_MM: Final = 0.1  # error of the fine gauge, not rounded
_START: Final = datetime(2026, 1, 5, 6, tzinfo=UTC)
_LIFE_KM: Final = 180.0  # in which the sooner axle is worn out: some thirty ways, instead of thousands
_GAUGE_MM: Final = 0.3  # standard deviation of a workshop's reading, which is then rounded to halves
_USABLE_MM: Final = (9.0, 8.0)
_FITTED_LATE: Final = 20.0  # percent worn when the dongle of a car of unknown start is fitted
_POINTS: Final = 20  # looked at in a life


@dataclass(frozen=True)
class Visit:
    """What a workshop read of an axle the first time, mean of both wheels, percent worn; and what was true."""

    coarse: float
    fine: float
    truth: float
    km: float


_NOT_MEASURED: Final = Visit(0.0, 0.0, 0.0, 0.0)


@dataclass
class Point:
    """One axle of one car at one moment; percent worn, km of the simulation."""

    car: int
    axle: int
    km: float
    truth: float
    visits: int  # measurements so far
    said: dict[Case, Estimate]
    plain: tuple[float, float] | None  # wear in proportion to distance, by the first visit's coarse and fine gauge
    perfect: tuple[float, float] | None  # the true course of wear scaled by the same: nothing but the gauge errs
    left_km: tuple[float, float, float] | None  # forecast at 1 Hz: low, value, high
    truly_left_km: float | None = None  # known once the pad was worn out


@dataclass
class History:
    """What became of one car."""

    points: list[Point] = field(default_factory=list)
    worn_out_km: list[float | None] = field(default_factory=lambda: [None, None])


def drive_fleet(cars: int, trips: Sequence[Trip] | None, *, label: str, cases: tuple[Case, ...] = CASES) -> list[Point]:
    """All points of so many cars. ``trips``: what they drive, None for made ones; every fourth car is electric."""
    found = []
    for number in range(cars):
        found += _drive(number, trips, seed_of("pads", label, number), cases, electric=is_electric(number))
    return found


def is_electric(number: int) -> bool:
    """Of a car of a fleet."""
    return number % 4 == 3


def changes_ways(number: int) -> bool:
    """Of the driver of a car of a fleet: goes other ways from the middle of the pads' life on."""
    return (number + number // 4) % 2 == 1


def _drive(
    number: int, trips: Sequence[Trip] | None, seed: int, cases: tuple[Case, ...], *, electric: bool
) -> list[Point]:
    rng = random.Random(seed)
    car = made_car(seed, electric=electric)
    routine, other = routine_of(rng, trips), routine_of(rng, trips)
    # Percent worn when half of the drivers, and half of those of electric cars, change their ways.
    moved = rng.uniform(45, 70) if changes_ways(number) else math.inf
    life = Life(car, _thinner(car, routine, rng), rng)
    ours = {case: _estimator(car, life.thinner, case) for case in cases}
    visits = [rng.uniform(40, 60), rng.uniform(70, 85)]  # percent worn in front, or as far behind, when measured
    history = History()
    now, km, measured = _START, 0.0, [_NOT_MEASURED, _NOT_MEASURED]
    ids = random.Random(seed)  # of records: apart, so that a life is the same whichever cases look at it
    made, next_km = 0, _LIFE_KM / _POINTS
    early: Mapping[Case, BrakePads] = {case: estimator for case, estimator in ours.items() if case != "start unknown"}
    while km < 1.25 * _LIFE_KM and min(life.worn) < 100:
        trip = rng.choice(other if max(life.worn) > moved else routine)
        for index, (speed, rpm, battery_w, metres) in enumerate(life.drive(trip)):
            now += timedelta(seconds=STEP_S)
            km += metres / 1000
            fed: Mapping[Case, BrakePads] = ours if max(life.worn) > _FITTED_LATE else early
            _feed(fed, car, now, index, speed, rpm, battery_w, km)
            for axle in (0, 1):
                if life.worn[axle] >= 100 and history.worn_out_km[axle] is None:
                    history.worn_out_km[axle] = km
            if made < len(visits) and max(life.worn) >= visits[made]:
                read = [_measure(ours, axle, life, now, km, (rng, ids), made) for axle in (0, 1)]
                measured, made = measured if made else read, made + 1
            if km >= next_km:
                next_km = next_km + _LIFE_KM / _POINTS
                history.points += _look(number, life, ours, now, km, made, measured)
        now += timedelta(hours=rng.uniform(1, 20))
        life.park()
    for point in history.points:
        worn_out_km = history.worn_out_km[point.axle]
        point.truly_left_km = None if worn_out_km is None else worn_out_km - point.km
    return history.points


def _thinner(car: Car, routine: Sequence[Trip], rng: random.Random) -> float:
    """By how much the pads must be thinner to last so long; it is found by driving every way once."""
    trial = Life(car, 1.0, rng)
    for trip in routine:
        for _ in trial.drive(trip):
            pass
    return 100 / max(trial.worn) * sum(trip.km for trip in routine) / _LIFE_KM


def _estimator(car: Car, thinner: float, case: Case) -> BrakePads:
    start = None if case == "start unknown" else 0.0
    return BrakePads(
        BrakePadsParameters(
            mass_kg=car.mass_kg,
            engine_displacement_l=car.displacement_l,
            pad_volume_row1_mm3=car.told_volume_mm3[0] / thinner,
            pad_volume_row2_mm3=car.told_volume_mm3[1] / thinner,
            wear_at_start_row1=start,
            wear_at_start_row2=start,
            gauge_error_mm=_FINE_MM if case == "fine gauge" else 0.4,
        )
    )


def routine_of(rng: random.Random, trips: Sequence[Trip] | None) -> list[Trip]:
    """The ways a driver goes again and again: of those given, or made."""
    if trips is not None:
        ways = [way for trip in trips for way in pieces(trip)]
        return rng.sample(ways, min(8, len(ways)))
    style = Style(
        city=rng.uniform(0.3, 0.95),
        acceleration=rng.uniform(0.8, 2.0),
        deceleration=rng.uniform(0.9, 2.6),
        top_kmh=rng.uniform(90, 140),
    )
    seeds = [rng.getrandbits(32) for _ in range(8)]
    return [made_trip(f"made {seed}", style, rng.uniform(5, 25), seed) for seed in seeds]


def _feed(
    ours: Mapping[Case, BrakePads],
    car: Car,
    now: datetime,
    index: int,
    speed: float,
    rpm: float,
    battery_w: float,
    km: float,
) -> None:
    values = {signals.SPEED.path: float(round(speed * 3.6)), signals.TRAVELED_DISTANCE.path: km // 1 * 1000}
    if car.displacement_l > 0:
        values[signals.ENGINE_SPEED.path] = rpm
    else:
        values[signals.TRACTION_BATTERY_VOLTAGE.path] = 360.0
        values[signals.TRACTION_BATTERY_CURRENT.path] = round(battery_w / 360.0, 1)
    sample = None
    for case, estimator in ours.items():
        if index % round(_EVERY_S.get(case, 1.0) / STEP_S) == 0:
            sample = sample or Sample(time=now, monotonic_ms=0, values=values)
            estimator.update(sample)


def _measure(
    ours: dict[Case, BrakePads],
    axle: int,
    life: Life,
    now: datetime,
    km: float,
    chance: tuple[random.Random, random.Random],
    visit: int,
) -> Visit:
    """A workshop's visit: both wheels of an axle. Cars of known start are told of the first visit alone.

    ``chance``: of the gauge and of the records' ids.
    """
    rng, ids = chance
    new_mm, usable_mm = (12.0, 10.0)[axle], _USABLE_MM[axle]
    coarse, fine = 0.0, 0.0
    for side, share in zip(SIDES, life.car.sides, strict=True):
        true_mm = new_mm - life.worn[axle] * share / 100 * usable_mm
        coarse_mm = min(new_mm, max(0.0, round(2 * (true_mm + rng.gauss(0, _GAUGE_MM))) / 2))
        fine_mm = min(new_mm, true_mm + rng.gauss(0, _FINE_MM))
        coarse += (new_mm - coarse_mm) / usable_mm * 50
        fine += (new_mm - fine_mm) / usable_mm * 50
        for case, estimator in ours.items():
            if (visit == 0 or case == "start unknown") and (case != "one wheel" or side == "Left"):
                read_mm = fine_mm if case == "fine gauge" else coarse_mm
                estimator.serviced(_record(now, ids, f"{ROWS[axle]}.{side}", read_mm))
    return Visit(coarse, fine, life.worn[axle], km)


def _record(now: datetime, ids: random.Random, position: str, read_mm: float) -> ServiceRecord:
    return ServiceRecord(
        id=UUID(int=ids.getrandbits(128)),
        time=now,
        quantity=Quantity.PAD_WEAR,
        action=ServiceAction.MEASURED,
        by="workshop",
        reason="inspection",
        position=position,
        value=read_mm,
        unit="mm",
    )


def _look(
    number: int,
    life: Life,
    ours: dict[Case, BrakePads],
    now: datetime,
    km: float,
    visits: int,
    measured: list[Visit],
) -> list[Point]:
    said = {case: {one.position: one for one in estimator.estimates(now)} for case, estimator in ours.items()}
    left = {one.position: one for one in ours["1 Hz"].remaining_distance(now)}
    points = []
    for axle, row in enumerate(ROWS):
        if life.worn[axle] >= 100:
            continue
        wheel = f"{row}.Left"
        seen = measured[axle]
        told = visits > 0 and seen.km > 0
        truth = life.worn[axle] * life.car.sides[0]
        points.append(
            Point(
                car=number,
                axle=axle,
                km=km,
                truth=truth,
                visits=visits,
                said={case: said[case][wheel] for case in ours if wheel in said[case]},
                plain=(seen.coarse * km / seen.km, seen.fine * km / seen.km) if told else None,
                perfect=(truth * seen.coarse / seen.truth, truth * seen.fine / seen.truth) if told else None,
                left_km=(left[wheel].low_km, left[wheel].value_km, left[wheel].high_km),
            )
        )
    return points


def determination(truth: Sequence[float], said: Sequence[float]) -> float:
    """R2: share of the truth's variance that is explained."""
    mean = math.fsum(truth) / len(truth)
    missed = math.fsum((true - other) ** 2 for true, other in zip(truth, said, strict=True))
    return 1 - missed / math.fsum((true - mean) ** 2 for true in truth)
