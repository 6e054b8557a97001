"""Memory and start of the whole agent: a car on a CAN bus, a DBC beside, TLS to the broker, estimates.

The agent runs as its service does (``python -m edge_agent``) against a virtual car in another process, which is asked
and listened to, and a broker that asks for certificates. Resident memory is what the kernel says in /proc; a reading
counts as published when a subscriber has it. The peer, ThingsBoard's gateway, idles beside it in the same minute, in a
temporary environment; without a package index its rows are left out.
"""

import contextlib
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import can
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.can_bus import CanBusConfig, open_can_bus
from firmware_profiles.authority import Authority, Credentials
from telemetry.records import Acknowledgement, EventsBatch, ReadingsBatch
from telemetry.topics import acks_topic, parse_device_topic
from telemetry.wire import decode_message, encode_ack
from tests.benchmarks.bench_row import ROOT, Row, row
from wearcast.embedded.nats import Broker, BrokerTls, BrokerUser, private_broker

STEADY_SECONDS: Final = 60.0
STARTS: Final = 5
GOAL_MB: Final = 48.0
GOAL_SECONDS: Final = 2.0
DEVICE: Final = "car-1"
BUS: Final = CanBusConfig(interface="udp_multicast", channel="239.74.163.91", options={"port": 45091})
SPEED, HEARD = "Vehicle.Speed", "Vehicle.Chassis.Brake.PedalPosition"  # asked for by the profile; only broadcast
DBC: Final = """VERSION ""
BU_: ECU
BO_ 180 SPEED: 8 ECU
 SG_ SPEED : 7|16@0+ (0.01,0) [0|250] "km/h" ECU
BO_ 166 BRAKE: 8 ECU
 SG_ PEDAL : 7|8@0+ (0.5,0) [0|100] "%" ECU
"""
GARAGE: Final = """
cars:
  - {name: anna, vin: WVWZZZ1KZAW000001, kind: petrol,
     bus: {interface: udp_multicast, channel: 239.74.163.91, port: 45091}}
"""
AGENT: Final = """
device: car-1
vehicle_profile: generic
source:
  kind: obd_can
  interface: udp_multicast
  channel: 239.74.163.91
  options: {{port: 45091}}
  broadcast:
    dbc: car.dbc
    signals:
      - {{message: SPEED, signal: SPEED, path: Vehicle.Speed}}
      - {{message: BRAKE, signal: PEDAL, path: Vehicle.Chassis.Brake.PedalPosition}}
outbox: {{path: state/outbox.sqlite}}
mqtt: {{host: 127.0.0.1, port: {port}, tls: {{ca: authority/ca.pem, certificate: device.pem, key: device-key.pem}}}}
"""
# One after the other in one process, so that what two of them share is counted where it comes first.
IMPORTS: Final = (
    ("logging, SQLite, YAML, msgspec", "logging sqlite3 yaml msgspec"),
    ("MQTT over TLS: paho, ssl", "ssl paho.mqtt.client"),
    ("CAN: python-can, can-isotp", "can isotp"),
    ("the agent's own modules", "edge_agent.start"),
    ("not in the agent: cantools, for a new DBC", "cantools"),
    ("not in the service: typer, rich, the command", "wearcast.cli"),
)
IMPORTER: Final = """
import importlib, json, sys
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
found = [resident()]
for group in sys.argv[1:]:
    for name in group.split():
        importlib.import_module(name)
    found.append(resident())
print(json.dumps(found))
"""


@dataclass(kw_only=True)
class Arrivals:
    """When the subscriber got what."""

    first: threading.Event
    paths: set[str]
    at: float = 0.0  # monotonic seconds of the first readings


def kilobytes(pid: int, key: str) -> int:
    """A figure of /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{key}:"))


def proportional(pid: int) -> int:
    """Memory of a process in kB, where it shares with others only its share."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(kilobytes_of_1024: float) -> float:
    """Of 10^6 bytes."""
    return kilobytes_of_1024 * 1024 / 1e6


def imports() -> list[Row]:
    """What each group of imports adds, in one process; none of it is the agent at work yet."""
    groups = [modules for _, modules in IMPORTS]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTER, *groups], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: list[int] = json.loads(done.stdout)
    table = [row("import: bare Python", megabytes(found[0]), "MB", digits=1)]
    table += [
        row(f"import: {name}", megabytes(after - before), "MB", digits=1)
        for (name, _), before, after in zip(IMPORTS, found[:-1], found[1:], strict=True)
    ]
    return table


