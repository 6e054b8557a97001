"""Workers that share one consumer of a three-node cluster: they come, die and freeze, and each batch is stored once."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import aiomqtt
import pytest

from ingest import reading_store
from ingest.database import Connection
from ingest.errors import BrokerError
from ingest.pause import Pause
from ingest.sources.inbox import Inbox
from ingest.sources.jetstream import JetstreamSource
from ingest.sources.nats_connection import nats_connection
from ingest.sources.nats_stream import (
    CONSUMER,
    STREAM,
    WORKER_MAY_PUBLISH,
    WORKER_MAY_SUBSCRIBE,
    StreamLimits,
    find_consumer,
    prepare,
)
from ingest.warden import blocks
from ingest.warden.bucket import Allowance
from ingest.warden.limits import Limits
from ingest.worker import WorkerConfig, run_worker
from telemetry.topics import publish_topic
from telemetry.wire import encode_readings
from tests.integration.ingest_support import readings, register_car, running, until
from tests.integration.jetstream_support import (
    ACK_WAIT_SECONDS,
    Car,
    Worker,
    driving,
    nats_config,
    stored_once,
)
from wearcast.embedded.nats import Broker, BrokerUser
from wearcast.embedded.nats_cluster import Cluster, private_cluster

pytestmark = [pytest.mark.database, pytest.mark.broker]

ADMIN = BrokerUser.with_new_password("admin")
WORKER = replace(
    BrokerUser.with_new_password("worker"), may_publish=WORKER_MAY_PUBLISH, may_subscribe=WORKER_MAY_SUBSCRIBE
)
NOBODY = replace(BrokerUser.with_new_password("nobody"), may_publish=("nothing",), may_subscribe=("_INBOX.>",))
LIMITS = StreamLimits(most_bytes=1024**3, ack_wait=timedelta(seconds=ACK_WAIT_SECONDS))
BATCHES = 25


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with private_cluster("test-jetstream", fresh=True, users=[ADMIN, WORKER, NOBODY]) as running:
        with pytest.raises(BrokerError, match="run: wearcast ingest prepare"):
            asyncio.run(_find(running))
        asyncio.run(prepare(nats_config(running.nodes, ADMIN), LIMITS))
        yield running


@pytest.fixture
def cars(cluster: Cluster, connection: Connection) -> list[Car]:
    names = [f"d{number}" for number in range(4)]
    for name in names:
        register_car(connection, name)
    return [Car(name, uuid4(), cluster.nodes, ADMIN, BATCHES) for name in names]


@contextlib.contextmanager
def workers(cluster: Cluster, folder: Path, url: str, names: Sequence[str]) -> Iterator[list[Worker]]:
    started = [Worker(folder, name, url, nats_config(cluster.nodes, WORKER)) for name in names]
    try:
        for worker in started:
            worker.wait_until_ready()
        yield started
    finally:
        for worker in started:
            worker.process.kill()


async def _find(cluster: Cluster) -> None:
    async with nats_connection(nats_config(cluster.nodes, WORKER), name="test") as opened:
        await find_consumer(opened.client)


async def _leader(cluster: Cluster) -> Broker:
    """The node that leads the stream; for a moment there may be none."""
    for _ in range(1200):
        if (found := cluster.leader(STREAM)) is not None:
            return found
        await asyncio.sleep(0.05)
    pytest.fail("nobody leads the stream")


async def _all_settled(cluster: Cluster) -> None:
    """Wait until the broker has nothing more to give out and nothing to wait for."""
    async with nats_connection(nats_config(cluster.nodes, ADMIN), name="test") as opened, asyncio.timeout(60):
        while True:
            info = await find_consumer(opened.client)
            if not info.num_ack_pending and not info.num_pending:
                return
            await asyncio.sleep(0.1)


async def test_a_worker_that_stands_still_is_replaced_and_doubles_nothing_when_it_goes_on(
    cluster: Cluster, cars: list[Car], tmp_path: Path, database_url: str, connection: Connection
) -> None:
    with workers(cluster, tmp_path, database_url, ["frozen", "other"]) as (frozen, other):
        other.freeze()
        async with driving(cars, 0.01) as driven:
            with connection.transaction():  # so that the worker stops with a group in its hands
                connection.execute("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE")
                await until(
                    lambda: connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (0,),
                    "a worker that waits for the database",
                )
                frozen.freeze()
            # Its transaction goes on without it: what it has inserted is held back from the others, but not for ever.
            other.thaw()
            await asyncio.wait_for(driven, 60)
        assert stored_once(connection, cars, BATCHES)
        frozen.thaw()
        frozen.process.wait_for_line("cannot store now, will try again", 60)
        await _all_settled(cluster)
        assert frozen.process.alive
        assert stored_once(connection, cars, BATCHES)


async def test_workers_and_a_node_die_and_others_come_without_loss(
    cluster: Cluster, cars: list[Car], tmp_path: Path, database_url: str, connection: Connection
) -> None:
    with workers(cluster, tmp_path, database_url, ["first", "second"]) as (first, _):
        async with driving(cars, 0.05) as driven:
            await until(lambda: reading_store.counts(connection).batches > 10, "the first batches")
            first.process.kill()
            led = await _leader(cluster)
            led.kill()
            with workers(cluster, tmp_path, database_url, ["third"]):
                await asyncio.wait_for(driven, 60)
                assert stored_once(connection, cars, BATCHES)
        led.restart()
        cluster.wait_until_ready()


async def flood(cluster: Cluster, device: str, messages: int) -> None:
    """Good batches, as fast as the broker takes them."""
    node, boot = cluster.nodes[0], uuid4()
    async with aiomqtt.Client(
        node.host,
        node.port,
        identifier="flood",
        username=ADMIN.name,
        password=ADMIN.password,
        max_inflight_messages=100,
    ) as client:
        client.pending_calls_threshold = messages
        for first in range(0, messages, 100):
            batches = (encode_readings(readings(device, boot, first + number)) for number in range(1, 101))
            await asyncio.gather(*(client.publish(publish_topic(device, "readings"), each, qos=1) for each in batches))


async def test_a_flood_has_its_limit_once_and_not_with_each_worker(
    cluster: Cluster, cars: list[Car], database_url: str, connection: Connection
) -> None:
    once = 400
    limits = Limits(
        messages=Allowance(per_second=2, burst=once), bytes=Allowance(per_second=10**6, burst=10**9),
        over=Allowance(per_second=2, burst=100),
    )  # fmt: skip
    config = WorkerConfig(
        database_url=database_url, nats=nats_config(cluster.nodes, WORKER), group_messages=20, limits=limits
    )
    flooder, *honest = cars
    async with contextlib.AsyncExitStack() as several:
        for name in ("first", "second", "third"):
            await several.enter_async_context(running(partial(run_worker, replace(config, client_id=name)), name))
        async with driving(honest, 0.01) as driven:
            await flood(cluster, flooder.device, 3 * once)
            await asyncio.wait_for(driven, 60)
        await _all_settled(cluster)
        await until(lambda: bool(blocks.blocked(connection, datetime.now(UTC))), "somebody is kept out")
    (kept_out,) = blocks.blocked(connection, datetime.now(UTC))
    assert (kept_out.device_id, kept_out.reason) == (flooder.device, "flood")
    counted = connection.execute("SELECT device_id, count(*) FROM batch GROUP BY device_id").fetchall()
    stored = dict(counted)
    assert 0 < stored.pop(flooder.device) < 2 * once
    assert stored == {car.device: BATCHES for car in honest}


@contextlib.asynccontextmanager
async def post_office(cluster: Cluster) -> AsyncIterator[JetstreamSource]:
    """A source that publishes, and stores nothing."""
    source = JetstreamSource(
        nats_config(cluster.nodes, WORKER),
        name="post",
        inbox=Inbox(max_messages=10, max_bytes=1000),
        pause=Pause(first_seconds=0.1, longest_seconds=0.1),
        aside=lambda _topic, _payload: True,
        ready=(ready := asyncio.Event()),
        most_messages=10,
        most_bytes=1000,
    )
    running = asyncio.create_task(source.run(), name="source")
    await asyncio.wait_for(ready.wait(), 60)
    yield source
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_who_takes_in_no_more_misses_no_answers(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that stopped left its broker after six seconds, and what it committed then was not settled."""
    async with post_office(cluster) as source:
        source.close()
        await until(lambda: not source._holding.asked, "no answer is awaited")
        assert source.connected
    assert "broker away" not in caplog.text


