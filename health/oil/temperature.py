"""Engine oil temperature where the car does not tell it: from coolant, engine speed, load and outside air.

Source: US patent 6,327,900 (General Motors, McDonald et al. 2001), the oil temperature a running engine settles at:

    T_oil = -9 + 0.012 n + 0.95 T_coolant + 0.21 F - 0.001 T_intake ± 0.01 v        (6.6 l diesel; F in mm3 a stroke)

Ours, since the patent's numbers are those of one truck: the term of engine speed is scaled by the stroke (80 mm against
99 mm: friction grows with piston speed); fuel is taken from calculated load, full load about 95 mm3; the 5 % the
coolant lacks are the outside air's. The term of intake air comes to a hundredth of a kelvin and is left out; that of
road speed (of either sign) gives way to a car's sump in the airstream: 8 W/K more at 100 km/h. Oil follows that
temperature with a lag of the first order (4 l of oil and the metal around it, 15 kJ/K, over 60 W/K to coolant and
block).

While the engine is off, oil and block come together within a quarter of an hour and cool together: the coolant at the
next start tells how far.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from health import signals
from health.checks import require_between, require_positive
from telemetry.catalogue import Signal
from telemetry.records import Sample

Source = Literal["read", "modelled", "assumed"]

_OFFSET_K: Final = -9.0  # US 6,327,900, k2
_COOLANT_SHARE: Final = 0.95  # US 6,327,900, k4
_AIR_AT_TEST_C: Final = 20.0  # ours: at this outside temperature the published equation is left as it is
_AIRSTREAM: Final = 8.0 / 60.0 / 100.0  # ours, per km/h: conductance to the air against that to the coolant
_STALE_S: Final = 120.0  # a reading counts so long; vehicle profiles read each 10 s
_NO_SENSOR_C: Final = -40.0  # the raw value 0 of SAE J1979: a broken wire, or nothing there
_EQUALISE_S: Final = 900.0  # ours: oil and block of a stopped engine
_SOAK_S: Final = 7200.0  # ours: an engine needs 3 to 5 h to cool down, two to three of these
_THERMOSTAT_C: Final = 88.0
_WARM_UP_S: Final = 180.0  # ours: coolant to the thermostat's temperature, where none is read
_TEMPERATE_C: Final = 14.0  # European mean by which WLTP corrects (Regulation (EU) 2017/1151, ATCT)
_STILL_K: Final = 2.0  # less than the swing of any thermostat over a drive with its cold start
_STILL_S: Final = 900.0
_COLD_C: Final = 60.0  # an engine that ran _STILL_S from below this has warmed by more than _STILL_K
_LONG_REST_S: Final = 6 * 3600.0
_RESTS: Final = 2


@dataclass(frozen=True, kw_only=True)
class OilTemperatureModel:
    """Per engine: kelvin at 1,000 rpm and at full load, and the lag."""

    speed_rise_k: float
    load_rise_k: float
    lag_s: float

    def __post_init__(self) -> None:
        require_positive(oil_lag_s=self.lag_s)
        require_between(0, 30, speed_rise_k=self.speed_rise_k)
        require_between(0, 60, load_rise_k=self.load_rise_k)

    def settled(
        self, *, coolant_c: float, engine_speed_rpm: float, load_percent: float, speed_kmh: float, air_c: float
    ) -> float:
        """Celsius the oil goes to; never below the outside air."""
        temperature = _OFFSET_K + _COOLANT_SHARE * coolant_c + (1 - _COOLANT_SHARE) * (air_c - _AIR_AT_TEST_C)
        temperature += self.speed_rise_k * engine_speed_rpm / 1000 + self.load_rise_k * load_percent / 100
        airstream = _AIRSTREAM * speed_kmh
        return max((temperature + airstream * air_c) / (1 + airstream), air_c)


class OilTemperature(msgspec.Struct, forbid_unknown_fields=True):
    """State of the model; temperatures in celsius."""

    oil: float | None = None
    read_time: datetime | None = None  # of the newest reading of the oil itself
    coolant: float | None = None  # newest reading of this drive
    coolant_time: datetime | None = None
    load: float = 25.0  # percent, newest reading; before one, about idle
    air: float | None = None  # outside air; else the coldest intake air of this drive, which is never below it
    air_read: bool = False
    excess_k: float = 0.0  # oil above coolant when this drive began
    started_at: float | None = None  # coolant where none is read: at the start of this drive
    run_s: float = 0.0  # engine running in this drive
    still_at: float | None = None  # coolant that stands still: where, for how long, over how many long rests
    still_s: float = 0.0
    still_rests: int = 0

    @property
    def coolant_doubted(self) -> bool:
        """Whether the coolant reading stands where no engine leaves it."""
        if self.still_at is None or self.still_s < _STILL_S:
            return False
        return self.still_at < _COLD_C or self.still_rests >= _RESTS


def rest(state: OilTemperature, seconds: float) -> None:
    """The engine was off for so long."""
    air = _air(state)
    coolant = _assumed_coolant(state) if state.coolant is None else state.coolant
    if state.oil is not None:
        state.excess_k = (state.oil - coolant) * math.exp(-seconds / _EQUALISE_S)
    state.started_at = air + (coolant - air) * math.exp(-seconds / _SOAK_S)
    state.oil = state.coolant = state.coolant_time = state.read_time = None
    state.run_s = 0.0
    state.load = 25.0
    if not state.air_read:
        state.air = None
    if seconds >= _LONG_REST_S:
        state.still_rests += 1


def follow(
    state: OilTemperature,
    model: OilTemperatureModel,
    sample: Sample,
    *,
    engine_speed_rpm: float,
    speed_kmh: float,
    seconds: float,
) -> tuple[float, Source]:
    """Oil temperature after a step of a running or just started engine, and what it rests on."""
    _take_air(state, sample)
    load = signals.read(sample, signals.ENGINE_LOAD)
    if load is not None:
        state.load = load
    if engine_speed_rpm > 0:
        state.run_s += seconds
    coolant = _reading(sample, signals.COOLANT_TEMPERATURE)
    if coolant is not None:
        first = state.coolant is None
        state.coolant, state.coolant_time = coolant, sample.time
        if first:
            state.oil = coolant + state.excess_k
    _watch(state, coolant, seconds if engine_speed_rpm > 0 else 0.0)
    oil = _reading(sample, signals.OIL_TEMPERATURE)
    if oil is not None:
        state.oil, state.read_time = oil, sample.time
    if state.oil is not None and _fresh(state.read_time, sample.time):
        return state.oil, "read"
    known = _coolant(state, sample.time)
    coolant_c = _assumed_coolant(state) if known is None else known
    if state.oil is None:
        state.oil = coolant_c + state.excess_k
    settled = model.settled(
        coolant_c=coolant_c,
        engine_speed_rpm=engine_speed_rpm,
        load_percent=state.load,
        speed_kmh=speed_kmh,
        air_c=_air(state),
    )
    state.oil = settled + (state.oil - settled) * math.exp(-seconds / model.lag_s)
    return state.oil, "assumed" if known is None else "modelled"


def _reading(sample: Sample, signal: Signal) -> float | None:
    value = signals.read(sample, signal)
    return None if value is None or value <= _NO_SENSOR_C else value


def _fresh(time: datetime | None, now: datetime) -> bool:
    return time is not None and (now - time).total_seconds() <= _STALE_S


def _coolant(state: OilTemperature, time: datetime) -> float | None:
    return state.coolant if _fresh(state.coolant_time, time) and not state.coolant_doubted else None


def _assumed_coolant(state: OilTemperature) -> float:
    start = _air(state) if state.started_at is None else state.started_at
    return _THERMOSTAT_C + (start - _THERMOSTAT_C) * math.exp(-state.run_s / _WARM_UP_S)


def _air(state: OilTemperature) -> float:
    return _TEMPERATE_C if state.air is None else state.air


def _take_air(state: OilTemperature, sample: Sample) -> None:
    air = signals.read(sample, signals.AMBIENT_TEMPERATURE)
    if air is not None:
        state.air, state.air_read = air, True
        return
    intake = signals.read(sample, signals.INTAKE_TEMPERATURE)
    if intake is not None and not state.air_read:
        state.air = intake if state.air is None else min(state.air, intake)


def _watch(state: OilTemperature, coolant: float | None, seconds: float) -> None:
    state.still_s += seconds
    if coolant is not None and (state.still_at is None or abs(coolant - state.still_at) > _STILL_K):
        state.still_at, state.still_s, state.still_rests = coolant, 0.0, 0
