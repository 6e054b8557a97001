"""Workers that share a NATS consumer: batches a second with 1, 2 and 4 of them, on one node and on three.

``make bench-scale`` writes build/bench/scale.json with medians. All of it runs on this machine, devices included: the
rates are the machine's. What carries over to others are the processor seconds that 1,000 batches take of each part.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest import registry
from ingest.database import Connection, connect
from ingest.personal.keyring import KeyRingFile
from ingest.personal.vault import use_keys
from ingest.sources.nats_connection import NatsConfig
from ingest.sources.nats_stream import StreamLimits, prepare
from tests.benchmarks.bench_row import Row, row, show, write
from tests.benchmarks.bench_scale_devices import cost_of_a_device
from tests.benchmarks.ingest.corpus import Fleet
from tests.benchmarks.ingest.site import READY, Acknowledged, cpu_seconds, mqtt, publish
from wearcast.database import migrate
from wearcast.embedded.nats import Broker, private_broker
from wearcast.embedded.nats_cluster import private_cluster
from wearcast.embedded.processes import ManagedProcess
from wearcast.embedded.timescaledb import Database, private_database

RUNS: Final = 3
WORKERS: Final = (1, 2, 4)
_RUN: Final = ("ingest", "run", "--source", "jetstream")
FLEET: Final = Fleet(name="scale", devices=500, batches=6, samples=60, signals=20)
LIMITS: Final = {"one node": StreamLimits(replicas=1, most_bytes=2**30), "three nodes": StreamLimits(most_bytes=2**30)}


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where it is measured."""

    database: Database
    connection: Connection
    nodes: Sequence[Broker]
    folder: Path

    @contextmanager
    def workers(self, count: int) -> Iterator[list[ManagedProcess]]:
        """So many `wearcast ingest run --source jetstream`, ready."""
        environment = {
            "WEARCAST_DATABASE_URL": self.database.url,
            "WEARCAST_NATS_URL": ",".join(node.nats_url for node in self.nodes),
            "WEARCAST_PERSONAL_KEY_FILE": str(self.folder / "personal-keys"),
        }
        with ExitStack() as stack:
            started = [
                stack.enter_context(
                    ManagedProcess.start(
                        [sys.executable, "-m", "wearcast.cli", *_RUN, "--name", f"scale-{number}"],
                        name="An ingest worker",
                        log_path=self.folder / f"worker-{number}.log",
                        env=environment,
                    )
                )
                for number in range(count)
            ]
            for worker in started:
                worker.wait_for_line(READY)
            yield started


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Wall-clock seconds until all is stored, and processor seconds of each part; NATS's from the publishing on."""

    seconds: float
    workers: float
    nats: float
    database: float


def main() -> None:
    """Measure, print and write the table."""
    with tempfile.TemporaryDirectory(prefix="wearcast-bench-") as folder:
        ring = KeyRingFile(Path(folder) / "personal-keys")
        use_keys(lambda: ring)
        with private_database(fresh=True) as database:
            migrate(database.url)
            with connect(database.url, autocommit=True) as connection:
                _register(connection)
                table = [entry for name in LIMITS for entry in layout(name, database, connection, Path(folder))]
    table += shown(cost_of_a_device())
    write("scale", table)


def layout(name: str, database: Database, connection: Connection, folder: Path) -> list[Row]:
    """All numbers of workers on one kind of broker, alternating."""
    with ExitStack() as stack:
        if name == "one node":
            nodes: Sequence[Broker] = [stack.enter_context(private_broker("scale", fresh=True))]
        else:
            nodes = stack.enter_context(private_cluster("scale", fresh=True)).nodes
        asyncio.run(prepare(NatsConfig(servers=tuple(node.nats_url for node in nodes)), LIMITS[name]))
        place = Site(database=database, connection=connection, nodes=nodes, folder=folder)
        taken: dict[int, list[Taken]] = {count: [] for count in WORKERS}
        for _ in range(RUNS):
            for count in WORKERS:
                taken[count].append(drain(place, count))
    return shown(rows(name, taken))


def drain(place: Site, count: int) -> Taken:
    """All batches wait in the stream; how long the workers take until the last is acknowledged.

    They stand still (SIGSTOP) while the batches arrive; the clock starts as they may run again.
    """
    place.connection.execute("TRUNCATE reading, vehicle_state, batch")
    with place.workers(count) as workers:
        for worker in workers:
            worker.send_signal(signal.SIGSTOP)
        with mqtt(place.nodes[0], "bench-devices") as devices, mqtt(place.nodes[-1], "bench-acks") as listener:
            heard = Acknowledged(listener, FLEET.all_batches)
            before = _cpu(place, workers)
            publish(devices, FLEET.compact)
            begun = time.perf_counter()
            for worker in workers:
                worker.send_signal(signal.SIGCONT)
            heard.wait()
            seconds = max(heard.at.values()) - begun
            after = _cpu(place, workers)
    stored = place.connection.execute("SELECT count(*) FROM reading").fetchone()
    assert stored == (FLEET.messages * FLEET.samples,), f"{stored} samples are stored, lost or doubled"
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return Taken(seconds=seconds, workers=spent[0], nats=spent[1], database=spent[2])


def rows(name: str, taken: dict[int, list[Taken]]) -> list[Row]:
    """Rates, and processor time per 1,000 batches of each part."""
    table: list[Row] = []
    rates = {count: FLEET.messages / statistics.median(run.seconds for run in runs) for count, runs in taken.items()}
    for count, runs in taken.items():
        what = f"{name}, {count} worker{'s' if count > 1 else ''}"
        first = f"{name}, {WORKERS[0]} worker"
        alone = count == WORKERS[0]
        ratio = None if alone else rates[count] / rates[WORKERS[0]]
        table.append(row(what, rates[count], "batches/s", ratio=ratio, against=None if alone else first, digits=0))
        for part in ("workers", "nats", "database"):
            spent = statistics.median(getattr(run, part) for run in runs)
            table.append(row(f"{what}: {part}", 1000 * spent / FLEET.messages, "CPU s per 1000 batches"))
    return table


def shown(table: list[Row]) -> list[Row]:
    """The rows, printed."""
    show(table)
    return table


def _cpu(place: Site, workers: Sequence[ManagedProcess]) -> tuple[float, float, float]:
    sessions = place.connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    database = sum(cpu_seconds(pid) for (pid,) in sessions.fetchall())
    return (
        sum(cpu_seconds(worker.pid) for worker in workers),
        sum(cpu_seconds(node.pid) for node in place.nodes),
        database,
    )


def _register(connection: Connection) -> None:
    with connection.transaction():
        owner = registry.register_owner(connection, name="bench")
        for name in FLEET.device_ids:
            vehicle = registry.register_vehicle(connection, owner_id=owner.id, label="bench", profile="generic")
            registry.register_device(connection, id=name, vehicle_id=vehicle.id, hardware="bench")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
