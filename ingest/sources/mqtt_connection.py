"""One connection to an MQTT broker, made for a great many messages: aiomqtt, without an object and a task for each.

What sets it apart from aiomqtt's own way of receiving: a message goes from the socket straight to whoever receives;
it is confirmed by hand, when it is committed; reading stops while there is no room for more, so that the broker waits
and nothing is turned away; and nobody waits for each PUBACK by itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Self

import aiomqtt
import paho.mqtt.client as paho

from ingest.broker import BrokerConfig, Client
from ingest.errors import BrokerError

_MOST_IN_FLIGHT: Final = 1000  # publications without a PUBACK
_FIRST_REFUSAL: Final = 0x80  # of a SUBACK's codes (MQTT 3.1.1, 3.9.3)


class MqttConnection(Client):
    """Made by :meth:`open`; ends when the broker goes, when it is silent, or by :meth:`leave`."""

    def __init__(self, config: BrokerConfig, *, client_id: str, receive: "Receive") -> None:
        super().__init__(config, client_id=client_id, clean_session=False)
        self._client.manual_ack_set(True)
        # Bounded here instead (_MOST_IN_FLIGHT): with a bound of its own paho looks through all of them at each PUBACK.
        self._client.max_inflight_messages_set(0)
        self._receive = receive
        self._session_kept = False
        self._unread: deque[paho.MQTTMessage] = deque()  # read from the socket, and there was no room
        self._unconfirmed: set[int] = set()  # packet ids taken from the broker
        self._in_flight = 0  # published to it
        self._may_publish = asyncio.Event()
        self._may_publish.set()

    @classmethod
    async def open(cls, config: BrokerConfig, *, client_id: str, topic_filter: str, receive: "Receive") -> Self:
        """Connect with a session that lasts and subscribe with QoS 1. BrokerError where the broker will not."""
        connection = cls(config, client_id=client_id, receive=receive)
        try:
            await connection.__aenter__()
        except aiomqtt.MqttError as error:
            raise BrokerError(f"{config.host}:{config.port}: {error}") from error
        try:
            await connection._subscribe(topic_filter)
        except BaseException:
            await connection.leave()
            raise
        return connection

    async def _subscribe(self, topic_filter: str) -> None:
        if self._session_kept:
            # Its answer may stand behind messages that there is no room for yet.
            self._pending_subscribes[self._client.subscribe(topic_filter, qos=1)[1] or 0] = asyncio.Future()
            return
        try:
            granted = await self.subscribe(topic_filter, qos=1)
        except aiomqtt.MqttError as error:
            raise BrokerError(f"the broker does not take the subscription: {error}") from error
        if any(int(code.value if hasattr(code, "value") else code) >= _FIRST_REFUSAL for code in granted):
            raise BrokerError(
                f"the broker does not let this client read {topic_filter}; grant it to the backend's user"
            )

    async def keep(self) -> None:
        """Wait for as long as it lasts, then raise BrokerError saying why it does no more."""
        try:
            await asyncio.shield(self._disconnected)
        except aiomqtt.MqttError as error:
            raise BrokerError(str(error)) from error
        raise BrokerError("the connection was closed")

    async def leave(self) -> None:
        """End it in order."""
        self._may_publish.set()
        try:
            await self.__aexit__(None, None, None)
        except aiomqtt.MqttError:
            return

    def resume(self) -> None:
        """There is room again: take what was left, and read on."""
        while self._unread and self._take(self._unread[0]):
            self._unread.popleft()
        connected = self._client.socket()
        if not self._unread and connected is not None and not self._disconnected.done():
            self._loop.add_reader(connected.fileno(), self._read)

    def confirm(self, packets: Collection[int]) -> None:
        """Send the PUBACK of each, if this connection still stands: on another their ids mean other messages."""
        self._unconfirmed.difference_update(packets)
        if self._disconnected.done():
            return
        for packet in packets:
            self._client.ack(packet, 1)

    async def send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish them with QoS 1, at most so many unconfirmed at a time. BrokerError where the connection is lost."""
        for topic, payload in messages:
            await self._may_publish.wait()
            if self._disconnected.done():
                raise BrokerError("the broker is gone; what was to be published is due again when it is back")
            self._in_flight += 1
            if self._in_flight >= _MOST_IN_FLIGHT:
                self._may_publish.clear()
            self._client.publish(topic, payload, qos=1)

    def _read(self) -> None:
        try:
            self._client.loop_read()
        except Exception as error:  # noqa: BLE001 - whatever it is, this connection cannot be read on
            if not self._disconnected.done():
                self._disconnected.set_exception(aiomqtt.MqttError(f"what the broker says cannot be read: {error}"))

    def _take(self, message: paho.MQTTMessage) -> bool:
        # Until it is confirmed, a packet id means the same message (MQTT 3.1.1, 2.3.1), which NATS sends again
        # every few seconds.
        if message.qos and message.mid in self._unconfirmed:
            return True
        if message.qos:
            self._unconfirmed.add(message.mid)
        taken = self._receive(self, message)
        if not taken:
            self._unconfirmed.discard(message.mid)
        return taken

    def _on_message(self, *told: Any) -> None:
        *_, message = told
        if self._unread or not self._take(message):
            self._unread.append(message)
            connected = self._client.socket()
            if connected is not None:
                self._loop.remove_reader(connected.fileno())

    def _on_connect(
        self, client: paho.Client, userdata: Any, flags: paho.ConnectFlags, reason_code: Any, properties: Any = None
    ) -> None:
        self._session_kept = flags.session_present
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(self, *told: Any) -> None:
        super()._on_disconnect(*told)
        self._may_publish.set()

    def _on_publish(self, *_told: Any) -> None:
        self._in_flight -= 1
        if self._in_flight < _MOST_IN_FLIGHT:
            self._may_publish.set()


Receive = Callable[[MqttConnection, paho.MQTTMessage], bool]  # False: there is no room now, it is offered again
