"""From speed and odometer to friction energy per axle, and to distance of which only the length is known.

What does not fit is noticed here: a speed that stands still, drops as no tyre can make it drop, or stays at nought
while the odometer moves, and a battery current of the wrong sign.
"""

import math
from datetime import datetime
from typing import Final

import msgspec

from health import signals
from health.intervals import interpolate
from health.pads import friction_energy
from health.pads.friction_energy import Deceleration
from health.pads.parameters import ROWS, BrakePadsParameters, Row
from health.told import Told, doubt_signal
from telemetry.records import Sample

_AIR_C: Final = 15.0  # where nobody measures it
_PRIOR_KM: Final = 20.0  # the prior energy per km weighs as much as so much driving seen: about a trip
_RECENT_KM: Final = 2000.0  # forgetting length of the recent mix of driving
_QUICK_S: Final = 2.0  # up to such steps a deceleration is seen whole
# What is seen of the friction energy at steps of so many seconds, of that at 0.5 s:
# tests/benchmarks/health/fit_pads.py, from the recorded drives on the side of fitting.
SEEN_SHARE: Final[tuple[tuple[float, float], ...]] = (
    (0.5, 1.0),
    (1.0, 0.95),
    (2.0, 0.9),
    (5.0, 0.77),
    (10.0, 0.56),
    (15.0, 0.43),
)
_STUCK_S: Final = 600.0  # a speed that moves stands still to the km/h for 20 s, by cruise control for minutes
_STUCK_SAMPLES: Final = 30
_STUCK_MOST_KM: Final = 100.0  # charged for one standstill of the signal: for all we know the car is parked
_ABSENT_S: Final = 72_000.0  # nothing for so long, and no odometer: it may have been driven without the dongle
_CLOSE: Final = 0.1  # speedometers err by less
_ODOMETER_SLACK_M: Final = 2000.0  # above the odometer's own step of 1 km and the speedometer's error
_ODOMETER_STRETCH_M: Final = 20_000.0
_MOST_ERROR: Final = 0.8  # of log factor: beyond that friction energy says little
_MOST_DRIFT: Final = 0.4  # share; beyond, wear would be taken to go back
_ASSUMED: Final = 4.0  # times the error of what is read: nothing is known of when the motor brakes
_PULLING_MPS2: Final = 0.8
_PULLING_A: Final = 20.0
_FLIPPED: Final = 8  # strong accelerations that charged the battery, less those that did not


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """An axle's totals at a moment: what lies between two moments is the difference of their marks."""

    worn_j: float = 0.0  # friction energy, weighed by the wear it makes at its temperature
    slow_j: float = 0.0  # of it, seen in samples too far apart
    unseen_km: float = 0.0
    doubt_km2: float = 0.0  # variance of distance nobody can tell

    def towards(self, later: "Mark", share: float) -> "Mark":
        """The mark at that share of the way to a later one."""
        return Mark(
            self.worn_j + share * (later.worn_j - self.worn_j),
            self.slow_j + share * (later.slow_j - self.slow_j),
            self.unseen_km + share * (later.unseen_km - self.unseen_km),
            self.doubt_km2 + share * (later.doubt_km2 - self.doubt_km2),
        )


class Brake(msgspec.Struct, forbid_unknown_fields=True):
    """One axle's energy and heat."""

    worn_j: float = 0.0
    slow_j: float = 0.0
    disc_c: float = _AIR_C


