"""Tells the devices what is committed: beside the storing, and together for what commits within a short time."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from ingest import metrics
from ingest.errors import BrokerError
from ingest.sources.port import Source
from ingest.storing.acknowledgements import together
from telemetry.records import Acknowledgement
from telemetry.topics import acks_topic
from telemetry.wire import encode_ack

logger = logging.getLogger(__name__)

_TOGETHER_SECONDS: Final = 0.1  # after one publication until the next; the first leaves at once


class Acknowledger:
    """Of one worker. An acknowledgement that gets lost costs a repetition, never a batch."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._due: list[Acknowledgement] = []
        self._any_due = asyncio.Event()

    def add(self, acknowledgements: Sequence[Acknowledgement]) -> None:
        """These are committed, or refused for good."""
        self._due += acknowledgements
        if self._due:
            self._any_due.set()

    async def run(self) -> None:
        """Publish what is added, until cancelled."""
        while True:
            await self._any_due.wait()
            await self.publish()
            await asyncio.sleep(_TOGETHER_SECONDS)

    async def publish(self) -> None:
        """Publish what was added by now, one message for each device and boot."""
        self._any_due.clear()
        if not self._due:
            return
        due, self._due = together(self._due), []
        try:
            await self._source.publish([(acks_topic(ack.device), encode_ack(ack)) for ack in due])
            metrics.ACKNOWLEDGED.inc(len(due))
        except BrokerError as error:
            metrics.FAILURES.labels("acknowledgement").inc()
            logger.warning("acknowledgements are lost, the devices will ask again: %s", error)
