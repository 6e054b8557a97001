"""Stands between the broker and the store: lets through what each device may send, and keeps out who does not stop.

A message that is not let through is settled at the broker and not acknowledged to its device: an honest one sends it
again later. Who is kept out stands in the database, from where brokers and the other workers learn of it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg

from ingest import metrics
from ingest.database import Connection
from ingest.decoding.decode import Incoming
from ingest.errors import DatabaseError
from ingest.session import Session
from ingest.warden import blocks, shares
from ingest.warden.limits import Limits, Offence
from ingest.warden.meter import Meter
from ingest.warden.outage import last_heard
from ingest.warden.tally import TOLD_EVERY_SECONDS, Tally, Use
from telemetry.topics import sender_of

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 15.0  # how often is asked who is kept out, by other workers or by hand
_TURN_SECONDS: Final = 1.0
# Whoever erases a person has its dongle's rows, and all messages wait for what is told of it. Less than PostgreSQL's
# deadlock_timeout (1 s): where the two hold each other up, it is the warden that gives way.
_LOCK_MILLISECONDS: Final = 500


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """What the database says: who is kept out (None: it was not asked), and what is left of allowances."""

    blocked: frozenset[str] | None
    silent_seconds: float  # before this worker began; 0 where that was asked before
    left: Mapping[str, Use]


class Warden:
    """Of one worker. Without limits it lets everything through that is not of a blocked device."""

    def __init__(
        self,
        limits: Limits | None,
        *,
        database_url: str,
        name: str,
        shares: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        compare: Callable[[Connection], object] = lambda _connection: None,
        steady_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock``: of the messages and the blocks. It may be put right; what is measured goes by the steady one.

        ``compare`` puts it right by the database. ``shares``: other workers get a part of each device's messages, so
        that they count together. Where each worker gets all of them, each counts for itself.
        """
        self._limits = limits
        self._tally = Tally(limits) if limits is not None and shares else None
        self._meter = None if limits is None else Meter(limits=limits, tally=self._tally)
        self._session = Session(database_url, application_name=f"{name}-warden", prepare=_wait_shortly)
        self._clock = clock
        self._compare = compare
        self._steady = steady_seconds
        self._blocked: frozenset[str] = frozenset()
        self._offences: dict[str, Offence] = {}  # not in the database yet
        self._looked_at = float("-inf")
        self._came_at: float | None = None  # when a group came last
        self._told_at = float("-inf")
        self._tries_from = float("-inf")  # later than now where the database did not answer
        self._knows_the_past = False
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Look until cancelled, also while nothing comes for the store: answers alone may be a flood."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(_TURN_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """End its session with the database."""
        self._session.close()

    async def admit(self, group: Sequence[Incoming]) -> list[Incoming]:
        """Those of the group that are taken, in their order."""
        await self._look()
        if self._meter is None and not self._blocked:
            return list(group)
        steady = self._steady()
        if self._came_at is not None:
            self._pardon(steady - self._came_at)
        self._came_at = steady
        ahead = self._clock().timestamp() - steady
        admitted: list[Incoming] = []
        for message in group:
            received_at = min(steady, message.received_at.timestamp() - ahead)
            if self._admits(message.topic, len(message.payload), received_at):
                admitted.append(message)
            if self._presses():
                await self._look()
        if len(admitted) < len(group):
            metrics.LIMITED.inc(len(group) - len(admitted))
        return admitted

    def note_malformed(self, senders: Sequence[str]) -> None:
        """Messages of these devices were not what they should be; a name for each message."""
        if self._meter is not None and senders:
            self._meter.malformed(senders, self._steady())

    def admits_aside(self, topic: str, size_bytes: int) -> bool:
        """Whether a message is taken that is not for the store; who sends such without end floods too."""
        admitted = self._admits(topic, size_bytes, self._steady())
        if not admitted:
            metrics.LIMITED.inc()
        return admitted

    def _admits(self, topic: str, size_bytes: int, received_at: float) -> bool:
        device = sender_of(topic)
        if device in self._blocked or device in self._offences:
            return False
        return self._meter is None or self._meter.admit(device, size_bytes, received_at)

    async def _look(self) -> None:
        """Tell the database of offences and of who presses at once, of others in a while; ask who is kept out."""
        async with self._looking:
            if self._meter is not None:
                self._offences |= {device: offence for device, offence in self._meter.collect().items() if device}
            steady = self._steady()
            if steady < self._tries_from:
                return
            asks = bool(self._offences) or steady - self._looked_at >= LOOK_SECONDS
            uses = self._to_tell(steady)
            if not (asks or uses):
                return
            if asks:
                self._looked_at = steady
            offences = dict(self._offences)
            try:
                heard = await asyncio.to_thread(self._exchange, offences, uses, asks=asks)
            except (DatabaseError, psycopg.Error) as error:
                told = (str(error) or type(error).__name__).splitlines()[0]
                logger.warning("cannot say now who is kept out: %s", told)
                if self._tally is not None:
                    self._tally.give_back(uses)
                self._tries_from = self._steady() + TOLD_EVERY_SECONDS
                return
            if heard.blocked is not None:
                self._blocked = heard.blocked
                self._knows_the_past = True
                self._pardon(heard.silent_seconds)
            for device in offences:
                del self._offences[device]
            if self._meter is not None:
                self._meter.left(heard.left, self._steady())

    def _pardon(self, silent_seconds: float) -> None:
        if self._meter is not None:
            self._meter.pardon.after(silent_seconds, self._steady())

    def _to_tell(self, steady: float) -> dict[str, Use]:
        if self._tally is None:
            return {}
        all_due = steady - self._told_at >= TOLD_EVERY_SECONDS
        if all_due:
            self._told_at = steady
        return self._tally.collect(all_due=all_due) if all_due or self._presses() else {}

    def _presses(self) -> bool:
        return self._tally is not None and self._tally.presses and self._steady() >= self._tries_from

    def _exchange(self, offences: Mapping[str, Offence], uses: dict[str, Use], *, asks: bool) -> _Heard:
        # In autocommit mode: a worker that stands still now holds no lock that the others would wait for.
        with self._session.connection() as connection:
            kept_out = self._ask_who_is_kept_out(connection, offences) if asks else None
            silent = 0.0 if self._knows_the_past or not asks else self._silent_seconds(connection)
            left = {} if self._limits is None else shares.tell_all(connection, uses, self._limits)
        return _Heard(blocked=kept_out, silent_seconds=silent, left=left)

    def _silent_seconds(self, connection: Connection) -> float:
        heard = last_heard(connection)
        return 0.0 if heard is None else (self._clock() - heard).total_seconds()

    def _ask_who_is_kept_out(self, connection: Connection, offences: Mapping[str, Offence]) -> frozenset[str]:
        self._compare(connection)
        now = self._clock()
        for device, offence in sorted(offences.items()):
            if blocks.block(connection, device, reason=offence, now=now):
                metrics.BLOCKED.labels(offence).inc()
                logger.warning("%s is kept out for a time: %s", device, _WHY[offence])
        if self._tally is not None:
            shares.forget(connection)
        return frozenset(entry.device_id for entry in blocks.blocked(connection, now))


def _wait_shortly(connection: Connection) -> None:
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{_LOCK_MILLISECONDS}ms"])


_WHY: Final[dict[Offence, str]] = {
    "flood": "it goes on sending far beyond its limit",
    "malformed": "it sends message after message that is none",
}