@contextlib.contextmanager
def process(arguments: list[str], folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; what it says is kept in the folder."""
    with (folder / "log.txt").open("ab") as log:
        running = subprocess.Popen(
            arguments, cwd=folder, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}
        )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def talk() -> None:
    """What a car says unasked: two messages, fifty times a second each, until this process is ended."""
    with open_can_bus(BUS) as bus:
        while True:
            for identifier in (180, 166):
                bus.send(
                    can.Message(arbitration_id=identifier, data=bytes.fromhex("1388000000000000"), is_extended_id=False)
                )
            time.sleep(0.02)


def stored(folder: Path, name: str, credentials: Credentials) -> tuple[Path, Path]:
    """The PEM files of a certificate."""
    files = folder / f"{name}.pem", folder / f"{name}-key.pem"
    files[0].write_bytes(credentials.certificate_pem)
    files[1].write_bytes(credentials.key_pem)
    return files


@contextlib.contextmanager
def subscriber(folder: Path, broker: Broker, certificate: tuple[Path, Path]) -> Iterator[list[Arrivals]]:
    """The backend's place: acknowledges what comes and notes when; the last entry of the list is the one in use."""
    watching: list[Arrivals] = []
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id="ingest")
    context = ssl.create_default_context(cafile=str(folder / "authority" / "ca.pem"))
    context.load_cert_chain(*certificate)
    client.tls_set_context(context)

    def take(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        now = time.monotonic()
        batch = decode_message(parse_device_topic(message.topic), bytes(message.payload))
        if isinstance(batch, ReadingsBatch) and batch.samples and watching:
            watching[-1].paths.update(path for sample in batch.samples for path in sample.values)
            if not watching[-1].first.is_set():
                watching[-1].at = now
                watching[-1].first.set()
        if isinstance(batch, ReadingsBatch | EventsBatch):
            key = batch.key
            ack = Acknowledgement(device=key.device, boot=key.boot, committed=((key.sequence, key.sequence),))
            client.publish(acks_topic(key.device), encode_ack(ack), qos=1)

    def subscribe(*_: object) -> None:
        client.subscribe([("wearcast/v1/+/readings", 1), ("wearcast/v1/+/events", 1)])

    def subscribed(*_: object) -> None:
        ready.set()

    client.on_connect, client.on_subscribe, client.on_message = subscribe, subscribed, take
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        if not ready.wait(30):
            raise SystemExit("the subscriber did not come to its broker")
        yield watching
    finally:
        client.disconnect()
        client.loop_stop()


@contextlib.contextmanager
def started(folder: Path, watching: list[Arrivals]) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """An agent, and the seconds from the start of its process to its first readings at the subscriber."""
    watching.append(Arrivals(first=threading.Event(), paths=set()))
    begun = time.monotonic()
    with process([sys.executable, "-m", "edge_agent", str(folder / "agent.yaml")], folder) as agent:
        until = begun + 60.0
        while not watching[-1].first.wait(0.1):
            if agent.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"no reading came; the agent said: {(folder / 'log.txt').read_text()[-2000:]}")
        yield agent, watching[-1].at - begun


@contextlib.contextmanager
def peer(folder: Path) -> Iterator[subprocess.Popen[bytes] | None]:
    """ThingsBoard's gateway without any connector, kept on the loopback interface; None where it cannot be had."""
    folder.mkdir()
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    got = subprocess.run(
        [python, "-m", "pip", "install", "-q", "thingsboard-gateway"], capture_output=True, text=True, check=False
    )
    if got.returncode:
        sys.stderr.write(f"no thingsboard-gateway here: {got.stderr.strip().splitlines()[-1:]}\n")
        yield None
        return
    shipped = next((folder / "venv").glob("lib/python3*/site-packages/thingsboard_gateway/config"))
    (folder / "config").mkdir()
    (folder / "config" / "logs.json").write_bytes((shipped / "logs.json").read_bytes())
    settings = json.loads((shipped / "tb_gateway.json").read_text(encoding="utf-8"))
    settings["thingsboard"].update({"host": "127.0.0.1", "port": 1, "remoteConfiguration": False})
    (folder / "config" / "tb_gateway.json").write_text(json.dumps(settings), encoding="utf-8")
    # It asks for updates by itself, and installs what it misses: both end at a port where nobody listens.
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "PIP_NO_INDEX": "1"}
    with process(
        [str(folder / "venv" / "bin" / "thingsboard-gateway")],
        folder,
        TB_GW_CONFIG_DIR=str(folder / "config"),
        PYTHONPATH="",
        **nowhere,
    ) as running:
        yield running


