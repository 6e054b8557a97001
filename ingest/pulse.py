"""The pulse of a process: that its loops turn, and what keeps it from working. Whoever watches it asks here.

Loops, connections and pieces of work tell it what they do; nothing here acts on it. One process has one, ``PULSE``.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pulse:
    """What a process says of itself; any thread may tell and ask. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._loops: dict[str, float] = {}  # when its next turn is overdue
        self._troubles: dict[str, str] = {}
        self._work: dict[object, tuple[str, float, float]] = {}  # what, when it began, when it takes too long

    def turn(self, loop: str, within_seconds: float) -> None:
        """A loop has turned and will again within that time; a process one of whose loops is overdue is dead."""
        with self._lock:
            self._loops[loop] = self._clock() + within_seconds

    def ended(self, loop: str) -> None:
        """A loop has ended in order and turns no more."""
        with self._lock:
            self._loops.pop(loop, None)

    def trouble(self, what: str, reason: str) -> None:
        """Something that is needed is not there ("database", "broker"): the process lives and cannot work."""
        with self._lock:
            self._troubles[what] = reason

    def well(self, what: str) -> None:
        """It is there (again)."""
        with self._lock:
            self._troubles.pop(what, None)

    @contextmanager
    def work(self, what: str, at_most_seconds: float) -> Iterator[None]:
        """A piece of work for the time of the block; one that takes longer than it ever should is a problem."""
        token, now = object(), self._clock()
        with self._lock:
            self._work[token] = (what, now, now + at_most_seconds)
        try:
            yield
        finally:
            with self._lock:
                del self._work[token]

    def stopped_loops(self) -> list[str]:
        """Loops that stand still, in words. Empty: the process is alive."""
        with self._lock:
            now = self._clock()
            overdue = {loop: now - due for loop, due in self._loops.items() if now > due}
        return [f"{loop} stands still, its turn is overdue by {late:.0f} s" for loop, late in sorted(overdue.items())]

    def problems(self) -> list[str]:
        """What keeps the process from working, in words. Empty: it is ready."""
        stopped = self.stopped_loops()
        with self._lock:
            now = self._clock()
            long = [f"{what} has taken {now - begun:.0f} s" for what, begun, late in self._work.values() if now > late]
            troubles = [f"{what}: {reason}" for what, reason in sorted(self._troubles.items())]
        return [*stopped, *troubles, *long]


PULSE = Pulse()
