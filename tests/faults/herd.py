"""A fleet after an outage of the whole backend, simulated with the dongles' own logic: who comes when, and sends what.

The backend is a line of batches that are stored one after the other at a fixed rate. Time is simulated, in seconds;
nothing of the dongles' logic is: pauses, window and resends are those of the edge agent.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.config import UplinkConfig
from edge_agent.outbox_batches import StoredBatch
from edge_agent.reconnect import ReconnectPauses
from edge_agent.window import Window


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What happened, and what the backend can do."""

    dongles: int
    outage_seconds: float
    backlog: int  # batches of each dongle
    stored_per_second: float  # batches, by the backend


@dataclass(kw_only=True)
class Return:
    """What was seen; times in seconds after the backend's return."""

    arrivals: Counter[int] = field(default_factory=Counter)  # by second
    most_waiting: int = 0  # batches received and not yet stored
    sent: int = 0  # batches, resends among them
    last_arrival: float = 0.0
    newest_stored: float = 0.0  # when the newest batch of every dongle that was there was stored
    newest_delays: list[float] = field(default_factory=list)  # from each arrival until its newest batch was stored
    all_stored: float = 0.0

    @property
    def most_arrivals(self) -> int:
        """Connections in the busiest second."""
        return max(self.arrivals.values(), default=0)


class _Dongle:
    def __init__(self, number: int, backlog: int, uplink: UplinkConfig, jitter: Callable[[], float]) -> None:
        self.number = number
        self.newest = backlog
        self.arrived = 0.0
        self.looks_at = float("inf")  # when it looks next for what is overdue
        self.size = uplink.window
        self.stored = [
            StoredBatch(id=id_, channel="readings", published=False, items=1) for id_ in range(1, backlog + 1)
        ]
        self.window = Window(size=uplink.window, ack_timeout_seconds=uplink.ack_timeout_seconds, jitter=jitter)

    def due(self, now: float) -> list[StoredBatch]:
        """As the uplink asks its window."""
        fresh = self.window.next(newest=self.stored[: -self.size - 1 : -1], events=(), oldest=self.stored[: self.size])
        due = [*self.window.overdue(now), *fresh]
        for batch in due:
            self.window.sent(batch, now)
        return due

    def acknowledged(self, id_: int, now: float) -> bool:
        """Whether that was the first time."""
        left = [batch for batch in self.stored if batch.id != id_]
        first = len(left) < len(self.stored)
        self.stored = left
        self.window.acknowledged([id_], now)
        return first


def comes_back(outage: Outage, uplink: UplinkConfig, seed: int) -> Return:
    """Simulate it until everything is stored."""
    draw = random.Random(seed)
    seen = Return()
    numbers = itertools.count()
    dongles = [_Dongle(number, outage.backlog, uplink, draw.random) for number in range(outage.dongles)]
    # (time, tie-breaker, what, dongle, batch)
    events: list[tuple[float, int, str, int, int]] = []
    for dongle in dongles:
        arrival = _arrival(outage.outage_seconds, uplink, draw.random)
        heapq.heappush(events, (arrival, next(numbers), "arrives", dongle.number, 0))
    free_at = 0.0
    waiting = 0
    while events:
        now, _, what, number, id_ = heapq.heappop(events)
        dongle = dongles[number]
        if what == "arrives":
            seen.arrivals[int(now)] += 1
            seen.last_arrival = dongle.arrived = now
            dongle.window.reconnected(now)
        elif what == "stored":
            waiting -= 1
            if dongle.acknowledged(id_, now):
                seen.all_stored = now
                if id_ == dongle.newest:
                    seen.newest_stored = now
                    seen.newest_delays.append(now - dongle.arrived)
        if not dongle.stored:
            continue
        for batch in dongle.due(now):
            seen.sent += 1
            waiting += 1
            free_at = max(free_at, now) + 1 / outage.stored_per_second
            heapq.heappush(events, (free_at, next(numbers), "stored", number, batch.id))
        seen.most_waiting = max(seen.most_waiting, waiting)
        if what == "looks":
            dongle.looks_at = float("inf")
        if dongle.window.next_due() < dongle.looks_at:
            dongle.looks_at = dongle.window.next_due()
            heapq.heappush(events, (dongle.looks_at, next(numbers), "looks", number, 0))
    return seen


def _arrival(outage_seconds: float, uplink: UplinkConfig, jitter: Callable[[], float]) -> float:
    """When a dongle that lost its broker at the outage's beginning first finds it again, after the outage's end."""
    pauses = ReconnectPauses(uplink.reconnect_min_seconds, uplink.reconnect_max_seconds, jitter=jitter)
    now = 0.0
    while (now := now + pauses.next()) < outage_seconds:
        pass
    return now - outage_seconds
