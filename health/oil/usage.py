"""What an oil filling has been through, in effective revolutions, by how well each part of it is known.

A running total that is never set back; a filling's use is the total less the total when it was filled in. Checkpoints
let a change be told days late and still count what was driven since.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

# A workshop's record is days late, seldom weeks: two checkpoints of each of the last days with driving, then one a
# week.
_DAILY: Final = 14
_WEEKLY: Final = 6
_WEEK: Final = timedelta(days=7)


class Used(msgspec.Struct, forbid_unknown_fields=True):
    """Effective revolutions (with penalty) by source of the oil temperature, and what they were counted over."""

    revolutions: float = 0.0  # without penalty
    read: float = 0.0  # oil temperature read
    modelled: float = 0.0  # oil temperature from the coolant
    modelled_more: float = 0.0  # standard deviation of ``modelled`` upwards, and downwards
    modelled_less: float = 0.0
    assumed: float = 0.0  # neither, or an engine speed that cannot be right
    unseen: float = 0.0  # nobody sampled: charged by distance
    kilometres: float = 0.0  # driven while sampled
    drives: float = 0.0  # engine starts
    with_speed: float = 0.0  # effective revolutions while the speed was told: those that belong to ``kilometres``

    @property
    def effective(self) -> float:
        """All effective revolutions."""
        return self.read + self.modelled + self.assumed + self.unseen


class Checkpoint(msgspec.Struct, forbid_unknown_fields=True):
    """The total at a time, its fields in order and in whole numbers: twenty of them are kept with each state."""

    time: datetime
    numbers: list[int]

    @property
    def total(self) -> Used:
        """The total."""
        return Used(*map(float, self.numbers))


def checkpoint(time: datetime, total: Used) -> Checkpoint:
    """The total as it is at that time."""
    return Checkpoint(time=time, numbers=[round(number) for number in msgspec.structs.astuple(total)])


def copied(used: Used) -> Used:
    """The same numbers, apart."""
    return between(used, used)


def between(before: Used, after: Used, share: float = 1.0) -> Used:
    """``before`` and so much of the way to ``after``."""
    return _combined(before, after, lambda a, b: a + (b - a) * share)


def since(base: Used, total: Used) -> Used:
    """What was added from ``base`` to ``total``."""
    return _combined(base, total, lambda a, b: b - a)


def with_checkpoints(
    checkpoints: Sequence[Checkpoint], last: datetime | None, time: datetime, total: Used
) -> list[Checkpoint]:
    """With the first drive of a day: where the last drive ended and where this one begins; the oldest give way.

    ``last``: newest sample before this one. Nothing is added in between.
    """
    if checkpoints and checkpoints[-1].time.date() == time.date():
        return list(checkpoints)
    ended = [] if last is None else [checkpoint(last, total)]
    found = [*checkpoints, *ended, checkpoint(time, total)]
    weekly: list[Checkpoint] = []
    for point in found[:-_DAILY]:
        if not weekly or point.time - weekly[-1].time >= _WEEK:
            weekly.append(point)
    return [*weekly[-_WEEKLY:], *found[-_DAILY:]]


def total_at(points: Sequence[Checkpoint], time: datetime) -> Used:
    """The total at a time, in proportion between two points; the first or last one's outside of them."""
    before = points[0]
    if time <= before.time:
        return before.total
    for after in points[1:]:
        if time < after.time:
            share = (time - before.time) / (after.time - before.time)
            return between(before.total, after.total, share)
        before = after
    return before.total


def _combined(a: Used, b: Used, of: Callable[[float, float], float]) -> Used:
    return Used(**{name: of(getattr(a, name), getattr(b, name)) for name in Used.__struct_fields__})
