"""One connection to an MQTT broker, made for a great many messages: aiomqtt, without an object and a task for each.

What sets it apart from aiomqtt's own way of receiving: many packets are read at once, and a message goes straight to
whoever receives; it is confirmed by hand, when it is committed, together with all others of its group; reading stops
while there is no room for more, so that the broker waits and nothing is turned away; and nobody waits for each PUBACK
by itself.

While reading is stopped no answer to a ping is read either: after two keepalives paho takes the broker for dead and
ends the connection. Its successor finds the session, and whatever was not confirmed comes again.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, Self

import aiomqtt
import paho.mqtt.client as paho

from ingest.broker_connection import BrokerConfig, Client
from ingest.errors import BrokerError
from ingest.sources.read_ahead import ReadAhead

_MOST_IN_FLIGHT: Final = 1000  # publications without a PUBACK, or with QoS 0 not yet written
_LAST_SECONDS: Final = 2.0  # for the broker to read and confirm what was published before it is left
_NEVER_SUBSCRIBED: Final = "wearcast/none"
_PACKETS_AT_ONCE: Final = 100
_PUBACK: Final = struct.Struct("!BBH")  # kind, length of the rest, packet id (MQTT 3.1.1, 3.4)
_FIRST_REFUSAL: Final = 0x80  # of a SUBACK's codes (MQTT 3.1.1, 3.9.3)

_Granted = asyncio.Future[Any]  # the codes of a SUBACK


class MqttConnection(Client):
    """Made by :meth:`open`; ends when the broker goes, when it is silent, or by :meth:`leave`."""

    def __init__(self, config: BrokerConfig, *, client_id: str, receive: "Receive", timeout_s: float) -> None:
        super().__init__(config, client_id=client_id, clean_session=False, timeout_s=timeout_s)
        self._client.manual_ack_set(True)
        self._client.disable_logger()  # it words a line for each packet; what ends a connection is said in our errors
        # The one place where paho makes its socket, of whichever kind.
        make = self._client._create_socket  # noqa: SLF001 - paho offers no other way
        self._client._create_socket = lambda: self._reading_ahead(make())  # type: ignore[method-assign]  # noqa: SLF001 - see above
        # Bounded here instead (_MOST_IN_FLIGHT): with a bound of its own paho looks through all of them at each PUBACK.
        self._client.max_inflight_messages_set(0)
        self._receive = receive
        self._session_kept = False
        self._unread: deque[paho.MQTTMessage] = deque()  # read from the socket, and there was no room
        self._unconfirmed: set[int] = set()  # packet ids taken from the broker
        self._in_flight = 0  # published to it
        self._may_publish = asyncio.Event()
        self._may_publish.set()
        self._all_confirmed = asyncio.Event()
        self._all_confirmed.set()
        self._leaving = False

    @classmethod
    async def open(
        cls, config: BrokerConfig, *, client_id: str, topic_filter: str, receive: "Receive", timeout_s: float = 10.0
    ) -> Self:
        """Connect with a session that lasts and subscribe with QoS 1. BrokerError where the broker will not.

        ``timeout_s``: how long the broker has for each of its answers.
        """
        connection = cls(config, client_id=client_id, receive=receive, timeout_s=timeout_s)
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

    def _reading_ahead(self, connected: Any) -> ReadAhead:
        for option in self._socket_options:  # aiomqtt sets them on a bare socket only
            connected.setsockopt(*option)
        return ReadAhead(connected)

    async def _subscribe(self, topic_filter: str) -> None:
        _, number = self._client.subscribe(topic_filter, qos=1)
        if number is None:
            raise BrokerError("the broker closed the connection before it took the subscription")
        refusal = f"the broker does not let this client read {topic_filter}; grant it to the backend's user"
        granted: _Granted = self._loop.create_future()
        self._pending_subscribes[number] = granted
        if self._session_kept:
            # Its answer may stand behind messages that there is no room for yet: it is heard when it comes.
            granted.add_done_callback(lambda answer: self._fail(refusal) if _refused(answer) else None)
            return
        await asyncio.wait({granted, self._disconnected}, timeout=self.timeout, return_when=asyncio.FIRST_COMPLETED)
        if not granted.done():
            raise BrokerError("the broker does not answer the subscription")
        if _refused(granted):
            raise BrokerError(refusal)

    async def keep(self) -> None:
        """Wait for as long as it lasts, then raise BrokerError saying why it does no more."""
        try:
            await asyncio.shield(self._disconnected)
        except aiomqtt.MqttError as error:
            raise BrokerError(str(error)) from error
        raise BrokerError("the connection was closed")

    async def leave(self) -> None:
        """End it: in order, or after the time for an answer without.

        A socket closed with bytes that nobody has read is reset, and takes what was sent last with it. So what still
        comes is read and dropped until the broker has read and confirmed what was published; it comes again.
        """
        self._leaving = True
        self._unread.clear()
        self._listen()
        self._may_publish.set()
        with suppress(TimeoutError):
            if not self._disconnected.done():
                async with asyncio.timeout(min(_LAST_SECONDS, self.timeout)):
                    await self._all_confirmed.wait()
                    await self._answered()
        try:
            await self.__aexit__(None, None, None)
        except aiomqtt.MqttError:
            return

    async def _answered(self) -> None:
        """Wait until the broker has read all that was sent: a publication with QoS 0 has no answer of its own.

        Also who ends a subscription that is none is answered (MQTT 3.1.1, 3.10.4).
        """
        _, number = self._client.unsubscribe(_NEVER_SUBSCRIBED)
        if number is None:  # the connection is lost
            return
        self._pending_unsubscribes[number] = answer = asyncio.Event()
        waiting: asyncio.Future[Any] = self._loop.create_task(answer.wait(), name="last answer of the broker")
        try:
            await asyncio.wait({waiting, self._disconnected}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def resume(self) -> None:
        """There is room again: take what was left, and read on."""
        if self._disconnected.done():
            self._unread.clear()  # the next connection brings it again
        while self._unread and self._take(self._unread[0]):
            self._unread.popleft()
        if not self._unread:
            self._listen()

    def confirm(self, packets: Collection[int]) -> None:
        """Send the PUBACK of each, if this connection still stands: on another their ids mean other messages."""
        self._unconfirmed.difference_update(packets)
        if packets and not self._disconnected.done():
            # In one piece: paho's own `ack` makes and sends each by itself.
            joined = b"".join(_PUBACK.pack(paho.PUBACK, 2, packet) for packet in packets)
            self._client._packet_queue(paho.PUBACK, joined, 0, 1)  # noqa: SLF001 - as its `ack` does

    async def send(self, messages: Sequence[tuple[str, bytes]], *, qos: Literal[0, 1]) -> None:
        """Publish them, at most so many at a time that are not confirmed, or with QoS 0 not written.

        BrokerError where the connection is lost, or the broker confirms nothing: then it is ended, as what it has not
        confirmed by now would be in the way for as long as it lasts.
        """
        for topic, payload in messages:
            await self._wait_for_leave_to_publish()
            if self._client.publish(topic, payload, qos=qos).rc != paho.MQTT_ERR_SUCCESS:
                raise BrokerError("the broker is gone; what was to be published is due again when it is back")
            self._in_flight += 1
            self._all_confirmed.clear()
            if self._in_flight >= _MOST_IN_FLIGHT:
                self._may_publish.clear()

    async def _wait_for_leave_to_publish(self) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                await self._may_publish.wait()
        except TimeoutError:
            reason = f"the broker has confirmed nothing for {self.timeout:.0f} s"
            if not self._unread:  # else its answers may be there, unread
                self._fail(reason)
            raise BrokerError(f"{reason}; what was to be published is due again") from None
        if self._disconnected.done():
            raise BrokerError("the broker is gone; what was to be published is due again when it is back")

    def _fail(self, reason: str) -> None:
        if not self._disconnected.done():
            self._disconnected.set_exception(aiomqtt.MqttError(reason))
        self._may_publish.set()
        self._all_confirmed.set()

    def _listen(self) -> None:
        connected = self._client.socket()
        if connected is None or self._disconnected.done():
            return
        self._loop.add_reader(connected.fileno(), self._read)
        if self._has_pending():
            self._loop.call_soon(self._read)

    def _has_pending(self) -> bool:
        # What is read ahead makes no socket readable.
        connected = self._client.socket()
        return isinstance(connected, ReadAhead) and connected.pending() > 0

    def _read(self) -> None:
        try:
            for _ in range(_PACKETS_AT_ONCE):
                if self._unread:
                    return
                self._client.loop_read()
                if not self._has_pending():
                    return
            self._loop.call_soon(self._read)  # others have their turn first
        except Exception as error:  # noqa: BLE001 - whatever it is, this connection cannot be read on
            self._fail(f"what the broker says cannot be read: {error}")
            self.cut()

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
        if self._leaving:
            return
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
        self._all_confirmed.set()

    def _on_publish(self, *_told: Any) -> None:
        self._in_flight -= 1
        if self._in_flight < _MOST_IN_FLIGHT:
            self._may_publish.set()
        if not self._in_flight:
            self._all_confirmed.set()

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        super()._on_socket_open(client, userdata, sock)
        self._loop.call_soon_threadsafe(self._listen)  # instead of aiomqtt's reader, which knows no pause


Receive = Callable[[MqttConnection, paho.MQTTMessage], bool]  # False: there is no room now, it is offered again


def _refused(granted: _Granted) -> bool:
    return not granted.cancelled() and any(
        int(code.value if hasattr(code, "value") else code) >= _FIRST_REFUSAL for code in granted.result()
    )
