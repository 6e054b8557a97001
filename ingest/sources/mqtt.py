"""Messages over MQTT 3.1.1, from any broker, through a persistent session.

A message is confirmed to the broker (PUBACK) when it is committed, not when it is received: what a dead worker held
comes again from the broker, and a broker with a bound on what is in flight waits for a slow database by itself.

Where the inbox is full all the same, nothing is turned away: Mosquitto would send that again only after a reconnect,
and NATS after its ack_wait, again and again. Instead no more is read. The kernel's buffers fill, then the broker's. A
broker may cut off a client that reads nothing for long (NATS after 10 s): that is a reconnect like any other, after
which the session goes on and the ledger drops what is stored by then.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from paho.mqtt.client import MQTTMessage

from ingest import metrics
from ingest.broker_connection import BrokerConfig
from ingest.decoding.decode import Incoming, is_for_the_store
from ingest.errors import BrokerError
from ingest.pause import Pause
from ingest.sources.inbox import Inbox
from ingest.sources.mqtt_connection import MqttConnection
from ingest.sources.port import Aside, is_said_again

logger = logging.getLogger(__name__)

# Foreign topics are seen too, to be stored as rejected. NATS grants a shared subscription ($share) and then
# delivers nothing: each worker that listens by MQTT receives everything.
TOPIC_FILTER: Final = "wearcast/#"


@dataclass(frozen=True, eq=False)
class _Receipt:
    connection: MqttConnection
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
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._inbox = inbox
        self._pause = pause
        self._aside = aside
        self._ready = ready
        self._clock = clock
        self._connection: MqttConnection | None = None  # while connected
        self._waiting: MqttConnection | None = None  # for room in the inbox

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        return self._connection is not None

    async def run(self) -> None:
        """Keep connected and put what comes into the inbox; "ingest worker ready" is logged once subscribed."""
        while True:
            try:
                connection = await MqttConnection.open(
                    self._broker, client_id=self._client_id, topic_filter=TOPIC_FILTER, receive=self._receive
                )
                try:
                    self._connection = connection
                    logger.info("ingest worker ready")
                    self._ready.set()
                    self._pause.reset()
                    await connection.keep()
                finally:
                    self._connection = None
                    await connection.leave()
            except BrokerError as error:
                logger.warning("broker away, will connect again: %s", error)
            await self._pause.sleep()

    def _receive(self, connection: MqttConnection, message: MQTTMessage) -> bool:
        topic, receipt = _topic(message), _Receipt(connection, message.mid) if message.qos else None
        if self._aside(topic, bytes(message.payload)) or not is_for_the_store(topic):
            if receipt is not None:
                connection.confirm([receipt.packet])
            return True
        incoming = Incoming(topic=topic, payload=bytes(message.payload), received_at=self._clock(), receipt=receipt)
        if self._inbox.offer(incoming):
            return True
        self._waiting = connection
        return False

    async def take(self, *, max_messages: int, max_bytes: int, linger_seconds: float) -> list[Incoming]:
        """Next group; see :class:`ingest.sources.port.Source`."""
        group = await self._inbox.take(max_messages=max_messages, max_bytes=max_bytes, linger_seconds=linger_seconds)
        metrics.INBOX_MESSAGES.set(len(self._inbox))
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.resume()
        return group

    async def settle(self, messages: Sequence[Incoming]) -> None:
        """Confirm them, each on the connection it came by."""
        packets: dict[MqttConnection, list[int]] = {}
        for message in messages:
            if isinstance(message.receipt, _Receipt):
                packets.setdefault(message.receipt.connection, []).append(message.receipt.packet)
        for connection, its in packets.items():
            connection.confirm(its)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish with QoS 1, and with QoS 0 what is said again; BrokerError where the broker is away.

        Devices listen with QoS 0, so a broker that keeps it keeps it for nobody, or for who wants it to pile up.
        """
        if self._connection is None:
            raise BrokerError("the broker is away; what was to be published is due again when it is back")
        connection = self._connection
        await connection.send([message for message in messages if is_said_again(message[0])], qos=0)
        await connection.send([message for message in messages if not is_said_again(message[0])], qos=1)

    def close(self) -> None:
        """Take in no more."""
        self._inbox.close()


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError as error:  # no broker should pass it on; the store rejects it
        return bytes(error.object).decode(errors="replace")
