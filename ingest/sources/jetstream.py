"""Messages from a NATS cluster, through one durable pull consumer that any number of workers share.

Each worker asks for as much as it has room for, and settles a message when it is committed. What a dead or frozen
worker held goes to another after the consumer's ``ack_wait``; a worker that waits for its database asks for that time
to be extended, until others may as well try (:data:`_LONGEST_HOLD`). A receipt is a subject of NATS and is good on
any later connection.

What is published goes the two ways of the server's own MQTT listener: as a plain message, which reaches whoever is
connected and has subscribed with QoS 0, and stored, for sessions that have subscribed with QoS 1. What is said again
(acknowledgements, wipes) goes the first way alone, to both: a device that misses one is told once more.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ingest import metrics
from ingest.cancelling import end_tasks
from ingest.decoding.decode import Incoming, is_for_the_store
from ingest.errors import BrokerError
from ingest.pause import Pause
from ingest.sources.holding import Demand, Holding
from ingest.sources.inbox import Inbox
from ingest.sources.nats_connection import NatsConfig, NatsConnection, nats_connection
from ingest.sources.nats_stream import CONSUMER, STREAM, find_consumer
from ingest.sources.port import Aside, is_said_again
from ingest.sources.subjects import STORED, subject_of, topic_of

logger = logging.getLogger(__name__)

_NEXT: Final = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}"
_QOS_1: Final = {"Nmqtt-Pub": "1"}  # the server's mark: by it each subscription takes one of the two and not both
_ACK: Final = b"+ACK"
_NAK: Final = b"-NAK"
_WORKING: Final = b"+WPI"
_SECOND: Final = 1_000_000_000  # NATS counts in nanoseconds
_REQUEST_SECONDS: Final = 10
_HEARTBEAT_SECONDS: Final = 2  # of the broker, while a request has no answer
_SILENCE_SECONDS: Final = 3 * _HEARTBEAT_SECONDS
_LONGEST_HOLD: Final = 10  # times ack_wait
_DRAIN_SECONDS: Final = 2
_ENDS_A_REQUEST: Final = ("Batch Completed", "MaxBytes")  # in descriptions of status 409; the others are troubles


class JetstreamSource:
    """One worker's share of the consumer. ``most_messages``: taken and not settled, at most."""

    def __init__(
        self,
        config: NatsConfig,
        *,
        name: str,
        inbox: Inbox,
        pause: Pause,
        aside: Aside,
        ready: asyncio.Event,
        most_messages: int,
        most_bytes: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._name = name
        self._inbox = inbox
        self._pause = pause
        self._aside = aside
        self._ready = ready
        self._clock = clock
        self._holding = Holding(most_messages=most_messages, most_bytes=most_bytes)
        self._client: Client | None = None  # while connected and the consumer is there
        self._closing = asyncio.Event()
        self._room = asyncio.Event()  # something was settled, or a request ended
        self._heard_at = 0.0  # monotonic
        self._trouble: str | None = None

    @property
    def connected(self) -> bool:
        """Whether the broker is there now, and lets us take messages."""
        return self._client is not None

    async def run(self) -> None:
        """Keep connected and ask for messages; "ingest worker ready" is logged once asked."""
        while True:
            try:
                async with nats_connection(self._config, name=self._name) as connection:
                    consumer = await find_consumer(connection.client)
                    await self._receive(connection, ack_wait_seconds=consumer.config.ack_wait or 30.0)
            except (BrokerError, nats.errors.Error, OSError, TimeoutError) as error:
                logger.warning("broker away, will connect again: %s", _text(error))
            finally:
                self._client = None
            await self._pause.sleep()

    async def _receive(self, connection: NatsConnection, *, ack_wait_seconds: float) -> None:
        client = connection.client
        answers = client.new_inbox()
        subscription = await client.subscribe(f"{answers}.*", cb=self._on_message)
        self._holding.nothing_asked()
        self._trouble, self._heard_at = None, time.monotonic()
        self._client = client
        tasks = [
            asyncio.create_task(connection.lost.wait(), name="watch the connection"),
            asyncio.create_task(self._ask(client, answers), name="ask for messages"),
            asyncio.create_task(self._extend(client, ack_wait_seconds), name="extend what is held"),
            asyncio.create_task(self._end(subscription), name="end receiving"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end_tasks(tasks)
            await _drain(subscription)  # what is on its way was given to us
        raise BrokerError(f"the connection to {self._config.servers} broke")

    async def _ask(self, client: Client, answers: str) -> None:
        """Ask whenever there is room; BrokerError where the broker has not answered for too long, or not well."""
        request = 0
        while True:
            while not self._closing.is_set() and (demand := self._holding.demand()) is not None:
                request += 1
                await client.publish(_NEXT, _request(demand), reply=f"{answers}.{request}")
                if not self._ready.is_set():
                    logger.info("ingest worker ready")
                    self._ready.set()
            self._room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await self._room.wait()
            if self._trouble is not None:
                raise BrokerError(self._trouble)
            if self._holding.asked and time.monotonic() - self._heard_at > _SILENCE_SECONDS:
                raise BrokerError(f"no answer about the consumer {CONSUMER} for {_SILENCE_SECONDS} s")

    async def _extend(self, client: Client, ack_wait_seconds: float) -> None:
        """Ask for more time for what waits here for the database."""
        while True:
            await asyncio.sleep(ack_wait_seconds / 10)
            for receipt in self._holding.to_extend(
                time.monotonic(),
                after_seconds=ack_wait_seconds / 3,
                at_most_seconds=ack_wait_seconds * _LONGEST_HOLD,
            ):
                await client.publish(receipt, _WORKING)

    async def _end(self, subscription: Subscription) -> None:
        """Once closing: let the broker send no more, and wait to be cancelled."""
        await self._closing.wait()
        await _drain(subscription)
        self._holding.nothing_asked()  # no answer comes any more, and none is to be missed
        await asyncio.Event().wait()

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        status = message.headers.get("Status") if message.headers else None
        if status is not None:
            self._on_status(status, message.headers or {})
            return
        client, topic = self._client, topic_of(message.subject.removeprefix(STORED))
        if client is None:
            return
        self._pause.reset()
        self._holding.take(message.reply, len(message.data), self._heard_at)
        if self._closing.is_set():
            await self._give_back(client, message.reply)
        elif self._aside(topic, message.data) or not is_for_the_store(topic):
            await self._confirm(client, message.reply)
        else:
            incoming = Incoming(topic=topic, payload=message.data, received_at=self._clock(), receipt=message.reply)
            if not self._inbox.offer(incoming):
                metrics.INBOX_REFUSED.inc()
                await self._give_back(client, message.reply)

    def _on_status(self, status: str, headers: dict[str, str]) -> None:
        if status == "100":  # heartbeat
            return
        description = headers.get("Description", "")
        if status in {"404", "408"} or any(words in description for words in _ENDS_A_REQUEST):
            self._holding.unanswered(int(headers.get("Nats-Pending-Messages", "0")))
            self._pause.reset()
        else:
            self._trouble = f"the broker ended a request: {status} {description}".strip()
        self._room.set()

    async def _confirm(self, client: Client, receipt: str) -> None:
        self._holding.settle(receipt)
        await client.publish(receipt, _ACK)

    async def _give_back(self, client: Client, receipt: str) -> None:
        self._holding.settle(receipt)
        await client.publish(receipt, _NAK)

    async def take(self, *, max_messages: int, max_bytes: int, linger_seconds: float) -> list[Incoming]:
        """Next group; see :class:`ingest.sources.port.Source`."""
        group = await self._inbox.take(max_messages=max_messages, max_bytes=max_bytes, linger_seconds=linger_seconds)
        metrics.INBOX_MESSAGES.set(len(self._inbox))
        return group

    async def settle(self, messages: Sequence[Incoming]) -> None:
        """Confirm them, by whatever connection there is; the broker's word is not waited for."""
        client = self._client
        try:
            for message in messages:
                assert isinstance(message.receipt, str)
                self._holding.settle(message.receipt)
                if client is not None:
                    await client.publish(message.receipt, _ACK)
        except nats.errors.Error as error:
            logger.warning("messages that are committed come again: %s", error)
        self._room.set()

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """To whoever is connected, and what is not said again stored as well; BrokerError if that fails."""
        client = self._client
        if client is None:
            raise BrokerError("the broker is away; what was to be published is due again when it is back")
        try:
            for topic, payload in messages:
                subject = subject_of(topic)
                if is_said_again(topic):
                    await client.publish(subject, payload)
                else:
                    await client.publish(subject, payload, headers=_QOS_1)
                    await client.jetstream().publish(STORED + subject, payload, headers=_QOS_1)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise BrokerError(f"the broker did not take a message: {_text(error)}") from error

    def close(self) -> None:
        """Take in no more; what was not handed out yet still is."""
        self._closing.set()
        self._inbox.close()


def _request(demand: Demand) -> bytes:
    return json.dumps(
        {
            "batch": demand.messages,
            "max_bytes": demand.bytes,
            "expires": _REQUEST_SECONDS * _SECOND,
            "idle_heartbeat": _HEARTBEAT_SECONDS * _SECOND,
        }
    ).encode()


async def _drain(subscription: Subscription) -> None:
    with suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await subscription.drain()  # type: ignore[no-untyped-call]  # the library forgot to say that it gives None


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
