"""The battery's voltage at 100 Hz while the starter turns the engine: some seconds around the fall, once a start.

Only an ADC of the board's own is that fast: a file of the industrial I/O subsystem is read within a millisecond. An
ELM327 answers ``AT RV`` ten to twenty times a second at best, and an ECU its control module voltage hardly fifty times
with nothing else being asked; neither is tried. A board whose power is cut while parked boots only after the start, and
sees none.

A thread reads while the engine stands; nothing is kept but the last fraction of a second until the voltage falls. Loads
that are no starter's (glow plugs, a pump that comes and goes) look alike until no engine runs: a few bursts are allowed
from one run of the engine to the next, and then one an hour, so that a parked car fills no outbox.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from health.starter_battery.cranking import FALL_V

log = logging.getLogger(__name__)

HERTZ: Final = 100.0
LONGEST_S: Final = 3.0  # from the fall to the end of a burst
_BEFORE_S: Final = 0.2
_DENSE_S: Final = 1.2  # of cranking: longer than what health.starter_battery.cranking takes the mean of
_DENSE_STEP_S: Final = 0.015  # of 100 Hz each second sample is kept: at least 50 Hz
_SPARSE_STEP_S: Final = 0.1
_MOST_SAMPLES: Final = 110
_BURSTS: Final = 4  # with no engine running after them: somebody tries in vain
_BURST_AGAIN_S: Final = 3600.0
_SPENT_STEP_S: Final = 1.0
_LEAST_DIFFERENT: Final = 10  # values in a burst: a meter that holds its value for long is not fast, whatever is asked


@dataclass(frozen=True, kw_only=True)
class BurstSample:
    """A voltage and when it was read, in seconds of the clock given."""

    seconds: float
    volts: float


class BurstDetector:
    """Voltages in, a burst out once the fall is some seconds old. Pure."""

    def __init__(self) -> None:
        self._before: deque[BurstSample] = deque()
        self._burst: list[BurstSample] = []
        self._fell_at: float | None = None

    @property
    def falling(self) -> bool:
        """Whether a burst is being gathered."""
        return self._fell_at is not None

    def add(self, sample: BurstSample) -> tuple[BurstSample, ...] | None:
        """Take a sample; the burst it completes."""
        if self._fell_at is None:
            self._watch(sample)
            return None
        since = sample.seconds - self._fell_at
        step = _DENSE_STEP_S if since <= _DENSE_S else _SPARSE_STEP_S
        if sample.seconds - self._burst[-1].seconds >= step and len(self._burst) < _MOST_SAMPLES:
            self._burst.append(sample)
        if since < LONGEST_S:
            return None
        burst = tuple(self._burst)
        self.clear()
        return burst

    def clear(self) -> None:
        """Begin anew: what was read is of another time."""
        self._before.clear()
        self._burst, self._fell_at = [], None

    def _watch(self, sample: BurstSample) -> None:
        while self._before and sample.seconds - self._before[0].seconds > _BEFORE_S:
            self._before.popleft()
        if self._before and max(entry.volts for entry in self._before) - sample.volts >= FALL_V:
            self._fell_at = sample.seconds
            for entry in (*self._before, sample):
                if not self._burst or entry is sample or entry.seconds - self._burst[-1].seconds >= _DENSE_STEP_S:
                    self._burst.append(entry)
        else:
            self._before.append(sample)


class BurstAllowance:
    """How many bursts may still be caught before an engine runs. Pure."""

    def __init__(self) -> None:
        self._left = float(_BURSTS)
        self._at: float | None = None

    def left(self, seconds: float) -> bool:
        """Whether one may be caught now."""
        if self._at is not None:
            self._left = min(float(_BURSTS), self._left + max(0.0, seconds - self._at) / _BURST_AGAIN_S)
        self._at = seconds
        return self._left >= 1

    def spend(self) -> None:
        """One was caught."""
        self._left -= 1

    def renew(self) -> None:
        """An engine runs."""
        self._left = float(_BURSTS)


class StartWatch(Protocol):
    """Watches for a start of the engine. Used by one thread."""

    def arm(self) -> None:
        """The engine stands: a start may come."""
        ...

    def disarm(self) -> None:
        """The engine runs, or nothing may be spent; a burst under way is finished."""
        ...

    def take(self) -> tuple[tuple[float, float], ...]:
        """The burst caught since the last call, as age in seconds and volts, oldest first; mostly none."""
        ...

    def close(self) -> None:
        """End; may be called twice."""
        ...


class CrankingBurst:
    """The thread that reads the voltmeter while armed, and the burst it caught. Used by one other thread."""

    def __init__(
        self,
        read: Callable[[], float | None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """``read`` gives volts at once, or None; ``wait`` lets seconds pass."""
        self._read = read
        self._monotonic = monotonic
        self._wait = wait
        self._armed = threading.Event()
        self._caught = threading.Condition()
        self._falling = False
        self._burst: tuple[BurstSample, ...] = ()
        self._closing = False
        self._told = False
        self._allowance = BurstAllowance()
        self._thread: threading.Thread | None = None

    def arm(self) -> None:
        """The engine stands: a start may come."""
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="cranking-burst", daemon=True)
            self._thread.start()
        self._armed.set()

    def disarm(self) -> None:
        """The engine runs, or nothing may be spent; a burst under way is finished."""
        self._armed.clear()
        self._allowance.renew()

    def take(self) -> tuple[tuple[float, float], ...]:
        """The burst caught since the last call, as age in seconds and volts, oldest first; mostly none.

        While one is under way this waits for its end, so that no later reading overtakes it: 3 s at most.
        """
        with self._caught:
            self._caught.wait_for(lambda: not self._falling, timeout=LONGEST_S + 1)
            burst, self._burst = self._burst, ()
        now = self._monotonic()
        return tuple((max(0.0, now - entry.seconds), entry.volts) for entry in burst)

    def close(self) -> None:
        """End the thread; may be called twice."""
        self._closing = True
        self._armed.set()
        if self._thread is not None:
            self._thread.join(timeout=LONGEST_S)
            self._thread = None

    def _run(self) -> None:
        detector = BurstDetector()
        due = self._monotonic()
        while not self._closing:
            if not detector.falling and not self._armed.is_set():
                detector.clear()
                self._armed.wait()
                due = self._monotonic()
                continue
            if not detector.falling and not self._allowance.left(self._monotonic()):
                detector.clear()
                self._wait(_SPENT_STEP_S)
                due = self._monotonic()
                continue
            self._step(detector)
            due += 1 / HERTZ
            behind = self._monotonic() - due
            if behind >= 0:
                due += behind  # a busy board: what was missed is not caught up with
            self._wait(max(0.001, -behind))
        self._note(falling=False)

    def _step(self, detector: BurstDetector) -> None:
        volts = self._read()
        if volts is None:
            detector.clear()
        else:
            burst = detector.add(BurstSample(seconds=self._monotonic(), volts=volts))
            if burst is not None:
                self._allowance.spend()
                if self._fast(burst):
                    self._note(falling=False, burst=burst)
        if detector.falling != self._falling:
            self._note(falling=detector.falling)

    def _note(self, *, falling: bool, burst: tuple[BurstSample, ...] = ()) -> None:
        with self._caught:
            self._falling = falling
            self._burst = burst or self._burst
            self._caught.notify_all()

    def _fast(self, burst: tuple[BurstSample, ...]) -> bool:
        fast = len({entry.volts for entry in burst}) >= _LEAST_DIFFERENT
        if not fast and not self._told:
            self._told = True
            log.warning("the voltage file holds its value for long: it is too slow to show how the engine is cranked")
        return fast