@contextlib.asynccontextmanager
async def listening(cluster: Cluster, *, qos: int) -> AsyncIterator[aiomqtt.Client]:
    """A device with a session that subscribes to what is for it."""
    async with aiomqtt.Client(
        cluster.nodes[0].host,
        cluster.nodes[0].port,
        identifier=f"d9-{qos}",
        username=ADMIN.name,
        password=ADMIN.password,
        clean_session=False,
    ) as client:
        await client.subscribe([("wearcast/v1/d9/acks", qos), ("wearcast/v1/d9/commands/#", qos)])
        yield client


async def heard(client: aiomqtt.Client, count: int) -> list[tuple[str, bytes]]:
    """The next messages, after which no other comes at once."""
    messages: list[tuple[str, bytes]] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60) as patience:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                messages.append((message.topic.value.removeprefix("wearcast/v1/d9/"), message.payload))
                if len(messages) == count:
                    patience.reschedule(asyncio.get_running_loop().time() + 0.3)
    return messages


async def until_reached(post: JetstreamSource, client: aiomqtt.Client) -> None:
    """Nodes tell each other of a subscription after it is confirmed; what is not kept does not reach it before."""
    async with asyncio.timeout(60):
        for number in itertools.count():
            probe = f"probe {number}".encode()
            await post.publish([("wearcast/v1/d9/acks", probe)])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    async for message in client.messages:
                        if message.payload == probe:
                            return


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_connected_device_gets_everything_once(cluster: Cluster, qos: int) -> None:
    sent = [("acks", b"a"), ("commands/service", b"b"), ("acks", b"c"), ("commands/wipe", b"d")]
    async with post_office(cluster) as post, listening(cluster, qos=qos) as device:
        await until_reached(post, device)
        await post.publish([(f"wearcast/v1/d9/{topic}", payload) for topic, payload in sent])
        assert sorted(await heard(device, len(sent))) == sorted(sent)


