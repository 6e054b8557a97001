"""Slow leak of a tyre: loss of pressure per day at constant temperature, against the other wheels.

Source: Gay-Lussac's law for the absolute pressure of a closed volume; hourly means are made in
:mod:`health.tire.pressures`, the line through them and its error in :mod:`health.tire.fading_line`.

    p20  = (p + p_air) * 293.15 / (T + 273.15) - p_air            kPa, T of the wheel
    y    = 341 kPa * (p20 + p_air) / P                            P: p20 + p_air when the wheel's line began
    d    = y - mean of all wheels' y                              weather, altitude and sun act on all wheels alike
    loss = P / 341 kPa * (second highest slope of d - slope of d + 0.17 +/- 0.07 kPa per day)

Weather changes absolute pressures by one factor: in proportion to P it cancels out where axles have unlike pressures
too. 341 kPa is a car's tyre (240 kPa gauge): all numbers here are of such a one, and a van's are so many times more.

A leak makes all other wheels seem to rise against the mean. Two wheels may leak at once where four are read, one where
three are: the second highest slope is a sound wheel's. All wheels lose by permeation, 3.4 to 6.9 kPa a month (Tire
Science and Technology 13 (1985) 16), which the difference does not see: hence the last term.

Where fewer than three wheels are read, a wheel's own p20 is used: with the wheel's temperature if that is read, else
with the ambient temperature of hours in which the car had long been standing ("cold"), else nothing is said.

Two lines run side by side, of long and of short memory. The short one is told where it has left the long one by more
than chance: a nail is noticed within a day or two, a slow leak has the narrow interval of weeks.

A wheel that has risen against the others was pumped up; all wheels rising at once were pumped up or changed. Both start
the lines anew and are told.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, median
from typing import Final, Literal

import msgspec

from health import signals
from health.checks import require_positive
from health.errors import HealthError
from health.estimator import Json
from health.intervals import Z90
from health.persistence import dump, load
from health.tire.fading_line import FadingLine, add_hour, fit, lift
from health.tire.former import from_first
from health.tire.pressures import AIR_KPA, EPOCH, EndedHour, Hour, forget_hour, take
from health.told import Told, doubt_signal, is_new, suspect_service, take_findings
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

METHOD: Final = "tire_pressure_rls/2"
_VERSION: Final = 2
_CAR_KPA: Final = 240.0 + AIR_KPA  # absolute pressure of the tyre that all numbers here are of
_PERMEATION: Final = 0.17  # kPa per day ...
_PERMEATION_SD: Final = 0.07  # ... and by how much tyres and summers differ
# Between the lines of short and long memory, no chance. On the fit side of measure_tires 2.0 is a day slower at
# 10 kPa per day, 1.2 no faster; false alarms are alike.
_SHORT_HALF_WIDTHS: Final = 1.5
_COMPARED: Final = 3  # wheels, at least
_SOUND_SHARE: Final = 0.7  # the second highest of four slopes errs less than one: as their median, by half the variance
_REDUCED_SHARE: Final = 0.5  # of the error is left where each wheel's own temperature is known (fit_tires.py)
_CHANCE: Final = 3.0  # standard deviations of an hour
_PUMPED_KPA: Final = 4.0  # mean rise of the wheels from one hour to the next: more than a change of altitude
_SHIFTED: Final = 6.0  # mean square of the wheels' errors in standard deviations: chance gives one
_CERTAINTY: Final = 0.8  # a garage's warmth or a sensor exchanged look alike
_REFERENCE_HOURS: Final = 24  # with data, until wheels that went missing are no longer waited for
_OLD_HOURS: Final = 7 * 24
_FEW_HOURS: Final = 12

Mode = Literal["relative", "own", "cold"]
_SUFFIX: Final[dict[Mode, str]] = {"relative": "", "own": "+own", "cold": "+cold"}


@dataclass(frozen=True, kw_only=True)
class TiresParameters:
    """How long is remembered and how good the sensors are."""

    memory_days: float = 10.0  # an hour this old weighs 1/e
    short_memory_days: float = 2.5
    # Of data before anything is said. Lines begin anew at each visit to the pump, and the rule asks them each day: on
    # simulated cars of the fit side (seeds 0 to 99, a year each) 1.5 gives 12 false alarms, 3 gives 5.
    min_days: float = 3.0
    min_hours: int = 4  # different hours with data before anything is said
    sensor_error_kpa: float = 1.5  # standard deviation of an hour's mean: resolution, uneven warming (fit_tires.py)
    refill_kpa: float = 12.0  # two hours' means so far above the line: somebody pumped up

    def __post_init__(self) -> None:
        require_positive(
            memory_days=self.memory_days,
            short_memory_days=self.short_memory_days,
            min_days=self.min_days,
            min_hours=self.min_hours,
            sensor_error_kpa=self.sensor_error_kpa,
            refill_kpa=self.refill_kpa,
        )


class _Wheel(msgspec.Struct, forbid_unknown_fields=True):
    long: FadingLine = msgspec.field(default_factory=FadingLine)
    short: FadingLine = msgspec.field(default_factory=FadingLine)
    reduced_kpa: float | None = None  # own pressure at 20 celsius in the newest ended hour
    first_kpa: float | None = None  # absolute, when the line began; None: a line is of a former version's differences

    @property
    def scale(self) -> float:
        """Pressure against a car's."""
        return 1.0 if self.first_kpa is None else self.first_kpa / _CAR_KPA


