"""Erasing a person while their dongle sends and the worker stores: nothing comes back, and nobody else notices."""

import asyncio
from contextlib import closing
from datetime import timedelta

import pytest

from ingest import registry
from ingest.database import Connection, connect
from rules.personal.erase import erase_person
from rules.personal.subject import Erased, find_subject
from tests.integration.ingest_support import (
    START,
    Device,
    connected_device,
    readings,
    register_car,
    running_worker,
    until,
)
from tests.integration.personal_scene import tables_with
from wearcast.embedded.nats import Broker

pytestmark = [pytest.mark.database, pytest.mark.broker]
KEPT = {"personal_access", "personal_erasure", "erased_device", "rejected_message", "device_wipe"}


async def test_a_dongle_that_sends_on_brings_nothing_back(
    database_url: str, connection: Connection, broker: Broker
) -> None:
    adas, bos = register_car(connection, "ada"), register_car(connection, "bo")
    owner = registry.vehicle_by_id(connection, adas).owner_id
    subject = find_subject(connection, owner)
    async with (
        running_worker(broker, database_url),
        connected_device(broker, "ada") as ada,
        connected_device(broker, "bo") as bo,
    ):
        stop = asyncio.Event()
        sending = [asyncio.create_task(send_until(device, stop), name=device.device) for device in (ada, bo)]
        await until(lambda: len(ada.committed()) > 20, "some of Ada's batches are stored")
        await asyncio.to_thread(erase, database_url, Erased(subject=subject, erased_at=START, reason="request"))
        erased_at = len(bo.committed())
        await until(
            lambda: "rejected_message" in tables_with(connection, '"ada"'), "what Ada's dongle sends is refused"
        )
        await until(lambda: len(bo.committed()) > erased_at + 20, "Bo's batches are stored as before")
        stop.set()
        sent = await asyncio.gather(*sending)
        await until(lambda: len(bo.committed()) == sent[1], "all of Bo's batches are stored")
    assert tables_with(connection, str(adas)) == set()
    assert tables_with(connection, '"ada"') <= KEPT
    payloads = connection.execute("SELECT DISTINCT payload FROM rejected_message").fetchall()
    assert payloads == [(b"",)]
    stored = connection.execute("SELECT count(*) FROM reading WHERE vehicle_id = %s", [bos]).fetchone()
    assert stored == (3 * sent[1],)  # samples of a batch


async def send_until(device: Device, stop: asyncio.Event) -> int:
    sequence = 0
    while not stop.is_set():
        sequence += 1
        await device.send(readings(device.device, device.boot, sequence))
        await asyncio.sleep(0.005)
    return sequence


def erase(url: str, erased: Erased) -> None:
    with closing(connect(url, autocommit=True)) as connection:
        erase_person(connection, erased, erased.erased_at + timedelta(days=1))
