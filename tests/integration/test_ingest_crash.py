"""A worker killed inside its transaction, or between commit and acknowledgement: nothing is lost or doubled."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ingest import reading_store
from ingest.database import Connection
from tests.integration.ingest_support import connected_device, readings, register_car, running_worker, until
from wearcast.embedded.nats import Broker

pytestmark = [pytest.mark.database, pytest.mark.broker]

# Runs a real worker and kills it when it first calls the function named.
_DOOMED_WORKER = """
import asyncio, logging, os, signal, sys
from ingest import acknowledger, worker
from ingest import broker_connection as brokers
from ingest.storing import writer

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

module, function, url, host, port = sys.argv[1:]
setattr({"writer": writer, "acknowledger": acknowledger}[module], function, die)
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
config = worker.WorkerConfig(
    database_url=url, broker=brokers.BrokerConfig(host=host, port=int(port)), client_id="ingest-test"
)
asyncio.run(worker.run_worker(config, asyncio.Event()))
"""


@pytest.fixture(
    params=[("writer", "_merge_states"), ("acknowledger", "encode_ack")],
    ids=["between COPY and commit", "after the commit"],
)
def doomed_worker(request: pytest.FixtureRequest, broker: Broker, database_url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _DOOMED_WORKER, *request.param, database_url, broker.host, str(broker.port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert "ingest worker ready\n" in process.stdout, "it ended before"  # after what else it may have to say
        yield process
        process.kill()


async def test_a_killed_worker_loses_and_doubles_nothing(
    doomed_worker: subprocess.Popen[str], broker: Broker, database_url: str, connection: Connection
) -> None:
    vehicle = register_car(connection, "d1")
    async with connected_device(broker, "d1") as device:
        sent = [readings("d1", device.boot, sequence) for sequence in range(1, 21)]
        for batch in sent:
            await device.send(batch)
        assert await asyncio.to_thread(doomed_worker.wait, 60) == -signal.SIGKILL
        assert device.committed() == set()
        async with running_worker(broker, database_url):
            for batch in sent:  # as the outbox does, without an acknowledgement
                await device.send(batch)
            await until(lambda: device.committed() == set(range(1, 21)), "acknowledgements")
    counted = reading_store.counts(connection)
    assert (counted.samples, counted.batches, counted.rejected) == (60, 20, 0)
    assert reading_store.latest_state(connection, vehicle).value("speed") == 20.0
