"""How much may be asked, and how long to wait for an answer: pure, the time is an argument (seconds, monotonic)."""

from collections.abc import Iterable
from dataclasses import dataclass

# A frame of eight data bytes with as many stuff bits as there can be (ISO 11898-1), by the length of its identifier.
_BITS_OF_FRAME = {11: 135, 29: 160}
SMALLEST_BUS_SHARE = 0.01
SMALLEST_REQUESTS_PER_S = 1.0
_SINGLE_FRAME_BYTES, _FIRST_FRAME_BYTES, _CONSECUTIVE_FRAME_BYTES = 7, 6, 7


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading may take of a car's bus.

    ``requests_per_s``: on average; ``bus_share``: of the time on the bus, requests and answers together, 0 to 1;
    ``bit_rate`` in bit/s. A second's worth may be used at once. The defaults leave a bus at 250 kbit/s nine tenths of
    its time, and are twice what twenty parameters a second take. Below the smallest ones a single long answer would
    make the next question wait longer than the agent may be silent to its watchdog.
    """

    requests_per_s: float = 50.0
    bus_share: float = 0.1
    bit_rate: int = 500_000


def frames_of(payload_bytes: int) -> int:
    """Frames that carry a payload, with the flow control for a long one (ISO 15765-2)."""
    if payload_bytes <= _SINGLE_FRAME_BYTES:
        return 1
    return 2 + -(-(payload_bytes - _FIRST_FRAME_BYTES) // _CONSECUTIVE_FRAME_BYTES)


class Load:
    """Two buckets, of requests and of time on the bus, that fill up again as time passes and hold a second's worth.

    A request may overdraw them, since its answers are not known before; then the next one waits.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._requests = limits.requests_per_s
        self._bus_s = limits.bus_share
        self._at = now

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may go out."""
        self._fill(now)
        for_requests = (1.0 - self._requests) / self._limits.requests_per_s
        return max(0.0, for_requests, -self._bus_s / self._limits.bus_share)

    def used(self, now: float, frames: int, *, identifier_bits: int = 11) -> None:
        """Note one request that went out with its answers."""
        self._fill(now)
        self._requests -= 1.0
        self._bus_s -= frames * _BITS_OF_FRAME[identifier_bits] / self._limits.bit_rate

    def _fill(self, now: float) -> None:
        passed_s, self._at = max(0.0, now - self._at), now
        self._requests = min(self._limits.requests_per_s, self._requests + passed_s * self._limits.requests_per_s)
        self._bus_s = min(self._limits.bus_share, self._bus_s + passed_s * self._limits.bus_share)


class Patience:
    """Learns how long each answer takes: one that does not come is given twice the time, up to a bound.

    One that stays away even so is not slow, and gets the ordinary time again: waiting for it would slow down
    everything else. A key names an ECU and what it is asked.
    """

    _TRIES = 3  # 0.2 s become 0.4, 0.8 and 1
    _MARGIN = 2.0  # of the time an ECU took

    def __init__(self, usual_s: float, longest_s: float = 1.0) -> None:
        self._usual_s = usual_s
        self._longest_s = max(usual_s, longest_s)
        self._given_s: dict[str, float] = {}
        self._silences: dict[str, int] = {}

    def given_s(self, keys: Iterable[str]) -> float:
        """Time in which all these have come."""
        return max((self._given_s.get(key, self._usual_s) for key in keys), default=self._usual_s)

    def answered(self, key: str, after_s: float) -> None:
        """Note that it came within that time."""
        self._silences.pop(key, None)
        needed_s = min(self._longest_s, max(self._usual_s, self._MARGIN * after_s))
        # forgotten slowly: an ECU that was busy once may be again
        self._given_s[key] = max(needed_s, 0.98 * self._given_s.get(key, self._usual_s))

    def silent(self, key: str) -> None:
        """Note that it did not come in its time."""
        silences = self._silences[key] = self._silences.get(key, 0) + 1
        doubled_s = min(self._longest_s, 2 * self._given_s.get(key, self._usual_s))
        self._given_s[key] = doubled_s if silences <= self._TRIES else self._usual_s
