"""States of the 12 V battery's estimator as former versions wrote them: what was learned of a car is kept."""

import math
from typing import Final, cast

from health.estimator import Json
from health.starter_battery.cranking_line import FULL_V

_LOAD_TEST_21C_V: Final = 9.6
_REST: Final = (
    "day",
    "day_sum_v",
    "day_count",
    "level_v",
    "level_day",
    "trend_v",
    "level_weight",
    "trend_weight",
    "days",
)
_KEPT: Final = ("newest", "active", "rest_at", "rest_v", "temperature", "charging_v")
_MARGIN_SD: Final = 0.2  # of ln(V_before / V_cranking - 1): one smoothed margin, the line under it unknown


def from_first(fields: Json) -> Json:
    """Version 1 to 2: rest voltages nested; the margin above the load test becomes the line's first level."""
    second: Json = {key: fields[key] for key in _KEPT if key in fields}
    second["rest"] = {key: fields[key] for key in _REST if key in fields} | {"best_v": fields.get("level_v")}
    second["charging_high_v"] = fields.get("charging_v")
    engine_speed, margin_v = cast("float | None", fields.get("engine_speed")), fields.get("crank_margin_v")
    running = None if engine_speed is None else engine_speed >= 500
    second["starts"] = {"running": running, "speed_told": running is not None, "seen": fields.get("newest")}
    if isinstance(margin_v, int | float):
        held_v = min(FULL_V - 0.5, max(5.0, _LOAD_TEST_21C_V + margin_v))
        second["line"] = {"level": math.log(FULL_V / held_v - 1), "level_variance": _MARGIN_SD**2, "starts": 1}
    return second
