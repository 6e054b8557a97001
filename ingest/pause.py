"""Pauses between attempts: each twice as long as the last, up to a longest, until something works again."""

import asyncio


class Pause:
    """One for each thing that is tried again, as its state is what failed last."""

    def __init__(self, *, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._next = first_seconds

    def reset(self) -> None:
        """It worked: begin with the first again."""
        self._next = self._first

    async def sleep(self) -> None:
        """Wait before the next attempt."""
        await asyncio.sleep(self._next)
        self._next = min(2 * self._next, self._longest)
