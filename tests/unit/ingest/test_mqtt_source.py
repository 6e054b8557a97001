"""What the source keeps of a message that the broker delivers again before it is confirmed."""

import asyncio
from typing import cast

import aiomqtt
import pytest

from ingest.broker import BrokerConfig
from ingest.errors import BrokerError
from ingest.inbox import Inbox
from ingest.pause import Pause
from ingest.sources.mqtt import MqttSource

TOPIC = "wearcast/v1/d1/readings"


class Confirming:
    """In the place of aiomqtt's client, and of paho's inside it."""

    def __init__(self) -> None:
        self.confirmed: list[int] = []
        self.asked = asyncio.Event()
        self._client = self

    def ack(self, packet: int, _qos: int) -> None:
        self.confirmed.append(packet)

    async def publish(self, _topic: str, _payload: bytes, qos: int) -> None:
        assert qos == 1
        self.asked.set()
        await asyncio.Event().wait()  # no answer ever comes


def source(inbox: Inbox) -> tuple[MqttSource, Confirming, aiomqtt.Client]:
    made = MqttSource(
        BrokerConfig(),
        client_id="ingest-test",
        inbox=inbox,
        pause=Pause(first_seconds=1, longest_seconds=1),
        aside=lambda _topic, _payload: False,
        ready=asyncio.Event(),
        most_calls=10,
    )
    broker = Confirming()
    client = cast("aiomqtt.Client", broker)
    made._client = client
    return made, broker, client


def message(packet: int, payload: bytes) -> aiomqtt.Message:
    return aiomqtt.Message(TOPIC, payload, qos=1, retain=False, mid=packet, properties=None)


async def test_what_is_delivered_again_while_it_is_held_is_held_once() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1_000)
    made, broker, client = source(inbox)
    for _ in range(50):
        made._receive(client, message(1, b"one"))
        made._receive(client, message(2, b"two"))
    assert len(inbox) == 2
    assert inbox.refused == 0
    group = await made.take(max_messages=10, max_bytes=1_000, linger_seconds=0)
    made._receive(client, message(1, b"one"))  # while it is being stored
    assert len(inbox) == 0
    await made.settle(group)
    assert broker.confirmed == [1, 2]
    made._receive(client, message(1, b"three"))  # the packet id is free again
    assert len(inbox) == 1


async def test_what_found_no_room_is_taken_when_it_comes_again() -> None:
    inbox = Inbox(max_messages=1, max_bytes=1_000)
    made, _, client = source(inbox)
    made._receive(client, message(1, b"one"))
    made._receive(client, message(2, b"two"))
    assert inbox.refused == 1
    await made.settle(await made.take(max_messages=10, max_bytes=1_000, linger_seconds=0))
    made._receive(client, message(2, b"two"))
    assert len(inbox) == 1


async def test_nobody_waits_for_the_answer_of_a_broker_that_is_gone() -> None:
    made, broker, _ = source(Inbox(max_messages=1, max_bytes=1_000))
    publishing = asyncio.create_task(made.publish([(TOPIC, b"one"), (TOPIC, b"two")]))
    await broker.asked.wait()
    assert not publishing.done()
    made._gone.set()
    with pytest.raises(BrokerError, match="went away"):
        await publishing
