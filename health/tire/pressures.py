"""Samples of tyre pressures -> means of ended hours, reduced to 20 celsius where a temperature is known.

A wheel's own temperature is used where it is read, be it some minutes before or after the pressure. Besides, the hour's
"cold" mean: of samples in which the car had stood long enough for its tyres to have the air's temperature, reduced by
that.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

import msgspec

from health import signals
from telemetry.records import Sample

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
AIR_KPA: Final = 101.3  # TPMS gives gauge pressure against sea level
_REFERENCE_K: Final = 293.15
_TEMPERATURE_S: Final = 600.0  # so old a wheel's temperature still counts: tyres warm within half an hour
_AIR_TEMPERATURE_S: Final = 3600.0
_COLD_AFTER_S: Final = 3 * 3600.0  # of standing: a tyre has the air's temperature
_COLD_DRIVE_S: Final = 300.0  # so long a drive has hardly warmed it
_STILL_KPA: Final = 15.0  # the others have moved by so much in one go while one stood still: that one is stuck
_ONE_GO_S: Final = 3600.0  # after a longer gap the same reading may be chance


class WheelHour(msgspec.Struct, forbid_unknown_fields=True):
    """The running hour of a wheel, and whether its sensor still moves."""

    sum_kpa: float = 0.0
    count: int = 0
    cold_sum_kpa: float = 0.0
    cold_count: int = 0
    temperature: float | None = None  # celsius
    temperature_at: datetime | None = None
    read_at: datetime | None = None
    same_kpa: float | None = None  # the newest reading, and the range of the others since it came
    others_low_kpa: float = 0.0
    others_high_kpa: float = 0.0
    stuck: bool = False


class Hour(msgspec.Struct, forbid_unknown_fields=True):
    """The running hour (since 1970-01-01 UTC) of all wheels, and how the car has moved."""

    hour: int | None = None
    own: bool = False  # reduced by the wheels' own temperatures
    moved: datetime | None = None
    drive: datetime | None = None  # when the drive began that the last movement belongs to
    stood_before_drive: bool = True  # long enough to be cold
    temperature: float | None = None  # ambient, celsius
    temperature_at: datetime | None = None
    wheels: dict[str, WheelHour] = {}


@dataclass(frozen=True, kw_only=True)
class EndedHour:
    """Means in kPa by wheel. ``own``: they are reduced to 20 celsius; those of ``cold`` always are."""

    hour: int
    own: bool
    means: dict[str, float]
    cold: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a sample led to; ``stuck``: wheels whose sensor was found to stand still, and why."""

    ended: EndedHour | None = None
    stuck: tuple[tuple[str, str], ...] = ()


