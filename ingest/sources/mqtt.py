"""Messages over MQTT 3.1.1, from any broker, through a persistent session.

A message is confirmed to the broker (PUBACK) when it is committed, not when it is received: what a dead worker held
comes again from the broker, and a broker with a bound on what is in flight waits for a slow database by itself.
Packet ids belong to one connection: after a reconnect those of the former one are not confirmed, as they may mean
other messages by then.
"""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiomqtt

from ingest import metrics
from ingest.broker import BrokerConfig, mqtt_client
from ingest.decode import Incoming, is_for_the_store
from ingest.errors import BrokerError
from ingest.inbox import Inbox
from ingest.pause import Pause
from ingest.sources.port import Aside

logger = logging.getLogger(__name__)

# Foreign topics are seen too, to be stored as rejected. NATS grants a shared subscription ($share) and then
# delivers nothing: each worker that listens by MQTT receives everything.
TOPIC_FILTER: Final = "wearcast/#"


@dataclass(frozen=True, kw_only=True)
class _Receipt:
    connection: int  # the how-manieth
    packet: int


class MqttSource:
    """One MQTT session. ``client_id`` is stable: the broker keeps what arrives while the worker is away."""

    def __init__(
        self,
        broker: BrokerConfig,
        *,
        client_id: str,
        inbox: Inbox,
        pause: Pause,
        aside: Aside,
        ready: asyncio.Event,
        most_calls: int,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._inbox = inbox
        self._pause = pause
        self._aside = aside
        self._ready = ready
        self._most_calls = most_calls
        self._client: aiomqtt.Client | None = None  # while connected
        self._gone = asyncio.Event()  # not while connected
        self._connections = itertools.count(1)
        self._connection = 0
        self._held: set[_Receipt] = set()  # of this connection: taken in and not yet confirmed

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        return self._client is not None

    async def run(self) -> None:
        """Keep connected and put what comes into the inbox; "ingest worker ready" is logged once subscribed."""
        while True:
            try:
                async with mqtt_client(
                    self._broker, client_id=self._client_id, clean_session=False, confirm_by_hand=True
                ) as client:
                    client.pending_calls_threshold = self._most_calls  # of them is warned
                    self._connection = next(self._connections)
                    self._held.clear()
                    await client.subscribe(TOPIC_FILTER, qos=1)
                    self._client = client
                    self._gone.clear()
                    logger.info("ingest worker ready")
                    self._ready.set()
                    self._pause.reset()
                    async for message in client.messages:
                        self._receive(client, message)
            except aiomqtt.MqttError as error:
                logger.warning("broker away, will connect again: %s", error)
            finally:
                self._client = None
                self._gone.set()
            await self._pause.sleep()

    def _receive(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        assert isinstance(message.payload, bytes)
        receipt = _Receipt(connection=self._connection, packet=message.mid) if message.qos else None
        if self._aside(topic, message.payload) or not is_for_the_store(topic):
            _confirm(client, receipt)
            return
        if receipt in self._held:  # a packet id means the same message until it is confirmed (MQTT 3.1.1, 2.3.1)
            return
        incoming = Incoming(topic=topic, payload=message.payload, received_at=datetime.now(UTC), receipt=receipt)
        if not self._inbox.offer(incoming):
            metrics.INBOX_REFUSED.inc()
            if self._inbox.refused.bit_count() == 1:  # at 1, 2, 4, 8, …
                logger.warning("inbox full, %d messages left for their devices to send again", self._inbox.refused)
        elif receipt is not None:
            self._held.add(receipt)

    async def take(self, *, max_messages: int, max_bytes: int, linger_seconds: float) -> list[Incoming]:
        """Next group; see :class:`ingest.sources.port.Source`."""
        group = await self._inbox.take(max_messages=max_messages, max_bytes=max_bytes, linger_seconds=linger_seconds)
        metrics.INBOX_MESSAGES.set(len(self._inbox))
        return group

    async def settle(self, messages: Sequence[Incoming]) -> None:
        """Confirm them, if the connection they came by still stands."""
        client = self._client
        if client is None:
            return
        for message in messages:
            receipt = message.receipt
            if isinstance(receipt, _Receipt) and receipt.connection == self._connection:
                self._held.discard(receipt)
                _confirm(client, receipt)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish with QoS 1; BrokerError where the broker is away."""
        client = self._client
        if client is None:
            raise BrokerError("the broker is away; what was to be published is due again when it is back")
        publishing = asyncio.gather(*(client.publish(topic, payload, qos=1) for topic, payload in messages))
        gone = asyncio.create_task(self._gone.wait(), name="broker gone")
        either: set[asyncio.Future[Any]] = {publishing, gone}
        try:
            # aiomqtt waits ten seconds for the answer of a broker that it knows to be gone.
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise BrokerError("the broker went away; what was to be published is due again when it is back")
            await publishing
        except aiomqtt.MqttError as error:
            raise BrokerError(f"the broker did not take a message: {error}") from error
        finally:
            gone.cancel()
            if publishing.cancel():
                await asyncio.gather(publishing, return_exceptions=True)

    def close(self) -> None:
        """Take in no more."""
        self._inbox.close()


def _confirm(client: aiomqtt.Client, receipt: _Receipt | None) -> None:
    if receipt is not None:
        client._client.ack(receipt.packet, 1)  # noqa: SLF001 - aiomqtt offers no way to confirm by hand
