"""When a sample was taken: its wall time and its milliseconds of CLOCK_BOOTTIME, never the same for two of one car.

The backend has one row per car and instant. Both times are told apart, because a clock put right dates samples anew by
their CLOCK_BOOTTIME.
"""

from datetime import datetime, timedelta
from typing import Final

from edge_agent.clock import Clock
from telemetry.records import ms_from_utc, utc_from_ms

_CROWDED_MS: Final = 100  # so many samples may come at once; a clock further back was put right


class SampleTimes:
    """Gives samples their times. One car's, in the order in which they were read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_ms = clock.monotonic_ms()
        self._last_ms = 0  # since 1970, of the newest sample of a live car
        self._last_monotonic_ms = -1
        self._first_recorded: datetime | None = None

    def of(self, recorded: datetime | None, age_s: float = 0.0) -> tuple[datetime, int]:
        """Of a reading taken now, or with a recording's time: that and the distance from its first sample.

        ``age_s``: it was taken so long ago; yet never before the one that was taken up last.
        """
        if recorded is not None:
            if self._first_recorded is None:
                self._first_recorded = recorded
            passed = round((recorded - self._first_recorded) / timedelta(milliseconds=1))
            return recorded, self._started_ms + passed
        age_ms = round(age_s * 1000)
        moment_ms, last_ms = ms_from_utc(self._clock.now()) - age_ms, self._last_ms
        if last_ms - _CROWDED_MS - age_ms <= moment_ms <= last_ms:
            moment_ms = last_ms + 1
        self._last_ms = moment_ms
        self._last_monotonic_ms = max(self._clock.monotonic_ms() - age_ms, self._last_monotonic_ms + 1)
        return utc_from_ms(moment_ms), self._last_monotonic_ms
