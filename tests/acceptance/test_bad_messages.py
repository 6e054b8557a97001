"""Messages nobody should send, to a real worker: each is kept with its reason, and the worker goes on.

They are sent while the worker is away, so that it wakes up with nothing but them waiting in its session.
"""

import asyncio
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ingest import reading_store
from telemetry import compact
from telemetry.records import BatchKey, ReadingsBatch, Sample
from telemetry.wire import MAX_PAYLOAD_BYTES, encode_readings
from tests.acceptance.acceptance_support import Site, ended_in_order
from tests.integration.ingest_support import SPEED, START, connected_device, readings, until

DEVICE = "wc-bad-1"
WITHIN_SECONDS = 60.0

pytestmark = [pytest.mark.acceptance, pytest.mark.database, pytest.mark.broker, pytest.mark.timeout(300)]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A message, the reason by which it must be refused, and the sequence number its sender is told, if readable."""

    what: str
    topic: str
    payload: bytes
    reason: str
    refused: int | None = None


def bad_messages(boot: UUID) -> list[Bad]:
    own = f"wearcast/v1/{DEVICE}"
    plain = json.loads(encode_readings(readings(DEVICE, boot, 20), "json"))
    good = encode_readings(readings(DEVICE, boot, 21))
    soon = datetime.now(UTC) + timedelta(hours=1)
    event = {"time": START.isoformat(), "kind": "dtc.appeared", "data": {"code": "P03", "status": "confirmed"}}
    events = {"schema": "wearcast.events/1", "boot": str(boot), "sequence": 22, "events": [event]}
    bomb = zlib.compressobj(level=9, wbits=-15)
    inflating = bomb.compress(bytes(compact.MAX_BODY_BYTES + 1)) + bomb.flush()
    return [
        Bad(what="nothing", topic=f"{own}/readings", payload=b"", reason="malformed"),
        Bad(what="no JSON", topic=f"{own}/readings", payload=b'{"schema": "wearcast.re', reason="malformed"),
        Bad(what="no UTF-8", topic=f"{own}/readings", payload=b"\xff\xfe\x00{", reason="malformed"),
        Bad(what="a deep nest", topic=f"{own}/events", payload=b"[" * 200_000, reason="malformed"),
        Bad(
            what="a deep nest in its place",
            topic=f"{own}/events",
            payload=json.dumps({**events, "sequence": 23}).replace('"P03"', "[" * 500 + "]" * 500).encode(),
            reason="malformed",
            refused=23,
        ),
        Bad(what="cut off", topic=f"{own}/readings", payload=good[:-9], reason="malformed"),
        Bad(what="a version to come", topic=f"{own}/readings", payload=b"WC\x02\x01" + good[4:], reason="wrong-schema"),
        Bad(what="too large", topic=f"{own}/readings", payload=b" " * (MAX_PAYLOAD_BYTES + 1), reason="oversized"),
        Bad(
            what="too large once inflated",
            topic=f"{own}/readings",
            payload=compact.MAGIC + bytes((compact.VERSION, compact.DEFLATED)) + inflating,
            reason="oversized",
        ),
        Bad(
            what="readings as status", topic=f"{own}/status", payload=json.dumps(plain).encode(), reason="wrong-schema"
        ),
        Bad(what="foreign branch", topic="wearcast/v1/a/b/c/readings", payload=good, reason="foreign-topic"),
        Bad(what="no device", topic="wearcast/v1/readings", payload=good, reason="foreign-topic"),
        Bad(
            what="another's name",
            topic=f"{own}/readings",
            payload=json.dumps({**plain, "device": "wc-other"}).encode(),
            reason="wrong-device",
        ),
        Bad(
            what="a number beyond the database's",
            topic=f"{own}/readings",
            payload=json.dumps({**plain, "sequence": 2**63}).encode(),
            reason="malformed",
        ),
        Bad(
            what="far future",
            topic=f"{own}/readings",
            payload=encode_readings(
                ReadingsBatch(
                    key=BatchKey(device=DEVICE, boot=boot, sequence=24),
                    samples=(Sample(time=soon, monotonic_ms=0, values={SPEED: 1.0}),),
                )
            ),
            reason="far-future",
            refused=24,
        ),
        Bad(
            what="an end of time",
            topic=f"{own}/readings",
            payload=json.dumps({**plain, "sequence": 25}).replace("2026-", "9999-").encode(),
            reason="far-future",
            refused=25,
        ),
        Bad(
            what="no trouble code",
            topic=f"{own}/events",
            payload=json.dumps(events).encode(),
            reason="malformed",
            refused=22,
        ),
        Bad(
            what="a key used again",
            topic=f"{own}/readings",
            payload=encode_readings(readings(DEVICE, boot, 1, values={SPEED: 99.0})),
            reason="replayed",
            refused=1,
        ),
    ]


async def test_each_is_kept_with_its_reason_and_the_worker_goes_on(site_of: Callable[..., Site]) -> None:
    site = site_of()
    owner = site.run("ingest", "owner", "add", "Someone").strip()
    vehicle = site.run("ingest", "vehicle", "add", owner, "A car").strip()
    site.run("ingest", "device", "add", DEVICE, vehicle)
    worker = await asyncio.to_thread(site.start_ingest)
    async with connected_device(site.broker, DEVICE) as device:
        bad = bad_messages(device.boot)
        await device.send(readings(DEVICE, device.boot, 1))
        await until(lambda: device.committed() == {1}, "acknowledgement", WITHIN_SECONDS)
        assert await asyncio.to_thread(ended_in_order, worker)

        for message in bad:
            await device.client.publish(message.topic, message.payload, qos=1)
        worker = await asyncio.to_thread(site.start_ingest)
        await device.send(readings(DEVICE, device.boot, 2))
        await until(lambda: device.committed() == {1, 2}, "acknowledgement after the bad ones", WITHIN_SECONDS)
        expected = {message.refused: message.reason for message in bad if message.refused is not None}
        await until(lambda: device.rejected() == expected, f"refusals of {expected}", WITHIN_SECONDS)
        with site.connect() as connection:
            await until(lambda: reading_store.counts(connection).rejected >= len(bad), "all are kept", WITHIN_SECONDS)
    assert worker.alive

    # as an operator looks at them
    shown = site.run_json("ingest", "rejected", "--limit", "100")
    found = sorted((row["topic"], row["bytes"], row["reason"], row["times"]) for row in shown)
    assert found == sorted((message.topic, len(message.payload), message.reason, 1) for message in bad)
    assert all(row["detail"] for row in shown)
    counts = {row["what"]: row["value"] for row in site.run_json("db", "status")}
    assert (counts["samples"], counts["batches"], counts["rejected messages"]) == (6, 2, len(bad))
    assert await asyncio.to_thread(ended_in_order, worker)
    assert "Traceback" not in worker.output()


async def test_a_message_that_the_broker_itself_refuses_disturbs_nobody(site_of: Callable[..., Site]) -> None:
    """Above 1 MB the broker ends the sender's connection: the worker never sees it, and goes on."""
    site = site_of()
    site.register(DEVICE)
    worker = await asyncio.to_thread(site.start_ingest)
    async with connected_device(site.broker, "wc-big-1") as sender:
        sending = asyncio.create_task(sender.publish("readings", bytes(2_000_000)))
        refused = "maximum payload exceeded"
        await until(lambda: refused in site.broker.log_path.read_text(), "the broker refuses", WITHIN_SECONDS)
        async with connected_device(site.broker, DEVICE) as device:
            await device.send(readings(DEVICE, device.boot, 1))
            await until(lambda: device.committed() == {1}, "acknowledgement", WITHIN_SECONDS)
        sending.cancel()
    assert site.run_json("ingest", "rejected") == []
    assert await asyncio.to_thread(ended_in_order, worker)
