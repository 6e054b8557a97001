"""The inbox is bounded, and hands out groups in the order of arrival."""

import asyncio
from datetime import UTC, datetime

from ingest.decoding.decode import Incoming
from ingest.sources.inbox import Inbox

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def message(size: int = 1, topic: str = "wearcast/v1/d/readings") -> Incoming:
    return Incoming(topic=topic, payload=b"x" * size, received_at=NOW)


async def take(inbox: Inbox, *, messages: int = 10, size: int = 1000) -> list[Incoming]:
    return await inbox.take(max_messages=messages, max_bytes=size, linger_seconds=0)


async def test_it_refuses_beyond_its_messages_and_takes_again_once_emptied() -> None:
    inbox = Inbox(max_messages=2, max_bytes=1000)
    assert [inbox.offer(message()) for _ in range(3)] == [True, True, False]
    assert inbox.refused == 1
    assert len(await take(inbox)) == 2
    assert inbox.offer(message())


async def test_it_refuses_beyond_its_bytes() -> None:
    inbox = Inbox(max_messages=100, max_bytes=10)
    assert [inbox.offer(message(6)), inbox.offer(message(6)), inbox.offer(message(4))] == [True, False, True]
    await take(inbox)
    assert inbox.offer(message(10))


async def test_groups_keep_the_order_and_both_limits() -> None:
    inbox = Inbox(max_messages=100, max_bytes=10_000)
    sent = [message(400, topic=f"wearcast/v1/d{number}/readings") for number in range(7)]
    for entry in sent:
        inbox.offer(entry)
    groups = [await take(inbox, messages=2), await take(inbox, messages=10, size=1000), await take(inbox)]
    assert [len(group) for group in groups] == [2, 3, 2]
    assert [entry for group in groups for entry in group] == sent


async def test_a_message_larger_than_a_group_still_comes_out() -> None:
    inbox = Inbox(max_messages=10, max_bytes=10_000)
    inbox.offer(message(5000))
    assert len(await take(inbox, size=100)) == 1


async def test_taking_waits_for_the_first_message() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1000)
    taking = asyncio.create_task(take(inbox))
    await asyncio.sleep(0)
    assert not taking.done()
    inbox.offer(message())
    assert len(await taking) == 1


async def test_a_closed_inbox_hands_out_what_is_left_and_then_nothing() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1000)
    inbox.offer(message())
    inbox.close()
    assert not inbox.offer(message())  # else a busy broker would keep a worker from stopping
    assert len(await take(inbox)) == 1
    assert await take(inbox) == []


async def test_closing_wakes_whoever_waits() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1000)
    taking = asyncio.create_task(take(inbox))
    await asyncio.sleep(0)
    inbox.close()
    assert await taking == []


async def test_an_empty_inbox_takes_a_message_larger_than_it_may_hold() -> None:
    inbox = Inbox(max_messages=10, max_bytes=10)
    assert inbox.offer(message(500))
    assert not inbox.offer(message(1))
    assert len(await take(inbox)) == 1
    assert inbox.offer(message(1))


async def test_nobody_waits_for_company_once_a_group_is_full() -> None:
    inbox = Inbox(max_messages=10, max_bytes=1000)
    taking = asyncio.create_task(inbox.take(max_messages=2, max_bytes=1000, linger_seconds=3600))
    inbox.offer(message())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not taking.done()
    inbox.offer(message())
    assert len(await asyncio.wait_for(taking, 20)) == 2
