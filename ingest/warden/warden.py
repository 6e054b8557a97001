"""Stands between the broker and the store: lets through what each device may send, and keeps out who does not stop.

A message that is not let through is settled at the broker and not acknowledged to its device: an honest one sends it
again later. Who is kept out stands in the database, from where brokers and the other workers learn of it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

import psycopg

from ingest import metrics
from ingest.database import connect
from ingest.decode import Incoming
from ingest.errors import DatabaseError
from ingest.warden import blocks
from ingest.warden.limits import Limits, Meter, Offence
from telemetry.topics import sender_of

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 15.0  # how often is asked who is kept out, by other workers or by hand


class Warden:
    """Of one worker. Without limits it lets everything through that is not of a blocked device."""

    def __init__(
        self,
        limits: Limits | None,
        *,
        database_url: str,
        name: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        steady_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock``: of the messages and the blocks. It may be put right; what is measured goes by the steady one."""
        self._meter = None if limits is None else Meter(limits=limits)
        self._database_url = database_url
        self._name = f"{name}-warden"
        self._clock = clock
        self._steady = steady_seconds
        self._blocked: frozenset[str] = frozenset()
        self._offences: dict[str, Offence] = {}  # not in the database yet
        self._looked_at = float("-inf")

    async def admit(self, group: Sequence[Incoming]) -> list[Incoming]:
        """Those of the group that are taken, in their order."""
        await self._look()
        if self._meter is None and not self._blocked:
            return list(group)
        steady = self._steady()
        ahead = self._clock().timestamp() - steady
        admitted = [
            message for message in group if self._admits(message, min(steady, message.received_at.timestamp() - ahead))
        ]
        if len(admitted) < len(group):
            metrics.LIMITED.inc(len(group) - len(admitted))
        return admitted

    def note_malformed(self, senders: Sequence[str]) -> None:
        """Messages of these devices were not what they should be; a name for each message."""
        if self._meter is not None and senders:
            self._meter.malformed(senders, self._steady())

    def note_aside(self, topic: str, size_bytes: int) -> None:
        """A message that is not for the store and came past :meth:`admit`; who sends such without end floods too."""
        if self._meter is not None:
            self._meter.admit(sender_of(topic), size_bytes, self._steady())

    def _admits(self, message: Incoming, received_at: float) -> bool:
        device = sender_of(message.topic)
        if device in self._blocked or device in self._offences:
            return False
        return self._meter is None or self._meter.admit(device, len(message.payload), received_at)

    async def _look(self) -> None:
        """Tell the database of offences, at once; ask it who is kept out, every few seconds."""
        if self._meter is not None:
            self._offences |= {device: offence for device, offence in self._meter.collect().items() if device}
        steady = self._steady()
        if not (self._offences or steady - self._looked_at >= LOOK_SECONDS):
            return
        self._looked_at = steady
        try:
            self._blocked = await asyncio.to_thread(self._exchange, dict(self._offences), self._clock())
        except (DatabaseError, psycopg.Error) as error:
            logger.warning("cannot say now who is kept out: %s", (str(error) or type(error).__name__).splitlines()[0])
        else:
            self._offences.clear()

    def _exchange(self, offences: dict[str, Offence], now: datetime) -> frozenset[str]:
        with closing(connect(self._database_url, application_name=self._name)) as opened, opened.transaction():
            for device, offence in sorted(offences.items()):
                if blocks.block(opened, device, reason=offence, now=now):
                    metrics.BLOCKED.labels(offence).inc()
                    logger.warning("%s is kept out for a time: %s", device, _WHY[offence])
            return frozenset(entry.device_id for entry in blocks.blocked(opened, now))


_WHY: Final[dict[Offence, str]] = {
    "flood": "it goes on sending far beyond its limit",
    "malformed": "it sends message after message that is none",
}
