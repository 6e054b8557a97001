"""Brake pad wear from friction energy, for a car of which only the speed need be known.

Source: Archard's wear law in energy form, worn volume = k * friction energy, k = 25 to 125 mm3/MJ for resin-bonded
pads on grey cast iron; energy balance of a braking car as in Limpert, Brake Design and Safety (SAE), chapter 3.

    E_friction = m_eff (v1^2 - v2^2) / 2  -  (c_rr m g + rho c_d A v^2 / 2) v dt  -  P_engine dt  -  P_recuperation dt
    wear per wheel = k * share of axle / 2 * E_friction / usable pad volume of the wheel

Grade is unknown here and stands in the error. Speed comes in whole km/h, so single steps say nothing: the balance is
summed over a deceleration and what is left at its end counts (while coasting the sum stays near zero).

Where samples are more than ``max_step_s`` apart, or the odometer shows driving nobody sampled, the loss of speed
cannot be seen. That distance is charged at the friction energy per km seen so far, drawn to a prior while little was
seen, and the interval grows by ``unseen_error`` of that energy. The estimate's method ends in "+unseen" while more than
half of the energy is of that kind.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from health import signals
from health.checks import require_between, require_positive
from health.errors import HealthError
from health.estimator import Json
from health.intervals import ecu_estimate, percent_estimate
from health.persistence import dump, load
from telemetry.records import Estimate, Quantity, Sample, ServiceRecord, VehicleEvent, require_aware

Row = Literal["Row1", "Row2"]
METHOD: Final = "brake_pads_energy/1"
_VERSION: Final = 1
_GRAVITY: Final = 9.81  # m/s2
_AIR_DENSITY: Final = 1.2  # kg/m3
_K_LOW: Final = 25.0  # mm3/MJ, published range to _K_HIGH; taken as log-uniform
_K_HIGH: Final = 125.0  # mm3/MJ
_K: Final = math.sqrt(_K_LOW * _K_HIGH)  # its median, 55.9 mm3/MJ
_K_SPREAD: Final = (_K_HIGH / _K_LOW) ** 0.45  # median times and over this: 90 % of the range, a factor of 2.06
_HOLD_S: Final = 3.0  # speed constant for so long: the deceleration is over (coasting loses 1 km/h in 1 to 3 s)
_PRIOR_KM: Final = 50.0  # the prior energy per km weighs as much as so much driving seen


@dataclass(frozen=True, kw_only=True)
class BrakePadsParameters:
    """Per model. Defaults: a compact car with four disc brakes.

    ``wear_at_start_row1``/``_row2``: percent worn at the first sample, None where nobody knows.
    """

    mass_kg: float = 1500.0  # curb weight and driver
    rotating_mass_share: float = 0.04  # wheels and drive train, of the mass
    drag_area_m2: float = 0.65  # c_d * A
    rolling_resistance: float = 0.011
    engine_displacement_l: float = 0.0  # 0: no engine to brake with
    engine_drag_kpa: float = 130.0  # motoring friction and pumping mean effective pressure
    recuperation_power_kw: float = 0.0  # 0: none; used where battery current is not read
    recuperation_share: float = 0.75  # of the braking power up to that limit
    recuperation_efficiency: float = 0.85  # wheel to battery, where current is read
    front_share: float = 0.70  # of the friction energy
    pad_volume_row1_mm3: float = 90_000.0  # usable, both pads of one wheel (50 cm2 x 9 mm x 2)
    pad_volume_row2_mm3: float = 48_000.0  # (30 cm2 x 8 mm x 2)
    wear_at_start_row1: float | None = None  # percent
    wear_at_start_row2: float | None = None  # percent
    max_step_s: float = 5.0  # samples further apart do not show a braking
    max_gap_s: float = 120.0  # samples further apart: parked, unless the odometer moved
    prior_energy_mj_per_km: float = 0.12  # mixed driving of a 1,500 kg car without recuperation
    unseen_error: float = 0.8  # share of the energy of unseen distance
    seen_error: float = 0.25  # share of the seen energy: grade, load, wind

    def __post_init__(self) -> None:
        require_positive(
            mass_kg=self.mass_kg,
            drag_area_m2=self.drag_area_m2,
            recuperation_efficiency=self.recuperation_efficiency,
            pad_volume_row1_mm3=self.pad_volume_row1_mm3,
            pad_volume_row2_mm3=self.pad_volume_row2_mm3,
            max_step_s=self.max_step_s,
            max_gap_s=self.max_gap_s,
            prior_energy_mj_per_km=self.prior_energy_mj_per_km,
        )
        require_between(0, 1, front_share=self.front_share, recuperation_share=self.recuperation_share)
        require_between(0, 1, unseen_error=self.unseen_error, seen_error=self.seen_error)
        require_between(0, 0.2, rotating_mass_share=self.rotating_mass_share)
        require_between(0, 0.2, rolling_resistance=self.rolling_resistance)
        require_between(0, 20, engine_displacement_l=self.engine_displacement_l)
        require_between(0, 1000, engine_drag_kpa=self.engine_drag_kpa, recuperation_power_kw=self.recuperation_power_kw)
        require_between(0, 100, wear_at_start_row1=self.wear_at_start_row1, wear_at_start_row2=self.wear_at_start_row2)


class _Axle(msgspec.Struct, forbid_unknown_fields=True):
    """What one axle's pads began with and the car's energies at that moment."""

    start: float | None  # percent worn, None: unknown
    seen_j: float = 0.0
    unseen_km: float = 0.0
    changed: datetime | None = None
    reason: str = ""


class _State(msgspec.Struct, forbid_unknown_fields=True):
    row1: _Axle
    row2: _Axle
    newest: datetime | None = None
    last: datetime | None = None  # newest sample with a speed
    speed: float = 0.0  # m/s at ``last``
    odometer: float | None = None  # m, newest reading
    unplaced_m: float = 0.0  # distance since that reading which is accounted for
    seen_j: float = 0.0  # friction energy of ended decelerations
    seen_km: float = 0.0
    unseen_km: float = 0.0
    episode_j: float = 0.0  # balance of the running deceleration
    episode_at_drop_j: float = 0.0  # the same at its newest loss of speed
    constant_s: float = 0.0  # since that loss
    ecu: dict[str, tuple[datetime, float]] = {}  # wheel -> time, percent worn


class BrakePads:
    """Pad wear in percent worn per wheel, ours for both axles and the ECU's where it reports it.

    Left and right of an axle are taken as equal. Where the wear at the start is unknown the value counts from new pads
    (the least it can be) and the interval reaches 90 points above: nine tenths of a uniform prior.
    """

    name = "brake_pads"

    def __init__(self, parameters: BrakePadsParameters | None = None) -> None:
        self.parameters = parameters or BrakePadsParameters()
        self._state = _State(
            row1=_Axle(start=self.parameters.wear_at_start_row1), row2=_Axle(start=self.parameters.wear_at_start_row2)
        )

    def update(self, sample: Sample) -> None:
        """Take the speed lost since the last sample into the energy balance; keep the ECU's figures."""
        state = self._state
        if state.newest is not None and sample.time < state.newest:
            return
        state.newest = sample.time
        for wheel, signal in signals.PAD_WEAR.items():
            wear = signals.read(sample, signal)
            if wear is not None:
                state.ecu[wheel] = (sample.time, wear)
        speed_kmh = signals.read(sample, signals.SPEED)
        if speed_kmh is not None:
            self._take_speed(sample, speed_kmh / 3.6)
        self._take_odometer(sample)

    def _take_speed(self, sample: Sample, speed: float) -> None:
        state, parameters = self._state, self.parameters
        elapsed_s = (sample.time - state.last).total_seconds() if state.last is not None else math.inf
        mean_speed = (state.speed + speed) / 2
        if elapsed_s <= parameters.max_step_s:
            state.seen_km += mean_speed * elapsed_s / 1000
            state.unplaced_m += mean_speed * elapsed_s
            self._brake(sample, state.speed, speed, elapsed_s)
        else:
            self._end_deceleration()
            if elapsed_s <= parameters.max_gap_s:
                state.unseen_km += mean_speed * elapsed_s / 1000
                state.unplaced_m += mean_speed * elapsed_s
        state.last, state.speed = sample.time, speed

    def _brake(self, sample: Sample, before: float, after: float, elapsed_s: float) -> None:
        state, parameters = self._state, self.parameters
        pedal = signals.read(sample, signals.BRAKE_PEDAL_POSITION)
        if after > before or pedal == 0:
            self._end_deceleration()
            return
        mean = (before + after) / 2
        lost_j = parameters.mass_kg * (1 + parameters.rotating_mass_share) * (before**2 - after**2) / 2
        resistance = parameters.rolling_resistance * parameters.mass_kg * _GRAVITY
        resistance += _AIR_DENSITY * parameters.drag_area_m2 * mean**2 / 2
        left_j = lost_j - resistance * mean * elapsed_s - self._engine_braking_w(sample) * elapsed_s
        left_j -= self._recuperated_j(sample, left_j, elapsed_s)
        state.episode_j = max(0.0, state.episode_j + left_j)
        if after < before:
            state.episode_at_drop_j, state.constant_s = state.episode_j, 0.0
        else:
            state.constant_s += elapsed_s
        if after == 0 or state.constant_s >= _HOLD_S:
            self._end_deceleration()

    def _engine_braking_w(self, sample: Sample) -> float:
        engine_speed = signals.read(sample, signals.ENGINE_SPEED)
        if engine_speed is None or engine_speed < 1000:  # about idle: declutched, or held by the idle control
            return 0.0
        # Four-stroke: each litre takes in once in two revolutions; kPa * litre = joule.
        return self.parameters.engine_drag_kpa * self.parameters.engine_displacement_l * engine_speed / 120

    def _recuperated_j(self, sample: Sample, braking_j: float, elapsed_s: float) -> float:
        current = signals.read(sample, signals.TRACTION_BATTERY_CURRENT)
        voltage = signals.read(sample, signals.TRACTION_BATTERY_VOLTAGE)
        if current is not None and voltage is not None:
            return max(0.0, current * voltage) * elapsed_s / self.parameters.recuperation_efficiency
        limit_j = self.parameters.recuperation_power_kw * 1000 * elapsed_s
        return min(max(0.0, braking_j), limit_j) * self.parameters.recuperation_share

    def _end_deceleration(self) -> None:
        state = self._state
        state.seen_j += self._running_j()
        state.episode_j = state.episode_at_drop_j = state.constant_s = 0.0

    def _running_j(self) -> float:
        """Energy of the running deceleration; less than one step of 1 km/h at its speed is coasting, not braking."""
        state = self._state
        step_j = self.parameters.mass_kg * max(state.speed, 3.0) / 3.6
        return state.episode_at_drop_j if state.episode_at_drop_j > step_j else 0.0

    def _take_odometer(self, sample: Sample) -> None:
        state = self._state
        odometer = signals.read(sample, signals.TRAVELED_DISTANCE)
        if odometer is None:
            return
        if state.odometer is not None:
            missing_m = odometer - state.odometer - state.unplaced_m
            if missing_m > 2000:  # above the odometer's own step of 1 km and the speedometer's error
                state.unseen_km += missing_m / 1000
                state.odometer, state.unplaced_m = odometer, 0.0
            elif odometer < state.odometer:  # another instrument cluster
                state.odometer, state.unplaced_m = odometer, 0.0
        else:
            state.odometer, state.unplaced_m = odometer, 0.0

    def reset(self, time: datetime, reason: str, row: Row | None = None, wear: float = 0.0) -> None:
        """Pads of an axle (both if None) were changed, or measured as ``wear`` percent worn.

        Older than that axle's last reset: ignored.
        """
        require_aware(time, "BrakePads.reset(time)")
        require_between(0, 100, wear=wear)
        if not reason.strip():
            raise HealthError("brake_pads: a reset needs a reason, e.g. 'front pads changed, workshop booking'")
        self._end_deceleration()
        state = self._state
        for name in ("Row1", "Row2") if row is None else (row,):
            axle = state.row1 if name == "Row1" else state.row2
            if axle.changed is not None and time < axle.changed:
                continue
            fresh = _Axle(start=wear, seen_j=state.seen_j, unseen_km=state.unseen_km, changed=time, reason=reason)
            if name == "Row1":
                state.row1 = fresh
            else:
                state.row2 = fresh
            for wheel in [wheel for wheel in state.ecu if wheel.startswith(name)]:
                del state.ecu[wheel]

    def energy_mj_per_km(self) -> float:
        """Friction energy per km, of the driving seen so far and the prior."""
        state = self._state
        prior_mj = self.parameters.prior_energy_mj_per_km * self.parameters.mass_kg / 1500 * _PRIOR_KM
        return (prior_mj + (state.seen_j + self._running_j()) / 1e6) / (_PRIOR_KM + state.seen_km)

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """Four wheels of ours once the car was seen driving; each wheel the ECU reports beside it."""
        state, parameters = self._state, self.parameters
        found: list[Estimate] = []
        if state.last is not None:
            rows: tuple[tuple[Row, _Axle, float, float], ...] = (
                ("Row1", state.row1, parameters.front_share, parameters.pad_volume_row1_mm3),
                ("Row2", state.row2, 1 - parameters.front_share, parameters.pad_volume_row2_mm3),
            )
            for row, axle, share, volume in rows:
                found += self._axle_estimates(now, row, axle, 100 * _K * share / 2 / volume)
        for wheel, (time, wear) in state.ecu.items():
            found.append(
                ecu_estimate(
                    time=time, quantity=Quantity.PAD_WEAR, signal=signals.PAD_WEAR[wheel], value=wear, position=wheel
                )
            )
        return tuple(found)

    def _axle_estimates(self, now: datetime, row: Row, axle: _Axle, percent_per_mj: float) -> list[Estimate]:
        state, parameters = self._state, self.parameters
        seen_mj = (state.seen_j + self._running_j() - axle.seen_j) / 1e6
        unseen_mj = (state.unseen_km - axle.unseen_km) * self.energy_mj_per_km()
        error_mj = parameters.seen_error * seen_mj + parameters.unseen_error * unseen_mj
        energy_mj = seen_mj + unseen_mj
        start = axle.start or 0.0
        unknown = 90.0 if axle.start is None else 0.0
        return [
            percent_estimate(
                time=now,
                quantity=Quantity.PAD_WEAR,
                position=f"{row}.{side}",
                value=start + percent_per_mj * energy_mj,
                low=start + percent_per_mj / _K_SPREAD * max(0.0, energy_mj - error_mj),
                high=start + percent_per_mj * _K_SPREAD * (energy_mj + error_mj) + unknown,
                method=METHOD + ("+unseen" if unseen_mj > energy_mj / 2 > 0 else ""),
            )
            for side in ("Left", "Right")
        ]

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`."""
        if record.quantity is not Quantity.PAD_WEAR:
            return
        row: Row | None = "Row1" if record.position.startswith("Row1") else "Row2" if record.position else None
        self.reset(record.time, f"{record.by}: {record.reason}", row)

    def findings(self) -> tuple[VehicleEvent, ...]:
        """See :class:`health.estimator.Estimator`."""
        return ()

    def state(self) -> Json:
        """The recursion as JSON values."""
        return dump(self.name, _VERSION, self._state)

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from :meth:`state`; HealthError if it is not one of this estimator."""
        self._state = load(self.name, _VERSION, _State, state)
