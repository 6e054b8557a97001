"""A cluster as an operator sets it up: certificates by command, a folder for each node, a watch beside each."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_profiles.authority import Authority
from ingest.brokers import nats
from ingest.brokers.watch import WatchConfig, watch
from ingest.database import Connection
from ingest.enrolment import store
from ingest.sources.nats_connection import NatsConfig, nats_connection
from ingest.sources.nats_stream import StreamLimits, find_consumer, prepare
from tests.integration.enrolment_support import until
from tests.integration.ingest_support import register_car, running
from tests.security.fortress import Client
from wearcast.cli import app
from wearcast.embedded.nats import _server
from wearcast.embedded.ports import free_port
from wearcast.embedded.processes import ManagedProcess

pytestmark = [pytest.mark.broker, pytest.mark.database]

HOST = "127.0.0.1"
NAMES = ("a", "b", "c")
DEVICES = ("car-1", "car-2", "car-3")
SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Node:
    folder: Path
    mqtt: int
    services: int
    monitor: int
    process: ManagedProcess

    @property
    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.monitor}/healthz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


@dataclass(frozen=True, kw_only=True)
class Cluster:
    home: Path
    nodes: Sequence[Node]

    @property
    def ca(self) -> Path:
        return self.home / "issuing" / "ca.pem"

    def device(self, device: str, node: Node) -> Client:
        given = Authority.open(self.home / "issuing").issue_device_certificate(device)
        certificate, key = self.home / f"{device}.pem", self.home / f"{device}-key.pem"
        certificate.write_bytes(given.certificate_pem)
        key.write_bytes(given.key_pem)
        return Client(node.mqtt, self.ca, (certificate, key), client_id=device)

    def refuses(self, device: str, node: Node) -> bool:
        with self.device(device, node) as tried:
            return tried.was_refused

    def of_service(self, service: str) -> NatsConfig:
        return NatsConfig(
            servers=tuple(f"tls://{HOST}:{node.services}" for node in self.nodes),
            ca_file=self.ca,
            certificate_file=self.home / "services" / f"{service}.pem",
            key_file=self.home / "services" / f"{service}-key.pem",
        )


@pytest.fixture
def cluster(
    database_url: str, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """Three nodes of one machine, each with its own ports: what the commands write otherwise is the same."""
    monkeypatch.setenv("WEARCAST_DATABASE_URL", database_url)
    for device in DEVICES:
        register_car(connection, device)
    command("enrolment", "authority", "--out", tmp_path / "root")
    command("enrolment", "authority", "--root", tmp_path / "root", "--out", tmp_path / "issuing")
    ca = ("--ca", tmp_path / "issuing")
    command("enrolment", "server", HOST, "--node", *ca, "--out", tmp_path / "tls")
    for service in ("ingest", nats.ADMINISTRATOR):
        command("enrolment", "service", service, *ca, "--out", tmp_path / "services")
    routes = [option for name in NAMES for option in ("--node", f"{name}={HOST}:{free_port()}")]
    nodes: list[Node] = []
    try:
        nodes.extend(_started(tmp_path, name, routes) for name in NAMES)  # one by one: those that run are stopped
        until(lambda: all(node.healthy for node in nodes), nodes[0].process.output()[-2000:])
        yield Cluster(home=tmp_path, nodes=nodes)
    finally:
        for node in nodes:
            node.process.stop()


def _started(home: Path, name: str, routes: Sequence[str]) -> Node:
    mqtt, services, monitor = free_port(), free_port(), free_port()
    command(
        "broker", "config", "nats-cluster", *routes, "--out", home / "cluster",
        "--certificate", home / "tls" / f"{HOST}.pem", "--key", home / "tls" / f"{HOST}-key.pem",
        "--ca", home / "issuing" / "ca.pem", "--data", home / f"data-{name}", "--pid-file", home / f"{name}.pid",
        "--listen", f"{HOST}:{mqtt}", "--services-listen", f"{HOST}:{services}", "--monitor", f"{HOST}:{monitor}",
    )  # fmt: skip
    folder = home / f"node-{name}"
    (home / "cluster" / name).rename(folder)
    process = ManagedProcess.start(
        [_server(), "-c", folder / nats.MAIN_FILE], name=f"Node {name}", log_path=home / f"{name}.log"
    )
    return Node(folder=folder, mqtt=mqtt, services=services, monitor=monitor, process=process)


def command(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


async def test_three_nodes_are_one_broker_and_each_shuts_out_who_is_revoked(
    cluster: Cluster, connection: Connection, database_url: str
) -> None:
    await prepare(cluster.of_service(nats.ADMINISTRATOR), StreamLimits(most_bytes=1024**2))
    async with AsyncExitStack() as stack:
        for node in cluster.nodes:
            config = WatchConfig(database_url=database_url, folder=node.folder)
            await stack.enter_async_context(running(partial(watch, config)))
        devices = {
            device: stack.enter_context(await asyncio.to_thread(cluster.device, device, node))
            for device, node in zip(DEVICES, cluster.nodes, strict=True)
        }
        store.revoke(connection, "car-2", reason="stolen", now=datetime.now(UTC))
        connection.commit()
        await asyncio.to_thread(until, lambda: devices["car-2"].disconnections > 0, "car-2 stays connected")
        good = [devices["car-1"], devices["car-3"]]
        for number, device in zip((1, 3), good, strict=True):
            await asyncio.to_thread(device.publish, f"wearcast/v1/car-{number}/readings", b"kept")
        async with nats_connection(cluster.of_service("ingest"), name="test") as opened:
            # The broker confirms what the stream has; the consumer counts it a moment later.
            for _ in range(1200):
                if ((await find_consumer(opened.client)).num_pending or 0) >= len(good):
                    break
                await asyncio.sleep(0.05)
            assert (await find_consumer(opened.client)).num_pending == len(good)
        for node in cluster.nodes:
            await asyncio.to_thread(until, partial(cluster.refuses, "car-2", node), "car-2 connects again")
        assert [device.disconnections for device in good] == [0, 0]
