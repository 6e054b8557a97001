"""What all recordings have in common: going on where they stopped, and their pace. No recording is read here."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

from edge_agent.errors import SourceError
from edge_agent.sources.base import Reading

MAX_SLEEP_SECONDS = 0.2  # a poll does not keep the agent from stopping


@runtime_checkable
class Resumable(Protocol):
    """A source that gives the same readings each time it is opened, and so can go on where it stopped."""

    @property
    def position(self) -> int:
        """How many readings were handed out or skipped since it was opened."""
        ...

    def skip(self, count: int) -> None:
        """Pass over the first readings: they were accepted before a restart."""
        ...


class Pace:
    """Hands out readings when they are due. ``speed`` None: at once; 1.0: as recorded; 10.0: ten times faster."""

    def __init__(
        self,
        speed: float | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if speed is not None and speed <= 0:
            raise ValueError(f"speed {speed}: a factor above zero, or None for as fast as possible")
        self._speed = speed
        self._monotonic = monotonic
        self._sleep = sleep
        self._first: tuple[datetime, float] | None = None  # recorded time, monotonic seconds
        self._waiting: Reading | None = None
        self.handed_out = 0  # readings, with those skipped; an empty one while waiting is none

    def skip(self, readings: Iterator[Reading], count: int) -> None:
        """Pass over the next ``count`` readings at once."""
        self.handed_out += sum(1 for _ in islice(readings, count))

    def next(self, readings: Iterator[Reading]) -> Reading | None:
        """The next reading if it is due; an empty one if it is not, after a short sleep; None at the end."""
        reading = self._waiting if self._waiting is not None else next(readings, None)
        self._waiting = None
        if reading is None:
            return None
        if self._speed is not None and reading.time is not None and not self._is_due(reading.time, self._speed):
            self._waiting = reading
            return Reading()
        self.handed_out += 1
        return reading

    def _is_due(self, moment: datetime, speed: float) -> bool:
        if self._first is None:
            self._first = (moment, self._monotonic())
        recorded = (moment - self._first[0]).total_seconds()
        pause = self._first[1] + recorded / speed - self._monotonic()
        if pause > 0:
            self._sleep(min(pause, MAX_SLEEP_SECONDS))
        return pause <= MAX_SLEEP_SECONDS


class Recording:
    """Polls and skips the readings of a file that a subclass has opened, at its pace."""

    def __init__(self, path: Path, speed: float | None, unreadable: tuple[type[Exception], ...]) -> None:
        """``unreadable``: what reading this kind of file raises where it is damaged."""
        self._path = path
        self._speed = speed
        self._unreadable = unreadable
        self._rows: Iterator[Reading] | None = None
        self._pace = Pace(speed)

    def poll(self) -> Reading | None:
        """The next reading, when it is due; an empty one while it is not; None at the end."""
        with self._readable() as rows:
            return self._pace.next(rows)

    @property
    def position(self) -> int:
        """How many readings were handed out or skipped since it was opened."""
        return self._pace.handed_out

    def skip(self, count: int) -> None:
        """Pass over the first readings: they were accepted before a restart."""
        with self._readable() as rows:
            self._pace.skip(rows, count)

    def _rewind(self) -> None:
        self._rows = None
        self._pace = Pace(self._speed)

    @contextmanager
    def _readable(self) -> Iterator[Iterator[Reading]]:
        if self._rows is None:
            raise SourceError("the recording is not open; call open first")
        try:
            yield self._rows
        except self._unreadable as error:
            raise SourceError(f"recording {self._path} breaks off: {error}") from error
