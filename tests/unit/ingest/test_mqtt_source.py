"""What the source keeps and reads: against a broker of a few lines, over a real socket."""

import asyncio

import pytest

from ingest.errors import BrokerError
from ingest.sources.inbox import Inbox
from telemetry.topics import acks_topic, commands_topic
from tests.unit.ingest.mqtt_broker import TOPIC, Broker, connected, take, until


async def test_what_is_delivered_again_while_it_is_held_is_held_once() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1_000)
    async with connected(inbox) as (source, broker):
        for _ in range(50):
            broker.deliver(1, b"one")
            broker.deliver(2, b"two")
        broker.deliver(3, b"end")
        await until(lambda: len(inbox) == 3, "all arrived")
        group = await source.take(max_messages=10, max_bytes=1_000, linger_seconds=0)
        broker.deliver(1, b"one")  # while it is being stored
        broker.deliver(4, b"more")
        await until(lambda: len(inbox) == 1, "only what is new")
        await source.settle(group)
        await until(lambda: broker.confirmed == [1, 2, 3], "confirmed")
        broker.deliver(1, b"three")  # the packet id is free again
        assert await take(source, 2) == [b"more", b"three"]


async def test_beyond_its_room_nothing_is_turned_away_and_reading_goes_on_once_there_is_some() -> None:
    inbox = Inbox(max_messages=4, max_bytes=1_000)
    async with connected(inbox) as (source, broker):
        sent = [str(number).encode() for number in range(1, 200)]
        for number, payload in enumerate(sent, start=1):
            broker.deliver(number, payload)
        await until(lambda: len(inbox) == 4, "the inbox is full")
        await asyncio.sleep(0.05)
        assert len(inbox) == 4
        assert broker.confirmed == []
        assert await take(source, len(sent)) == sent
        await until(lambda: broker.confirmed == list(range(1, 200)), "each confirmed once")
        assert broker.connections == 1


async def test_a_kept_session_whose_messages_find_no_room_is_entered_all_the_same() -> None:
    inbox = Inbox(max_messages=1, max_bytes=1_000)
    broker = Broker()
    broker.session_kept = True
    broker.before_the_subscription = [(number, str(number).encode()) for number in range(1, 6)]
    async with connected(inbox, broker) as (source, _):
        assert await take(source, 5) == [b"1", b"2", b"3", b"4", b"5"]


async def test_what_is_not_for_the_store_is_confirmed_at_once() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1_000)
    async with connected(inbox) as (_, broker):
        broker.deliver(1, b"aside")
        broker.deliver(2, b"{}", topic="wearcast/v1/d1/acks")
        await until(lambda: broker.confirmed == [1, 2], "confirmed")
        assert len(inbox) == 0


async def test_after_a_reconnect_nothing_is_confirmed_of_the_connection_before() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1_000)
    async with connected(inbox) as (source, broker):
        broker.deliver(1, b"one")
        group = await source.take(max_messages=10, max_bytes=1_000, linger_seconds=0)
        assert broker.writer is not None
        broker.writer.close()
        await until(lambda: broker.connections == 2 and source.connected, "connected again")
        await source.settle(group)
        broker.deliver(1, b"another")
        assert await take(source, 1) == [b"another"]
        await until(lambda: broker.confirmed == [1], "the one of this connection")


async def test_bytes_that_are_no_mqtt_are_a_lost_connection() -> None:
    async with connected(Inbox(max_messages=10, max_bytes=1_000)) as (source, broker):
        assert broker.writer is not None
        broker.writer.write(b"\x30\xff\xff\xff\xff\xff")
        await until(lambda: broker.connections == 2 and source.connected, "connected again")


async def test_publications_leave_without_waiting_for_each_answer_and_fail_where_the_broker_is_gone() -> None:
    async with connected(Inbox(max_messages=10, max_bytes=1_000)) as (source, broker):
        await source.publish([(TOPIC, b"one"), (TOPIC, b"two")])
        await until(lambda: broker.published == [b"one", b"two"], "both arrived")
        broker.confirms = False
        many = asyncio.create_task(source.publish([(TOPIC, b"x")] * 3000))  # more than may be without an answer
        await until(lambda: len(broker.published) > 900, "the first of them")
        assert not many.done()
        assert broker.writer is not None
        broker.writer.close()
        with pytest.raises(BrokerError):
            await asyncio.wait_for(many, 20)


async def test_a_topic_that_is_no_text_reaches_the_store_to_be_rejected() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1_000)
    async with connected(inbox) as (source, broker):
        broker.deliver_under(b"wearcast/v1/\xff/readings", 1, b"one")
        broker.deliver(2, b"two")
        first, second = await source.take(max_messages=2, max_bytes=1_000, linger_seconds=20)
        assert (first.topic, second.topic) == ("wearcast/v1/\ufffd/readings", TOPIC)
        assert broker.connections == 1


async def test_acknowledgements_need_no_confirmation_and_all_else_does() -> None:
    broker = Broker()
    broker.confirms = False
    async with connected(Inbox(max_messages=1, max_bytes=1_000), broker) as (source, _):
        acks = [(acks_topic(f"d{number}"), b"committed") for number in range(3000)]
        await asyncio.wait_for(source.publish([*acks, (commands_topic("d1", "service"), b"oil")]), 20)
        await until(lambda: len(broker.published_with) == 3001, "all arrived")
        assert broker.published_with == [0] * 3000 + [1]
