"""The time a worker goes by: the database's, which is the same for all workers.

A batch is refused for a time that lies ahead, and its device may then give it up. So nothing is refused because a
clock of ours is wrong: a refusal for the time counts only where the database's clock and this machine's both say so.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ingest import metrics
from ingest.database import Connection, database_time
from ingest.decoding.decode import Accepted, Rejection, decode

logger = logging.getLogger(__name__)

APART: Final = timedelta(minutes=1)  # two clocks that both follow NTP differ by less than a second
_EVERY_SECONDS: Final = 10.0
_LONGEST_ANSWER_SECONDS: Final = 2.0  # an answer that took longer says too little about when it was given


def machine_time() -> datetime:
    """The time by this machine's clock, UTC."""
    return datetime.now(UTC)


def _steady_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)  # goes on while the machine is suspended


def sure_time(connection: Connection, now: datetime) -> datetime:
    """The earliest of ``now``, the database's time and this machine's: what is over by it is over by all three."""
    return min(now, machine_time(), database_time(connection))


class BackendClock:
    """One worker's, asked on any thread: where two compare at once, either answer is as good."""

    def __init__(
        self,
        *,
        machine: Callable[[], datetime] | None = None,
        steady_seconds: Callable[[], float] = _steady_seconds,
    ) -> None:
        self._machine = machine or machine_time
        self._steady = steady_seconds
        self._origin: datetime | None = None  # the database's time when the steady clock was at nothing
        self._compared_at = float("-inf")
        self._apart = False

    def now(self) -> datetime:
        """The database's time, UTC, as it was last heard and has gone on since; the machine's until then."""
        origin = self._origin
        return self._machine() if origin is None else origin + timedelta(seconds=self._steady())

    def compare(self, connection: Connection) -> None:
        """Ask the database for the time, if it is long ago; log and measure how far apart the clocks are.

        While they are apart it is asked each time: one of them is wrong, and may be put right at any moment. By what
        was heard before, one worker would take what another has refused.
        """
        if self._apart or self._steady() - self._compared_at >= _EVERY_SECONDS:
            self._ask(connection)

    def agrees(self, connection: Connection, within: timedelta) -> bool:
        """Whether this machine's clock and the database's are less than that apart; asked anew where they were not."""
        self.compare(connection)
        if self._are_within(within):
            return True
        self._ask(connection)  # either may have been put right since
        return self._are_within(within)

    def _are_within(self, within: timedelta) -> bool:
        return abs(self._machine() - self.now()) < within

    def judged(self, connection: Connection, decoded: Sequence[Accepted | Rejection]) -> list[Accepted | Rejection]:
        """What was decoded, its times held against the clocks as they are now; after :meth:`compare`.

        What the database's clock takes is taken. What only this machine's would take is refused for now
        (``unsure-time``): its device keeps it, and sends it again until the two agree.
        """
        now = self._ask(connection) if any(map(_is_far_future, decoded)) else self.now()
        return [self._judged(entry, now) for entry in decoded]

    def _judged(self, entry: Accepted | Rejection, now: datetime) -> Accepted | Rejection:
        if not _is_far_future(entry) and entry.message.received_at - now <= APART:
            return entry
        again = decode(replace(entry.message, received_at=now))
        if not isinstance(again, Rejection) or not _is_far_future(again):
            return again
        if _is_far_future(decode(replace(entry.message, received_at=self._machine()))):
            return again
        detail = f"{again.detail}; this machine's clock takes it and the database's does not: set the wrong one"
        return replace(again, reason="unsure-time", detail=detail)

    def _ask(self, connection: Connection) -> datetime:
        begun = self._steady()
        moment = database_time(connection)
        ahead = self._machine() - moment
        answered = self._steady()  # after both: who stood still between them would take its own clock for wrong
        if answered - begun > _LONGEST_ANSWER_SECONDS:
            if self._origin is None:  # behind by as long as the answer took; the machine's may be off by anything
                self._origin = moment - timedelta(seconds=answered)
            return moment
        self._compared_at = answered
        self._origin = moment - timedelta(seconds=answered)
        self._tell(ahead)
        return moment

    def _tell(self, ahead: timedelta) -> None:
        metrics.CLOCK_AHEAD_SECONDS.set(ahead.total_seconds())
        apart = abs(ahead) > APART
        if apart and not self._apart:
            logger.warning(
                "this machine's clock is %+.0f s off the database's, which is followed: look which of them is wrong, "
                "and whether NTP runs there",
                ahead.total_seconds(),
            )
        elif self._apart and not apart:
            logger.info("this machine's clock and the database's agree again")
        self._apart = apart


def _is_far_future(entry: Accepted | Rejection) -> bool:
    return isinstance(entry, Rejection) and entry.reason == "far-future"
