"""An engine speed that cannot be right: the same to the last digit while the car speeds up and slows down.

A quarter of a revolution per minute is the resolution of PID 0C; no engine, not even a generator set, holds that.
"""

from typing import Final

import msgspec

_STILL_S: Final = 120.0
_SPEED_RANGE_KMH: Final = 20.0


class EngineSpeedWatch(msgspec.Struct, forbid_unknown_fields=True):
    """The engine speed that stands, for how long, and the car's lowest and highest speed meanwhile."""

    still_at: float | None = None  # rpm
    still_s: float = 0.0
    lowest_kmh: float | None = None
    highest_kmh: float | None = None


def watch_engine_speed(
    watch: EngineSpeedWatch, engine_speed_rpm: float, speed_kmh: float | None, seconds: float
) -> bool:
    """Take a step; whether the engine speed stands still against the car's."""
    if engine_speed_rpm != watch.still_at or engine_speed_rpm == 0:
        watch.still_at, watch.still_s = engine_speed_rpm, 0.0
        watch.lowest_kmh = watch.highest_kmh = speed_kmh
        return False
    watch.still_s += seconds
    if speed_kmh is not None:
        watch.lowest_kmh = speed_kmh if watch.lowest_kmh is None else min(watch.lowest_kmh, speed_kmh)
        watch.highest_kmh = speed_kmh if watch.highest_kmh is None else max(watch.highest_kmh, speed_kmh)
    if watch.lowest_kmh is None or watch.highest_kmh is None:
        return False
    return watch.still_s >= _STILL_S and watch.highest_kmh - watch.lowest_kmh >= _SPEED_RANGE_KMH
