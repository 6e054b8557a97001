"""Which batches are in flight, which come next, and when to send again. Pure: time comes as an argument, in seconds.

The order: first the newest readings, so that after an outage the present shows at once; then events, oldest first,
because an appearing and a clearing trouble code make sense in their order only; then the backlog of readings, oldest
first. What is sealed while connected goes before the backlog, but never takes more than three quarters of the window:
on a line too slow for both, the backlog drains all the same. How large the window is, the backend's quickness decides:
:mod:`edge_agent.congestion`.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.congestion import InFlight
from edge_agent.outbox_batches import StoredBatch

MAX_RESEND_SECONDS: Final = 300.0
_MOST_PRESENT_IN_A_ROW: Final = 3


@dataclass(kw_only=True)
class _Flight:
    batch: StoredBatch
    attempts: int
    sent_at: float  # monotonic seconds, the last time
    resend_at: float  # monotonic seconds
    present: bool  # not of the backlog


class Window:
    """A bounded number of batches that were published and not yet acknowledged; ``size``: the most there may be."""

    def __init__(self, *, size: int, ack_timeout_seconds: float, jitter: Callable[[], float] = random.random) -> None:
        self.size = size
        self._ack_timeout = ack_timeout_seconds
        self._jitter = jitter
        self._in_flight = InFlight(most=size, ack_timeout_seconds=ack_timeout_seconds)
        self._flights: dict[int, _Flight] = {}
        self._present_in_a_row = 0  # batches sent for the first time since one that was not of the present
        self._present_after: int | None = None  # id of the newest batch of the backlog but one, once connected

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def free(self) -> int:
        """How many more may be sent."""
        return max(0, self._in_flight.limit - len(self._flights))

    def overdue(self, now: float) -> tuple[StoredBatch, ...]:
        """In flight for longer than their acknowledgement should take."""
        return tuple(flight.batch for flight in self._flights.values() if flight.resend_at <= now)

    def next(
        self, *, newest: Iterable[StoredBatch], events: Iterable[StoredBatch], oldest: Iterable[StoredBatch]
    ) -> tuple[StoredBatch, ...]:
        """What to publish for the first time now, of readings newest first, events and readings oldest first."""
        newest = tuple(newest)
        if self._present_after is None and newest:
            self._present_after = newest[0].id - 1
        present = [batch for batch in newest if self._is_present(batch)]
        limit = self._in_flight.limit
        backlog = [batch for batch in oldest if not self._is_present(batch)]
        # Of fewer than four a quarter is none: then every fourth that is sent is of the backlog.
        reserved = limit // 4 or int(bool(backlog) and self._present_in_a_row >= _MOST_PRESENT_IN_A_ROW)
        most_present = limit - reserved - sum(flight.present for flight in self._flights.values())
        wanted = (
            *present[: max(0, most_present)],
            *events,
            *backlog,
        )
        fresh = tuple(dict.fromkeys(batch for batch in wanted if batch.id not in self._flights))[: self.free]
        # A key costs the flash a write: a long backlog gets them several at a time.
        waits = len(fresh) == self.free < limit // 4 and all(
            batch.channel == "readings" and not self._is_present(batch) for batch in fresh
        )
        return () if waits else fresh

    def sent(self, batch: StoredBatch, now: float) -> None:
        """It was published: expect its acknowledgement, each time twice as long, with jitter."""
        attempts = self._flights[batch.id].attempts + 1 if batch.id in self._flights else 1
        if attempts > 1:
            self._in_flight.late(now)
        present = batch.channel == "readings" and self._is_present(batch)
        if attempts == 1:
            self._present_in_a_row = self._present_in_a_row + 1 if present else 0
        pause = min(self._ack_timeout * 2 ** min(attempts - 1, 20), MAX_RESEND_SECONDS)
        self._flights[batch.id] = _Flight(
            batch=batch,
            attempts=attempts,
            sent_at=now,
            resend_at=now + pause * (1 + 0.25 * self._jitter()),
            present=present,
        )

    def acknowledged(self, ids: Sequence[int], now: float) -> None:
        """The backend has answered for them."""
        for id_ in ids:
            flight = self._flights.pop(id_, None)
            if flight is not None and flight.attempts == 1:
                self._in_flight.acknowledged(now - flight.sent_at, now)

    def gone(self, ids: Sequence[int]) -> None:
        """They are no longer in the outbox."""
        for id_ in ids:
            self._flights.pop(id_, None)

    def reconnected(self, now: float) -> None:
        """A new connection: paho sends what had no PUBACK by itself; everything else is due one timeout from now."""
        self._present_after = None
        self._in_flight.reconnected()
        for flight in self._flights.values():
            flight.attempts = 1
            flight.resend_at = now + self._ack_timeout * (1 + 0.25 * self._jitter())

    def next_due(self) -> float:
        """When the next resend is due, in monotonic seconds; infinity if nothing is in flight."""
        return min((flight.resend_at for flight in self._flights.values()), default=float("inf"))

    def _is_present(self, batch: StoredBatch) -> bool:
        return self._present_after is not None and batch.id > self._present_after
