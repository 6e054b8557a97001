"""Acknowledgements leave beside the storing, the first at once and those that follow soon together."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from ingest.acknowledger import Acknowledger
from ingest.decoding.decode import Incoming
from ingest.errors import BrokerError
from ingest.storing.acknowledgements import acknowledgements
from telemetry.records import Acknowledgement, BatchKey
from telemetry.wire import decode_ack


class Source:
    """Keeps what is published, or is away."""

    connected = True

    def __init__(self) -> None:
        self.away = False
        self.published: asyncio.Queue[list[Acknowledgement]] = asyncio.Queue()

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        if self.away:
            raise BrokerError("away")
        self.published.put_nowait([decode_ack(topic.split("/")[2], payload) for topic, payload in messages])

    async def run(self) -> None:
        raise NotImplementedError

    async def take(self, *, max_messages: int, max_bytes: int, linger_seconds: float) -> list[Incoming]:
        raise NotImplementedError

    async def settle(self, messages: Sequence[Incoming]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def committed(device: str, *sequences: int) -> tuple[Acknowledgement, ...]:
    return acknowledgements([BatchKey(device=device, boot=UUID(int=1), sequence=number) for number in sequences], {})


async def test_the_first_leaves_at_once_and_what_commits_soon_after_leaves_together() -> None:
    source = Source()
    acknowledger = Acknowledger(source)
    running = asyncio.create_task(acknowledger.run(), name="acknowledge")
    acknowledger.add(committed("a", 1))
    first = await source.published.get()
    acknowledger.add(committed("a", 2))
    acknowledger.add(committed("b", 7))
    acknowledger.add(committed("a", 3, 5))
    second = await asyncio.wait_for(source.published.get(), 20)
    running.cancel()
    assert [[(ack.device, ack.committed) for ack in acks] for acks in (first, second)] == [
        [("a", ((1, 1),))],
        [("a", ((2, 3), (5, 5))), ("b", ((7, 7),))],
    ]


async def test_what_a_broker_that_is_away_does_not_take_is_forgotten_and_the_next_is_told() -> None:
    source = Source()
    acknowledger = Acknowledger(source)
    source.away = True
    acknowledger.add(committed("a", 1))
    await acknowledger.publish()
    source.away = False
    acknowledger.add(committed("a", 2))
    await acknowledger.publish()
    (told,) = source.published.get_nowait()
    assert told.committed == ((2, 2),)
    assert source.published.empty()
