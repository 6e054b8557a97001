"""A voltage that stands still: the same number at standstill and with a running engine is no battery's. Pure."""

from datetime import datetime
from typing import Final

import msgspec

_STANDING_S: Final = 30.0  # values read one after the other: some seconds' standstill may be a running engine's
_RUNNING_S: Final = 120.0  # the alternator has lifted the voltage long before
_DAYS_S: Final = 3 * 86_400.0  # where no engine speed is told: so long, with driving in it ...
_COUNT: Final = 100  # ... and so many samples; a parked car's may well stand, in steps of 0.1 V


class Stuck(msgspec.Struct, forbid_unknown_fields=True):
    """The number seen, since when, and whether it stood still through a change that must move it."""

    value: float | None = None
    since: datetime | None = None
    count: int = 0
    standing_since: datetime | None = None
    at_standstill: bool = False  # seen while the engine stood
    running_since: datetime | None = None
    driven: bool = False  # the car was used since
    stuck: bool = False


def is_stuck(seen: Stuck, time: datetime, value: float, *, running: bool | None) -> bool:
    """Take a value; whether it has stood still through what must move it. A different value clears the doubt.

    The caller notes in ``seen.driven`` that the car was used.
    """
    if seen.value != value or seen.since is None:
        seen.value, seen.since, seen.count = value, time, 0
        seen.standing_since, seen.at_standstill, seen.running_since, seen.stuck = None, False, None, False
        seen.driven = False
    seen.count += 1
    if running is False:
        seen.standing_since, seen.running_since = seen.standing_since or time, None
        seen.at_standstill = seen.at_standstill or (time - seen.standing_since).total_seconds() >= _STANDING_S
    elif running and seen.running_since is None:
        seen.standing_since, seen.running_since = None, time
    ran_s = 0.0 if seen.running_since is None else (time - seen.running_since).total_seconds()
    through_a_start = seen.at_standstill and ran_s >= _RUNNING_S
    for_days = seen.driven and seen.count >= _COUNT and (time - seen.since).total_seconds() >= _DAYS_S
    seen.stuck = seen.stuck or through_a_start or for_days
    return seen.stuck
