"""Engine oil life: a budget of engine revolutions, spent faster while the oil is cold or hot, under a time cap.

Source: US patent 4,742,476 (General Motors, Schwartz et al. 1988; EP 0231055): effective revolutions = revolutions
times a penalty that depends on oil temperature, subtracted from a maximum per engine; the time since the change is a
second limit and the smaller remainder counts. US patent 6,327,900 multiplies by a second factor, for what gets into
the oil (soot, dust).

    used += penalty(T_oil) * contamination * n * dt          revolutions
    life  = min(start - 100 * used / budget, start - 100 * age / time_cap)       percent

The patent gives the intervals this must come to (EP 0231055, paragraphs 3 and 4: 12,000 km or 12 months in normal use,
4,800 km in severe use: trips below 6.4 km in freezing weather) and the shape of the penalty, not its numbers: those of
the table are ours. The budget comes from the normal interval alone (see tests/benchmarks/health/fit_oil.py).

Oil temperature is read (PID 5C) or modelled (health.oil.temperature). What the oil is really like, its level and what
was topped up are not seen: the interval is that of the meter, not of an oil analysis.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from health import signals
from health.checks import require_between
from health.errors import HealthError
from health.estimator import Json
from health.intervals import Z90, ecu_estimate, interpolate, percent_estimate
from health.oil import change as oil_change
from health.oil import temperature as oil_temperature
from health.oil.change import BELIEVED
from health.oil.distance import unseen_km
from health.oil.parameters import NORMAL_INTERVAL_KM, PENALTY, OilLifeParameters, penalty_errors
from health.oil.speed import watch_engine_speed
from health.oil.state import OilLifeState, Suspicion, of_version_1
from health.oil.usage import Used, checkpoint, copied, since, total_at, with_checkpoints
from health.persistence import dump, load
from health.told import doubt_signal, is_new, suspect_service, take_findings
from telemetry.catalogue import Signal
from telemetry.records import (
    Estimate,
    Limitation,
    Quantity,
    Sample,
    ServiceAction,
    ServiceRecord,
    VehicleEvent,
    require_aware,
)

__all__ = ["METHOD", "PENALTY", "OilLife", "OilLifeParameters"]

METHOD: Final = "oil_life_revolutions/2"
_VERSION: Final = 2
_DAY_S: Final = 86_400.0
_PRIOR_KM: Final = 200.0  # the budget's own use per km weighs as much as so much driving seen
_ASIDE: Final = timedelta(days=14)  # so long after a reported change, signs of one are signs of that one


@dataclass(frozen=True, kw_only=True)
class _Left:
    """Percent left with its interval, and whether the time cap says so."""

    value: float
    low: float
    high: float
    by_time: bool


class OilLife:
    """Oil life in percent remaining; falls monotonically, and rises by a report only (:meth:`serviced`, :meth:`reset`).

    Where the oil's age at the start is unknown (no ``life_at_start``, no report yet) the value is the best case, fresh
    oil at the first sample, and the interval reaches 90 points below: nine tenths of a uniform prior. A change that is
    only suspected raises the interval's upper end, never the value.
    """

    name = "oil_life"

    def __init__(self, parameters: OilLifeParameters | None = None) -> None:
        self.parameters = parameters or OilLifeParameters()
        self._model = self.parameters.temperature_model
        self._state = OilLifeState()

    def update(self, sample: Sample) -> None:
        """Integrate engine speed up to this sample; keep the ECU's own figure."""
        state = self._state
        if state.newest is not None and sample.time < state.newest:
            return
        state.newest = sample.time
        ecu_life = signals.read(sample, signals.OIL_LIFE)
        if ecu_life is not None:
            state.ecu_life, state.ecu_time = ecu_life, sample.time
        speed = signals.read(sample, signals.SPEED)
        if speed is not None:
            state.speed, state.distance.speed_seen = speed, True
        engine_speed = signals.read(sample, signals.ENGINE_SPEED)
        if engine_speed is not None:
            self._run(sample, engine_speed)
        missing_km = unseen_km(state.distance, sample)
        if missing_km and state.begun is not None:
            state.total.unseen += missing_km * self.effective_per_km()
        if oil_change.look(state.change, sample):
            self._suspect(sample.time)

    def _run(self, sample: Sample, engine_speed: float) -> None:
        state = self._state
        if state.last is None:
            state.begun = sample.time
            state.since = sample.time if state.since is None else state.since
        elapsed_s = 0.0 if state.last is None else (sample.time - state.last).total_seconds()
        state.checkpoints = with_checkpoints(state.checkpoints, state.last, sample.time, state.total)
        if state.last is None or elapsed_s > self.parameters.max_gap_s:
            if state.last is not None:
                oil_temperature.rest(state.temperature, elapsed_s)
            state.total.drives += 1
            state.distance.gap, state.engine_speed, state.speed = True, 0.0, None
            elapsed_s = 0.0
        temperature, source = oil_temperature.follow(
            state.temperature,
            self._model,
            sample,
            engine_speed_rpm=engine_speed,
            speed_kmh=state.speed or 0.0,
            seconds=elapsed_s,
        )
        stuck = watch_engine_speed(state.engine_speed_watch, engine_speed, state.speed, elapsed_s)
        self._doubt(sample.time, signals.ENGINE_SPEED, stuck, "it stands still while the car speeds up and slows down")
        cold = state.temperature.coolant_doubted
        self._doubt(sample.time, signals.COOLANT_TEMPERATURE, cold, "it stands still where an engine warms up")
        revolutions = (state.engine_speed + engine_speed) / 2 * elapsed_s / 60
        self._charge(revolutions, temperature, "assumed" if stuck else source)
        kilometres = (state.speed or 0.0) * elapsed_s / 3600
        state.distance.seen_km += kilometres
        state.total.kilometres += kilometres
        state.last, state.engine_speed = sample.time, engine_speed

    def _charge(self, revolutions: float, temperature: float, source: oil_temperature.Source) -> None:
        total, parameters = self._state.total, self.parameters
        weighed = revolutions * parameters.contamination
        effective = weighed * interpolate(PENALTY, temperature)
        total.revolutions += revolutions
        total.with_speed += effective if self._state.speed is not None else 0.0
        if source == "read":
            total.read += effective
        elif source == "modelled":
            total.modelled += effective
            more, less = penalty_errors(temperature, parameters.modelled_error_k)
            total.modelled_more += weighed * more
            total.modelled_less += weighed * less
        else:
            total.assumed += effective

    def _doubt(self, time: datetime, signal: Signal, doubted: bool, why: str) -> None:
        state = self._state
        if doubted and signal.path not in state.doubted:
            doubt_signal(state.told, time, signal.path, why=why)
            state.doubted = [*state.doubted, signal.path]
        elif not doubted and signal.path in state.doubted:
            state.doubted = [path for path in state.doubted if path != signal.path]

    def _suspect(self, time: datetime) -> None:
        state = self._state
        if state.reason and state.since is not None and time - state.since < _ASIDE:
            return
        certainty = oil_change.certainty(state.change, self._used_share(time))
        if certainty < BELIEVED or (state.suspicion is not None and time - state.suspicion.time < _ASIDE):
            return
        state.suspicion = Suspicion(time=time, total=copied(state.total))
        suspect_service(state.told, time, Quantity.OIL_LIFE, certainty=certainty, why=oil_change.why(state.change))

    def _used_share(self, time: datetime) -> float:
        """Of the filling, by revolutions or time; half where nobody said when it was filled in."""
        state = self._state
        if self._start() is None or state.since is None:
            return 0.5
        used = since(state.base, state.total).effective / self.parameters.budget_revolutions
        return max(used, (time - state.since).total_seconds() / _DAY_S / self.parameters.time_cap_days)

    def reset(self, time: datetime, reason: str, life: float = 100.0) -> None:
        """The oil was changed at ``time``, or measured to have ``life`` percent left (``reason`` must say who and how).

        A report older than the last one is ignored. What was driven between ``time`` and the newest sample is charged
        to the new oil, by the day in the last week of driving, before that in proportion.
        """
        require_aware(time, "OilLife.reset(time)")
        require_between(0, 100, life=life)
        if not reason.strip():
            raise HealthError("oil_life: a reset needs a reason, e.g. 'oil changed, workshop booking'")
        state = self._state
        if state.reason and state.since is not None and time < state.since:
            return
        state.base = self._total_then(time)
        state.since, state.start, state.reason = time, life, reason
        state.suspicion = None
        oil_change.forget(state.change)
        state.ecu_life = state.ecu_time = None  # said before the report; the next reading is of the new oil
        state.newest = time if state.newest is None else max(time, state.newest)

    def _total_then(self, time: datetime) -> Used:
        state = self._state
        if state.since is None or state.last is None or time >= state.last:
            return copied(state.total)
        base = copied(state.base)
        if time < state.since:  # before the dongle was fitted: a filling is used up in the time its cap gives it
            days = min((state.since - time).total_seconds() / _DAY_S, self.parameters.time_cap_days)
            base.unseen -= days / self.parameters.time_cap_days * self.parameters.budget_revolutions
            return base
        points = [point for point in state.checkpoints if point.time > state.since]
        return total_at([checkpoint(state.since, base), *points, checkpoint(state.last, state.total)], time)

    @property
    def revolutions(self) -> float:
        """Engine revolutions since the last report or the start, without penalty."""
        return since(self._state.base, self._state.total).revolutions

    @property
    def oil_temperature_c(self) -> float | None:
        """Oil temperature at the newest sample, read or modelled."""
        return self._state.temperature.oil

    def effective_per_km(self) -> float:
        """Effective revolutions per km of the driving seen so far, drawn to the budget's own while that is little."""
        total = self._state.total
        budget_per_km = self.parameters.budget_revolutions / NORMAL_INTERVAL_KM
        if total.kilometres <= 0:  # the speed is not told, or stands at 0
            return budget_per_km
        return (budget_per_km * _PRIOR_KM + total.with_speed) / (_PRIOR_KM + total.kilometres)

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """Ours (from the first engine speed or report on) and, separately, the ECU's."""
        state = self._state
        found: list[Estimate] = []
        if state.since is not None:
            found.append(self._estimate(now, state.since))
        if state.ecu_life is not None and state.ecu_time is not None:
            found.append(
                ecu_estimate(
                    time=state.ecu_time, quantity=Quantity.OIL_LIFE, signal=signals.OIL_LIFE, value=state.ecu_life
                )
            )
        return tuple(found)

    def _estimate(self, now: datetime, begun: datetime) -> Estimate:
        state = self._state
        moment = now if state.newest is None else max(now, state.newest)
        used = since(state.base, state.total)
        start = self._start()
        left = self._left(100.0 if start is None else start, used, moment - begun)
        high = left.high
        if state.suspicion is not None:
            fresh = self._left(100.0, since(state.suspicion.total, state.total), moment - state.suspicion.time)
            high = max(high, fresh.high)
        return percent_estimate(
            time=now,
            quantity=Quantity.OIL_LIFE,
            value=left.value,
            low=left.low - (90.0 if start is None else 0.0),
            high=high,
            method=METHOD,
            measurements=round(used.drives),
            limited_by=self._limited_by(used, by_time=left.by_time),
        )

    def _start(self) -> float | None:
        return self.parameters.life_at_start if self._state.start is None else self._state.start

    def _left(self, start: float, used: Used, age: timedelta) -> _Left:
        parameters = self.parameters
        more, less = (Z90 * math.hypot(*self._errors(used, more=more).values()) for more in (True, False))
        effective, budget = used.effective, parameters.budget_revolutions
        by_time = start - 100 * age.total_seconds() / _DAY_S / parameters.time_cap_days
        by_use = start - 100 * effective / budget
        return _Left(
            value=min(by_use, by_time),
            low=min(by_use - 100 * more / budget, by_time),
            high=min(by_use + 100 * min(less, effective) / budget, by_time),
            by_time=by_time <= by_use,
        )

    def _limited_by(self, used: Used, *, by_time: bool) -> str:
        if self._state.suspicion is not None:
            return Limitation.SERVICE_UNREPORTED
        if self._start() is None:
            return Limitation.START_UNKNOWN
        errors = self._errors(used, more=True)
        return "" if by_time else max(errors, key=lambda word: errors[word])

    def _errors(self, used: Used, *, more: bool) -> dict[str, float]:
        """Standard errors in effective revolutions towards more use or less, by what they come from.

        Within a kind one error is common to all and adds up; the kinds err independently.
        """
        parameters = self.parameters
        return {
            "": parameters.counting_error * (used.read + used.modelled),
            Limitation.MODELLED_TEMPERATURE: used.modelled_more if more else used.modelled_less,
            Limitation.DOUBTFUL_READINGS: parameters.assumed_error * used.assumed,
            Limitation.UNSEEN_DRIVING: parameters.unseen_error * used.unseen,
        }

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`. Topping up is no change: it neither cleans nor renews oil."""
        if record.quantity is not Quantity.OIL_LIFE:
            return
        if record.position:
            raise HealthError(f"oil_life: an engine has one oil filling, not one at {record.position!r}; leave it out")
        if record.action is ServiceAction.MEASURED and (
            record.unit != "percent" or not 0 <= (record.value or 0.0) <= 100
        ):
            raise HealthError(f"oil_life: measured {record.value} {record.unit}; give percent left, 0 to 100")
        if not is_new(self._state.told, record) or record.action is ServiceAction.ADJUSTED:
            return
        life = 100.0 if record.value is None else record.value
        self.reset(record.time, f"{record.by}: {record.reason}", life)

    def findings(self) -> tuple[VehicleEvent, ...]:
        """See :class:`health.estimator.Estimator`."""
        return take_findings(self._state.told)

    def state(self) -> Json:
        """The recursion as JSON values."""
        return dump(self.name, _VERSION, self._state)

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from :meth:`state`; HealthError if it is not one of this estimator."""
        self._state = load(self.name, _VERSION, OilLifeState, state, former={1: of_version_1})
