"""Token bucket: a rate that is allowed all the time, and more for a while to whoever was quiet before. Pure.

Source: ITU-T I.371, annex A: the generic cell rate algorithm in its continuous-state leaky bucket form.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a bucket allows; units are the caller's (messages, bytes)."""

    per_second: float
    burst: float  # at once, after a time of silence of burst / per_second

    def __post_init__(self) -> None:
        if not (self.per_second > 0 and self.burst > 0):
            raise ValueError("an allowance needs a rate and a burst above zero")


@dataclass(slots=True)
class Bucket:
    """How full one is. Over any time T no more than burst + per_second * T is taken from it."""

    tokens: float
    at: float  # seconds

    @classmethod
    def full(cls, allowance: Allowance, now: float) -> "Bucket":
        """As it is after a long silence."""
        return cls(tokens=allowance.burst, at=now)

    def take(self, amount: float, allowance: Allowance, now: float) -> bool:
        """Take tokens, or none where there are too few; ``now`` in seconds. A clock that goes back adds nothing."""
        self._fill(allowance, now)
        if amount > self.tokens:
            return False
        self.tokens -= amount
        return True

    def at_most(self, tokens: float, allowance: Allowance, now: float) -> None:
        """Others take from it too, and leave no more than so many; below zero where all together took too many."""
        self._fill(allowance, now)
        self.tokens = min(self.tokens, tokens)

    def is_full(self, allowance: Allowance, now: float) -> bool:
        """Whether it tells nothing that a fresh one would not."""
        self._fill(allowance, now)
        return self.tokens >= allowance.burst

    def _fill(self, allowance: Allowance, now: float) -> None:
        if now > self.at:
            self.tokens = min(allowance.burst, self.tokens + (now - self.at) * allowance.per_second)
            self.at = now
