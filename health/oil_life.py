"""Engine oil life: a budget of engine revolutions, spent faster while the oil is cold or hot, under a time cap.

Source: US patent 4,742,476 (General Motors, Schwartz et al. 1988; EP 0231055): effective revolutions = revolutions
times a penalty that depends on oil temperature, subtracted from a maximum per engine; the time since the change is a
second limit and the smaller remainder counts. From there come the shape of the penalty and the intervals it must give
(severe 4,800 km, normal 12,000 km, never more than 12 months); the numbers of the default table are ours.

    used += penalty(T_oil) * n * dt          revolutions
    life  = 100 * min(1 - used / budget, 1 - age / time_cap)       percent

Oil temperature is read (PID 5C) or modelled: a first-order lag behind the coolant plus a rise with engine load.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from health import signals
from health.checks import require_between, require_positive
from health.errors import HealthError
from health.estimator import Json
from health.intervals import Z90, ecu_estimate, interpolate, percent_estimate
from health.persistence import dump, load
from telemetry.records import Estimate, Quantity, Sample, ServiceRecord, VehicleEvent, require_aware

METHOD: Final = "oil_life_revolutions/1"
_VERSION: Final = 1
_DAY_S: Final = 86_400.0

# Oil temperature (celsius) -> penalty. Below 60: fuel and water stay in the oil. Above 110: oxidation, whose rate
# doubles every 10 to 15 K (Arrhenius).
PENALTY: Final = (
    (-20.0, 2.6),
    (0.0, 2.4),
    (20.0, 2.1),
    (40.0, 1.6),
    (60.0, 1.15),
    (75.0, 1.0),
    (110.0, 1.0),
    (120.0, 1.4),
    (130.0, 2.2),
    (140.0, 3.6),
    (150.0, 6.0),
)


@dataclass(frozen=True, kw_only=True)
class OilLifeParameters:
    """Per engine. ``life_at_start``: percent when the first sample was taken, None where nobody knows."""

    budget_revolutions: float = 34e6  # effective revolutions of one filling
    time_cap_days: float = 365.0
    life_at_start: float | None = None  # percent
    max_gap_s: float = 120.0  # samples further apart: the engine was off
    oil_lag_s: float = 240.0  # time constant of oil behind coolant
    load_rise_k: float = 15.0  # oil above coolant at full load, once settled
    read_error: float = 0.10  # standard deviation of the consumption, share, with oil temperature read
    modelled_error: float = 0.20  # the same with oil temperature modelled

    def __post_init__(self) -> None:
        require_positive(
            budget_revolutions=self.budget_revolutions,
            time_cap_days=self.time_cap_days,
            max_gap_s=self.max_gap_s,
            oil_lag_s=self.oil_lag_s,
        )
        require_between(0, 100, life_at_start=self.life_at_start)
        require_between(0, 60, load_rise_k=self.load_rise_k)
        require_between(0, 1, read_error=self.read_error, modelled_error=self.modelled_error)


class _State(msgspec.Struct, forbid_unknown_fields=True):
    since: datetime | None = None  # oil change, or the first sample where none is known
    changed: bool = False  # whether ``since`` is an oil change
    reason: str = ""
    last: datetime | None = None  # newest sample with an engine speed
    newest: datetime | None = None  # newest sample or reset of any kind
    engine_speed: float = 0.0  # rpm at ``last``
    oil_temperature: float | None = None  # celsius at ``last``
    revolutions: float = 0.0  # since ``since``, without penalty
    used_read: float = 0.0  # effective revolutions with oil temperature read
    used_modelled: float = 0.0  # effective revolutions with oil temperature modelled
    ecu_life: float | None = None  # percent
    ecu_time: datetime | None = None


class OilLife:
    """Oil life in percent remaining; falls monotonically, and rises by :meth:`reset` only.

    Where the oil's age at the start is unknown (no ``life_at_start``, no reset yet) the value is the best case, fresh
    oil at the first sample, and the interval reaches 90 points below: nine tenths of a uniform prior.
    """

    name = "oil_life"

    def __init__(self, parameters: OilLifeParameters | None = None) -> None:
        self.parameters = parameters or OilLifeParameters()
        self._state = _State()

    def update(self, sample: Sample) -> None:
        """Integrate engine speed up to this sample; keep the ECU's own figure."""
        state = self._state
        if state.newest is not None and sample.time < state.newest:
            return
        state.newest = sample.time
        ecu_life = signals.read(sample, signals.OIL_LIFE)
        if ecu_life is not None:
            state.ecu_life, state.ecu_time = ecu_life, sample.time
        engine_speed = signals.read(sample, signals.ENGINE_SPEED)
        if engine_speed is None:
            return
        if state.since is None:
            state.since = sample.time
        elapsed_s = (sample.time - state.last).total_seconds() if state.last is not None else math.inf
        read_temperature = signals.read(sample, signals.OIL_TEMPERATURE)
        temperature = self._oil_temperature(sample, read_temperature, elapsed_s)
        if elapsed_s <= self.parameters.max_gap_s:
            revolutions = (state.engine_speed + engine_speed) / 2 * elapsed_s / 60
            # Temperature not known at all: penalised as if cold, which errs towards an early change.
            effective = revolutions * interpolate(PENALTY, 20.0 if temperature is None else temperature)
            state.revolutions += revolutions
            if read_temperature is None:
                state.used_modelled += effective
            else:
                state.used_read += effective
        state.last, state.engine_speed, state.oil_temperature = sample.time, engine_speed, temperature

    def _oil_temperature(self, sample: Sample, read: float | None, elapsed_s: float) -> float | None:
        if read is not None:
            return read
        coolant = signals.read(sample, signals.COOLANT_TEMPERATURE)
        before = self._state.oil_temperature
        if coolant is None:
            return before if elapsed_s <= self.parameters.max_gap_s else None
        if before is None or elapsed_s > self.parameters.max_gap_s:
            return coolant  # after a stop both have cooled together
        load = signals.read(sample, signals.ENGINE_LOAD) or 0.0
        settled = coolant + self.parameters.load_rise_k * load / 100
        return settled + (before - settled) * math.exp(-elapsed_s / self.parameters.oil_lag_s)

    def reset(self, time: datetime, reason: str) -> None:
        """The oil was changed at ``time``, said by a person or a service record (``reason`` must say which).

        A reset older than the last one is ignored. What was driven between ``time`` and the newest sample is not
        charged to the new oil: report the change on the day.
        """
        require_aware(time, "OilLife.reset(time)")
        if not reason.strip():
            raise HealthError("oil_life: a reset needs a reason, e.g. 'oil changed, workshop booking'")
        state = self._state
        if state.changed and state.since is not None and time < state.since:
            return
        state.since, state.changed, state.reason = time, True, reason
        state.revolutions = state.used_read = state.used_modelled = 0.0
        state.ecu_life = state.ecu_time = None  # said before the change; the next reading is of the new oil
        state.newest = time if state.newest is None else max(time, state.newest)

    @property
    def revolutions(self) -> float:
        """Engine revolutions since the oil change or the start, without penalty."""
        return self._state.revolutions

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """Ours (from the first engine speed or reset on) and, separately, the ECU's."""
        state, parameters = self._state, self.parameters
        found: list[Estimate] = []
        if state.since is not None:
            start = 100.0 if state.changed or parameters.life_at_start is None else parameters.life_at_start
            moment = now if state.newest is None else max(now, state.newest)
            age = (moment - state.since).total_seconds() / _DAY_S / parameters.time_cap_days
            used = (state.used_read + state.used_modelled) / parameters.budget_revolutions
            # One engine's error is common to all its revolutions: the shares add up, they do not average out.
            error = Z90 * (parameters.read_error * state.used_read + parameters.modelled_error * state.used_modelled)
            error /= parameters.budget_revolutions
            by_time = start - 100 * age
            unknown = 0.0 if state.changed or parameters.life_at_start is not None else 90.0
            found.append(
                percent_estimate(
                    time=now,
                    quantity=Quantity.OIL_LIFE,
                    value=min(start - 100 * used, by_time),
                    low=min(start - 100 * (used + error), by_time) - unknown,
                    high=min(start - 100 * max(0.0, used - error), by_time),
                    method=METHOD,
                )
            )
        if state.ecu_life is not None and state.ecu_time is not None:
            found.append(
                ecu_estimate(
                    time=state.ecu_time, quantity=Quantity.OIL_LIFE, signal=signals.OIL_LIFE, value=state.ecu_life
                )
            )
        return tuple(found)

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`."""
        if record.quantity is Quantity.OIL_LIFE:
            self.reset(record.time, f"{record.by}: {record.reason}")

    def findings(self) -> tuple[VehicleEvent, ...]:
        """See :class:`health.estimator.Estimator`."""
        return ()

    def state(self) -> Json:
        """The recursion as JSON values."""
        return dump(self.name, _VERSION, self._state)

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from :meth:`state`; HealthError if it is not one of this estimator."""
        self._state = load(self.name, _VERSION, _State, state)
