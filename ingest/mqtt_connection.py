"""One connection to an MQTT broker, made for a great many messages: packets are taken and sent by the bufferful.

What sets it apart from a general client: reading stops while there is no room for more, so that the broker waits and
nothing is turned away; confirmations and publications leave in one write; nobody waits for each PUBACK by itself.
"""

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Self

from ingest import mqtt_packets as mqtt
from ingest.broker import BrokerConfig, tls_context
from ingest.errors import BrokerError
from ingest.mqtt_packets import Packet, ProtocolError, Publication

_ANSWER_SECONDS: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 60  # told to the broker; a PINGREQ leaves at half of it
_MOST_IN_FLIGHT: Final = 1000  # publications without a PUBACK
_LAST_PACKET_ID: Final = 0xFFFF


class MqttConnection(asyncio.Protocol):
    """Made by :meth:`open`; ends when the broker goes, when it is silent, or by :meth:`close`."""

    def __init__(self, receive: "Receive") -> None:
        self._receive = receive
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answers: dict[int, asyncio.Future[bytes]] = {}  # awaited, by packet type
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # why
        self._heard = True  # anything since the last PINGREQ
        self._paused = False
        self._last_id = 0
        self._unconfirmed: set[int] = set()  # taken from the broker
        self._in_flight: set[int] = set()  # published to it
        self._may_publish = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_publish.set()
        self._may_write.set()

    @classmethod
    async def open(cls, config: BrokerConfig, *, client_id: str, topic_filter: str, receive: "Receive") -> Self:
        """Connect with a session that lasts and subscribe with QoS 1. BrokerError where the broker will not."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: cls(receive), config.host, config.port, ssl=tls_context(config)
                )
        except (OSError, TimeoutError) as error:
            raise BrokerError(f"{config.host}:{config.port} cannot be reached: {str(error) or 'no answer'}") from error
        try:
            await connection.introduce(config, client_id, topic_filter)
        except BaseException:
            connection.close()
            raise
        return connection

    async def introduce(self, config: BrokerConfig, client_id: str, topic_filter: str) -> None:
        """Say who connects and what is wanted; :meth:`open` does."""
        hello = mqtt.connect(
            client_id=client_id,
            username=config.username,
            password=config.password,
            clean_session=False,
            keep_alive_seconds=_KEEP_ALIVE_SECONDS,
        )
        session_kept, code, *_ = await self._ask(hello, mqtt.CONNACK)
        if code:
            raise BrokerError(f"the broker refuses the connection: {mqtt.REFUSALS.get(code, f'code {code}')}")
        if session_kept:
            # Its answer may stand behind messages that there is no room for yet.
            self._write(mqtt.subscribe(self._new_id(), topic_filter))
        elif (await self._ask(mqtt.subscribe(self._new_id(), topic_filter), mqtt.SUBACK))[2] == mqtt.REFUSED:
            raise BrokerError(
                f"the broker does not let this client read {topic_filter}; grant it to the backend's user"
            )

    async def _ask(self, packet: bytes, answer: int) -> bytes:
        future: asyncio.Future[bytes]
        future = self._answers[answer] = asyncio.get_running_loop().create_future()
        self._write(packet)
        either: set[asyncio.Future[Any]] = {future, self._lost}
        done, _ = await asyncio.wait(either, timeout=_ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        del self._answers[answer]
        if future in done:
            return future.result()
        raise BrokerError(self._lost.result() if self._lost.done() else "the broker does not answer")

    async def keep(self) -> None:
        """Keep it alive for as long as it lasts, then raise BrokerError saying why it does no more."""
        while True:
            await asyncio.wait({self._lost}, timeout=_KEEP_ALIVE_SECONDS / 2)
            if self._lost.done():
                raise BrokerError(self._lost.result())
            if not self._heard:
                self.close("the broker has fallen silent")
                continue
            self._heard = self._paused  # what is not read cannot be heard
            self._write(mqtt.PINGREQ)

    def resume(self) -> None:
        """There is room again: take what was left, and read on."""
        if self._paused and not self._lost.done():
            self._paused, self._heard = False, True
            self._take_packets()
            if not self._paused and self._transport is not None:
                self._transport.resume_reading()

    def confirm(self, packets: Collection[int]) -> None:
        """Send the PUBACK of each, if this connection still stands: on another their ids mean other messages."""
        self._unconfirmed.difference_update(packets)
        self._write(b"".join(map(mqtt.puback, packets)))

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send them with QoS 1, at most so many unconfirmed at a time. BrokerError where the connection is lost."""
        for first in range(0, len(messages), _MOST_IN_FLIGHT):
            await self._may_write.wait()
            await self._may_publish.wait()
            if self._lost.done():
                raise BrokerError(self._lost.result())
            sent = []
            for topic, payload in messages[first : first + _MOST_IN_FLIGHT]:
                packet = self._new_id()
                self._in_flight.add(packet)
                sent.append(mqtt.publish(packet, topic, payload))
            if len(self._in_flight) >= _MOST_IN_FLIGHT:
                self._may_publish.clear()
            self._write(b"".join(sent))

    def close(self, why: str = "the connection was closed") -> None:
        """End it in order."""
        if self._transport is not None and not self._lost.done():
            self._write(mqtt.DISCONNECT)
            self._transport.close()
            self._lose(why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio says."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """As asyncio says."""
        self._heard = True
        self._buffer += data
        if not self._paused:
            self._take_packets()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio says."""
        self._lose(f"the broker closed the connection{f': {exc}' if exc else ''}")

    def pause_writing(self) -> None:
        """As asyncio says: the broker does not read what we write."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """As asyncio says."""
        self._may_write.set()

    def _take_packets(self) -> None:
        taken = 0
        try:
            while (found := mqtt.next_packet(self._buffer, taken)) is not None:
                packet, end = found
                if not self._take(packet):
                    self._paused = True
                    break
                taken = end
        except ProtocolError as error:
            self.close(f"what the broker says is no MQTT: {error}")
        del self._buffer[:taken]
        if self._paused and self._transport is not None:
            self._transport.pause_reading()

    def _take(self, packet: Packet) -> bool:
        if packet.kind == mqtt.PUBLISH:
            return self._take_message(mqtt.publication(packet))
        if packet.kind == mqtt.PUBACK:
            self._in_flight.discard(mqtt.packet_id(packet.body))
            if len(self._in_flight) < _MOST_IN_FLIGHT:
                self._may_publish.set()
        elif (answer := self._answers.get(packet.kind)) is not None and not answer.done():
            answer.set_result(bytes(packet.body).ljust(3, b"\0"))
        return True

    def _take_message(self, message: Publication) -> bool:
        # Until it is confirmed, a packet id means the same message (MQTT 3.1.1, 2.3.1), which NATS sends again
        # every few seconds.
        if message.packet in self._unconfirmed:
            return True
        if message.packet:
            self._unconfirmed.add(message.packet)
        taken = self._receive(self, message)
        if not taken:
            self._unconfirmed.discard(message.packet)
        return taken

    def _new_id(self) -> int:
        while True:
            self._last_id = self._last_id % _LAST_PACKET_ID + 1
            if self._last_id not in self._in_flight:
                return self._last_id

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _lose(self, why: str) -> None:
        if not self._lost.done():
            self._lost.set_result(why)
        self._may_write.set()
        self._may_publish.set()


Receive = Callable[[MqttConnection, Publication], bool]  # False: there is no room now, it is offered again
