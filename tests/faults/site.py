"""The installation that faults happen to: database, broker, two workers, dongles, and who looks after them.

Looking after them is what systemd does: what was killed is started again. Nothing else is done for them.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row, tuple_row

from ingest import registry
from ingest.database import Connection, connect
from ingest.personal.keyring import KeyRingFile
from ingest.personal.vault import using_keys
from tests.faults.brokers import BACKEND, Brokers, Shape, running_brokers
from tests.faults.dongle import ClockedDongle, Dongle
from tests.faults.small_disk import SmallDisk
from tests.faults.stranger import STRANGER, Stranger
from tests.faults.wire import HOST, Wires
from tests.faults.witness import Witness
from tests.faults.worker import Worker
from wearcast.database import migrate
from wearcast.embedded.paths import service_user
from wearcast.embedded.processes import ManagedProcess
from wearcast.embedded.timescaledb import Database, private_database

KEYS: Final = "personal-keys"
ROOT: Final = Path(__file__).parents[2]
DATABASE: Final = "faults"
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
    witness: Witness
    workers: Sequence[Worker] = ()
    dongles: Sequence[Dongle] = ()
    complaints: list[str] = field(default_factory=list)  # of processes that ended by themselves
    stranger: Stranger = field(default_factory=Stranger)

    @property
    def clocked(self) -> ClockedDongle:
        """The dongle whose clock can be moved."""
        (found,) = [dongle for dongle in self.dongles if isinstance(dongle, ClockedDongle)]
        return found

    @property
    def processes(self) -> Sequence[Worker | Dongle]:
        """What is looked after."""
        return (*self.workers, *self.dongles)

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
        port = psycopg.conninfo.conninfo_to_dict(self.server.url)["port"]
        environment = {
            "WEARCAST_PERSONAL_KEY_FILE": str(self.folder / KEYS),
            "WEARCAST_DATABASE_URL": self.server.url_of(DATABASE).replace(f":{port}/", f":{worker.database.port}/"),
            **self.brokers.worker_environment(worker.broker),
        }
        program = ("wearcast.cli",) if worker.clock is None else ("tests.faults.clocked_worker", worker.clock)
        command = (*program, "ingest", "run", "--name", worker.name, *self.brokers.worker_arguments())
        return self._start(worker.name, command, environment)

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
    folder: Path, *, may_mount: bool, shape: Shape = "node", devices: Sequence[str] = DEVICES, begin: bool = True
) -> Iterator[FaultSite]:
    """Set it up, with everything started when the block begins, if told to ``begin``; everything is gone at its end."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(using_keys(lambda: KeyRingFile(folder / KEYS)))
        disk = SmallDisk(folder / "disk") if may_mount else None
        if disk is not None:
            stack.callback(disk.close)
        server = stack.enter_context(private_database(fresh=True, durable=True))
        brokers = stack.enter_context(running_brokers(shape, devices))
        vehicles = _database(server, disk, (*devices, STRANGER))
        wires = stack.enter_context(Wires().running())
        witness = Witness(HOST, brokers.balanced(wires).ports[0], BACKEND, brokers.users[BACKEND].password or "")
        stack.callback(witness.close)
        site = FaultSite(
            folder=folder,
            server=server,
            brokers=brokers,
            disk=disk if disk is not None and disk.mounted else None,
            vehicles=vehicles,
            witness=witness,
        )
        to_database = lambda: [(HOST, int(str(psycopg.conninfo.conninfo_to_dict(server.url)["port"])))]  # noqa: E731 - passed on as it stands
        site.workers = [
            Worker(
                name=name,
                database=wires.wire(to_database),
                broker=brokers.for_worker(wires),
                clock=folder / f"{name}.clock" if name == WORKERS[-1] else None,
                start=site.start_worker,
            )
            for name in WORKERS
        ]
        site.dongles = [
            (ClockedDongle if device == CLOCKED else Dongle)(
                device=device,
                vehicle=vehicles[device],
                folder=folder / device,
                wire=brokers.balanced(wires),
                start=site.start_dongle,
            )
            for device in devices
        ]
        stack.callback(_stop_all, site)
        for worker in site.workers if begin else ():
            worker.restart()
        for dongle in site.dongles if begin else ():
            dongle.begin()
        yield site


def _database(server: Database, disk: SmallDisk | None, devices: Sequence[str]) -> dict[str, UUID]:
    """Make the database, its tables on the small disk if there is one, and register the devices."""
    place = sql.SQL("")
    with psycopg.connect(server.url, autocommit=True) as connection:
        if disk is not None and disk.mounted:
            tables = disk.folder / "tables"
            tables.mkdir()
            owner = service_user()
            if owner is not None:
                os.chown(tables, owner.uid, owner.gid)
            connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(tables))))
            place = sql.SQL("TABLESPACE small")
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(sql.Identifier(DATABASE), place))
    migrate(server.url_of(DATABASE))
    vehicles: dict[str, UUID] = {}
    with contextlib.closing(connect(server.url_of(DATABASE), autocommit=True)) as connection:
        for device in devices:
            owner_of = registry.register_owner(connection, name=f"Owner of {device}")
            vehicle = registry.register_vehicle(connection, owner_id=owner_of.id, label=device, profile="generic")
            registry.register_device(connection, id=device, vehicle_id=vehicle.id, hardware="virtual")
            vehicles[device] = vehicle.id
    return vehicles


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
