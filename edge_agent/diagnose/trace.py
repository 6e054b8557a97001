"""Latest values and how they went: what a live table shows. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

LENGTH: Final = 32  # values of a sparkline
_BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Iterable[float]) -> str:
    """Values as bars from their lowest to their highest; a line of one height if they are all the same."""
    points = list(values)
    if not points:
        return ""
    low, high = min(points), max(points)
    if low == high:
        return _BARS[len(_BARS) // 2 - 1] * len(points)
    return "".join(_BARS[min(int((point - low) / (high - low) * len(_BARS)), len(_BARS) - 1)] for point in points)


@dataclass(frozen=True, kw_only=True)
class TraceRow:
    """One signal as shown: its path, last value, lowest and highest seen, age in seconds, and its course."""

    path: str
    value: float
    low: float
    high: float
    age_s: float
    course: str


@dataclass(kw_only=True)
class _Seen:
    low: float
    high: float
    at: float
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=LENGTH))


class Trace:
    """Collects values by signal; times in seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def add(self, values: Mapping[str, float], now: float) -> None:
        """Take the values of one reading."""
        for path, value in values.items():
            seen = self._seen.setdefault(path, _Seen(low=value, high=value, at=now))
            seen.low, seen.high, seen.at = min(seen.low, value), max(seen.high, value), now
            seen.recent.append(value)

    def rows(self, now: float) -> tuple[TraceRow, ...]:
        """What is known now, by path."""
        return tuple(
            TraceRow(
                path=path,
                value=seen.recent[-1],
                low=seen.low,
                high=seen.high,
                age_s=now - seen.at,
                course=sparkline(seen.recent),
            )
            for path, seen in sorted(self._seen.items())
        )
