"""A broker of a few lines on a real socket, with or without TLS: it does what a test wants, also what none should."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from ingest.broker_connection import BrokerConfig
from ingest.pause import Pause
from ingest.sources.inbox import Inbox
from ingest.sources.mqtt import MqttSource
from tests.unit.ingest import mqtt_packets as mqtt

TOPIC = "wearcast/v1/d1/readings"


class Broker:
    """Takes one client, says yes to everything, and notes what is confirmed."""

    def __init__(self) -> None:
        self.port = 0
        self.session_kept = False
        self.before_the_subscription: list[tuple[int, bytes]] = []
        self.confirmed: list[int] = []
        self.published: list[bytes] = []
        self.published_with: list[int] = []  # QoS of each
        self.writer: asyncio.StreamWriter | None = None
        self.connections = 0
        self.confirms = True
        self.answers_connect = True
        self.suback: bytes | None = b"\x01"  # None: it closes the connection instead
        self.answers_unsubscribe = True
        self.left_unanswered: list[int] = []  # packet ids
        self.closed = 0  # connections that their client has closed

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.connections += 1
        buffer = bytearray()
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                buffer += data
                while (packet := mqtt.next_packet(buffer)) is not None:
                    self._answer(packet)
        self.closed += 1
        writer.close()

    def _answer(self, packet: mqtt.Packet) -> None:
        assert self.writer is not None
        if packet.kind == mqtt.CONNECT and self.answers_connect:
            self.writer.write(bytes((0x20, 2, self.session_kept, 0)))
            for number, payload in self.before_the_subscription:
                self.deliver(number, payload)
        elif packet.kind == mqtt.SUBSCRIBE:
            if self.suback is None:
                self.writer.close()
            else:
                self.writer.write(b"\x90\x03" + packet.body[:2] + self.suback)
        elif packet.kind == mqtt.UNSUBSCRIBE:
            if self.answers_unsubscribe:
                self.writer.write(mqtt.unsuback(mqtt.packet_id(packet.body)))
            else:
                self.left_unanswered.append(mqtt.packet_id(packet.body))
        elif packet.kind == mqtt.PUBACK:
            self.confirmed.append(mqtt.packet_id(packet.body))
        elif packet.kind == mqtt.PUBLISH:
            payload, number = mqtt.payload_and_id(packet)
            self.published.append(payload)
            self.published_with.append(mqtt.qos(packet))
            if self.confirms and mqtt.qos(packet):
                self.writer.write(mqtt.puback(number))

    def deliver(self, packet: int, payload: bytes, topic: str = TOPIC) -> None:
        self.deliver_under(topic.encode(), packet, payload)

    def deliver_under(self, topic: bytes, packet: int, payload: bytes) -> None:
        assert self.writer is not None
        self.writer.write(mqtt.publish(packet, topic, payload))


@asynccontextmanager
async def serving(broker: Broker, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Let it listen for the time of the block."""
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0, ssl=tls) as server:
        broker.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            if broker.writer is not None:
                broker.writer.close()


@asynccontextmanager
async def connected(
    inbox: Inbox, broker: Broker | None = None, *, tls: ssl.SSLContext | None = None, config: BrokerConfig | None = None
) -> AsyncIterator[tuple[MqttSource, Broker]]:
    """A source that has subscribed; ``config`` says all but the port."""
    broker = broker or Broker()
    ready = asyncio.Event()
    async with serving(broker, tls):
        source = MqttSource(
            replace(config or BrokerConfig(), port=broker.port),
            client_id="ingest-test",
            inbox=inbox,
            pause=Pause(first_seconds=0.01, longest_seconds=0.01),
            aside=lambda _topic, payload: payload == b"aside",
            ready=ready,
        )
        running = asyncio.create_task(source.run(), name="source")
        try:
            await asyncio.wait_for(ready.wait(), 60)
            yield source, broker
        finally:
            running.cancel()
            await asyncio.wait([running])


async def take(source: MqttSource, messages: int) -> list[bytes]:
    """Take and settle that many, in groups as they come."""
    taken: list[bytes] = []
    async with asyncio.timeout(60):
        while len(taken) < messages:
            group = await source.take(max_messages=3, max_bytes=1000, linger_seconds=0)
            taken += [message.payload for message in group]
            await source.settle(group)
    return taken


async def until(condition: object, what: str) -> None:
    assert callable(condition)
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(what)
