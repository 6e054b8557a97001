"""Driving by the test cycles of regulations, and the oil temperature of a simulated engine that drives them.

The cycles are those of UN Regulation No. 83, Annex 4a: the urban part (ECE-15) and the extra-urban one (EUDC),
speeds as prescribed there. The engine is three heat stores (metal with coolant, oil with sump, outside air) with a
thermostat; its oil is the truth that the estimator's simpler model is judged by. Sizes are those of a compact petrol
car; from recordings come only the engine speeds.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from health import signals
from health.intervals import interpolate
from telemetry.records import Sample

# Seconds, and the speed at their end in km/h.
ECE_15: Final = (
    (11, 0), (4, 15), (8, 15), (2, 10), (3, 0), (21, 0), (5, 15), (2, 15), (5, 32), (24, 32), (8, 10), (3, 0), (21, 0),
    (5, 15), (2, 15), (9, 35), (2, 35), (8, 50), (12, 50), (8, 35), (13, 35), (2, 32), (7, 10), (3, 0), (7, 0),
)  # fmt: skip
EUDC: Final = (
    (20, 0), (5, 15), (2, 15), (9, 35), (2, 35), (8, 50), (2, 50), (13, 70), (50, 70), (8, 50), (69, 50), (13, 70),
    (50, 70), (35, 100), (30, 100), (20, 120), (10, 120), (16, 80), (8, 50), (10, 0), (20, 0),
)  # fmt: skip
URBAN: Final = ECE_15 * 4
NEDC: Final = URBAN + EUDC
Cycle = Sequence[tuple[int, int]]
# Mean engine speed (rpm) at a road speed (km/h), of the recorded car on the trips of the fit side: fit_oil.py. The
# gears the regulation prescribes are those of 1970: 1,900 rpm at 15 km/h.
ENGINE_SPEEDS: Final = (
    (5.0, 902.0), (15.0, 1000.0), (25.0, 1178.0), (35.0, 1497.0), (45.0, 1614.0), (55.0, 1834.0), (65.0, 1966.0),
    (75.0, 2134.0), (85.0, 2437.0), (95.0, 2655.0), (105.0, 2957.0), (200.0, 5632.0),
)  # fmt: skip
_IDLE_RPM: Final = 794.0  # the same trips: median at rest
_COLD_IDLE_RPM: Final = 1212.0  # the same trips: median at rest with the coolant below 50 degrees


def motorway(kilometres: float, speed_kmh: int = 120) -> Cycle:
    """Up through the gears, so many kilometres in the fifth, and down."""
    steady = round(kilometres / speed_kmh * 3600)
    return (*EUDC[:9], (20, speed_kmh), (steady, speed_kmh), (30, 0), (10, 0))


@dataclass(frozen=True, kw_only=True)
class Car:
    """A compact petrol car and its heat flows."""

    mass_kg: float = 1250.0
    drag_area_m2: float = 0.65
    displacement_l: float = 1.4
    shorter_gears: float = 1.0  # engine speeds against the table
    friction_kpa: float = 120.0  # mean effective pressure at 2,000 rpm, warm
    full_load_kpa: float = 1000.0
    metal_j_per_k: float = 25e3  # head, upper block and coolant
    oil_j_per_k: float = 18e3  # oil, sump, crank gear and lower block
    oil_to_metal_w_per_k: float = 60.0
    oil_to_air_w_per_k: float = 6.0
    oil_to_air_moving_w_per_k: float = 8.0  # more at 100 km/h
    metal_to_air_w_per_k: float = 12.0
    thermostat_c: float = 88.0
    heat_to_metal: float = 0.28  # share of the fuel's energy
    friction_to_oil: float = 0.30  # share of the friction
    piston_to_oil: float = 0.015  # share of the fuel's energy
    sensor_k: float = 0.0  # coolant sensor's error
    cabin_heater_w: float = 2000.0  # below 15 degrees, once the coolant is above 40


@dataclass(frozen=True, kw_only=True)
class Step:
    """One second: what the ECU tells, and the oil's true temperature."""

    speed_kmh: float
    engine_speed_rpm: float
    load_percent: float
    coolant_c: float
    oil_c: float


def speeds(cycle: Cycle) -> Iterator[tuple[float, float]]:
    """Per second: speed in km/h, acceleration in m/s2."""
    before = 0.0
    for seconds, end in cycle:
        for second in range(1, seconds + 1):
            yield before + (end - before) * second / seconds, (end - before) / seconds / 3.6
        before = float(end)


def drive(
    car: Car, cycle: Cycle, *, air_c: float, metal_c: float | None = None, oil_c: float | None = None
) -> list[Step]:
    """The cycle second by second from a cooled-down engine, or one of the temperatures given."""
    metal = air_c if metal_c is None else metal_c
    oil = air_c if oil_c is None else oil_c
    steps = []
    for speed, acceleration in speeds(cycle):
        rpm = _engine_speed(car, speed, metal)
        # Friction of cold oil is about double at 20 degrees (Leong et al., FISITA 2006).
        friction_kpa = car.friction_kpa * (0.7 + 0.3 * rpm / 2000) * (1 + max(0.0, 90 - oil) / 70)
        road_w = _road_power(car, speed, acceleration)
        work_kpa = max(0.0, road_w / 0.92 + 500.0) * 120 / (car.displacement_l * 1e-3 * rpm) / 1000
        indicated_w = (work_kpa + friction_kpa) * 1000 * car.displacement_l * 1e-3 * rpm / 120
        fuel_w = indicated_w / 0.36 if road_w > -1000.0 else 0.0  # overrun: fuel is cut off
        friction_w = friction_kpa * 1000 * car.displacement_l * 1e-3 * rpm / 120
        metal, oil = _warmed(car, metal, oil, fuel_w=fuel_w, friction_w=friction_w, speed=speed, air=air_c)
        load = min(100.0, 100 * (work_kpa + friction_kpa) / (car.full_load_kpa + car.friction_kpa))
        steps.append(
            Step(speed_kmh=speed, engine_speed_rpm=rpm, load_percent=load, coolant_c=metal + car.sensor_k, oil_c=oil)
        )
    return steps


