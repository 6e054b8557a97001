"""What is due when: a rate plan over named reads, with the time as an argument."""

from collections.abc import Iterable


class RatePlan:
    """Each read has a period in seconds; a read done late is due again one period after it was done.

    Catching up would ask a busy bus more often, not less. Where there is no time for all, those come first that are
    late by the greatest part of their period: all become slower by the same factor, and none is starved.
    """

    def __init__(self, periods: Iterable[tuple[str, float]]) -> None:
        self._periods = dict(periods)
        self._next = dict.fromkeys(self._periods, float("-inf"))

    def due(self, now: float) -> list[str]:
        """Reads that are due, those first that were never done, then by how late they are for their period."""
        due = [key for key, moment in self._next.items() if moment <= now]
        return sorted(due, key=lambda key: (now - self._next[key]) / self._periods[key], reverse=True)

    def done(self, key: str, now: float, *, again_s: float | None = None) -> None:
        """Note that a read was tried at ``now``; it is due again after its period, or after ``again_s``."""
        self._next[key] = now + (self._periods[key] if again_s is None else again_s)

    def soon(self, key: str) -> None:
        """Let a read of the plan be due at once."""
        if key in self._next:
            self._next[key] = float("-inf")

    def pause(self, now: float, pause_s: float) -> None:
        """Let nothing be due before ``now + pause_s``."""
        self._next = {key: max(moment, now + pause_s) for key, moment in self._next.items()}

    def next_due(self) -> float | None:
        """When the next read is due; None for an empty plan."""
        return min(self._next.values(), default=None)
