"""One id that follows a batch from the dongle's log to the booking it led to (W3C Trace Context).

It is computed from the batch's key on both ends, so that it costs nothing on the air.
"""

from hashlib import blake2b
from typing import Final

from telemetry.records import BatchKey

_SAMPLED: Final = "01"


def trace_id(key: BatchKey) -> str:
    """The ``trace-id`` of a batch: 32 hexadecimal digits, the same wherever it is computed."""
    return blake2b(str(key).encode(), digest_size=16).hexdigest()


def traceparent(trace: str, step: str) -> str:
    """``traceparent`` of a step of that trace; ``step`` names it (an alert's id, say) and gives its ``parent-id``."""
    return f"00-{trace}-{blake2b(step.encode(), digest_size=8).hexdigest()}-{_SAMPLED}"
