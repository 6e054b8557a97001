"""The installation that faults happen to: database, broker, workers, dongles, rules, and who looks after them.

Looking after them is what systemd does: what was killed is started again. Nothing else is done for them.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from psycopg.rows import scalar_row, tuple_row

from ingest.database import Connection, connect
from ingest.personal.keyring import KeyRingFile
from ingest.personal.vault import using_keys
from rules.delivery import outbox
from tests.faults.brokers import BACKEND, Brokers, Shape, running_brokers
from tests.faults.dongle import ClockedDongle, Dongle
from tests.faults.prepared import DATABASE, prepare_database
from tests.faults.rules_side import RulesSide, rules_side
from tests.faults.service import Service
from tests.faults.small_disk import SmallDisk
from tests.faults.stranger import STRANGER, Stranger
from tests.faults.wire import HOST, Wire, Wires
from tests.faults.witness import Witness
from tests.faults.worker import Worker
from wearcast.embedded.processes import ManagedProcess
from wearcast.embedded.timescaledb import Database, private_database

KEYS: Final = "personal-keys"
ROOT: Final = Path(__file__).parents[2]
WORKERS: Final = ("ingest-1", "ingest-2")
CLOCKED: Final = "wc-fault-4"  # dates its readings itself; the others replay recordings
DEVICES: Final = ("wc-fault-1", "wc-fault-2", "wc-fault-3", CLOCKED)
_LOOK_SECONDS: Final = 0.1


@dataclass(kw_only=True)
class FaultSite:
    """Everything that runs, and what was noticed of it."""

    folder: Path
    server: Database
    brokers: Brokers
    disk: SmallDisk | None
    vehicles: Mapping[str, UUID]
    wires: Wires
    witness: Witness
    workers: Sequence[Worker] = ()
    dongles: Sequence[Dongle] = ()
    complaints: list[str] = field(default_factory=list)  # of processes that ended by themselves
    stranger: Stranger = field(default_factory=Stranger)
    # Rounds that can make a message come twice: from their beginning until all served again, by the monotonic clock.
    troubled: list[tuple[float, float]] = field(default_factory=list)
    database_clock_moved: bool = False  # ever
    rules: RulesSide = field(init=False)  # which takes the rest of the site

    @property
    def clocked(self) -> ClockedDongle:
        """The dongle whose clock can be moved."""
        (found,) = [dongle for dongle in self.dongles if isinstance(dongle, ClockedDongle)]
        return found

    @property
    def processes(self) -> Sequence[Service | Dongle]:
        """What is looked after."""
        return (*self.workers, *self.rules.engines, self.rules.delivery, *self.dongles)

    def database_wire(self) -> Wire:
        """A new way to the database."""
        return self.wires.wire(lambda: [(HOST, self._database_port())])

    def connect(self) -> "contextlib.closing[Connection]":
        """A connection past all wires, for the time of a block."""
        return contextlib.closing(connect(self.server.url_of(DATABASE), autocommit=True))

    def stored_of_stranger(self) -> set[int]:
        """The sequence numbers of the stranger's that are in the ledger."""
        with self.connect() as connection, connection.cursor(row_factory=scalar_row) as cursor:
            return set(
                cursor.execute(
                    "SELECT sequence FROM batch WHERE device_id = %s AND boot = %s", [STRANGER, self.stranger.boot]
                )
            )

    def unsettled(self) -> int:
        """How many messages that must be refused are not kept yet."""
        with self.connect() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute("SELECT topic, payload FROM rejected_message").fetchall()
        return len(self.stranger.bad - {(topic, bytes(payload)) for topic, payload in rows})

    def undelivered(self) -> int:
        """How many messages to owners and workshops are neither delivered nor given up."""
        with self.connect() as connection:
            return outbox.counts(connection).waiting

    def as_administrator(self, *statements: str) -> None:
        """Run statements from another database of the server, one transaction each."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def start_dongle(self, name: str, *command: str | Path, device: str) -> ManagedProcess:
        """Start ``python -m …`` on a device: it knows its password, and nothing of the backend."""
        return self._start(name, command, {"WEARCAST_MQTT_PASSWORD": self.brokers.users[device].password or ""})

    def start_worker(self, worker: Worker) -> ManagedProcess:
        """Start ``wearcast ingest run`` over the worker's wires."""
        program = ("wearcast.cli",) if worker.clock is None else ("tests.faults.clocked_worker", worker.clock)
        command = (*program, "ingest", "run", "--name", worker.name, *self.brokers.worker_arguments())
        environment = self.brokers.worker_environment(worker.broker)
        return self.start_service(worker.name, *command, database=worker.database, environment=environment)

    def start_service(
        self, name: str, *command: str | Path, database: Wire, environment: Mapping[str, str]
    ) -> ManagedProcess:
        """Start ``python -m …`` of the backend over its wire to the database."""
        return self._start(
            name,
            command,
            {
                "WEARCAST_PERSONAL_KEY_FILE": str(self.folder / KEYS),
                "WEARCAST_DATABASE_URL": self.server.url_of(DATABASE).replace(
                    f":{self._database_port()}/", f":{database.port}/"
                ),
                **environment,
            },
        )

    def _database_port(self) -> int:
        return int(str(psycopg.conninfo.conninfo_to_dict(self.server.url)["port"]))

    def _start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> ManagedProcess:
        return ManagedProcess.start(
            [sys.executable, "-m", *command],
            name=name,
            log_path=self.folder / f"{name}.log",
            env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            cwd=ROOT,
        )

    @contextlib.contextmanager
    def looked_after(self) -> Iterator[None]:
        """Start again what ends, in a thread of its own, for the time of the block."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(_LOOK_SECONDS):
                self.complaints += [said for one in self.processes if (said := one.supervise()) is not None]

        looking = threading.Thread(target=look, name="look after processes", daemon=True)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()


@contextlib.contextmanager
def fault_site(
    folder: Path,
    *,
    may_mount: bool,
    shape: Shape = "node",
    devices: Sequence[str] = DEVICES,
    begin: bool = True,
    seed: int = 0,
) -> Iterator[FaultSite]:
    """Set it up, with everything started when the block begins, if told to ``begin``; everything is gone at its end.

    ``seed``: of what cars and owners do.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(using_keys(lambda: KeyRingFile(folder / KEYS)))
        disk = SmallDisk(folder / "disk") if may_mount else None
        if disk is not None:
            stack.callback(disk.close)
        server = stack.enter_context(private_database(fresh=True, durable=True))
        wires = stack.enter_context(Wires().running())
        brokers = stack.enter_context(running_brokers(shape, devices, wires))
        vehicles = prepare_database(server, disk, (*devices, STRANGER))
        witness = Witness(HOST, brokers.balanced(wires).ports[0], BACKEND, brokers.users[BACKEND].password or "")
        stack.callback(witness.close)
        site = FaultSite(
            folder=folder,
            server=server,
            brokers=brokers,
            disk=disk if disk is not None and disk.mounted else None,
            vehicles=vehicles,
            wires=wires,
            witness=witness,
        )
        site.workers = _workers(site)
        site.dongles = _dongles(site, devices)
        site.rules = stack.enter_context(
            rules_side(
                folder=folder,
                seed=seed,
                wires=wires,
                database=site.database_wire,
                connect=site.connect,
                start=site.start_service,
                send=witness.send,
            )
        )
        stack.callback(_stop_all, site)
        if begin:
            for one in (*site.workers, *site.rules.engines, site.rules.delivery):
                one.restart()
            for dongle in site.dongles:
                dongle.begin()
            site.rules.cars.start()
        yield site


def _workers(site: FaultSite) -> list[Worker]:
    return [
        Worker(
            name=name,
            database=site.database_wire(),
            broker=site.brokers.for_worker(site.wires),
            clock=site.folder / f"{name}.clock" if name == WORKERS[-1] else None,
            start=site.start_worker,
        )
        for name in WORKERS
    ]


def _dongles(site: FaultSite, devices: Sequence[str]) -> list[Dongle]:
    return [
        (ClockedDongle if device == CLOCKED else Dongle)(
            device=device,
            vehicle=site.vehicles[device],
            folder=site.folder / device,
            wire=site.brokers.balanced(site.wires),
            start=site.start_dongle,
        )
        for device in devices
    ]


def _stop_all(site: FaultSite) -> None:
    for one in site.processes:
        with contextlib.suppress(AssertionError):  # not started
            one.process.kill()


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait for a condition, or raise TimeoutError saying what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen within {seconds:g} s: {what}")
        time.sleep(0.03)
