"""Cars whose pads wear by another law than ours, on speeds that real cars drove or that a generator makes.

The truth is computed at 2 Hz from the unrounded speed with what the estimator does not know: load, hills, head wind,
drag, the gear the driver is in, a split that shifts with deceleration, wear that depends on pressure, speed and heat.
Nothing here is taken from ``health``. A pad's life of tens of thousands of km is lived in the hours of driving there
are: the pads are that much thinner, for the truth and the estimator alike.
"""

import csv
import gzip
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
STEP_S: Final = 0.5
_GRAVITY: Final = 9.81
_POLLED_S: Final = 2.0  # the recordings repeat a speed until it is asked for again


@dataclass(frozen=True)
class Trip:
    """A drive: true speed (m/s) every half second, and engine speed (rpm) where it was recorded."""

    name: str
    speed: Floats
    rpm: Floats | None

    @property
    def km(self) -> float:
        """Its length."""
        return float(self.speed.sum() * STEP_S / 1000)


def recorded_trips(folder: Path) -> list[Trip]:
    """The recorded drives, their held speeds drawn into a line from one answer to the next."""
    return [_read(path) for path in sorted(folder.glob("*.csv.gz"))]


def _read(path: Path) -> Trip:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = [(float(row["VEHICLE_SPEED ()"]), float(row["ENGINE_RPM ()"])) for row in csv.DictReader(stream)]
    held, rpm = np.array(rows, dtype=np.float64).T
    knots = [0]
    for index in range(1, len(held)):
        if held[index] != held[index - 1] or (index - knots[-1]) * STEP_S >= _POLLED_S:
            knots.append(index)
    speed = np.interp(np.arange(len(held)), knots, held[knots]) / 3.6
    return Trip(path.name.removesuffix(".csv.gz"), speed, rpm)


def pieces(trip: Trip, least_km: float = 5.0) -> list[Trip]:
    """A drive cut at standstills into ways of at least so many km: what is left at the end is dropped."""
    found: list[Trip] = []
    begin, km = 0, 0.0
    for index, speed in enumerate(trip.speed.tolist()):
        km += speed * STEP_S / 1000
        if km >= least_km and speed == 0:
            rpm = None if trip.rpm is None else trip.rpm[begin : index + 1]
            found.append(Trip(f"{trip.name} {len(found)}", trip.speed[begin : index + 1], rpm))
            begin, km = index, 0.0
    return found


@dataclass(frozen=True, kw_only=True)
class Style:
    """How and where somebody drives."""

    city: float  # share of city stretches
    acceleration: float  # m/s2
    deceleration: float  # m/s2
    top_kmh: float


def made_trip(name: str, style: Style, minutes: float, seed: int) -> Trip:
    """A drive of stretches: to a speed, along it with small changes, down to another, stops between."""
    rng = random.Random(seed)
    speeds: list[float] = []
    now = 0.0
    while len(speeds) * STEP_S < 60 * minutes:
        in_city = rng.random() < style.city
        target = rng.uniform(25, 60) / 3.6 if in_city else rng.uniform(60, style.top_kmh) / 3.6
        now = _towards(speeds, now, target, style, rng)
        wobble = 0.0
        for _ in range(int(rng.uniform(5, 40) if in_city else rng.uniform(30, 300))):
            wobble = 0.97 * wobble + rng.gauss(0, 0.12)
            speeds.append(max(0.0, target + wobble))
            now = speeds[-1]
        if rng.random() < (0.75 if in_city else 0.35):
            now = _towards(speeds, now, 0.0 if rng.random() < 0.7 else 0.4 * now, style, rng)
            speeds += [now] * (int(rng.expovariate(1 / 25)) if now == 0 else 2)
    _towards(speeds, now, 0.0, style, rng)
    return Trip(name, np.array(speeds), None)