def take(running: Hour, sample: Sample) -> Taken:
    """Take a sample, not older than the last, into the running hour."""
    _take_motion(running, sample)
    raw = _read(running, sample)
    if not raw:
        return Taken()
    time = sample.time
    warmth = {name: _recent(running.wheels[name], time, _TEMPERATURE_S) for name in raw}
    own = any(celsius is not None for celsius in warmth.values())
    hour = int((time - EPOCH).total_seconds() // 3600)
    ended = _end(running) if running.hour is not None and (hour, own) != (running.hour, running.own) else None
    running.hour, running.own = hour, own
    air = _recent(running, time, _AIR_TEMPERATURE_S) if _is_cold(running, time) else None
    stuck = []
    for name, pressure in raw.items():
        wheel, celsius = running.wheels[name], warmth[name]
        why = _stands_still(wheel, time, pressure, [value for other, value in raw.items() if other != name])
        if why is not None:
            stuck.append((name, why))
        if wheel.stuck:
            continue
        if not own or celsius is not None:  # reduced and raw pressures do not compare
            wheel.sum_kpa += pressure if celsius is None else _at_20(pressure, celsius)
            wheel.count += 1
        if air is not None:
            wheel.cold_sum_kpa += _at_20(pressure, air)
            wheel.cold_count += 1
    return Taken(ended=ended, stuck=tuple(stuck))


def forget_hour(running: Hour, position: str) -> None:
    """Drop what the running hour has of a wheel, an axle or ("") all."""
    for name, wheel in running.wheels.items():
        if name.startswith(position):
            wheel.sum_kpa, wheel.count, wheel.cold_sum_kpa, wheel.cold_count = 0.0, 0, 0.0, 0


def _read(running: Hour, sample: Sample) -> dict[str, float]:
    """Gauge pressures by wheel; the wheels' temperatures are kept."""
    raw: dict[str, float] = {}
    for name in signals.WHEELS:
        pressure = signals.read(sample, signals.TIRE_PRESSURE[name])
        temperature = signals.read(sample, signals.TIRE_TEMPERATURE[name])
        if pressure:  # absent, or 0: the sensor is silent (TPMS sleep), not the tyre flat
            raw[name] = pressure
        if pressure or temperature is not None:
            wheel = running.wheels.setdefault(name, WheelHour())
            if temperature is not None:
                wheel.temperature, wheel.temperature_at = temperature, sample.time
    return raw


def _end(running: Hour) -> EndedHour:
    assert running.hour is not None
    wheels = running.wheels
    ended = EndedHour(
        hour=running.hour,
        own=running.own,
        means={name: wheel.sum_kpa / wheel.count for name, wheel in wheels.items() if wheel.count},
        cold={name: wheel.cold_sum_kpa / wheel.cold_count for name, wheel in wheels.items() if wheel.cold_count},
    )
    forget_hour(running, "")
    return ended


def _take_motion(running: Hour, sample: Sample) -> None:
    temperature = signals.read(sample, signals.AMBIENT_TEMPERATURE)
    if temperature is not None:
        running.temperature, running.temperature_at = temperature, sample.time
    if signals.read(sample, signals.SPEED):
        stood_s = float("inf") if running.moved is None else (sample.time - running.moved).total_seconds()
        if stood_s >= _COLD_DRIVE_S or running.drive is None:
            running.drive, running.stood_before_drive = sample.time, stood_s >= _COLD_AFTER_S
        running.moved = sample.time


def _is_cold(running: Hour, time: datetime) -> bool:
    if running.moved is None or running.drive is None:
        return False  # a car that tells no speed may be driving
    stands = (time - running.moved).total_seconds() >= _COLD_AFTER_S
    return stands or (running.stood_before_drive and (time - running.drive).total_seconds() <= _COLD_DRIVE_S)


def _stands_still(wheel: WheelHour, time: datetime, pressure: float, others: list[float]) -> str | None:
    """Why this wheel is now held to be stuck; None if it is not, or was before."""
    if not others:
        return None
    level = median(others)
    gap = wheel.read_at is None or (time - wheel.read_at).total_seconds() > _ONE_GO_S
    wheel.read_at = time
    if pressure != wheel.same_kpa or gap:
        wheel.stuck = wheel.stuck and pressure == wheel.same_kpa
        wheel.same_kpa = pressure
        wheel.others_low_kpa = wheel.others_high_kpa = level
    wheel.others_low_kpa = min(wheel.others_low_kpa, level)
    wheel.others_high_kpa = max(wheel.others_high_kpa, level)
    moved_kpa = wheel.others_high_kpa - wheel.others_low_kpa
    if wheel.stuck or moved_kpa < _STILL_KPA:
        return None
    wheel.stuck = True
    return f"stands at {pressure:g} kPa while the other wheels moved by {moved_kpa:.0f} kPa"


def _recent(of: Hour | WheelHour, time: datetime, within_s: float) -> float | None:
    """The newest temperature, if it is not older than that."""
    recent = of.temperature_at is not None and (time - of.temperature_at).total_seconds() <= within_s
    return of.temperature if recent else None


def _at_20(pressure_kpa: float, celsius: float) -> float:
    return (pressure_kpa + AIR_KPA) * _REFERENCE_K / (celsius + 273.15) - AIR_KPA
