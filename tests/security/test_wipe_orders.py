"""The order to empty itself is said each minute for a month: it must not pile up for a dongle that is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ingest.pause import Pause
from ingest.sources.inbox import Inbox
from ingest.sources.mqtt import MqttSource
from telemetry.wipe import Wipe, encode_wipe
from tests.security.fortress import Client, Fortress, attack
from tests.security.test_misuse import broker_config

pytestmark = [pytest.mark.broker, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

NOW = datetime.now(UTC)
COMMAND = "wearcast/v1/car-g3/commands/wipe"
SERVICE = "wearcast/v1/car-g3/commands/service"
ORDER = encode_wipe(Wipe(id=UUID(int=1), device="car-g3", generation=3, issued=NOW, expires=NOW + timedelta(days=30)))


@asynccontextmanager
async def worker_source(fortress: Fortress) -> AsyncIterator[MqttSource]:
    """What a worker publishes by, connected."""
    ready = asyncio.Event()
    source = MqttSource(
        broker_config(fortress),
        client_id="wearcast-ingest-1",
        inbox=Inbox(max_messages=10, max_bytes=10_000),
        pause=Pause(first_seconds=0.1, longest_seconds=1),
        aside=lambda _topic, _payload: True,
        ready=ready,
    )
    running = asyncio.create_task(source.run(), name="source")
    try:
        await asyncio.wait_for(ready.wait(), 60)
        yield source
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def stolen(fortress: Fortress) -> Client:
    """It listens with QoS 1, in a session that lasts."""
    return fortress.device("car-g3", generation=3, subscribe=[COMMAND, SERVICE], clean=False)


def witness(fortress: Fortress) -> Client:
    """It hears what the broker has taken."""
    return fortress.service(client_id="wearcast-listener", subscribe=[SERVICE])


@attack("let orders to be emptied pile up: QoS 1, and away", answer="nothing waits; the next is heard")
async def test_orders_do_not_pile_up_and_who_comes_back_hears_the_next(fortress: Fortress) -> None:
    with await asyncio.to_thread(stolen, fortress):
        pass
    async with worker_source(fortress) as source:
        with await asyncio.to_thread(witness, fortress) as heard:
            await source.publish([(COMMAND, ORDER)] * 100)
            await source.publish([(SERVICE, b"a record, said seldom")])
            # The broker takes one after the other: what is still on its way to it is no order to who was away.
            await asyncio.to_thread(heard.until, lambda: (SERVICE, b"a record, said seldom") in heard.received)
        with await asyncio.to_thread(stolen, fortress) as back:
            await asyncio.to_thread(back.until, lambda: bool(back.received))
            assert back.received == [(SERVICE, b"a record, said seldom")]
            await source.publish([(COMMAND, ORDER)])
            await asyncio.to_thread(back.until, lambda: (COMMAND, ORDER) in back.received)
            assert back.received.count((COMMAND, ORDER)) == 1
    with fortress.device("car-g3", generation=3):
        pass  # its session ends