def _engine_speed(car: Car, speed: float, metal: float) -> float:
    idle = _IDLE_RPM + (_COLD_IDLE_RPM - _IDLE_RPM) * min(1.0, max(0.0, (60 - metal) / 50))
    return max(idle, car.shorter_gears * interpolate(ENGINE_SPEEDS, speed)) if speed > 0 else idle


def _road_power(car: Car, speed_kmh: float, acceleration: float) -> float:
    speed = speed_kmh / 3.6
    return (car.mass_kg * (acceleration + 0.011 * 9.81) + 0.6 * car.drag_area_m2 * speed**2) * speed


def _warmed(
    car: Car, metal: float, oil: float, *, fuel_w: float, friction_w: float, speed: float, air: float
) -> tuple[float, float]:
    to_metal = car.oil_to_metal_w_per_k * (oil - metal)
    oil_w = car.friction_to_oil * friction_w + car.piston_to_oil * fuel_w - to_metal
    oil_w -= (car.oil_to_air_w_per_k + car.oil_to_air_moving_w_per_k * speed / 100) * (oil - air)
    metal_w = car.heat_to_metal * fuel_w + 0.4 * friction_w + to_metal - car.metal_to_air_w_per_k * (metal - air)
    if air < 15 and metal > 40:
        metal_w -= car.cabin_heater_w * min(1.0, (metal - 40) / 30)
    metal += metal_w / car.metal_j_per_k
    return min(metal, car.thermostat_c), oil + oil_w / car.oil_j_per_k


def soaked(car: Car, metal: float, oil: float, seconds: float, air: float) -> tuple[float, float]:
    """Temperatures of metal and oil after so long with the engine off."""
    for _ in range(math.ceil(seconds / 30)):
        flow = car.oil_to_metal_w_per_k / 3 * (oil - metal)  # no oil is pumped
        metal += 30 * (flow - car.metal_to_air_w_per_k / 2 * (metal - air)) / car.metal_j_per_k
        oil -= 30 * (flow + car.oil_to_air_w_per_k / 2 * (oil - air)) / car.oil_j_per_k
    return metal, oil


def some_car(random_: random.Random) -> Car:
    """A car that differs from the compact one as engines do."""

    def spread(share: float) -> float:
        return math.exp(random_.gauss(0, share))

    car = Car()
    return replace(
        car,
        shorter_gears=spread(0.12),
        mass_kg=car.mass_kg * spread(0.15),
        drag_area_m2=car.drag_area_m2 * spread(0.1),
        displacement_l=car.displacement_l * spread(0.2),
        metal_j_per_k=car.metal_j_per_k * spread(0.2),
        oil_j_per_k=car.oil_j_per_k * spread(0.2),
        oil_to_metal_w_per_k=car.oil_to_metal_w_per_k * spread(0.3),
        oil_to_air_w_per_k=car.oil_to_air_w_per_k * spread(0.3),
        oil_to_air_moving_w_per_k=car.oil_to_air_moving_w_per_k * spread(0.3),
        friction_kpa=car.friction_kpa * spread(0.12),
        friction_to_oil=car.friction_to_oil * spread(0.2),
        thermostat_c=random_.uniform(82, 98),
        sensor_k=random_.gauss(0, 1.5),
    )


def samples(
    steps: Sequence[Step], begin: datetime, *, air_c: float | None = None, oil_read: bool = False, every_s: int = 1
) -> list[Sample]:
    """As a dongle reads it: whole rpm/4, km/h and degrees; coolant each ten seconds, air each minute."""
    made = []
    for second in range(0, len(steps), every_s):
        step = steps[second]
        values = {
            signals.ENGINE_SPEED.path: round(4 * step.engine_speed_rpm) / 4,
            signals.SPEED.path: float(round(step.speed_kmh)),
            signals.ENGINE_LOAD.path: round(2.55 * step.load_percent) / 2.55,
        }
        if second // every_s % max(1, 10 // every_s) == 0:
            values[signals.COOLANT_TEMPERATURE.path] = float(round(step.coolant_c))
            if oil_read:
                values[signals.OIL_TEMPERATURE.path] = float(round(step.oil_c))
        if air_c is not None and second // every_s % max(1, 60 // every_s) == 0:
            values[signals.AMBIENT_TEMPERATURE.path] = float(round(air_c))
        made.append(Sample(time=begin + timedelta(seconds=second), monotonic_ms=0, values=values))
    return made


@cache
def kilometres(cycle: Cycle) -> float:
    """Length of a cycle."""
    return sum(speed for speed, _ in speeds(cycle)) / 3600
