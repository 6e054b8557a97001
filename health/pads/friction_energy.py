"""Friction energy of one deceleration, how it is shared between the axles, and how hot the discs become.

Energy balance of a braking car (Limpert, Brake Design and Safety, SAE, chapters 3 and 7)::

    E_friction = m_eff (v1^2 - v2^2) / 2  -  (c_rr m g + rho c_d A v^2 / 2) v dt  -  P_engine dt  -  P_recuperation dt

Grade is unknown and stands in the error. Speed comes in whole km/h, so single steps say nothing: the balance is summed
over a deceleration and what is left at its end counts (while coasting the sum stays near zero).

Where the current into a traction battery is read, what the battery did not get is no good measure of friction: it is a
small difference of large figures that grade and load falsify. No more missing than these can feign counts as a small
share; what is more counts whole, for it is the motor's limit of power, a full battery or an emergency.

Wear per energy does not depend on temperature below some 230 C and follows Arrhenius' law above (Liu and Rhee, Wear 46
(1978) 213; Day, Braking of Road Vehicles, section 2.6).
"""

import math
from typing import Final

import msgspec

from health.pads.parameters import BrakePadsParameters, Row

_GRAVITY: Final = 9.81  # m/s2
_AIR_DENSITY: Final = 1.2  # kg/m3
_HOLD_S: Final = 3.0  # speed constant for so long: the deceleration is over (coasting loses 1 km/h in 1 to 3 s)
_HARDEST: Final = 15.0  # m/s2, beyond any tyre: a reading that errs
_FRICTION_ALONE_MPS: Final = 2.2  # 8 km/h: below, an electric motor has no power left to brake with
# The next three: tests/benchmarks/health/fit_pads.py, simulated cars on the side of fitting.
_UNSURE: Final = 0.1  # share of a deceleration's energy that load and the battery's losses can feign
_UNSURE_MPS2: Final = 0.3  # deceleration that grade can feign: 3 %
_BLENDED: Final = 0.075  # share that friction takes where no more than that is missing in the battery
_STATIC_FRONT: Final = 0.58  # of the weight on the front axle at rest
_HEIGHT_TO_BASE: Final = 0.21  # centre of gravity's height to wheel base
_DISC_J_PER_K_KG: Final[dict[Row, float]] = {"Row1": 2.2, "Row2": 1.4}  # per kg of car: 7 kg and 4.4 kg of cast iron
_COOLING_AT_REST: Final = 1 / 900  # 1/s
_COOLING_PER_MPS: Final = 1 / 7500  # 1/m: a time constant of 200 s at 30 m/s
_THRESHOLD_C: Final = 230.0
_ACTIVATION_K: Final = 3000.0  # activation energy over the gas constant: eight times the wear at 500 C
_MOST_WEAR: Final = 10.0  # the disc's mean temperature is not known well enough to believe in more


class Deceleration(msgspec.Struct, forbid_unknown_fields=True):
    """The running one."""

    energy_j: float = 0.0  # balance so far
    at_drop_j: float = 0.0  # the same at its newest loss of speed
    constant_s: float = 0.0  # since that loss
    lost_mps: float = 0.0  # speed lost up to then
    seconds: float = 0.0  # up to then
    saved_j: float | None = None  # of that energy, into the battery; None: not read

    def add(self, left_j: float, before: float, after: float, elapsed_s: float) -> bool:
        """Take the balance of a step of falling or constant speed (m/s); True if the deceleration ends with it."""
        self.energy_j = max(0.0, self.energy_j + left_j)
        if after < before:
            self.lost_mps += before - after
            self.seconds += self.constant_s + elapsed_s
            self.at_drop_j, self.constant_s = self.energy_j, 0.0
        else:
            self.constant_s += elapsed_s
        return after == 0 or self.constant_s >= _HOLD_S

    def friction_j(self, parameters: BrakePadsParameters, speed: float) -> float:
        """Friction energy if it ended now at a speed (m/s); less than one step of 1 km/h is coasting, not braking."""
        step_j = parameters.mass_kg * max(speed, 3.0) / 3.6
        if self.at_drop_j <= step_j:
            return 0.0
        if self.saved_j is None:
            return self.at_drop_j
        begin, end = min(speed + self.lost_mps, _FRICTION_ALONE_MPS), min(speed, _FRICTION_ALONE_MPS)
        alone_j = min(self.at_drop_j, parameters.mass_kg * (begin**2 - end**2) / 2)
        distance_m = (speed + self.lost_mps / 2) * self.seconds
        unsure_j = _UNSURE * self.at_drop_j + parameters.mass_kg * _UNSURE_MPS2 * distance_m
        missing_j = self.at_drop_j - self.saved_j - alone_j
        blended_j = _BLENDED * (self.at_drop_j - alone_j)
        return alone_j + (max(missing_j, blended_j) if missing_j > unsure_j else blended_j)

    def mean_mps2(self) -> float:
        """Its mean deceleration."""
        return self.lost_mps / self.seconds if self.seconds > 0 else 0.0


def impossible(before: float, after: float, elapsed_s: float) -> bool:
    """Whether no tyre could lose so much speed (m/s), two steps of whole km/h allowed for."""
    return before - after > _HARDEST * elapsed_s + 2 / 3.6


def lost_j(parameters: BrakePadsParameters, before: float, after: float, elapsed_s: float) -> float:
    """Kinetic energy lost between two speeds (m/s), less rolling resistance and drag."""
    mean = (before + after) / 2
    kinetic_j = parameters.mass_kg * (1 + parameters.rotating_mass_share) * (before**2 - after**2) / 2
    resistance_n = parameters.rolling_resistance * parameters.mass_kg * _GRAVITY
    resistance_n += _AIR_DENSITY * parameters.drag_area_m2 * mean**2 / 2
    return kinetic_j - resistance_n * mean * elapsed_s


def engine_braking_w(parameters: BrakePadsParameters, engine_speed: float | None) -> float:
    """Power the engine takes out of a car that pushes it (rpm)."""
    if engine_speed is None or engine_speed < 1000:  # about idle: declutched, or held by the idle control
        return 0.0
    # Four-stroke: each litre takes in once in two revolutions; kPa * litre = joule.
    return parameters.engine_drag_kpa * parameters.engine_displacement_l * engine_speed / 120


def axle_share(parameters: BrakePadsParameters, row: Row, deceleration: float) -> float:
    """Of the friction energy; hard braking (m/s2) unloads the rear axle and its brake is held back to match."""
    ideal = _STATIC_FRONT + _HEIGHT_TO_BASE * deceleration / _GRAVITY
    front = min(1.0, max(parameters.front_share, ideal))
    return front if row == "Row1" else 1 - front


def heated_k(parameters: BrakePadsParameters, row: Row, axle_j: float) -> float:
    """By how much friction energy of an axle warms its two discs."""
    return axle_j / 2 / (_DISC_J_PER_K_KG[row] * parameters.mass_kg)


def cooled_c(disc_c: float, air_c: float, speed: float, elapsed_s: float) -> float:
    """Temperature of a disc after so long at a speed (m/s), by convection alone."""
    return air_c + (disc_c - air_c) * math.exp(-elapsed_s * (_COOLING_AT_REST + _COOLING_PER_MPS * speed))


def wear_factor(disc_c: float) -> float:
    """Wear per energy at a disc's temperature, to that of a cool brake."""
    if disc_c <= _THRESHOLD_C:
        return 1.0
    hotter = 1 / (_THRESHOLD_C + 273.15) - 1 / (disc_c + 273.15)
    return min(_MOST_WEAR, math.exp(_ACTIVATION_K * hotter))
