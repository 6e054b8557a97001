"""Samples per second into the database: a bare COPY, our writer with its decoding, and all through the broker.

``make bench-ingest`` measures the three side by side, alternating, on a private database and broker of its own, and
writes build/bench/ingest.json with the medians.
"""

import asyncio
import json
import random
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import aiomqtt

from ingest import registry
from ingest.broker import BrokerConfig
from ingest.database import Connection, connect
from ingest.decode import Incoming
from ingest.rows import copy_readings
from ingest.worker import WorkerConfig, run_worker
from ingest.writer import store
from telemetry.catalogue import catalogue
from telemetry.records import BatchKey, ReadingsBatch, Sample
from telemetry.topics import publish_topic
from telemetry.wire import decode_ack, encode_readings
from wearcast.database import migrate
from wearcast.embedded.nats import Broker, private_broker
from wearcast.embedded.timescaledb import private_database

ROOT: Final = Path(__file__).parents[2]
RESULT: Final = ROOT / "build" / "bench" / "ingest.json"
RUNS: Final = 3
DEVICES: Final = 50
BATCHES: Final = 20  # of each device
SAMPLES: Final = 60  # in a batch, one second apart
SIGNALS: Final = tuple(signal for signal in catalogue() if signal.datatype != "boolean")[:20]
GROUP: Final = WorkerConfig(database_url="").group_messages
START: Final = datetime(2026, 3, 1, 8, tzinfo=UTC)
TOTAL: Final = DEVICES * BATCHES * SAMPLES


def fleet() -> list[ReadingsBatch]:
    """The batches of all devices, mixed as they would arrive: each device's first ones first."""
    draw = random.Random(1)

    def sample(second: int) -> Sample:
        values = {
            signal.path: float(signal.minimum + signal.resolutions[0] * draw.randrange(100)) for signal in SIGNALS
        }
        return Sample(time=START + timedelta(seconds=second), monotonic_ms=1000 * second, values=values)

    boots = [uuid4() for _ in range(DEVICES)]
    return [
        ReadingsBatch(
            key=BatchKey(device=f"bench-{device}", boot=boots[device], sequence=number + 1),
            samples=tuple(sample(SAMPLES * number + second) for second in range(SAMPLES)),
        )
        for number in range(BATCHES)
        for device in range(DEVICES)
    ]


def as_new(batches: Sequence[ReadingsBatch]) -> list[ReadingsBatch]:
    """The same batches of another boot of each device, so that the ledger has none of them."""
    boots = {batch.key.device: uuid4() for batch in batches}
    return [replace(batch, key=replace(batch.key, boot=boots[batch.key.device])) for batch in batches]


def bare_copy(connection: Connection, vehicles: dict[str, UUID], batches: Sequence[ReadingsBatch]) -> float:
    """Binary COPY of rows that are decoded already, a transaction per group: what the database takes. Seconds."""
    begun = time.perf_counter()
    for first in range(0, len(batches), GROUP):
        with connection.transaction():
            copy_readings(connection, vehicles, batches[first : first + GROUP])
    return time.perf_counter() - begun


def writer(connection: Connection, batches: Sequence[ReadingsBatch]) -> float:
    """Decode, ledger, COPY, latest state, acknowledgements: all the worker does but receiving. Seconds."""
    now = datetime.now(UTC)
    messages = [
        Incoming(topic=publish_topic(batch.key.device, "readings"), payload=encode_readings(batch), received_at=now)
        for batch in batches
    ]
    begun = time.perf_counter()
    stored = sum(
        store(connection, messages[first : first + GROUP], now).samples for first in range(0, len(messages), GROUP)
    )
    assert stored == TOTAL
    return time.perf_counter() - begun


async def whole_way(broker: Broker, url: str, batches: Sequence[ReadingsBatch]) -> float:
    """From the first publish to the last acknowledgement, all devices through one connection. Seconds."""
    payloads = [(publish_topic(batch.key.device, "readings"), encode_readings(batch)) for batch in batches]
    stop, ready = asyncio.Event(), asyncio.Event()
    config = WorkerConfig(database_url=url, broker=BrokerConfig(host=broker.host, port=broker.port))
    worker = asyncio.create_task(run_worker(config, stop, ready), name="worker")
    await ready.wait()
    no_delay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    async with aiomqtt.Client(broker.host, broker.port, identifier="bench", socket_options=no_delay) as client:
        client.pending_calls_threshold = 1000
        await client.subscribe("wearcast/v1/+/acks", qos=1)
        left = {(batch.key.device, batch.key.boot, batch.key.sequence) for batch in batches}

        async def listen() -> None:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                ack = decode_ack(message.topic.value.split("/")[2], message.payload)
                left.difference_update(
                    (ack.device, ack.boot, number) for first, last in ack.committed for number in range(first, last + 1)
                )
                if not left:
                    return

        listening = asyncio.create_task(listen(), name="acknowledgements")
        begun = time.perf_counter()
        for first in range(0, len(payloads), DEVICES):  # a round of all devices at once
            await asyncio.gather(
                *(client.publish(topic, body, qos=1) for topic, body in payloads[first : first + DEVICES])
            )
        await asyncio.wait_for(listening, 120)
        seconds = time.perf_counter() - begun
    stop.set()
    await worker
    return seconds


def rows(seconds: dict[str, list[float]]) -> list[dict[str, object]]:
    """The medians as a table; ``ratio``: the part of what ``against`` reaches."""
    rates = {name: TOTAL / statistics.median(taken) for name, taken in seconds.items()}
    (reference, base), *_ = rates.items()
    return [
        {
            "name": name,
            "value": round(rate),
            "unit": "samples/s",
            "goal": None,
            "met": None,
            "ratio": None if name == reference else round(rate / base, 2),
            "against": None if name == reference else reference,
        }
        for name, rate in rates.items()
    ]


def main() -> None:
    """Measure, print and write the table."""
    batches = fleet()
    seconds: dict[str, list[float]] = {}
    with private_database(fresh=True) as database, private_broker(fresh=True) as broker:
        migrate(database.url)
        with connect(database.url, autocommit=True) as connection:
            owner = registry.register_owner(connection, name="bench")
            vehicles = {}
            for number in range(DEVICES):
                vehicle = registry.register_vehicle(connection, owner_id=owner.id, label="bench", profile="generic")
                device = registry.register_device(
                    connection, id=f"bench-{number}", vehicle_id=vehicle.id, hardware="bench"
                )
                vehicles[device.id] = vehicle.id
            ways: dict[str, Callable[[], float]] = {
                "binary COPY of decoded rows": lambda: bare_copy(connection, vehicles, batches),
                "writer, from payloads to commit": lambda: writer(connection, as_new(batches)),
                "broker to acknowledgement, one worker": lambda: asyncio.run(
                    whole_way(broker, database.url, as_new(batches))
                ),
            }
            for _ in range(RUNS):
                for name, way in ways.items():
                    connection.execute("TRUNCATE reading, vehicle_state, batch")
                    seconds.setdefault(name, []).append(way())
    table = rows(seconds)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(f"{TOTAL} samples of {len(SIGNALS)} values, {SAMPLES} in a batch; medians of {RUNS} runs")  # noqa: T201 - this is its output
    for entry in table:
        ratio = f"  {entry['ratio']:.2f} of the COPY" if entry["ratio"] is not None else ""
        print(f"{entry['value']:>10,} {entry['unit']}  {entry['name']}{ratio}")  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