def whole_agent(folder: Path) -> list[Row]:
    """Starts, then a minute of steady running beside the peer."""
    authority = Authority.open_or_create(folder / "authority")
    tls = BrokerTls(
        **dict(
            zip(
                ("certificate", "key"),
                stored(folder, "broker", authority.issue_server_certificate(["127.0.0.1"])),
                strict=True,
            )
        ),
        ca=folder / "authority" / "ca.pem",
    )
    stored(folder, "device", authority.issue_device_certificate(DEVICE))
    backend = stored(folder, "ingest", authority.issue_device_certificate("ingest"))
    (folder / "car.dbc").write_text(DBC, encoding="ascii")
    (folder / "garage.yaml").write_text(GARAGE, encoding="utf-8")
    users = [BrokerUser(name="ingest"), BrokerUser(name=DEVICE, device=DEVICE)]
    with (
        private_broker(fresh=True, users=users, tls=tls) as broker,
        process([sys.executable, "-m", "wearcast.cli", "agent", "garage", str(folder / "garage.yaml")], folder),
        process([sys.executable, "-m", __spec__.name, "--talk"], folder),
        subscriber(folder, broker, backend) as watching,
    ):
        (folder / "agent.yaml").write_text(AGENT.format(port=broker.port), encoding="utf-8")
        time.sleep(2.0)  # the car starts first
        with started(folder, watching) as (_, very_first):
            pass
        seconds = []
        for _ in range(STARTS):
            with started(folder, watching) as (_, taken):
                seconds.append(taken)
        with peer(folder / "peer") as gateway, started(folder, watching) as (agent, _):
            cpu_at_first = cpu_seconds(agent.pid)
            time.sleep(STEADY_SECONDS)
            resident, highest = kilobytes(agent.pid, "VmRSS"), kilobytes(agent.pid, "VmHWM")
            share = proportional(agent.pid)
            idle = None if gateway is None or gateway.poll() is not None else kilobytes(gateway.pid, "VmRSS")
            used = cpu_seconds(agent.pid) - cpu_at_first
        if not {SPEED, HEARD} <= watching[-1].paths:
            raise SystemExit(f"the agent did not read all it was to: {sorted(watching[-1].paths)}")
    theirs = None if idle is None else "thingsboard-gateway"
    table = [
        row(
            f"agent with CAN, DBC, TLS and estimates, resident after {STEADY_SECONDS:.0f} s",
            megabytes(resident),
            "MB",
            at_most=GOAL_MB,
            ratio=None if idle is None else idle / resident,
            against=theirs,
            digits=1,
        ),
        row("the same at its peak", megabytes(highest), "MB", at_most=GOAL_MB, digits=1),
        row("the same, shared pages by share (Pss)", megabytes(share), "MB", digits=1),
    ]
    table.append(
        row("CPU of the agent meanwhile, one car asked and heard", 100 * used / STEADY_SECONDS, "% of a core", digits=1)
    )
    if idle is not None:
        table.append(row("thingsboard-gateway", megabytes(idle), "MB", digits=1))
    return [
        *table,
        row(
            f"from start of process to first reading at a subscriber, median of {STARTS}",
            statistics.median(seconds),
            "s",
            at_most=GOAL_SECONDS,
            digits=2,
        ),
        row("the same, slowest", max(seconds), "s", at_most=GOAL_SECONDS, digits=2),
        row("the same, the very first start (DBC compiled, outbox made)", very_first, "s", digits=2),
    ]


def rows() -> list[Row]:
    """All figures of this part."""
    with tempfile.TemporaryDirectory(prefix="wearcast-bench-") as folder:
        return [*whole_agent(Path(folder)), *imports()]


if __name__ == "__main__" and sys.argv[1:] == ["--talk"]:
    talk()
