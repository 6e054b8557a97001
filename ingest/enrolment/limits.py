"""How often one may try, kept in memory: a burst, then at a steady pace. Pure: time is an argument, in seconds."""

from collections import OrderedDict
from typing import Final

MOST_NAMES: Final = 10_000  # remembered; whoever comes after them pushes the oldest out


class Limit:
    """A token bucket for each name (an address, a device)."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> what is left, and when

    def exhausted(self, name: str, now: float) -> bool:
        """Whether the next one would be too much."""
        return self._available(name, now) < 1

    def take(self, name: str, now: float) -> bool:
        """Count one; False where it is too much, which is not counted."""
        left = self._available(name, now)
        allowed = left >= 1
        self._left[name] = (left - allowed, now)
        self._left.move_to_end(name)
        if len(self._left) > MOST_NAMES:
            self._left.popitem(last=False)
        return allowed

    def _available(self, name: str, now: float) -> float:
        left, since = self._left.get(name, (float(self._burst), now))
        return min(self._burst, left + max(0.0, now - since) * self._per_second)