class _State(msgspec.Struct, forbid_unknown_fields=True):
    newest: datetime | None = None
    running: Hour = msgspec.field(default_factory=Hour)
    mode: Mode = "relative"
    among: list[str] = []  # wheels that are compared
    other_hours: int = 0  # ended in a row with other wheels
    raised: dict[str, float] = {}  # an hour with a wheel far above its line, to be confirmed by the next
    raised_hour: int = 0
    wheels: dict[str, _Wheel] = {}
    told: Told = msgspec.field(default_factory=Told)


class Tires:
    """Pressure loss per wheel in kPa per day, positive when it loses; it needs three days of data."""

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
        taken = take(state.running, sample)
        for name, why in taken.stuck:
            doubt_signal(state.told, sample.time, signals.TIRE_PRESSURE[name].path, why=why)
        if taken.ended is not None:
            self._end_hour(taken.ended)

    def _end_hour(self, ended: EndedHour) -> None:
        reduced = ended.means if ended.own else ended.cold
        rises = self._rises(reduced)
        if len(rises) >= _COMPARED and sorted(rises)[-_COMPARED] > self.parameters.refill_kpa:
            self._begin_anew()
            by_kpa = fmean(rises) * fmean(self._state.wheels[name].scale for name in reduced)
            self._tell(ended.hour, f"all wheels rose, by {by_kpa:.0f} kPa: pumped up, or other wheels fitted")
            return
        pumped = len(rises) >= _COMPARED and fmean(rises) > _PUMPED_KPA
        if self._comparable(ended.means):
            self._take_hour(ended.hour, ended.means, "relative", pumped=pumped)
        elif len(ended.means) < _COMPARED:
            self._take_hour(ended.hour, reduced, "own" if ended.own else "cold", pumped=False)

    def _rises(self, reduced: dict[str, float]) -> list[float]:
        """Of the wheels' own pressure at 20 celsius since the hour before (kPa of a car's tyre)."""
        rises = []
        for name, value in reduced.items():
            wheel = self._state.wheels.setdefault(name, _Wheel())
            if wheel.reduced_kpa is not None:
                rises.append(_CAR_KPA * (value - wheel.reduced_kpa) / (wheel.reduced_kpa + AIR_KPA))
            wheel.reduced_kpa = value
        return rises

    def _comparable(self, means: dict[str, float]) -> bool:
        """Whether these are the wheels that are compared: with others the mean would jump."""
        state = self._state
        names = sorted(means)
        if names == state.among:
            state.other_hours = 0
        elif len(names) > len(state.among) or state.other_hours >= _REFERENCE_HOURS:
            state.among, state.other_hours = names, 0
            self._begin_anew()
        else:
            state.other_hours += 1
            return False
        return len(names) >= _COMPARED

    def _take_hour(self, hour: int, pressures: dict[str, float], mode: Mode, *, pumped: bool) -> None:
        """Add an hour, unless it leaves the lines upwards: if the next one does so too, they begin anew with both."""
        state = self._state
        if state.mode != mode:
            self._forget()
            state.mode = mode
        values = self._compared(hour, pressures)
        errors = self._errors(hour, values)
        limit = self.parameters.refill_kpa
        raised = {name: error for name, (error, sd) in errors.items() if error > limit + _CHANCE * sd}
        shifted = sum((error / sd) ** 2 for error, sd in errors.values()) > _SHIFTED * len(errors)
        if not state.raised and (raised or (shifted and pumped)):
            state.raised, state.raised_hour = values, hour
            return
        if state.raised and (raised or shifted):
            before = state.raised
            self._forget()
            for name, error in raised.items():
                by_kpa = error * state.wheels[name].scale
                why = f"it rose by {by_kpa:.0f} kPa against the line it was on: pumped up, or another tyre fitted"
                self._tell(hour, why, name)
            if not raised:
                self._tell(hour, "the wheels rose, and not all alike: pumped up")
            self._add(state.raised_hour, before)
        state.raised = {}
        self._add(hour, values)

    def _compared(self, hour: int, pressures: dict[str, float]) -> dict[str, float]:
        """What the lines go through: pressures (gauge) as of a car's tyre, where wheels are compared less the mean."""
        wheels = {name: self._state.wheels.setdefault(name, _Wheel()) for name in pressures}
        former = [name for name, wheel in wheels.items() if wheel.first_kpa is None]
        for name, wheel in wheels.items():
            wheel.first_kpa = wheel.first_kpa or pressures[name] + AIR_KPA
        values = {name: (pressures[name] + AIR_KPA) / wheel.scale for name, wheel in wheels.items()}
        level = fmean(values.values()) if self._state.mode == "relative" else 0.0
        values = {name: value - level for name, value in values.items()}
        for name in former:  # what an older version compared, if there is a line, had another level and the same slope
            lift(wheels[name].long, hour, values[name])
            lift(wheels[name].short, hour, values[name])
        return values

    def _errors(self, hour: int, values: dict[str, float]) -> dict[str, tuple[float, float]]:
        """By how much each wheel lies above its line (kPa), and the standard deviation that chance explains."""
        errors: dict[str, tuple[float, float]] = {}
        for name, value in values.items():
            line = self._state.wheels.setdefault(name, _Wheel()).long
            found = fit(line, prior_sd=self._error_kpa)
            if found is not None:
                expected, sd = found.at((hour - line.at_hour) / 24)
                errors[name] = value - expected, sd
        # One wheel's jump moves the mean, and so all others the other way.
        common = median(error for error, _ in errors.values()) if len(errors) >= _COMPARED else 0.0
        return {name: (error - common, sd) for name, (error, sd) in errors.items()}

    def _add(self, hour: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            wheel = self._state.wheels.setdefault(name, _Wheel())
            add_hour(wheel.long, hour, value, memory_days=self.parameters.memory_days)
            add_hour(wheel.short, hour, value, memory_days=self.parameters.short_memory_days)

    def _tell(self, hour: int, why: str, position: str = "") -> None:
        suspect_service(
            self._state.told,
            _time_of(hour),
            Quantity.TIRE_PRESSURE_LOSS,
            position=position,
            certainty=_CERTAINTY,
            why=why,
        )

    def _begin_anew(self, position: str = "") -> None:
        """Other tyres, other pressures, or others to compare with."""
        for name, wheel in self._state.wheels.items():
            if name.startswith(position):
                wheel.first_kpa = None
        self._forget(position)

    def _forget(self, position: str = "") -> None:
        self._state.raised = {}
        for name, wheel in self._state.wheels.items():
            if self._state.mode == "relative" or name.startswith(position):
                wheel.long, wheel.short = FadingLine(), FadingLine()

    def _losses(self) -> dict[str, tuple[float, float]]:
        """By wheel: loss of a car's tyre and half its 90 % interval.

        By the line of short memory where that has left the long one.
        """
        wheels = {name: wheel for name, wheel in self._state.wheels.items() if self._suffices(wheel.long)}
        losses = self._losses_by({name: wheel.long for name, wheel in wheels.items()})
        for name, (loss, half) in self._losses_by({name: wheel.short for name, wheel in wheels.items()}).items():
            if name in losses and abs(loss - losses[name][0]) > _SHORT_HALF_WIDTHS * half:
                losses[name] = loss, half
        return losses

    @property
    def _error_kpa(self) -> float:
        """Standard deviation of an hour's mean, before the car has shown its own."""
        reduced = self._state.running.own and self._state.mode == "relative"
        return self.parameters.sensor_error_kpa * (_REDUCED_SHARE if reduced else 1.0)

    def _suffices(self, line: FadingLine) -> bool:
        days = (line.at_hour - line.first_hour) / 24
        return line.hours >= self.parameters.min_hours and days >= self.parameters.min_days

    def _losses_by(self, lines: dict[str, FadingLine]) -> dict[str, tuple[float, float]]:
        fits = {name: fit(line, prior_sd=self._error_kpa) for name, line in lines.items()}
        found = {name: entry for name, entry in fits.items() if entry is not None}
        if self._state.mode != "relative":
            return {name: (-entry.slope, entry.half_width) for name, entry in found.items()}
        if len(found) < _COMPARED:
            return {}
        sound = sorted(found.values(), key=lambda entry: entry.slope)[-2]
        half = _SOUND_SHARE * sound.half_width
        return {
            name: (
                sound.slope - entry.slope + _PERMEATION,
                math.hypot(entry.half_width, half, Z90 * _PERMEATION_SD),
            )
            for name, entry in found.items()
        }

    def reset(self, time: datetime, reason: str, *, position: str = "") -> None:
        """A tyre (``position``; all: "") was changed, turned round or pumped up: begin anew."""
        require_aware(time, "Tires.reset(time)")
        if not reason.strip():
            raise HealthError("tires: a reset needs a reason, e.g. 'winter tyres fitted'")
        state = self._state
        state.newest = time if state.newest is None else max(state.newest, time)
        for name, wheel in state.wheels.items():
            if name.startswith(position):
                wheel.reduced_kpa = None
        self._begin_anew(position)
        forget_hour(state.running, position)

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """A loss rate for each wheel with data enough; the running hour counts once it has ended."""
        found: list[Estimate] = []
        for position, (loss, half) in sorted(self._losses().items()):
            sensor = self._state.running.wheels.get(position)
            stuck = sensor is not None and sensor.stuck
            wheel = self._state.wheels[position]
            width, line = half * (2 if stuck else 1), wheel.long
            found.append(
                Estimate(
                    time=now,
                    quantity=Quantity.TIRE_PRESSURE_LOSS,
                    position=position,
                    value=wheel.scale * loss,
                    low=wheel.scale * (loss - width),
                    high=wheel.scale * (loss + width),
                    source="estimated",
                    method=METHOD + _SUFFIX[self._state.mode],
                    measurements=line.hours,
                    limited_by=self._limit(line, now, stuck=stuck),
                )
            )
        return tuple(found)

    def _limit(self, line: FadingLine, now: datetime, *, stuck: bool) -> str:
        if stuck:
            return Limitation.DOUBTFUL_READINGS
        if int((now - EPOCH).total_seconds() // 3600) - line.at_hour > _OLD_HOURS:
            return Limitation.OLD_MEASUREMENTS
        if line.hours < _FEW_HOURS:
            return Limitation.FEW_MEASUREMENTS
        return Limitation.MODELLED_TEMPERATURE if self._state.mode == "cold" else ""

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`. A measured pressure tells nothing of a loss rate: refused."""
        if record.quantity is not Quantity.TIRE_PRESSURE_LOSS:
            return
        if record.action is ServiceAction.MEASURED:
            raise HealthError(
                "tires: a loss per day is not measured by hand; say 'adjusted' when the tyre was pumped up"
            )
        if not any(wheel.startswith(record.position) for wheel in signals.WHEELS):
            raise HealthError(
                f"tires: no wheel at {record.position!r}; known: {', '.join(signals.WHEELS)}, an axle, or '' for all"
            )
        if is_new(self._state.told, record):
            self.reset(record.time, f"{record.by}: {record.reason}", position=record.position)

    def findings(self) -> tuple[VehicleEvent, ...]:
        """See :class:`health.estimator.Estimator`."""
        return take_findings(self._state.told)

    def state(self) -> Json:
        """The recursion as JSON values."""
        return dump(self.name, _VERSION, self._state)

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from :meth:`state`; HealthError if it is not one of this estimator."""
        self._state = load(self.name, _VERSION, _State, state, {1: from_first})


def _time_of(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)
