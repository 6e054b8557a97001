"""When a batch is full and when estimates are due. Pure policy: counts and times in, decisions out."""

from datetime import datetime, timedelta


class Batcher:
    """A batch is due when it has enough samples, or when its first sample has waited long enough.

    ``first_seconds``: how long the very first sample waits: whoever plugs a dongle in looks whether something comes.
    """

    def __init__(self, *, samples: int, seconds: float, first_seconds: float | None = None) -> None:
        self._samples = samples
        self._later_ms = seconds * 1000
        self._wait_ms = self._later_ms if first_seconds is None else first_seconds * 1000
        self._count = 0
        self._first_ms = 0  # monotonic, of the first sample

    @property
    def waiting(self) -> int:
        """Samples in the batch to come."""
        return self._count

    def added(self, monotonic_ms: int) -> None:
        """A sample was accepted."""
        if self._count == 0:
            self._first_ms = monotonic_ms
        self._count += 1

    def due(self, monotonic_ms: int) -> bool:
        """Whether to seal now."""
        return self._count >= self._samples or (self._count > 0 and monotonic_ms - self._first_ms >= self._wait_ms)

    def sealed(self) -> None:
        """The batch was sealed; the next one is empty."""
        if self._count:
            self._wait_ms = self._later_ms
        self._count = 0


class EstimateSchedule:
    """Estimates are made at most once per period, by the samples' time, so that a replay behaves like the past."""

    def __init__(self, *, seconds: float, last: datetime | None = None) -> None:
        self._period = timedelta(seconds=seconds)
        self.last = last

    def due(self, moment: datetime) -> bool:
        """Whether estimates are due at this sample; the first one is, and one before the last (a clock put right)."""
        return self.last is None or not timedelta() <= moment - self.last < self._period

    def made(self, moment: datetime) -> None:
        """Estimates were made at this sample."""
        self.last = moment
