"""12 V battery health from its rest voltage, and from the cranking dip where that can be seen.

Sources: rest voltage to state of charge of a flooded starter battery at 25 celsius, Battery Council International as
quoted in Battery University BU-903; least voltage under load against temperature, BCI load test (9.6 V at 21 celsius,
after 15 s at half the cold cranking current); exponential smoothing with trend at irregular times, D. J. Wright,
Management Science 32 (1986) 499.

Health is the state of charge a car's battery comes to rest at after ordinary use, smoothed over days: a battery that
no longer takes or holds charge rests ever lower. That is evidence of wear, not a capacity test: hence an interval of
at least +/-15 points. A weak alternator or much standing give the same picture: with a charging voltage below
13.2 V the interval reaches up by another 25 points, as the battery may not be the culprit.

The dip lasts some 100 ms. It is used where samples come at least every ``crank_max_interval_s`` during a start;
otherwise it is not used, and the method says "rest" only.
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
from health.intervals import Z90, interpolate, percent_estimate
from health.persistence import dump, load
from telemetry.records import Estimate, Quantity, Sample, ServiceRecord, VehicleEvent, require_aware

METHOD: Final = "low_voltage_battery_rest/1"
METHOD_WITH_CRANKING: Final = "low_voltage_battery_rest+cranking/1"
_VERSION: Final = 1

# Rest voltage (V) -> state of charge (percent), flooded, 25 celsius.
REST_VOLTAGE: Final = ((11.89, 0.0), (12.06, 25.0), (12.24, 50.0), (12.45, 75.0), (12.65, 100.0))
_AGM_OFFSET_V: Final = 0.15  # denser acid
# Temperature (celsius) -> least voltage under load of a battery that passes.
LOAD_TEST: Final = (
    (-18.0, 8.5),
    (-12.0, 8.7),
    (-7.0, 8.9),
    (-1.0, 9.1),
    (4.0, 9.3),
    (10.0, 9.4),
    (16.0, 9.5),
    (21.0, 9.6),
)
_FULL_CRANKING_MARGIN_V: Final = 1.4  # above the load test's limit: a new battery (11.0 V at 21 celsius)
_CHARGING_V: Final = 13.2  # above it something charges
_WEAK_CHARGING_V: Final = 13.2
_REST_SANE_V: Final = (9.0, 13.2)  # outside it the reading is no 12 V battery at rest
_LOAD_V: Final = 0.3  # a fall by this much ...
_LOAD_S: Final = 60.0  # ... within this time is a load (the starter before the engine speed shows), not the battery
_CRANKING_RPM: Final = 500.0  # below idle: the starter still turns the engine
_SMOOTHING: Final = (0.3, 0.1)  # level and trend, per day


@dataclass(frozen=True, kw_only=True)
class LowVoltageBatteryParameters:
    """Per car. Voltage is read at the battery if that signal exists, else at a control module."""

    battery: Literal["flooded", "agm"] = "flooded"
    rest_s: float = 7200.0  # without engine and charging, before the voltage counts as rested
    crank_max_interval_s: float = 0.1  # samples closer than this show the dip
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
    # Day's mean rest voltage, not yet smoothed in
    day: int | None = None  # days since 1970-01-01 UTC
    day_sum_v: float = 0.0
    day_count: int = 0
    # Holt-Wright smoothing
    level_v: float | None = None
    level_day: int = 0
    trend_v: float = 0.0  # per day
    level_weight: float = 1.0
    trend_weight: float = 1.0
    days: int = 0
    # Start of the engine
    voltage_at: datetime | None = None  # newest sample with a voltage
    engine_speed: float | None = None  # rpm, newest
    dip_v: float | None = None  # lowest while sampled fast enough and the engine not yet running
    dip_from_v: float = 0.0  # voltage where that stretch began
    crank_margin_v: float | None = None  # dip above the load test's limit, smoothed over starts
    charging_v: float | None = None  # smoothed


class LowVoltageBattery:
    """Health of the 12 V battery in percent: 100 rests like a new one, 0 is discharged at rest or will not crank."""

    name = "low_voltage_battery"

    def __init__(self, parameters: LowVoltageBatteryParameters | None = None) -> None:
        self.parameters = parameters or LowVoltageBatteryParameters()
        self._state = _State()

    @property
    def charging_voltage_v(self) -> float | None:
        """Smoothed voltage with the engine (or the DC-DC converter) running."""
        return self._state.charging_v

    @property
    def rest_trend_v_per_day(self) -> float:
        """Smoothed trend of the rest voltage."""
        return self._state.trend_v

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
        started = (
            engine_speed is not None
            and engine_speed >= _CRANKING_RPM
            and state.engine_speed is not None
            and state.engine_speed < _CRANKING_RPM
        )
        if engine_speed is not None:
            state.engine_speed = engine_speed
        speed = signals.read(sample, signals.SPEED)
        if (engine_speed is not None and engine_speed > 0) or (speed is not None and speed > 0):
            state.active = sample.time  # an electric car drives without an engine, its converter perhaps below 13.2 V
        voltage = signals.read(sample, signals.LOW_VOLTAGE_BATTERY_VOLTAGE)
        if voltage is None:
            voltage = signals.read(sample, signals.CONTROL_MODULE_VOLTAGE)
        if voltage is not None:
            self._take_voltage(sample.time, voltage, engine_speed)
        if started:
            self._take_dip()

    def _take_voltage(self, time: datetime, voltage: float, engine_speed: float | None) -> None:
        state = self._state
        interval_s = (time - state.voltage_at).total_seconds() if state.voltage_at is not None else math.inf
        state.voltage_at = time
        if interval_s > self.parameters.crank_max_interval_s:
            state.dip_v = None
        elif state.dip_v is None:
            state.dip_v = state.dip_from_v = voltage
        else:
            state.dip_v = min(state.dip_v, voltage)
        if voltage > _CHARGING_V or (engine_speed is not None and engine_speed >= _CRANKING_RPM):
            state.active = time
            seen = state.charging_v
            state.charging_v = voltage if seen is None else seen + 0.01 * (voltage - seen)
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
        state.rest_at, state.rest_v = time, voltage
        day = (time.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
        if state.day is not None and day != state.day:
            smoothed = self._smoothed()
            state.level_v, state.trend_v, state.level_weight, state.trend_weight = smoothed
            state.level_day, state.days = state.day, state.days + 1
            state.day_sum_v, state.day_count = 0.0, 0
        state.day = day
        state.day_sum_v += voltage
        state.day_count += 1

    def _smoothed(self) -> tuple[float, float, float, float]:
        """Level (V), trend (V/day) and their weights with the newest day's mean smoothed in (Wright 1986)."""
        state = self._state
        mean_v = state.day_sum_v / state.day_count
        if state.level_v is None or state.day is None:
            return mean_v, 0.0, 1.0, 1.0
        days = state.day - state.level_day
        level_weight = state.level_weight / (state.level_weight + (1 - _SMOOTHING[0]) ** days)
        trend_weight = state.trend_weight / (state.trend_weight + (1 - _SMOOTHING[1]) ** days)
        level_v = (1 - level_weight) * (state.level_v + days * state.trend_v) + level_weight * mean_v
        # The first trend would be the noise of two days: it starts at zero.
        trend_v = state.trend_v + trend_weight * ((level_v - state.level_v) / days - state.trend_v)
        return level_v, trend_v, level_weight, trend_weight

    def _take_dip(self) -> None:
        state = self._state
        if state.dip_v is not None and state.dip_from_v - state.dip_v > 0.5:  # less is no starter's load
            limit_v = interpolate(LOAD_TEST, 21.0 if state.temperature is None else state.temperature)
            margin_v = state.dip_v - limit_v
            seen = state.crank_margin_v
            state.crank_margin_v = margin_v if seen is None else seen + 0.3 * (margin_v - seen)
        state.dip_v = None

    def reset(self, time: datetime, reason: str) -> None:
        """The battery was replaced: what was learnt of the old one is dropped."""
        require_aware(time, "LowVoltageBattery.reset(time)")
        if not reason.strip():
            raise HealthError("low_voltage_battery: a reset needs a reason, e.g. 'battery replaced'")
        newest = self._state.newest
        self._state = _State(newest=time if newest is None else max(newest, time), active=time)

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """Health once a rest voltage was seen; empty before."""
        state, parameters = self._state, self.parameters
        if state.day is None:
            return ()
        level_v = self._smoothed()[0]
        offset_v = _AGM_OFFSET_V if parameters.battery == "agm" else 0.0
        by_rest = interpolate(REST_VOLTAGE, level_v - offset_v)
        reading = Z90 * parameters.reading_error_v * 125 / math.sqrt(min(state.days + 1, 5))  # 125 percent per volt
        half = math.hypot(parameters.least_half_width, reading)
        low, high, value, method = by_rest - half, by_rest + half, by_rest, METHOD
        if state.crank_margin_v is not None:
            by_cranking = min(100.0, max(0.0, 100 * state.crank_margin_v / _FULL_CRANKING_MARGIN_V))
            value, method = (by_rest + by_cranking) / 2, METHOD_WITH_CRANKING
            low = min(by_rest, by_cranking, value - parameters.least_half_width)
            high = max(by_rest, by_cranking, value + parameters.least_half_width)
        if state.charging_v is not None and state.charging_v < _WEAK_CHARGING_V:
            high += 25
        return (
            percent_estimate(
                time=now,
                quantity=Quantity.LOW_VOLTAGE_BATTERY_HEALTH,
                value=value,
                low=low,
                high=high,
                method=method,
            ),
        )

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`."""
        if record.quantity is Quantity.LOW_VOLTAGE_BATTERY_HEALTH:
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
