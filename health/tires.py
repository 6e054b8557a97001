"""Slow leak of a tyre: loss of pressure per day at constant temperature, against the other wheels.

Sources: Gay-Lussac's law for the absolute pressure of a closed volume; exponentially weighted recursive least squares
of level and slope (Ljung, System Identification, chapter 11), written as five fading sums relative to the newest time.

    p20 = (p + p_air) * 293.15 / (T + 273.15) - p_air            kPa, where the wheel's temperature is read
    d   = p20 - median of the other wheels' p20                  weather, altitude and sun act on all wheels alike
    loss = -slope of d                                           kPa per day

Where fewer than three wheels are read, a wheel's own p20 is used if its temperature is read, else nothing is said. All
wheels losing alike (permeation, some 0.1 kPa per day) is not seen by the difference. Pumping up starts a wheel anew.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

import msgspec

from health import signals
from health.checks import require_positive
from health.errors import HealthError
from health.estimator import Json
from health.intervals import Z90
from health.persistence import dump, load
from telemetry.records import Estimate, Quantity, Sample, ServiceRecord, VehicleEvent, require_aware

METHOD: Final = "tire_pressure_rls/1"
_VERSION: Final = 1
_DAY_S: Final = 86_400.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AIR_KPA: Final = 101.3  # TPMS gives gauge pressure against sea level
_REFERENCE_K: Final = 293.15


@dataclass(frozen=True, kw_only=True)
class TiresParameters:
    """How long is remembered and how good the sensors are."""

    memory_days: float = 10.0  # an hour this old weighs 1/e
    min_days: float = 1.0  # of data before anything is said
    min_hours: int = 4  # different hours with data before anything is said
    sensor_error_kpa: float = 1.5  # standard deviation of an hour's mean: resolution 1 to 2.5 kPa, uneven warming
    refill_kpa: float = 12.0  # an hour's mean so far above the line: somebody pumped up

    def __post_init__(self) -> None:
        require_positive(
            memory_days=self.memory_days,
            min_days=self.min_days,
            min_hours=self.min_hours,
            sensor_error_kpa=self.sensor_error_kpa,
            refill_kpa=self.refill_kpa,
        )


class _Wheel(msgspec.Struct, forbid_unknown_fields=True):
    # The running hour
    hour: int | None = None  # hours since 1970-01-01 UTC
    sum_kpa: float = 0.0
    count: int = 0
    # Fading sums over ended hours, time in days relative to ``at_hour``
    at_hour: int = 0
    s0: float = 0.0
    s1: float = 0.0
    s2: float = 0.0
    sy: float = 0.0
    sty: float = 0.0
    syy: float = 0.0
    first_hour: int = 0
    hours: int = 0
    relative: bool = True  # against the other wheels, or the wheel's own compensated pressure


class _State(msgspec.Struct, forbid_unknown_fields=True):
    newest: datetime | None = None
    wheels: dict[str, _Wheel] = {}


class Tires:
    """Pressure loss per wheel in kPa per day, positive when it loses; about a day of data before it says anything."""

    name = "tires"

    def __init__(self, parameters: TiresParameters | None = None) -> None:
        self.parameters = parameters or TiresParameters()
        self._state = _State()

    def update(self, sample: Sample) -> None:
        """Take the wheels' pressures into the running hour's means."""
        state = self._state
        if state.newest is not None and sample.time < state.newest:
            return
        state.newest = sample.time
        compensated: dict[str, float] = {}
        own: set[str] = set()  # wheels whose own temperature is known
        for wheel in signals.WHEELS:
            pressure = signals.read(sample, signals.TIRE_PRESSURE[wheel])
            if not pressure:  # absent, or 0: the sensor is silent (TPMS sleep), not the tyre flat
                continue
            temperature = signals.read(sample, signals.TIRE_TEMPERATURE[wheel])
            if temperature is not None:
                own.add(wheel)
                pressure = (pressure + _AIR_KPA) * _REFERENCE_K / (temperature + 273.15) - _AIR_KPA
            compensated[wheel] = pressure
        if own and own != set(compensated):  # compensated and raw pressures do not compare
            compensated = {wheel: compensated[wheel] for wheel in compensated if wheel in own}
        hour = int((sample.time - _EPOCH).total_seconds() // 3600)
        for wheel, pressure in compensated.items():
            others = [value for other, value in compensated.items() if other != wheel]
            if len(others) >= 2:
                self._take(wheel, hour, pressure - median(others), relative=True)
            elif wheel in own:
                self._take(wheel, hour, pressure, relative=False)

    def _take(self, name: str, hour: int, value_kpa: float, *, relative: bool) -> None:
        wheel = self._state.wheels.get(name)
        if wheel is None or wheel.relative != relative:
            wheel = self._state.wheels[name] = _Wheel(relative=relative)
        if wheel.hour is not None and hour != wheel.hour:
            self._end_hour(wheel)
        wheel.hour = hour
        wheel.sum_kpa += value_kpa
        wheel.count += 1

    def _end_hour(self, wheel: _Wheel) -> None:
        if wheel.hour is None:
            return
        mean = wheel.sum_kpa / wheel.count
        if wheel.hours:
            days = (wheel.hour - wheel.at_hour) / 24
            level, slope, _ = self._line(wheel)
            if mean - (level + slope * days) > self.parameters.refill_kpa:
                wheel.s0 = wheel.s1 = wheel.s2 = wheel.sy = wheel.sty = wheel.syy = 0.0
                wheel.hours = 0
            self._carry(wheel, days)
        if not wheel.hours:
            wheel.first_hour = wheel.hour
        wheel.at_hour = wheel.hour
        wheel.s0 += 1.0
        wheel.sy += mean
        wheel.syy += mean * mean
        wheel.hours += 1
        wheel.sum_kpa, wheel.count = 0.0, 0

    def _carry(self, wheel: _Wheel, days: float) -> None:
        """Move the sums' time origin on by ``days`` and let them fade."""
        fading = math.exp(-days / self.parameters.memory_days)
        wheel.s2 = (wheel.s2 - 2 * days * wheel.s1 + days * days * wheel.s0) * fading
        wheel.s1 = (wheel.s1 - days * wheel.s0) * fading
        wheel.sty = (wheel.sty - days * wheel.sy) * fading
        wheel.s0, wheel.sy, wheel.syy = wheel.s0 * fading, wheel.sy * fading, wheel.syy * fading

    def _line(self, wheel: _Wheel) -> tuple[float, float, float]:
        """Level at the newest ended hour (kPa), slope (kPa/day) and the slope's standard deviation."""
        determinant = wheel.s0 * wheel.s2 - wheel.s1 * wheel.s1
        if determinant <= 1e-9 * wheel.s0 * wheel.s0:
            return wheel.sy / wheel.s0, 0.0, math.inf
        slope = (wheel.s0 * wheel.sty - wheel.s1 * wheel.sy) / determinant
        level = (wheel.sy - slope * wheel.s1) / wheel.s0
        residual = max(0.0, (wheel.syy - level * wheel.sy - slope * wheel.sty) / wheel.s0)
        variance = residual + self.parameters.sensor_error_kpa**2
        return level, slope, math.sqrt(variance * wheel.s0 / determinant)

    def reset(self, time: datetime, reason: str) -> None:
        """Tyres were changed, turned round or pumped up: begin anew."""
        require_aware(time, "Tires.reset(time)")
        if not reason.strip():
            raise HealthError("tires: a reset needs a reason, e.g. 'winter tyres fitted'")
        newest = self._state.newest
        self._state = _State(newest=time if newest is None else max(newest, time))

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """A loss rate for each wheel with a day of data; the running hour counts once it has ended."""
        found: list[Estimate] = []
        for position in sorted(self._state.wheels):
            wheel = self._state.wheels[position]
            if wheel.hours < self.parameters.min_hours:
                continue
            if (wheel.at_hour - wheel.first_hour) / 24 < self.parameters.min_days:
                continue
            _, slope, deviation = self._line(wheel)
            if math.isinf(deviation):
                continue
            half = Z90 * deviation
            found.append(
                Estimate(
                    time=now,
                    quantity=Quantity.TIRE_PRESSURE_LOSS,
                    position=position,
                    value=-slope,
                    low=-slope - half,
                    high=-slope + half,
                    source="estimated",
                    method=METHOD if wheel.relative else METHOD + "+own",
                )
            )
        return tuple(found)

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`."""
        if record.quantity is Quantity.TIRE_PRESSURE_LOSS:
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