async def test_an_absent_device_finds_what_is_not_said_again_if_it_subscribed_with_qos_1(cluster: Cluster) -> None:
    async with post_office(cluster) as post:
        async with listening(cluster, qos=1):
            pass
        for said_again in ("acks", "commands/wipe"):
            await post.publish([(f"wearcast/v1/d9/{said_again}", b"missed")])
        await post.publish([("wearcast/v1/d9/commands/service", b"waits")])
        async with listening(cluster, qos=1) as device:
            assert await heard(device, 1) == [("commands/service", b"waits")]


async def test_each_refusal_says_what_to_do(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    wrong = BrokerUser.with_new_password("worker")
    with pytest.raises(BrokerError, match=r"lets us in \(.*Authorization Violation.*check WEARCAST_NATS_URL"):
        await prepare(nats_config(cluster.nodes, wrong), LIMITS)
    refused = rf"may not publish on \$JS.API.CONSUMER.INFO.*{CONSUMER}"
    with caplog.at_level(logging.WARNING), pytest.raises(BrokerError, match=refused):
        async with nats_connection(nats_config(cluster.nodes, NOBODY), name="test") as opened:
            await find_consumer(opened.client)
    assert "refused the user" in caplog.text
    with pytest.raises(BrokerError, match="does not make the stream"):
        await prepare(nats_config(cluster.nodes, ADMIN), StreamLimits(most_bytes=1024**4))
