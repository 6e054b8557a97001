"""The courier: brings service records and wipes to the dongles, and notes what became of them.

Every worker has one; what is due is claimed in the database, so that each record goes out once at a time. Whatever gets
lost (here, at the broker, on the way back) is sent again until the dongle has answered: it takes a record once.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from ingest.errors import BrokerError, DatabaseError
from ingest.outbound import services
from ingest.outbound.services import Parcel
from ingest.outbound.wipe_post import Heard, WipePost
from ingest.session import Session
from ingest.sources.port import Source
from telemetry.errors import WireError
from telemetry.service import SERVICE_KIND, ServiceResult, decode_service_result, encode_service
from telemetry.topics import DEVICE_ID, PREFIX, commands_topic
from telemetry.wipe import WIPE_KIND, Wipe, encode_wipe

logger = logging.getLogger(__name__)

_RESULTS: Final = re.compile(rf"{re.escape(PREFIX)}/({DEVICE_ID.pattern})/results/{SERVICE_KIND}")
_MOST_RESULTS: Final = 1000  # waiting to be noted; what finds no room is answered again


@dataclass(frozen=True, kw_only=True)
class CourierConfig:
    """How often is looked, and when an unanswered record is sent again."""

    look_seconds: float = 2.0
    again: timedelta = timedelta(minutes=1)  # while the dongle is online, doubled each time
    longest: timedelta = timedelta(hours=1)
    away: timedelta = timedelta(days=1)  # while it is not: it gets what is pending when it comes
    # Given up once both are reached: an agent of a former version never answers, nor one that never knows its car.
    most_attempts: int = 200  # while online: more than a week of it
    give_up_after: timedelta = timedelta(days=14)


class Courier:
    """Sends and notes, over the source of its worker; without a connection it waits."""

    def __init__(self, config: CourierConfig, *, database_url: str, name: str) -> None:
        self._config = config
        self._session = Session(database_url, application_name=f"{name}-courier")
        self._results: asyncio.Queue[ServiceResult] = asyncio.Queue(_MOST_RESULTS)
        self._wipes = WipePost()
        self.post: Source | None = None  # set before run()

    def offer(self, topic: str, payload: bytes) -> bool:
        """Take a message if it is an answer to a service record or a wipe."""
        found = _RESULTS.fullmatch(topic)
        if found is None:
            return self._wipes.offer(topic, payload)
        try:
            self._results.put_nowait(decode_service_result(found[1], payload))
            self._wipes.news.set()
        except WireError as error:
            logger.warning("ignored an answer of %s: %s", found[1], error)
        except asyncio.QueueFull:
            logger.warning("an answer of %s finds no room; it is asked for again", found[1])
        return True

    async def run(self) -> None:
        """Until cancelled. A database or broker that is away is waited for."""
        try:
            while True:
                try:
                    await self._round()
                except (DatabaseError, psycopg.Error, BrokerError) as error:
                    logger.warning("service records wait: %s", (str(error) or type(error).__name__).splitlines()[0])
                await self._pause()
        finally:
            self._session.close()

    async def _round(self) -> None:
        results = [self._results.get_nowait() for _ in range(self._results.qsize())]
        post = self.post if self.post is not None and self.post.connected else None
        heard = self._wipes.heard()
        parcels, due = await asyncio.to_thread(self._settle, results, heard, may_send=post is not None)
        if post is None:
            return
        await post.publish([(commands_topic(wipe.device, WIPE_KIND), encode_wipe(wipe)) for wipe in due])
        for parcel in parcels:
            topic = commands_topic(parcel.device, SERVICE_KIND)
            await post.publish([(topic, encode_service(parcel.device, parcel.record))])
            logger.info("sent service record %s to %s", parcel.record.id, parcel.device)

    def _settle(
        self, results: Sequence[ServiceResult], heard: Heard, *, may_send: bool
    ) -> tuple[list[Parcel], list[Wipe]]:
        """Note the answers and claim what is due, each committed before anything is sent."""
        now = datetime.now(UTC)
        config = self._config
        with self._session.connection() as connection:
            due = self._wipes.settle(connection, heard, now, may_send=may_send)
            with connection.transaction():
                services.answered(connection, results, now)
            if not may_send:
                return [], []
            with connection.transaction():
                services.give_up(connection, now, after=config.give_up_after, attempts=config.most_attempts)
                return (
                    services.take_due(connection, now, again=config.again, longest=config.longest, away=config.away),
                    due,
                )

    async def _pause(self) -> None:
        """Until it is time to look again, or an answer has come: the next record may wait for it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.look_seconds):
                await self._wipes.news.wait()
