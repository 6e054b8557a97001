"""A real worker as the watch sees it: its figures, its pulse, the traces of what it stored."""

import logging

import pytest
from prometheus_client import REGISTRY

from ingest import watch
from ingest.database import Connection, connect
from ingest.pulse import PULSE
from telemetry.records import BatchKey
from telemetry.trace import trace_id
from tests.integration.ingest_support import connected_device, readings, register_car, running_worker, until
from wearcast.embedded.nats import Broker

pytestmark = [pytest.mark.database, pytest.mark.broker]
DEVICE = "wc-watched-1"
FIGURES = (
    "wearcast_ingest_batches_total",
    "wearcast_ingest_samples_total",
    "wearcast_ingest_duplicates_total",
    "wearcast_ingest_acknowledged_total",
    "wearcast_ingest_lag_seconds_count",
    "wearcast_ingest_commit_seconds_count",
)


def figures() -> dict[str, float]:
    found = {name: REGISTRY.get_sample_value(name) or 0.0 for name in FIGURES}
    rejected = REGISTRY.get_sample_value("wearcast_ingest_rejected_total", {"reason": "malformed"})
    return {**found, "malformed": rejected or 0.0}


async def test_figures_and_traces_of_what_is_stored(
    broker: Broker, connection: Connection, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    register_car(connection, DEVICE)
    before = figures()
    with caplog.at_level(logging.DEBUG, logger="ingest.watch"):
        async with running_worker(broker, database_url), connected_device(broker, DEVICE) as device:
            await device.send(readings(DEVICE, device.boot, 1))
            await until(lambda: device.committed() == {1}, "the first batch is acknowledged")
            await device.send(readings(DEVICE, device.boot, 1))
            await device.send(readings(DEVICE, device.boot, 2))
            await device.publish("readings", b"nonsense")
            await until(lambda: figures()["malformed"] > before["malformed"], "nonsense is counted")
            await until(lambda: device.committed() == {1, 2}, "the second batch is acknowledged")
            await until(lambda: REGISTRY.get_sample_value("wearcast_ingest_broker_connected") == 1.0, "it is told")
    grown = {name: value - before[name] for name, value in figures().items()}
    assert (grown["wearcast_ingest_batches_total"], grown["wearcast_ingest_samples_total"]) == (2, 6)
    assert (grown["wearcast_ingest_duplicates_total"], grown["malformed"]) == (1, 1)
    assert grown["wearcast_ingest_lag_seconds_count"] == grown["wearcast_ingest_commit_seconds_count"] >= 2
    assert grown["wearcast_ingest_acknowledged_total"] >= 2
    traced = {record.__dict__["trace_id"] for record in caplog.records if "trace_id" in record.__dict__}
    assert traced == {trace_id(BatchKey(device=DEVICE, boot=device.boot, sequence=sequence)) for sequence in (1, 2)}


async def test_a_group_that_does_not_commit_makes_the_worker_unready(
    broker: Broker, connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LONGEST_GROUP_SECONDS", 0.2)
    register_car(connection, DEVICE)
    async with running_worker(broker, database_url), connected_device(broker, DEVICE) as device:
        await until(lambda: PULSE.problems() == [], "it is ready")
        with connect(database_url) as other:
            other.execute("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE")
            await device.send(readings(DEVICE, device.boot, 1))
            await until(lambda: any("storing a group" in problem for problem in PULSE.problems()), "it says so")
            assert PULSE.stopped_loops() == []
            other.rollback()
        await until(lambda: device.committed() == {1}, "the batch is acknowledged")
        await until(lambda: PULSE.problems() == [], "it is ready again")


async def test_a_broker_that_is_away_makes_the_worker_unready_until_it_is_back(
    broker: Broker, database_url: str
) -> None:
    async with running_worker(broker, database_url):
        await until(lambda: PULSE.problems() == [], "it is ready")
        broker.kill()
        await until(lambda: any(problem.startswith("broker:") for problem in PULSE.problems()), "it says so")
        broker.start()
        await until(lambda: PULSE.problems() == [], "it is ready again")
    assert PULSE.problems() == []
