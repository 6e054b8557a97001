"""The whole way of a service record: stored, sent by the worker, taken by a real agent, its event stored, done."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from psycopg.rows import scalar_row

from edge_agent.agent import run_agent
from edge_agent.config import AgentConfig, MqttConfig, SourceConfig, UplinkConfig
from edge_agent.sources.base import Reading
from health.registry import build_estimators
from ingest.database import Connection
from ingest.outbound import services
from ingest.outbound.courier import CourierConfig
from ingest.outbound.services import StoredService
from telemetry.records import Quantity
from tests.integration.ingest_support import register_car, running_worker, until
from tests.integration.service_support import a_record, keep
from wearcast.embedded.nats import Broker

pytestmark = [pytest.mark.broker, pytest.mark.database]

DEVICE = "car-1"
COURIER = CourierConfig(look_seconds=0.1, again=timedelta(seconds=1), longest=timedelta(minutes=5))


class Driving:
    """A petrol car that is driven, ten readings a second."""

    def open(self) -> None:
        """Nothing to open."""

    def poll(self) -> Reading:
        """The next reading, after a while."""
        time.sleep(0.1)
        return Reading(
            values={
                "Vehicle.Speed": 50.0,
                "Vehicle.Powertrain.CombustionEngine.Speed": 2000.0,
                "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature": 90.0,
            }
        )

    def close(self) -> None:
        """Nothing to close."""


@contextmanager
def running_agent(broker: Broker, folder: Path) -> Iterator[None]:
    config = AgentConfig(
        device=DEVICE,
        source=SourceConfig(kind="obd_can"),
        outbox_path=folder / "outbox.sqlite",
        mqtt=MqttConfig(host=broker.host, port=broker.port),
        uplink=UplinkConfig(reconnect_min_seconds=0.1, reconnect_max_seconds=0.5),
        batch_seconds=0.5,
    )
    stop, failures = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            run_agent(config, Driving(), build_estimators("petrol"), stop)
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=run, name="agent")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert failures == []
    assert not thread.is_alive()


def stored(connection: Connection, vehicle: UUID) -> dict[UUID, StoredService]:
    return {entry.id: entry for entry in services.services(connection, vehicle)}


def resets(connection: Connection) -> list[str]:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return [
            str(entry)
            for entry in cursor.execute("SELECT data ->> 'id' FROM vehicle_event WHERE kind = 'service.reset'")
        ]


async def test_a_report_reaches_the_estimates_and_the_event_says_so(
    broker: Broker, database_url: str, connection: Connection, tmp_path: Path
) -> None:
    vehicle = register_car(connection, DEVICE)
    oil = a_record(datetime.now(UTC))
    no_part = a_record(datetime.now(UTC), Quantity.TRACTION_BATTERY_SOH, value=91.0, unit="percent")
    async with running_worker(broker, database_url, courier=COURIER):
        with running_agent(broker, tmp_path):
            keep(connection, vehicle, oil, no_part, now=datetime.now(UTC))
            await until(lambda: stored(connection, vehicle)[oil.id].applied_at is not None, "the record is applied")
            await until(lambda: resets(connection) == [str(oil.id)], "its event is stored")
            await until(lambda: stored(connection, vehicle)[no_part.id].refused_reason is not None, "the other is not")
    assert stored(connection, vehicle)[no_part.id].applied_at is None
    assert "not estimated of this kind of car" in (stored(connection, vehicle)[no_part.id].refused_reason or "")
    assert resets(connection) == [str(oil.id)]


async def test_a_dongle_that_was_away_gets_it_when_it_comes_and_counts_it_once(
    broker: Broker, database_url: str, connection: Connection, tmp_path: Path
) -> None:
    vehicle = register_car(connection, DEVICE)
    oil = a_record(datetime.now(UTC))
    keep(connection, vehicle, oil, now=datetime.now(UTC))
    sent = "SELECT FROM service_record WHERE sent_at IS NOT NULL"
    async with running_worker(broker, database_url, courier=COURIER):
        # The broker has never heard of this dongle: what is sent now is gone.
        await until(lambda: connection.execute(sent).fetchone() is not None, "it is sent in vain")
        with running_agent(broker, tmp_path):
            await until(lambda: stored(connection, vehicle)[oil.id].applied_at is not None, "the record is applied")
        connection.execute("UPDATE service_record SET applied_at = NULL, sent_at = NULL")  # an answer that got lost
        with running_agent(broker, tmp_path):
            await until(lambda: stored(connection, vehicle)[oil.id].applied_at is not None, "it is answered again")
            await until(lambda: len(resets(connection)) == 1, "the event is stored")
    assert resets(connection) == [str(oil.id)]