def _towards(speeds: list[float], now: float, target: float, style: Style, rng: random.Random) -> float:
    usual = style.acceleration if target > now else style.deceleration
    rate = usual * rng.lognormvariate(0, 0.3)
    if target < now and rng.random() < 0.4:  # foot off first: the car rolls for a while
        for _ in range(rng.randint(4, 24)):
            now = max(target, now - (0.25 + 0.0004 * now**2) * STEP_S)
            speeds.append(now)
    length = max(1, math.ceil(abs(target - now) / rate / STEP_S))
    for index in range(length):
        share = (index + 1) / length
        speeds.append(now + (target - now) * (share * share * (3 - 2 * share)))
    return target


@dataclass(frozen=True, kw_only=True)
class Car:
    """What is true of a car and its pads; the estimator is told ``mass_kg``, displacement and pad volumes alone."""

    mass_kg: float  # curb weight and driver: what a profile says
    load_share: float  # of the mass, carried on average
    drag_area_m2: float
    rolling: float
    displacement_l: float  # 0: electric
    engine_kpa: float
    recuperation_kw: float  # beyond which friction helps
    blend_kmh: float  # below which an electric car brakes by friction
    grade: float  # root mean square along the way, 0.01 = 1 %
    grade_km: float  # its length scale
    front: float  # share of friction energy in gentle braking
    shift: float  # by which the front's share grows per m/s2
    k_mm3_mj: tuple[float, float]  # wear per energy, front and rear, in gentle cool braking
    pressure_exponent: float  # wear goes with deceleration to the power of one and this
    heat_k: float  # wear doubles with so much warming of the disc
    ageing: float  # by which wear per energy changes over the pad's life
    sides: tuple[float, float]  # wear of left and right to the axle's mean, nearly one
    volume_mm3: tuple[float, float]  # what the pads really have
    told_volume_mm3: tuple[float, float]  # what a data sheet says they have


def made_car(seed: int, *, electric: bool) -> Car:
    """A car drawn at random: wear per energy log-uniform over the published 25 to 125 mm3/MJ."""
    rng = random.Random(seed)
    mass = rng.uniform(1100, 2400)
    told = (60.0 * mass, 32.0 * mass)
    uneven = rng.gauss(0, 0.04)
    return Car(
        mass_kg=mass,
        load_share=rng.uniform(0.0, 0.2) if rng.random() < 0.8 else rng.uniform(-0.1, 0.3),
        drag_area_m2=rng.uniform(0.5, 0.95),
        rolling=rng.uniform(0.008, 0.014),
        displacement_l=0.0 if electric else rng.uniform(1.0, 3.0),
        engine_kpa=rng.uniform(90, 170),
        recuperation_kw=rng.uniform(30, 90) if electric else 0.0,
        blend_kmh=rng.uniform(4, 12),
        grade=rng.choice([0.003, 0.01, 0.02, 0.03]),
        grade_km=rng.uniform(0.2, 0.6),
        front=rng.uniform(0.62, 0.76),
        shift=rng.uniform(0.0, 0.03),
        k_mm3_mj=(
            math.exp(rng.uniform(math.log(25), math.log(125))),
            math.exp(rng.uniform(math.log(25), math.log(125))),
        ),
        pressure_exponent=rng.uniform(-0.15, 0.3),
        heat_k=rng.uniform(300, 900),
        ageing=rng.uniform(-0.1, 0.1),
        sides=(1 + uneven, 1 - uneven),
        volume_mm3=(told[0] * rng.uniform(0.9, 1.1), told[1] * rng.uniform(0.9, 1.1)),
        told_volume_mm3=told,
    )


