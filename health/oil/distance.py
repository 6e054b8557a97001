"""Distance driven while nobody sampled the engine: what the odometer gained over a gap, less what was seen.

Many cars tell no odometer (PID A6); the distance since codes were cleared (PID 31) then serves as one. What is charged
to the oil is never given back: a reading that is off from what is expected waits for a second one that says the same,
and no car drives faster than it can.
"""

from datetime import datetime
from typing import Final

import msgspec

from health import signals
from telemetry.records import Sample

_NOTICED_KM: Final = 3.0  # the odometer's step of 1 km, and a minute of driving between two readings of it
_SPEEDOMETER: Final = 0.06  # share by which seen distance may fall short of the odometer's
_REBASE_KM: Final = 100.0  # small gaps add up over so much, then the speedometer's error would hide them
_FASTEST_KMH: Final = 200.0  # over hours, no car; an instrument that gained more was changed for another


class SeenDistance(msgspec.Struct, forbid_unknown_fields=True):
    """The last odometer reading that was accounted for, and what was seen since."""

    odometer_km: float | None = None
    at: datetime | None = None  # when that was
    of: str = ""  # which signal it is of
    seen_km: float = 0.0
    speed_seen: bool = False
    gap: bool = False  # whether sampling paused since
    off_km: float | None = None  # by which the newest reading was off; a second one has to say the same


def unseen_km(state: SeenDistance, sample: Sample) -> float:
    """Kilometres to account for that nobody saw, each told once; 0 where the sample has no odometer."""
    odometer, of = _reading(state, sample)
    if odometer is None:
        return 0.0
    if state.odometer_km is None or of != state.of:  # the first, or another instrument
        _rebase(state, odometer, of, sample.time)
        return 0.0
    missing = odometer - state.odometer_km - state.seen_km
    step = _NOTICED_KM + _SPEEDOMETER * state.seen_km
    if (state.gap and missing > step) or odometer < state.odometer_km:
        if state.off_km is None or abs(missing - state.off_km) > step:
            state.off_km = missing
            return 0.0
        drivable = state.at is None or missing <= step + _FASTEST_KMH * _hours(state.at, sample.time)
        _rebase(state, odometer, of, sample.time)
        return missing if missing > 0 and drivable else 0.0  # less than before: codes cleared, another instrument
    state.off_km = None
    if not state.gap or not state.speed_seen or state.seen_km > _REBASE_KM:
        _rebase(state, odometer, of, sample.time)
    return 0.0


def _reading(state: SeenDistance, sample: Sample) -> tuple[float | None, str]:
    metres = signals.read(sample, signals.TRAVELED_DISTANCE)
    if metres is not None:
        return metres / 1000, signals.TRAVELED_DISTANCE.column
    if state.of == signals.TRAVELED_DISTANCE.column:
        return None, ""
    column = signals.DISTANCE_SINCE_CODES_CLEARED.column
    return signals.read(sample, signals.DISTANCE_SINCE_CODES_CLEARED), column


def _rebase(state: SeenDistance, odometer_km: float, of: str, time: datetime) -> None:
    state.odometer_km, state.of, state.at = odometer_km, of, time
    state.seen_km, state.gap, state.off_km = 0.0, False, None


def _hours(before: datetime, now: datetime) -> float:
    return (now - before).total_seconds() / 3600
