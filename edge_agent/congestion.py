"""How many batches may be in flight: as many as the backend takes without making this dongle wait. Pure.

After an outage of the whole backend every dongle has a backlog. If each sent as much as it may, the backend would be
busiest when it is weakest, and what is new would wait behind all that is old. So each begins with one, doubles that as
long as acknowledgements come quickly, then adds one per round, and halves it once an acknowledgement is late: the
additive increase and multiplicative decrease of TCP (RFC 5681; Chiu and Jain, Computer Networks and ISDN Systems 17,
1989), by which senders that know nothing of each other share what there is.
"""

from typing import Final

START: Final = 1  # batch: the newest
LATE_SHARE: Final = 0.5  # of the time after which a batch is sent again: a later acknowledgement is a sign of load


class InFlight:
    """The limit, between START and ``most``; times in monotonic seconds."""

    def __init__(self, *, most: int, ack_timeout_seconds: float) -> None:
        self._most = most
        self._ack_timeout = ack_timeout_seconds
        self._limit = float(START)
        self._doubles_below = float(most)  # slow start, up to here (ssthresh of RFC 5681)
        self._halved_at = float("-inf")

    @property
    def limit(self) -> int:
        """How many batches may be in flight now."""
        return int(self._limit)

    def acknowledged(self, waited_seconds: float, now: float) -> None:
        """A batch that was sent once was acknowledged after so long; of others it is not known which was answered."""
        if waited_seconds > LATE_SHARE * self._ack_timeout:
            self.late(now)
            return
        more = 1.0 if self._limit < self._doubles_below else 1.0 / self._limit
        self._limit = min(self._most, self._limit + more)

    def late(self, now: float) -> None:
        """An acknowledgement did not come in time: halve, once for all that were in flight."""
        if now - self._halved_at < self._ack_timeout:
            return
        self._halved_at = now
        self._limit = max(START, self._limit / 2)
        self._doubles_below = self._limit

    def reconnected(self) -> None:
        """Of a connection nothing is known at first."""
        self._limit = float(START)
        self._doubles_below = float(self._most)