@dataclass
class Life:
    """The state of the true car."""

    car: Car
    thinner: float  # the pads have so many times less volume than real ones
    rng: random.Random
    worn: list[float] = field(default_factory=lambda: [0.0, 0.0])  # percent, front and rear
    disc_k: list[float] = field(default_factory=lambda: [0.0, 0.0])  # above the air
    roads: dict[str, list[float]] = field(default_factory=dict)  # grades by way: a car drives the same ways again

    def drive(self, trip: Trip) -> Iterator[tuple[float, float, float, float]]:
        """Every half second: speed (m/s), engine speed (rpm), battery power (W, into it), distance (m) of this step."""
        car = self.car
        mass = car.mass_kg * (1 + car.load_share) * self.rng.uniform(0.93, 1.07)
        wind = self.rng.gauss(0, 3)
        grades = self.roads[trip.name] = self.roads.get(trip.name) or _grades(self.rng, car, trip)
        for index in range(len(trip.speed) - 1):
            before, after = float(trip.speed[index]), float(trip.speed[index + 1])
            mean = (before + after) / 2
            kinetic_w = mass * 1.045 * (before**2 - after**2) / 2 / STEP_S
            drag_w = 0.6 * car.drag_area_m2 * max(0.0, mean + wind) ** 2 * mean
            roll_w = car.rolling * mass * _GRAVITY * mean
            falling_w = -mass * _GRAVITY * mean * grades[index]
            braking_w = max(0.0, kinetic_w - drag_w - roll_w + falling_w)
            rpm = _engine_speed(trip, index, mean)
            braking_w, battery_w = self._without_friction(braking_w, mean, rpm)
            if braking_w > 0:
                self._wear(braking_w, mass, mean, max(0.0, (before - after) / STEP_S))
            self._cool(mean)
            yield after, rpm, battery_w, mean * STEP_S

    def _without_friction(self, braking_w: float, speed: float, rpm: float) -> tuple[float, float]:
        car = self.car
        if car.displacement_l > 0:
            engine_w = car.engine_kpa * car.displacement_l * rpm / 120 if rpm > 1100 else 0.0
            return max(0.0, braking_w - engine_w), 0.0
        if speed * 3.6 < car.blend_kmh:
            return braking_w, -600.0
        recuperated = min(braking_w * 0.93, car.recuperation_kw * 1000)
        return braking_w - recuperated, 0.82 * recuperated - 600.0

    def _wear(self, braking_w: float, mass: float, speed: float, deceleration: float) -> None:
        car = self.car
        force = braking_w / max(speed, 0.5) / mass  # m/s2 by the brakes alone
        front = min(0.92, car.front + car.shift * deceleration)
        for axle, share in enumerate((front, 1 - front)):
            energy_mj = braking_w * STEP_S * share / 2 / 1e6
            rate = car.k_mm3_mj[axle] * max(0.1, min(force, 8.0) / 2.0) ** car.pressure_exponent
            rate *= 1 + (self.disc_k[axle] / car.heat_k) ** 2
            rate *= 1 + car.ageing * (self.worn[axle] / 50 - 1)
            self.worn[axle] += 100 * rate * energy_mj / (car.volume_mm3[axle] / self.thinner)
            self.disc_k[axle] += energy_mj * 1e6 / (480 * (4.5, 3.0)[axle] * car.mass_kg / 1500)

    def park(self) -> None:
        """Long enough for the discs to cool."""
        self.disc_k = [0.0, 0.0]

    def _cool(self, speed: float) -> None:
        for axle in (0, 1):
            self.disc_k[axle] *= 1 - STEP_S * (0.0015 + 0.00018 * speed)


def _grades(rng: random.Random, car: Car, trip: Trip) -> list[float]:
    """Grade along a drive: an Ornstein-Uhlenbeck process of the distance."""
    grade, grades = rng.gauss(0, car.grade), []
    for metres in (trip.speed * STEP_S).tolist():
        if metres > 0:
            kept = math.exp(-metres / 1000 / car.grade_km)
            grade = kept * grade + math.sqrt(1 - kept * kept) * rng.gauss(0, car.grade)
        grades.append(grade)
    return grades


def _engine_speed(trip: Trip, index: int, speed: float) -> float:
    if trip.rpm is not None:
        return float(trip.rpm[index])
    if speed < 2:
        return 800.0
    for ratio in (118, 68, 46, 34, 27):  # rpm per m/s of five gears; up-shift at 2,200
        if ratio * speed < 2200:
            return max(850.0, ratio * speed)
    return 27 * speed
