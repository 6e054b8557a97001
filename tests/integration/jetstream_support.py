"""What the tests of many workers share: worker processes, and devices that send again as the outbox does."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID

import aiomqtt

from ingest import reading_store
from ingest.database import Connection
from ingest.sources.nats_connection import NatsConfig
from telemetry.topics import acks_topic, publish_topic
from telemetry.wire import decode_ack, encode_readings
from tests.integration.ingest_support import readings
from wearcast.embedded.nats import Broker, BrokerUser
from wearcast.embedded.processes import ManagedProcess

ACK_WAIT_SECONDS = 2.0

_WORKER = """
import asyncio, json, logging, signal, sys
from ingest.sources.nats_connection import NatsConfig
from ingest.worker import WorkerConfig, run_worker

async def main(database_url, name, servers, username, password, stall):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = WorkerConfig(
        database_url=database_url,
        nats=NatsConfig(servers=tuple(servers), username=username, password=password),
        client_id=name,
        group_messages=20,
        group_linger_seconds=0.01,
        longest_retry_seconds=0.5,
        longest_stall_seconds=stall,
    )
    await run_worker(config, stop)

logging.basicConfig(level=logging.INFO, format="%(message)s")
asyncio.run(main(**json.loads(sys.argv[1])))
"""


def nats_config(nodes: Sequence[Broker], user: BrokerUser) -> NatsConfig:
    return NatsConfig(servers=tuple(node.nats_url for node in nodes), username=user.name, password=user.password)


class Worker:
    """A worker process; everything it stores passes through small groups."""

    def __init__(self, folder: Path, name: str, database_url: str, nats: NatsConfig) -> None:
        given = {
            "database_url": database_url,
            "name": name,
            "servers": nats.servers,
            "username": nats.username,
            "password": nats.password,
            "stall": ACK_WAIT_SECONDS,
        }
        self.process = ManagedProcess.start(
            [sys.executable, "-c", _WORKER, json.dumps(given)], name=name, log_path=folder / f"{name}.log"
        )

    def wait_until_ready(self) -> None:
        self.process.wait_for_line("ingest worker ready")

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Car:
    """Sends its batches until they are acknowledged, to whichever node is there."""

    def __init__(self, device: str, boot: UUID, nodes: Sequence[Broker], user: BrokerUser, batches: int) -> None:
        self.device = device
        self.boot = boot
        self.acknowledged: set[int] = set()
        self._nodes = nodes
        self._user = user
        self._all = range(1, batches + 1)

    def open(self) -> list[int]:
        return [number for number in self._all if number not in self.acknowledged]

    async def drive(self, pause_seconds: float) -> None:
        """Until everything is acknowledged; ``pause_seconds`` between two batches."""
        attempt = 0
        while self.open():
            node = self._nodes[(hash(self.boot) + attempt) % len(self._nodes)]
            attempt += 1
            try:
                async with aiomqtt.Client(
                    node.host,
                    node.port,
                    identifier=self.device,
                    username=self._user.name,
                    password=self._user.password,
                    protocol=aiomqtt.ProtocolVersion.V311,
                    timeout=5,
                ) as client:
                    await client.subscribe(acks_topic(self.device), qos=0)  # as the dongle does
                    await self._talk(client, pause_seconds)
            except aiomqtt.MqttError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # which the client's own error took the place of
                    raise asyncio.CancelledError from None
            await asyncio.sleep(0.05)

    async def _talk(self, client: aiomqtt.Client, pause_seconds: float) -> None:
        listening = asyncio.create_task(self._listen(client), name=f"acknowledgements of {self.device}")
        try:
            while unacknowledged := self.open():
                for number in unacknowledged:
                    payload = encode_readings(readings(self.device, self.boot, number))
                    await client.publish(publish_topic(self.device, "readings"), payload, qos=1)
                    await asyncio.sleep(pause_seconds)
                await asyncio.wait([listening], timeout=1.0)
                if listening.done():
                    listening.result()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            ack = decode_ack(self.device, message.payload)
            assert not ack.rejected
            for first, last in ack.committed:
                self.acknowledged.update(range(first, last + 1))


@contextlib.asynccontextmanager
async def driving(cars: Sequence[Car], pause_seconds: float) -> AsyncIterator[asyncio.Task[None]]:
    """All cars on the road; the task ends when everything is acknowledged."""

    async def all_of_them() -> None:
        await asyncio.gather(*(car.drive(pause_seconds) for car in cars))

    task = asyncio.create_task(all_of_them(), name="cars")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def stored_once(connection: Connection, cars: Sequence[Car], batches: int) -> bool:
    """Whether the database has every batch of every car, and each once."""
    counted = reading_store.counts(connection)
    return (counted.samples, counted.batches, counted.rejected) == (3 * batches * len(cars), batches * len(cars), 0)
