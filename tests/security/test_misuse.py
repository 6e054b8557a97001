"""A device that floods the store is limited and kept out, and its neighbour loses nothing. All parts are real."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import LiteralString
from uuid import UUID

import pytest
from psycopg.rows import scalar_row

from ingest.broker_connection import BrokerConfig
from ingest.brokers.access import read_access
from ingest.brokers.folder import password_file
from ingest.database import Connection
from ingest.storing.rejections import KEPT_OF_A_SENDER
from ingest.warden import blocks
from ingest.warden.bucket import Allowance
from ingest.warden.limits import Limits
from ingest.worker import WorkerConfig, run_worker
from telemetry.records import ReadingsBatch
from telemetry.subject import service_subject
from telemetry.topics import publish_topic
from telemetry.wire import decode_ack, encode_readings
from tests.integration.ingest_support import readings, running, until
from tests.security.fortress import SERVICE, Client, Fortress, attack
from tests.security.test_revocation import fortress, watching

__all__ = ["fortress"]  # the fixture
pytestmark = [
    pytest.mark.broker,
    pytest.mark.database,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BOOT = UUID(int=1)
BATCHES = 40
LIMITS = Limits(
    messages=Allowance(per_second=10, burst=2 * BATCHES),
    bytes=Allowance(per_second=10**6, burst=10**7),
    over=Allowance(per_second=10, burst=200),
    malformed=Allowance(per_second=0.1, burst=100),
)


def broker_config(fortress: Fortress) -> BrokerConfig:
    if fortress.kind == "nats":
        certificate, key = fortress.certificate(service_subject(SERVICE))
        return BrokerConfig(
            port=fortress.port, tls=True, ca_file=fortress.tls.ca, certificate_file=certificate, key_file=key
        )
    password = password_file(fortress.folder, SERVICE).read_text().strip()
    return BrokerConfig(
        port=fortress.services_port, tls=True, ca_file=fortress.tls.ca, username=SERVICE, password=password
    )


def limiting_worker(fortress: Fortress, url: str) -> AbstractAsyncContextManager[None]:
    config = WorkerConfig(
        database_url=url, broker=broker_config(fortress), group_linger_seconds=0.01, limits=LIMITS, group_messages=100
    )
    return running(partial(run_worker, config))


def send(client: Client, batch: ReadingsBatch) -> None:
    client.mqtt.publish(publish_topic(batch.key.device, "readings"), encode_readings(batch), qos=1)


def acknowledged(client: Client, device: str) -> set[int]:
    return {
        number
        for _, payload in client.received
        for first, last in decode_ack(device, payload).committed
        for number in range(first, last + 1)
    }


async def neighbour_loses_nothing(neighbour: Client) -> None:
    for number in range(1, BATCHES + 1):
        send(neighbour, readings("car-1", BOOT, number))
        await asyncio.sleep(0.02)
    await until(
        lambda: acknowledged(neighbour, "car-1") == set(range(1, BATCHES + 1)), "every batch of it is committed"
    )
    assert neighbour.events == [("connected", "")]


def count(connection: Connection, query: LiteralString) -> int:
    with connection.cursor(row_factory=scalar_row) as cursor:
        found: int | None = cursor.execute(query).fetchone()
    assert found is not None
    return found


@attack("flood with good batches", answer="limited, then kept out; the neighbour's batches all committed")
async def test_a_flood_is_limited_and_kept_out(fortress: Fortress, connection: Connection, database_url: str) -> None:
    async with watching(fortress, database_url), limiting_worker(fortress, database_url):
        flooder = fortress.device("car-2", again=False)
        with fortress.device("car-1", subscribe=["wearcast/v1/car-1/acks"]) as neighbour:
            for number in range(1, 1001):
                send(flooder, readings("car-2", BOOT, number))
            await neighbour_loses_nothing(neighbour)
            await until(lambda: flooder.disconnections > 0, "the flooder is disconnected")
        flooder.close()
    (kept_out,) = blocks.blocked(connection, datetime.now(UTC))
    assert (kept_out.device_id, kept_out.reason, kept_out.times) == ("car-2", "flood", 1)
    assert count(connection, "SELECT count(*) FROM batch WHERE device_id = 'car-2'") < 300
    assert [device.device for device in read_access(connection).permitted] == ["car-1"]


@attack("flood with rubbish", answer="kept out; of its messages 200 are kept to look at")
async def test_a_flood_of_rubbish_fills_nothing(fortress: Fortress, connection: Connection, database_url: str) -> None:
    async with watching(fortress, database_url), limiting_worker(fortress, database_url):
        flooder = fortress.device("car-2", again=False)
        with fortress.device("car-1", subscribe=["wearcast/v1/car-1/acks"]) as neighbour:
            for number in range(1000):
                flooder.mqtt.publish("wearcast/v1/car-2/readings", b"rubbish %d" % number, qos=1)
                if number % 20 == 0:
                    await asyncio.sleep(0.02)
            await neighbour_loses_nothing(neighbour)
            await until(lambda: flooder.disconnections > 0, "the flooder is disconnected")
        flooder.close()
    (kept_out,) = blocks.blocked(connection, datetime.now(UTC))
    assert kept_out.device_id == "car-2"
    assert kept_out.reason in {"malformed", "flood"}
    assert 0 < count(connection, "SELECT count(*) FROM rejected_message WHERE sender = 'car-2'") <= KEPT_OF_A_SENDER


@attack("flood with answers that nobody asked for", answer="kept out, although the store sees none of them")
async def test_a_flood_of_answers_is_kept_out(fortress: Fortress, connection: Connection, database_url: str) -> None:
    async with watching(fortress, database_url), limiting_worker(fortress, database_url):
        flooder = fortress.device("car-2", again=False)
        with fortress.device("car-1", subscribe=["wearcast/v1/car-1/acks"]) as neighbour:
            for number in range(1000):
                kind = "service" if number < BATCHES else "dtc"
                flooder.mqtt.publish(f"wearcast/v1/car-2/results/{kind}", b"rubbish %d" % number, qos=1)
            await neighbour_loses_nothing(neighbour)
            await until(lambda: flooder.disconnections > 0, "the flooder is disconnected")
        flooder.close()
    (kept_out,) = blocks.blocked(connection, datetime.now(UTC))
    assert (kept_out.device_id, kept_out.reason) == ("car-2", "flood")
    assert count(connection, "SELECT count(*) FROM rejected_message") == 0
