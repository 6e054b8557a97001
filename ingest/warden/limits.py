"""What a device may send. Pure.

Two bounds. Beyond the first a message is left to its device, which sends it again later: an honest one, draining the
backlog of weeks, comes there and slows down by itself, as it waits for acknowledgements with a window of few batches.
Beyond the second, in messages that are over the first, it does not wait: a flood. Malformed messages have a bound of
their own.
"""

from dataclasses import dataclass
from typing import Final, Literal

from ingest.warden.bucket import Allowance
from telemetry.wire import MAX_PAYLOAD_BYTES

Offence = Literal["flood", "malformed"]

MESSAGES_PER_SECOND: Final = 50
BYTES_PER_SECOND: Final = 512 * 1024
# A batch every ten seconds is usual, of a few kB: a day of outage may come at once, a month (260,000 batches) takes
# 90 minutes.
_BURST_SECONDS: Final = 200
# An honest device repeats a window of batches once in ten seconds or more: a few messages per second.
OVER: Final = Allowance(per_second=20, burst=2_000)
MALFORMED: Final = Allowance(per_second=0.1, burst=60)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """All bounds of a device."""

    messages: Allowance
    bytes: Allowance
    over: Allowance = OVER  # messages beyond those two
    malformed: Allowance = MALFORMED


def limits_of(messages_per_second: float, bytes_per_second: float) -> Limits | None:
    """The bounds that follow from what is allowed all the time; None where one of them is 0: without a limit."""
    if messages_per_second == 0 or bytes_per_second == 0:
        return None
    # However low the rate: what is above a burst would never be taken, and its device would repeat it for ever.
    return Limits(
        messages=Allowance(per_second=messages_per_second, burst=max(_BURST_SECONDS * messages_per_second, 1)),
        bytes=Allowance(per_second=bytes_per_second, burst=max(_BURST_SECONDS * bytes_per_second, MAX_PAYLOAD_BYTES)),
    )
