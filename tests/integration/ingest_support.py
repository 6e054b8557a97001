"""What the tests of the intake share: a registered car, batches, a running worker, and a device's end of the line."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import aiomqtt

from ingest import registry
from ingest.broker_connection import BrokerConfig
from ingest.database import Connection
from ingest.outbound.courier import CourierConfig
from ingest.worker import WorkerConfig, run_worker
from telemetry.records import (
    Acknowledgement,
    BatchKey,
    EventKind,
    EventsBatch,
    ReadingsBatch,
    Sample,
    VehicleEvent,
)
from telemetry.topics import acks_topic, publish_topic
from telemetry.wire import decode_ack, encode_events, encode_readings
from wearcast.embedded.nats import Broker

SPEED = "Vehicle.Speed"
COOLANT = "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"
START = datetime(2026, 3, 1, 8, tzinfo=UTC)


def register_car(connection: Connection, device: str) -> UUID:
    """Register a device in a car of its own; returns the vehicle's id."""
    owner = registry.register_owner(connection, name="Someone")
    vehicle = registry.register_vehicle(connection, owner_id=owner.id, label=device, profile="generic")
    registry.register_device(connection, id=device, vehicle_id=vehicle.id, hardware="virtual")
    return vehicle.id


def readings(
    device: str, boot: UUID, sequence: int, *, seconds: float | None = None, values: Mapping[str, float] | None = None
) -> ReadingsBatch:
    """A batch of three samples one second apart, ``seconds`` after START; by default, after the batch before."""
    begin = START + timedelta(seconds=3 * sequence if seconds is None else seconds)
    given = {SPEED: float(sequence % 200), COOLANT: 90.0} if values is None else values
    samples = tuple(
        Sample(time=begin + timedelta(seconds=number), monotonic_ms=1000 * number, values=given) for number in range(3)
    )
    return ReadingsBatch(key=BatchKey(device=device, boot=boot, sequence=sequence), samples=samples)


def trouble_code(
    device: str, boot: UUID, sequence: int, kind: EventKind, *, seconds: float, code: str = "P0301"
) -> EventsBatch:
    """A batch of one event about a trouble code."""
    data = {"code": code, "ecu": "7E8", "status": "confirmed", "mil": True}
    event = VehicleEvent(time=START + timedelta(seconds=seconds), kind=kind, data=data)
    return EventsBatch(key=BatchKey(device=device, boot=boot, sequence=sequence), events=(event,))


class Device:
    """A device's end of the line: publishes, and collects what is acknowledged."""

    def __init__(self, client: aiomqtt.Client, device: str) -> None:
        self.client = client
        self.device = device
        self.boot = uuid4()
        self.acknowledgements: list[Acknowledgement] = []

    async def send(self, batch: ReadingsBatch | EventsBatch) -> None:
        """Publish a batch on this device's branch."""
        if isinstance(batch, ReadingsBatch):
            await self.publish("readings", encode_readings(batch))
        else:
            await self.publish("events", encode_events(batch))

    async def publish(self, channel: str, payload: bytes) -> None:
        """Publish bytes on one of this device's channels."""
        await self.client.publish(publish_topic(self.device, channel), payload, qos=1)  # type: ignore[arg-type]  # text

    def committed(self, boot: UUID | None = None) -> set[int]:
        """Sequence numbers acknowledged of a boot."""
        return {
            number
            for ack in self.acknowledgements
            if ack.boot == (boot or self.boot)
            for first, last in ack.committed
            for number in range(first, last + 1)
        }

    def rejected(self) -> dict[int, str]:
        """Reasons by sequence number."""
        return {entry.sequence: entry.reason for ack in self.acknowledgements for entry in ack.rejected}

    async def _listen(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.acknowledgements.append(decode_ack(self.device, message.payload))


@contextlib.asynccontextmanager
async def connected_device(broker: Broker, device: str) -> AsyncIterator[Device]:
    """Connect a device and listen to its acknowledgements."""
    no_delay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    async with aiomqtt.Client(broker.host, broker.port, identifier=f"test-{device}", socket_options=no_delay) as client:
        await client.subscribe(acks_topic(device), qos=1)
        connected = Device(client, device)
        listening = asyncio.create_task(connected._listen(), name=f"acknowledgements of {device}")
        try:
            yield connected
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await listening


@contextlib.asynccontextmanager
async def running_worker(
    broker: Broker, database_url: str, client_id: str = "ingest-test", *, courier: CourierConfig | None = None
) -> AsyncIterator[None]:
    """Run a worker for the time of the block; it is subscribed when the block begins."""
    config = WorkerConfig(
        database_url=database_url,
        broker=BrokerConfig(host=broker.host, port=broker.port),
        client_id=client_id,
        group_linger_seconds=0.01,
        longest_retry_seconds=0.5,
        courier=courier or CourierConfig(),
    )
    async with running(partial(run_worker, config), client_id):
        yield


@contextlib.asynccontextmanager
async def running(
    start: Callable[[asyncio.Event, asyncio.Event], Coroutine[None, None, None]], name: str = "service"
) -> AsyncIterator[None]:
    """Run a service that takes ``stop`` and ``ready`` for the time of the block; it is ready when the block begins."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(start(stop, ready), name=name)
    try:
        await asyncio.wait_for(ready.wait(), 60)
        yield
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition, or fail saying what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
        await asyncio.sleep(0.02)
