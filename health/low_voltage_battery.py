"""12 V battery health from its rest voltage, and from the voltage it holds while cranking where that can be seen.

Rest (:mod:`health.starter_battery.rest_voltage`): the charge the battery comes to rest at after ordinary use, smoothed
over days. A battery that no longer takes or holds charge rests ever lower. One that rests well may still be too weak to
crank: from rest alone the interval reaches down by 50 points.

Cranking (:mod:`health.starter_battery.cranking`, :mod:`health.starter_battery.cranking_line`): the voltage held at 21
celsius, learned on the car from starts after hours of standing. Health 0 is the voltage at which a battery fails the
load test of the Battery Council International (9.6 V at 21 celsius), 100 that of a new battery: of this car's, if it
was told when one was fitted, else 11.0 V, known to +/-0.4 V only. The dip needs a sample every 20 ms: seen more slowly
it is not used, and the method says "rest" only.

Both, and what a workshop measured, are put together by the inverse of their variances; where they disagree by more than
those explain, the interval grows by R. T. Birge's ratio (Physical Review 40 (1932) 207).

A weak alternator or much standing give the same picture as a weak battery: where nothing charges above the float
voltage (2.25 V a cell at 25 celsius, -3 mV/K a cell, Battery University BU-403), the interval reaches up by another 25
points.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from health import signals
from health.checks import require_between, require_positive
from health.errors import HealthError
from health.estimator import Json
from health.intervals import Z90, percent_estimate
from health.persistence import dump, load
from health.starter_battery import cranking
from health.starter_battery.cranking_line import CrankingLine, begin_anew, held_voltage, learn
from health.starter_battery.evidence import (
    REST_ONLY_DOWN,
    by_cranking_line,
    by_rest,
    charges_weakly,
    rest_sd,
    together,
)
from health.starter_battery.former import from_first
from health.starter_battery.rest_voltage import (
    REST_VOLTAGE,
    RestVoltage,
    at_reference,
    level_and_trend,
    take_rest,
)
from health.stuck import Stuck, is_stuck
from health.told import Told, doubt_signal, is_new, suspect_service, take_findings
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

__all__ = ["REST_VOLTAGE", "LowVoltageBattery", "LowVoltageBatteryParameters"]

METHOD: Final = "low_voltage_battery_rest/2"
METHOD_WITH_CRANKING: Final = "low_voltage_battery_rest+cranking/2"
_VERSION: Final = 2
_QUANTITY: Final = Quantity.LOW_VOLTAGE_BATTERY_HEALTH

_CHARGING_V: Final = 13.2  # above it something charges
_ALTERNATOR_S: Final = 30.0  # after the start: then it gives what it can
_HIGH_QUANTILE: Final = 0.9  # smart alternators rest for minutes: what counts is what they can do
_REST_SANE_V: Final = (9.0, 13.2)  # outside it the reading is no 12 V battery at rest
_LOAD_V: Final = 0.3  # a fall by this much ...
_LOAD_S: Final = 60.0  # ... within this time is a load (the starter before the engine speed shows), not the battery
_FRESH_DAYS: Final = (
    7  # so old a rest voltage still holds; then about a percent a day is lost (self-discharge, standby)
)
_WORKSHOP_SD: Final = 6.0  # percent, of a conductance tester ...
_WORKSHOP_SD_PER_DAY: Final = 0.1  # ... and by so much more as time goes on; both are assumptions
_BOTH_JUMP_DAYS: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class LowVoltageBatteryParameters:
    """Per car. Voltage is read at the battery if that signal exists, else at a control module."""

    battery: Literal["flooded", "agm"] = "flooded"
    rest_s: float = 7200.0  # without engine and charging, before the voltage counts as rested
    crank_max_interval_s: float = 0.025  # samples closer than this show the dip: 50 Hz, and some jitter
    reading_error_v: float = 0.05  # standard deviation of a day's mean rest voltage: load of the awake car, meter
    least_half_width: float = 15.0  # percent, of the interval

    def __post_init__(self) -> None:
        if self.battery not in {"flooded", "agm"}:
            raise HealthError(f"battery: {self.battery!r} is neither 'flooded' nor 'agm'")
        require_positive(
            rest_s=self.rest_s, crank_max_interval_s=self.crank_max_interval_s, reading_error_v=self.reading_error_v
        )
        require_between(1, 50, least_half_width=self.least_half_width)


class _State(msgspec.Struct, forbid_unknown_fields=True):
    newest: datetime | None = None
    active: datetime | None = None  # newest sample with the engine turning, the car moving or a charging voltage
    rest_at: datetime | None = None  # newest rest voltage
    rest_v: float = 0.0
    temperature: float | None = None  # ambient, celsius
    rest: RestVoltage = msgspec.field(default_factory=RestVoltage)
    starts: cranking.Starts = msgspec.field(default_factory=cranking.Starts)
    line: CrankingLine = msgspec.field(default_factory=CrankingLine)
    charging_v: float | None = None  # smoothed
    charging_high_v: float | None = None  # its upper decile
    measured: float | None = None  # percent, by a workshop
    measured_day: int = 0
    rest_jump_day: int | None = None
    line_jump_day: int | None = None
    stuck: Stuck = msgspec.field(default_factory=Stuck)
    told: Told = msgspec.field(default_factory=Told)


class LowVoltageBattery:
    """Health of the 12 V battery in percent: 100 rests and cranks like a new one, 0 is flat or will not crank."""

    name = "low_voltage_battery"

    def __init__(self, parameters: LowVoltageBatteryParameters | None = None) -> None:
        self.parameters = parameters or LowVoltageBatteryParameters()
        self._state = _State()
        self.last_start: cranking.Start | None = None  # since this program began

    @property
    def charging_voltage_v(self) -> float | None:
        """Smoothed voltage with the engine (or the DC-DC converter) running."""
        return self._state.charging_v

    @property
    def rest_trend_v_per_day(self) -> float:
        """Smoothed trend of the rest voltage."""
        known = level_and_trend(self._state.rest)
        return 0.0 if known is None else known[1]

    @property
    def starts(self) -> int:
        """Starts of the engine found so far."""
        return self._state.starts.starts

    def update(self, sample: Sample) -> None:
        """Sort the voltage into resting, cranking or charging."""
        state = self._state
        if state.newest is not None and sample.time < state.newest:
            return
        state.newest = sample.time
        temperature = signals.read(sample, signals.AMBIENT_TEMPERATURE)
        if temperature is not None:
            state.temperature = temperature
        engine_speed = signals.read(sample, signals.ENGINE_SPEED)
        speed = signals.read(sample, signals.SPEED)
        signal, voltage = _voltage(sample)
        rested = self._rested(sample.time)
        if (engine_speed is not None and engine_speed > 0) or (speed is not None and speed > 0):
            state.active = sample.time  # an electric car drives without an engine, its converter perhaps below 13.2 V
            state.stuck.driven = True
        if voltage is not None and self._doubted(sample.time, signal, voltage):
            voltage = None
        start = cranking.watch(
            state.starts,
            sample.time,
            voltage=voltage,
            engine_speed=engine_speed,
            charging=voltage is not None and voltage > _CHARGING_V,
            rested=rested,
            fast_s=self.parameters.crank_max_interval_s,
        )
        if voltage is not None:
            self._take_voltage(sample.time, voltage, engine_speed)
        if start is not None:
            self.last_start = start
            self._take_start(start)

    def _doubted(self, time: datetime, signal: Signal, voltage: float) -> bool:
        state = self._state
        was = state.stuck.stuck
        if is_stuck(state.stuck, time, voltage, running=state.starts.running) and not was:
            why = f"stands at {voltage:g} V while the car stands and while it is used"
            doubt_signal(state.told, time, signal.path, why=why)
        return state.stuck.stuck

    def _take_voltage(self, time: datetime, voltage: float, engine_speed: float | None) -> None:
        state = self._state
        if voltage > _CHARGING_V or (engine_speed is not None and engine_speed >= cranking.RUNNING_RPM):
            state.active = time
            since = state.starts.running_since
            if voltage <= _CHARGING_V and (since is None or (time - since).total_seconds() < _ALTERNATOR_S):
                return
            seen, high = state.charging_v, state.charging_high_v
            state.charging_v = voltage if seen is None else seen + 0.01 * (voltage - seen)
            # Stochastic approximation of a quantile (Robbins and Monro 1951), in steps of 10 mV.
            step = _HIGH_QUANTILE if high is not None and voltage > high else _HIGH_QUANTILE - 1
            state.charging_high_v = voltage if high is None else high + 0.01 * step
        elif _REST_SANE_V[0] <= voltage <= _REST_SANE_V[1] and not engine_speed and self._rested(time):
            self._take_rest(time, voltage)

    def _rested(self, time: datetime) -> bool:
        # Never seen active: the samples before the first start are of a car that stood.
        active = self._state.active
        return active is None or (time - active).total_seconds() >= self.parameters.rest_s

    def _take_rest(self, time: datetime, voltage: float) -> None:
        state = self._state
        loaded = voltage < state.rest_v - _LOAD_V
        if loaded and state.rest_at is not None and (time - state.rest_at).total_seconds() <= _LOAD_S:
            return
        if state.starts.fall_at is not None:
            return
        state.rest_at, state.rest_v = time, voltage
        higher = take_rest(state.rest, _day(time), at_reference(voltage, state.temperature))
        if higher is not None:
            state.rest_jump_day = _day(time)
            self._suspect(time, f"it rests at {higher.now_v:.2f} V; for months it was {higher.before_v:.2f} V at best")

    def _take_start(self, start: cranking.Start) -> None:
        state = self._state
        if start.cranking_v is None or start.before_v is None or not start.rested:
            return
        changed = learn(
            state.line,
            before_v=start.before_v,
            cranking_v=start.cranking_v,
            temperature=state.temperature,
            day=_day(start.time),
        )
        if changed is not None and changed.now < changed.before:
            state.line_jump_day = _day(start.time)
            before_v, now_v = held_voltage(changed.before), held_voltage(changed.now)
            self._suspect(start.time, f"it holds {now_v:.1f} V while cranking; before it was {before_v:.1f} V")

    def _suspect(self, time: datetime, why: str) -> None:
        """Told once for rest and once for cranking: the second is the more certain for the first."""
        jumps = (self._state.rest_jump_day, self._state.line_jump_day)
        both = all(day is not None and _day(time) - day <= _BOTH_JUMP_DAYS for day in jumps)
        suspect_service(
            self._state.told, time, _QUANTITY, certainty=0.9 if both else 0.5, why=f"as with another battery: {why}"
        )

    def reset(self, time: datetime, reason: str, *, new: bool = True) -> None:
        """The battery was replaced, by a ``new`` one: what was learnt of the old one is dropped."""
        require_aware(time, "LowVoltageBattery.reset(time)")
        if not reason.strip():
            raise HealthError("low_voltage_battery: a reset needs a reason, e.g. 'battery replaced'")
        before = self._state
        self._state = _State(
            newest=time if before.newest is None else max(before.newest, time),
            active=time,
            temperature=before.temperature,
            line=begin_anew(before.line, new=new),
            starts=cranking.Starts(starts=before.starts.starts, fast_starts=before.starts.fast_starts),
            charging_v=before.charging_v,
            charging_high_v=before.charging_high_v,
            measured_day=_day(time),
            told=before.told,
        )

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """Health once a rest voltage was seen; empty before."""
        state, parameters = self._state, self.parameters
        known = level_and_trend(state.rest)
        if known is None or state.rest.day is None:
            return ()
        absent_days = max(0, _day(now) - state.rest.day - _FRESH_DAYS)
        sources = [
            by_rest(
                known[0], state.rest.days, agm=parameters.battery == "agm", reading_error_v=parameters.reading_error_v
            )
        ]
        by_cranking = by_cranking_line(state.line, _day(now))
        if by_cranking is not None:
            sources.append(by_cranking)
        if state.measured is not None:
            sd = math.hypot(_WORKSHOP_SD, _WORKSHOP_SD_PER_DAY * max(0, _day(now) - state.measured_day))
            sources.append((state.measured, sd))
        value, half = together(sources)
        half = max(half, parameters.least_half_width)
        low, high = value - half, value + half
        if len(sources) == 1:
            high = value + math.hypot(
                parameters.least_half_width, Z90 * rest_sd(state.rest.days, parameters.reading_error_v)
            )
        low -= min(REST_ONLY_DOWN, absent_days)
        weak_charging = charges_weakly(state.charging_high_v, state.temperature)
        if weak_charging:
            high += 25
        if state.stuck.stuck:
            low, high = low - 25, high + 25
        return (
            percent_estimate(
                time=now,
                quantity=_QUANTITY,
                value=value,
                low=low,
                high=high,
                method=METHOD if by_cranking is None else METHOD_WITH_CRANKING,
                measurements=state.rest.days + 1 + state.line.starts,
                limited_by=self._limit(absent_days, weak_charging=weak_charging),
            ),
        )

    def _limit(self, absent_days: int, *, weak_charging: bool) -> str:
        state = self._state
        if state.stuck.stuck:
            return Limitation.DOUBTFUL_READINGS
        if weak_charging:
            return Limitation.WEAK_CHARGING
        if absent_days > _FRESH_DAYS:
            return Limitation.OLD_MEASUREMENTS
        if state.line.starts == 0 and state.starts.speed_told:
            return Limitation.SLOW_SAMPLING
        few = state.rest.days < 5 or (state.starts.speed_told and state.line.starts < 5)
        return Limitation.FEW_MEASUREMENTS if few else ""

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`. A measurement is a tester's percent of the battery's strength."""
        if record.quantity is not _QUANTITY:
            return
        if record.position:
            raise HealthError(f"low_voltage_battery: a car has one 12 V battery, none at {record.position!r}")
        if record.value is not None and (record.unit != "percent" or not 0 <= record.value <= 100):
            raise HealthError(
                f"low_voltage_battery: {record.value:g} {record.unit}: give what the tester says, 0 to 100 percent"
            )
        if not is_new(self._state.told, record):
            return
        if record.action is ServiceAction.REPLACED:
            self.reset(record.time, f"{record.by}: {record.reason}")
        elif record.value is not None:
            if _day(record.time) >= self._state.measured_day:  # not of a former battery, told late
                self._state.measured, self._state.measured_day = record.value, _day(record.time)
        else:  # charged: what it rested at says nothing of the time to come
            self._state.rest = RestVoltage()

    def findings(self) -> tuple[VehicleEvent, ...]:
        """See :class:`health.estimator.Estimator`."""
        return take_findings(self._state.told)

    def state(self) -> Json:
        """The recursion as JSON values."""
        return dump(self.name, _VERSION, self._state)

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from :meth:`state`; HealthError if it is not one of this estimator."""
        self._state = load(self.name, _VERSION, _State, state, {1: from_first})


def _voltage(sample: Sample) -> tuple[Signal, float | None]:
    voltage = signals.read(sample, signals.LOW_VOLTAGE_BATTERY_VOLTAGE)
    if voltage is not None:
        return signals.LOW_VOLTAGE_BATTERY_VOLTAGE, voltage
    return signals.CONTROL_MODULE_VOLTAGE, signals.read(sample, signals.CONTROL_MODULE_VOLTAGE)


def _day(time: datetime) -> int:
    return (time.astimezone(UTC) - _EPOCH).days
