"""States of the estimator before this one: three sums of a total least squares with fading memory.

What they had learned goes on as the filter's beginning; the charge that ran while the program was renewed does not.
"""

import math
from datetime import datetime
from typing import Final

import msgspec

from health.capacity.filter import FilterParameters
from health.capacity.parameters import TractionBatteryParameters
from health.capacity.pool import Pool, started_from
from health.estimator import Json

_SYSTEMATIC: Final = 0.02  # share: the common error it added


def taken_up(old: Json, parameters: TractionBatteryParameters, priors: FilterParameters) -> Json:
    """Fields of version 2 made from those of version 1."""
    state = msgspec.convert(old, _Version1)
    new: Json = {name: old.get(name) for name in ("newest", "ecu_soh", "ecu_time")}
    nominal = parameters.nominal_capacity_ah
    if nominal is None or state.weighted_at is None or state.c1 <= 0 or state.c2 <= 0:
        return new
    sigma_x, sigma_y = math.sqrt(2) * parameters.soc_error / 100, parameters.charge_error * nominal
    k2 = (sigma_x / sigma_y) ** 2
    difference = k2 * state.c3 - state.c1
    capacity = (difference + math.sqrt(difference**2 + 4 * k2 * state.c2**2)) / (2 * k2 * state.c2)
    variance = ((capacity * sigma_x) ** 2 + sigma_y**2) / state.c1 + (_SYSTEMATIC * capacity) ** 2
    pool = Pool()
    started_from(pool, state.weighted_at, capacity / nominal, math.sqrt(variance) / nominal, priors)
    new |= {"pool": msgspec.to_builtins(pool), "charges": state.charges}
    new["newest_window"] = state.weighted_at.isoformat()
    return new


class _Version1(msgspec.Struct):
    """What is of use of it."""

    c1: float
    c2: float
    c3: float
    charges: int
    weighted_at: datetime | None = None
