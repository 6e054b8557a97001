"""The parts a measurement runs against: a private database and broker, registered cars, and a real worker process."""

import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest import registry
from ingest.database import Connection, connect
from ingest.personal.keyring import KeyRingFile
from ingest.personal.vault import use_keys
from telemetry.records import BatchKey, ReadingsBatch
from telemetry.topics import acks_topic
from telemetry.wire import decode_ack
from tests.benchmarks.ingest.corpus import Fleet
from wearcast.database import migrate
from wearcast.embedded.nats import Broker, private_broker
from wearcast.embedded.processes import ManagedProcess
from wearcast.embedded.timescaledb import Database, private_database

READY: Final = r"ingest worker ready"
PATIENCE_SECONDS: Final = 180.0
_PUBLISH_WINDOW: Final = 200  # PUBACKs a publisher waits for at most
_CLOCK_TICKS: Final = 100  # a second, of utime and stime in /proc (proc(5); the same on every Linux of today)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where it is measured."""

    database: Database
    broker: Broker
    connection: Connection
    vehicles: Mapping[str, UUID]
    folder: Path

    def empty(self) -> None:
        """Forget what was stored, so that the same messages are new again."""
        self.connection.execute("TRUNCATE reading, vehicle_state, batch")

    @contextmanager
    def worker(self) -> Iterator[ManagedProcess]:
        """Run `wearcast ingest run` as a service would, subscribed, in a session that nobody had before.

        At the end the session is forgotten: what it had not confirmed must not come to the next.
        """
        name = f"bench-{uuid4().hex[:8]}"
        process = ManagedProcess.start(
            [sys.executable, "-m", "wearcast.cli", "ingest", "run", "--name", name],
            name="The ingest worker",
            log_path=self.folder / f"{name}.log",
            env={
                "WEARCAST_DATABASE_URL": self.database.url,
                "WEARCAST_BROKER_URL": f"mqtt://{self.broker.host}:{self.broker.port}",
            },
        )
        try:
            process.wait_for_line(READY)
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.stop()
            forget(self.broker, f"wearcast-{name}")

    def stored_values(self, fleet: Fleet) -> int:
        """How many values of the fleet's signals stand in the database."""
        counts = " + ".join(f"count({signal.column})" for signal in fleet.columns)
        row = self.connection.execute(f"SELECT {counts} FROM reading").fetchone()  # noqa: S608 - columns of the catalogue
        assert row is not None
        return int(row[0])


@contextmanager
def site(folder: Path, fleets: Sequence[Fleet]) -> Iterator[Site]:
    """A fresh database and broker in which the devices of all fleets are registered."""
    ring = KeyRingFile(folder / "personal-keys")
    use_keys(lambda: ring)
    with private_database(fresh=True) as database, private_broker(fresh=True) as broker:
        migrate(database.url)
        with connect(database.url, autocommit=True) as connection:
            yield Site(
                database=database,
                broker=broker,
                connection=connection,
                vehicles=_register(connection, max(fleet.devices for fleet in fleets)),
                folder=folder,
            )


def _register(connection: Connection, devices: int) -> dict[str, UUID]:
    with connection.transaction():
        owner = registry.register_owner(connection, name="bench")
        vehicles = {}
        for number in range(devices):
            vehicle = registry.register_vehicle(connection, owner_id=owner.id, label="bench", profile="generic")
            device = registry.register_device(connection, id=f"bench-{number}", vehicle_id=vehicle.id, hardware="bench")
            vehicles[device.id] = vehicle.id
    return vehicles


@contextmanager
def mqtt(broker: Broker, client_id: str) -> Iterator[paho.Client]:
    """A connected client with its own network thread."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, protocol=MQTTProtocolVersion.MQTTv311
    )
    client.max_inflight_messages_set(_PUBLISH_WINDOW)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert connected.wait(30), "the broker does not answer"
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(client: paho.Client, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish all and wait until the broker has confirmed each."""
    sent = [client.publish(topic, payload, qos=1) for topic, payload in messages]
    for info in sent:
        info.wait_for_publish(PATIENCE_SECONDS)


def forget(broker: Broker, client_id: str) -> None:
    """End a persistent session and what waits in it: whoever connects with a clean one discards it."""
    with mqtt(broker, client_id):
        pass


class Acknowledged:
    """Notes when the acknowledgement of each of these batches arrives."""

    def __init__(self, client: paho.Client, batches: Iterable[ReadingsBatch]) -> None:
        self.at: dict[BatchKey, float] = {}  # monotonic seconds
        self._left = {batch.key for batch in batches}
        self._complete = threading.Event()
        client.on_message = self._on_message
        client.subscribe(acks_topic("device").replace("/device/", "/+/"), qos=1)

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        now = time.perf_counter()
        device = message.topic.split("/")[2]
        ack = decode_ack(device, bytes(message.payload))
        for first, last in ack.committed:
            for number in range(first, last + 1):
                key = BatchKey(device=device, boot=ack.boot, sequence=number)
                if key in self._left:
                    self._left.remove(key)
                    self.at[key] = now
        if not self._left:
            self._complete.set()

    def wait(self) -> None:
        """Until every expected batch is acknowledged."""
        assert self._complete.wait(PATIENCE_SECONDS), f"{len(self._left)} batches are not acknowledged"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a run took: wall-clock and processor seconds."""

    seconds: float
    worker_cpu_seconds: float
    database_cpu_seconds: float
    broker_cpu_seconds: float


def drain(place: Site, fleet: Fleet) -> Taken:
    """All messages of the fleet wait at the broker; how long one worker takes until the last is acknowledged.

    The worker is subscribed and stands still (SIGSTOP) while they arrive: the clock starts as it may run again.
    """
    place.empty()
    with place.worker() as worker:
        worker.send_signal(signal.SIGSTOP)
        with mqtt(place.broker, "bench-devices") as devices, mqtt(place.broker, "bench-acks") as listener:
            heard = Acknowledged(listener, fleet.all_batches)
            publish(devices, fleet.compact)
            before = _cpu(place, worker)
            begun = time.perf_counter()
            worker.send_signal(signal.SIGCONT)
            heard.wait()
            seconds = max(heard.at.values()) - begun
            after = _cpu(place, worker)
    assert place.stored_values(fleet) == fleet.values
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return Taken(
        seconds=seconds, worker_cpu_seconds=spent[0], database_cpu_seconds=spent[1], broker_cpu_seconds=spent[2]
    )


def _cpu(place: Site, worker: ManagedProcess) -> tuple[float, float, float]:
    """Processor seconds so far of the worker, of its database sessions, and of the broker."""
    sessions = place.connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    database = sum(cpu_seconds(pid) for (pid,) in sessions.fetchall())
    return cpu_seconds(worker.pid), database, cpu_seconds(place.broker.pid)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def resident_mb(pid: int) -> float:
    """Resident memory of a process now, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
