"""When to try again: pure."""

from datetime import timedelta

_MANY = 32  # doublings after which any first delay is beyond any longest


def retry_delay(attempts: int, *, first: timedelta, longest: timedelta, jitter: float) -> timedelta:
    """Return the time to wait after that many failed attempts (1 or more): doubled each time, bounded, and spread.

    ``jitter`` in 0 .. 1 is drawn by the caller; the delay lies between half and the whole, so that messages that failed
    together do not come back together.
    """
    if attempts < 1:
        raise ValueError(f"after {attempts} attempts there is nothing to wait for")
    whole: timedelta = min(longest, first * 2 ** min(attempts - 1, _MANY))
    return whole * (0.5 + 0.5 * jitter)