class Driving(msgspec.Struct, forbid_unknown_fields=True):
    """The recursion over samples."""

    row1: Brake
    row2: Brake
    first: datetime | None = None
    first_odometer_m: float | None = None  # m, when the first sample came
    last: datetime | None = None  # newest sample with a speed
    speed: float = 0.0  # m/s at ``last``
    air_c: float = _AIR_C
    odometer: float | None = None  # m, newest reading
    unplaced_m: float = 0.0  # distance since that reading which is accounted for
    watched: bool = True  # no gap since that reading
    still_told: bool = False  # that the speed stays at nought while the odometer moves
    seen_j: float = 0.0  # friction energy of ended decelerations
    seen_km: float = 0.0
    recent_j: float = 0.0  # the same, of the last thousands of km
    recent_km: float = 0.0
    unseen_km: float = 0.0
    doubt_km2: float = 0.0
    saved_j: float = 0.0  # recuperated; what is only assumed so counts several times
    battery_w: float | None = None  # into the battery, at ``last``
    mean_battery_w: float | None = None  # the same over the step before it
    deceleration: Deceleration = msgspec.field(default_factory=Deceleration)
    slow: bool = False  # the running deceleration has a slow step
    constant_s: float = 0.0  # speed above nought and the same to the last digit
    constant_samples: int = 0
    constant_km: float = 0.0
    constant_from_m: float | None = None  # odometer when it began
    odometer_now: float | None = None  # m, its last reading
    stuck: bool = False  # the speed stands still as no car's does
    flipped: int = 0  # -_FLIPPED.._FLIPPED: evidence that the current's sign is the other one
    reversed: bool = False  # it is
    electric: bool = False  # a traction battery was read

    def brake(self, row: Row) -> Brake:
        """That axle's."""
        return self.row1 if row == "Row1" else self.row2

    def mark(self, row: Row) -> Mark:
        """That axle's totals now; a deceleration that still runs is not in them."""
        brake = self.brake(row)
        return Mark(brake.worn_j, brake.slow_j, self.unseen_km, self.doubt_km2)

    def energy_mj_per_km(self, parameters: BrakePadsParameters, *, recent: bool = False) -> float:
        """Friction energy per km of the driving seen so far (or lately) and the prior."""
        energy_j, distance_km = (self.recent_j, self.recent_km) if recent else (self.seen_j, self.seen_km)
        prior_mj = parameters.prior_energy_mj_per_km * parameters.mass_kg / 1500 * _PRIOR_KM
        energy_mj = energy_j / 1e6 + self.running_j(parameters) / 1e6
        return (prior_mj + energy_mj) / (_PRIOR_KM + distance_km)

    def factor_error(self, parameters: BrakePadsParameters) -> float:
        """Deviation of the car's log factor beside the published range, by how small a difference friction is."""
        energy_j = max(self.seen_j, 1.0)
        return min(
            _MOST_ERROR, math.hypot(parameters.seen_error, parameters.recuperation_error * self.saved_j / energy_j)
        )

    def drift_error(self, parameters: BrakePadsParameters) -> float:
        """The same of one stretch of driving against the car's own mean."""
        recuperated = parameters.recuperation_drift * self.saved_j / max(self.seen_j, 1.0)
        return math.hypot(parameters.drift_error, min(_MOST_DRIFT, recuperated))

    def rate_error(self, mix_error: float) -> float:
        """Relative error of the recent energy per km as that of the months to come."""
        return math.hypot(mix_error, 0.6 * math.sqrt(_PRIOR_KM / (_PRIOR_KM + self.recent_km)))

    def update(self, parameters: BrakePadsParameters, told: Told, sample: Sample) -> None:
        """Take the speed lost since the last sample into the balance, and the way the odometer went."""
        air_c = signals.read(sample, signals.AMBIENT_TEMPERATURE)
        if air_c is not None:
            self.air_c = air_c
        if not self.electric:
            soc = signals.read(sample, signals.TRACTION_BATTERY_SOC)
            self.electric = soc is not None or signals.read(sample, signals.TRACTION_BATTERY_VOLTAGE) is not None
        odometer = signals.read(sample, signals.TRAVELED_DISTANCE)
        if odometer is not None:
            self.odometer_now = odometer
            if self.first_odometer_m is None:
                self.first_odometer_m = max(0.0, odometer - 1000 * (self.seen_km + self.unseen_km))
        speed_kmh = signals.read(sample, signals.SPEED)
        if speed_kmh is not None:
            self._take_battery(sample)
            self._take_speed(parameters, told, sample, speed_kmh / 3.6)
        if odometer is not None:
            self._take_odometer(told, sample, odometer)

    def _take_speed(self, parameters: BrakePadsParameters, told: Told, sample: Sample, speed: float) -> None:
        elapsed_s = (sample.time - self.last).total_seconds() if self.last is not None else math.inf
        distance_km = (self.speed + speed) / 2 * elapsed_s / 1000
        for row in ROWS:
            brake = self.brake(row)
            mean = self.speed if elapsed_s <= parameters.max_gap_s else 0.0
            brake.disc_c = friction_energy.cooled_c(brake.disc_c, self.air_c, mean, elapsed_s)
        if elapsed_s <= parameters.max_gap_s:
            self._watch_standstill(told, sample, speed, elapsed_s, distance_km)
        if elapsed_s <= parameters.max_step_s:
            if not self.stuck:
                self._went(distance_km, 0.0)
                self.unplaced_m += 1000 * distance_km
            self._brake(parameters, told, sample, speed, elapsed_s)
        else:
            self.end_deceleration(parameters)
            if elapsed_s <= parameters.max_gap_s:
                self.unseen_km += distance_km
                self.unplaced_m += 1000 * distance_km
            else:
                self._absent(sample.time, elapsed_s)
        if self.first is None:
            self.first = sample.time
        self.last, self.speed = sample.time, speed

    def _went(self, distance_km: float, energy_j: float) -> None:
        kept = math.exp(-distance_km / _RECENT_KM)
        self.seen_km += distance_km
        self.seen_j += energy_j
        self.recent_km = kept * self.recent_km + distance_km
        self.recent_j = kept * self.recent_j + energy_j

    def _absent(self, now: datetime, elapsed_s: float) -> None:
        self.watched = False
        self.constant_s, self.constant_samples, self.constant_km, self.stuck = 0.0, 0, 0.0, False
        if self.first is None or elapsed_s < _ABSENT_S or self.odometer is not None:
            return
        days = max(1.0, (now - self.first).total_seconds() / 86_400)
        self.doubt_km2 += ((self.seen_km + self.unseen_km) / days * elapsed_s / 86_400) ** 2

    def _watch_standstill(self, told: Told, sample: Sample, speed: float, elapsed_s: float, distance_km: float) -> None:
        """A speed that stuck hides its brakings: its distance is given to the odometer, or charged as unseen."""
        if speed != self.speed or speed == 0:
            self.constant_s, self.constant_samples, self.constant_km = 0.0, 0, 0.0
            self.constant_from_m, self.stuck = self.odometer_now, False
            return
        self.constant_s += elapsed_s
        self.constant_samples += 1
        self.constant_from_m = self.odometer_now if self.constant_from_m is None else self.constant_from_m
        self.constant_km += distance_km
        before, self.stuck = self.stuck, self._stands_still()
        if not self.stuck:
            return
        hidden_km = distance_km
        if not before:
            hidden_km = self.constant_km
            self.seen_km = max(0.0, self.seen_km - hidden_km + distance_km)
            self.recent_km = max(0.0, self.recent_km - hidden_km + distance_km)
            self.unplaced_m -= 1000 * (hidden_km - distance_km)
            why = f"{speed * 3.6:.0f} km/h for {self.constant_s:.0f} s without the least change"
            doubt_signal(told, sample.time, signals.SPEED.path, why=why)
        if self.odometer is None and self.constant_km <= _STUCK_MOST_KM:
            self.unseen_km += hidden_km

    def _stands_still(self) -> bool:
        """Whether the speed is constant for longer than a car's, and no odometer says that it is right."""
        if self.constant_s < _STUCK_S or self.constant_samples < _STUCK_SAMPLES:
            return False
        if self.odometer_now is None or self.constant_from_m is None:
            return True
        apart_m = abs(self.odometer_now - self.constant_from_m - 1000 * self.constant_km)
        return self.stuck or apart_m > max(_ODOMETER_SLACK_M, _CLOSE * 1000 * self.constant_km)

    def _brake(
        self, parameters: BrakePadsParameters, told: Told, sample: Sample, after: float, elapsed_s: float
    ) -> None:
        before, quick = self.speed, elapsed_s <= _QUICK_S
        if quick and elapsed_s > 0:
            self._watch_current(told, sample, (after - before) / elapsed_s)
        released = quick and signals.read(sample, signals.BRAKE_PEDAL_POSITION) == 0
        if after > before or released or friction_energy.impossible(before, after, elapsed_s):
            self.end_deceleration(parameters)
            return
        left_j = friction_energy.lost_j(parameters, before, after, elapsed_s)
        engine_speed = signals.read(sample, signals.ENGINE_SPEED)
        left_j -= friction_energy.engine_braking_w(parameters, engine_speed) * elapsed_s
        if quick and self.mean_battery_w is not None:
            saved_j = max(0.0, self.mean_battery_w) * elapsed_s / parameters.recuperation_efficiency
            self.deceleration.saved_j = (self.deceleration.saved_j or 0.0) + saved_j
        else:
            left_j -= self._assumed_j(parameters, left_j, elapsed_s)
        if left_j > 0:
            left_j /= interpolate(SEEN_SHARE, elapsed_s)
        self.slow = self.slow or not quick
        if self.deceleration.add(left_j, before, after, elapsed_s):
            self.end_deceleration(parameters, speed=after)

    def _take_battery(self, sample: Sample) -> None:
        """The mean power into the battery since the last sample, as far as both told it."""
        current = signals.read(sample, signals.TRACTION_BATTERY_CURRENT)
        voltage = signals.read(sample, signals.TRACTION_BATTERY_VOLTAGE)
        before, self.battery_w = self.battery_w, None
        self.mean_battery_w = None
        if current is not None and voltage is not None:
            self.electric = True
            self.battery_w = (-current if self.reversed else current) * voltage
            self.mean_battery_w = self.battery_w if before is None else (before + self.battery_w) / 2

    def _assumed_j(self, parameters: BrakePadsParameters, braking_j: float, elapsed_s: float) -> float:
        """Recuperated energy of a step where no current is read."""
        if parameters.recuperation_power_kw is None and not self.electric:
            return 0.0
        most_j = parameters.recuperation_w() * elapsed_s
        recuperated_j = min(max(0.0, braking_j), most_j) * parameters.recuperation_share
        self.saved_j += _ASSUMED * recuperated_j
        return recuperated_j

    def _watch_current(self, told: Told, sample: Sample, acceleration: float) -> None:
        """A car that pulls takes current from its battery."""
        current = signals.read(sample, signals.TRACTION_BATTERY_CURRENT)
        if current is None or acceleration < _PULLING_MPS2 or self.speed < 5 or abs(current) < _PULLING_A:
            return
        self.flipped = max(-_FLIPPED, min(_FLIPPED, self.flipped + (1 if current > 0 else -1)))
        before, self.reversed = self.reversed, self.flipped == _FLIPPED or (self.reversed and self.flipped > -_FLIPPED)
        if self.reversed and not before:
            why = f"{current:.0f} A into the battery while the car accelerates, time after time: the sign is wrong"
            doubt_signal(told, sample.time, signals.TRACTION_BATTERY_CURRENT.path, why=why)

    def end_deceleration(self, parameters: BrakePadsParameters, *, speed: float | None = None) -> None:
        """Credit the running deceleration's energy to the axles. ``speed``: m/s at its end, if not the newest."""
        energy_j = self.deceleration.friction_j(parameters, self.speed if speed is None else speed)
        if self.deceleration.saved_j is not None:
            self.saved_j += max(0.0, self.deceleration.at_drop_j - energy_j)
        if energy_j > 0:
            self._went(0.0, energy_j)
            for row in ROWS:
                brake = self.brake(row)
                worn_j, warmer_k = self._worn_j(parameters, row, energy_j)
                brake.worn_j += worn_j
                brake.slow_j += worn_j if self.slow else 0.0
                brake.disc_c += warmer_k
        self.deceleration, self.slow = Deceleration(), False

    def _worn_j(self, parameters: BrakePadsParameters, row: Row, energy_j: float) -> tuple[float, float]:
        axle_j = energy_j * friction_energy.axle_share(parameters, row, self.deceleration.mean_mps2())
        warmer_k = friction_energy.heated_k(parameters, row, axle_j)
        return axle_j * friction_energy.wear_factor(self.brake(row).disc_c + warmer_k / 2), warmer_k

    def running_j(self, parameters: BrakePadsParameters) -> float:
        """Friction energy of the running deceleration if it ended now."""
        return self.deceleration.friction_j(parameters, self.speed)

    def running_worn_j(self, parameters: BrakePadsParameters, row: Row) -> float:
        """What the running deceleration would add to an axle's mark if it ended now."""
        return self._worn_j(parameters, row, self.running_j(parameters))[0]

    def _take_odometer(self, told: Told, sample: Sample, odometer: float) -> None:
        if self.speed > 0:
            self.still_told = False
        if self.odometer is not None:
            missing_m = odometer - self.odometer - self.unplaced_m
            if missing_m > _ODOMETER_SLACK_M:
                if self.watched and self.last == sample.time and self.speed == 0 and not self.still_told:
                    why = f"0 km/h while the odometer went on by {missing_m / 1000:.0f} km"
                    doubt_signal(told, sample.time, signals.SPEED.path, why=why)
                    self.still_told = True
                self.unseen_km += missing_m / 1000
            elif odometer - self.odometer > _ODOMETER_STRETCH_M:
                # A speedometer that shows too much must not pile up distance that hides what is missing later.
                self.odometer, self.unplaced_m = odometer, min(_ODOMETER_SLACK_M / 2, -missing_m)
                return
            elif odometer >= self.odometer:
                return
        # Another instrument cluster counts from another figure.
        self.odometer, self.unplaced_m, self.watched = odometer, 0.0, True
