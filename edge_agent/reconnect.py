"""How long to wait before knocking at a broker again: at random, so that a fleet does not come in one second. Pure.

A broker that ends takes every connection with it at the same moment. With equal pauses all dongles would come back at
the same moment too, and again after each refusal. Each pause is drawn from the whole range between nothing and a bound
that doubles with every failure ("full jitter": Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015).
"""

import random
from collections.abc import Callable


class ReconnectPauses:
    """One after the other; the bounds in seconds. A dongle is back after half the first bound on average."""

    def __init__(
        self, first_bound_seconds: float, longest_bound_seconds: float, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self._first = first_bound_seconds
        self._longest = longest_bound_seconds
        self._jitter = jitter
        self._bound = first_bound_seconds

    def next(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause = self._bound * self._jitter()
        self._bound = min(2 * self._bound, self._longest)
        return pause

    def connected(self) -> None:
        """It worked: begin with the first bound again."""
        self._bound = self._first
