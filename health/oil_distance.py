"""Distance driven while nobody sampled the engine: what the odometer gained over a gap, less what was seen.

Many cars tell no odometer (PID A6); the distance since codes were cleared (PID 31) then serves as one.
"""

from typing import Final

import msgspec

from health import signals
from telemetry.records import Sample

_NOTICED_KM: Final = 3.0  # the odometer's step of 1 km, and a minute of driving between two readings of it
_SPEEDOMETER: Final = 0.06  # share by which seen distance may fall short of the odometer's
_REBASE_KM: Final = 100.0  # small gaps add up over so much, then the speedometer's error would hide them


class SeenDistance(msgspec.Struct, forbid_unknown_fields=True):
    """The last odometer reading that was accounted for, and what was seen since."""

    odometer_km: float | None = None
    of: str = ""  # which signal it is of
    seen_km: float = 0.0
    speed_seen: bool = False
    gap: bool = False  # whether sampling paused since


def unseen_km(state: SeenDistance, sample: Sample) -> float:
    """Kilometres to account for that nobody saw, each told once; 0 where the sample has no odometer."""
    odometer, of = _reading(state, sample)
    if odometer is None:
        return 0.0
    before = state.odometer_km
    if before is None or of != state.of or odometer < before:  # the first, another instrument, or codes cleared
        _rebase(state, odometer, of)
        return 0.0
    missing = odometer - before - state.seen_km
    noticed = state.gap and missing > _NOTICED_KM + _SPEEDOMETER * state.seen_km
    if noticed or not state.gap or not state.speed_seen or state.seen_km > _REBASE_KM:
        _rebase(state, odometer, of)
    return missing if noticed else 0.0


def _reading(state: SeenDistance, sample: Sample) -> tuple[float | None, str]:
    metres = signals.read(sample, signals.TRAVELED_DISTANCE)
    if metres is not None:
        return metres / 1000, signals.TRAVELED_DISTANCE.column
    if state.of == signals.TRAVELED_DISTANCE.column:
        return None, ""
    column = signals.DISTANCE_SINCE_CODES_CLEARED.column
    return signals.read(sample, signals.DISTANCE_SINCE_CODES_CLEARED), column


def _rebase(state: SeenDistance, odometer_km: float, of: str) -> None:
    state.odometer_km, state.of, state.seen_km, state.gap = odometer_km, of, 0.0, False
