"""What a connected device costs a cluster, by the quality of service it listens with. A part of bench_scale."""

import asyncio
import socket
import struct
import time
from contextlib import ExitStack
from typing import Final

from ingest.sources.nats_connection import NatsConfig
from ingest.sources.nats_stream import StreamLimits, prepare
from tests.benchmarks.bench_row import Row, row
from tests.benchmarks.ingest.site import cpu_seconds, resident_mb
from tests.benchmarks.tls_broker import remaining_length
from wearcast.embedded.nats import Broker
from wearcast.embedded.nats_cluster import Cluster, private_cluster

DEVICES: Final = 200
SETTLE_SECONDS: Final = 3.0
IDLE_SECONDS: Final = 10.0
_CONNECT, _SUBSCRIBE, _PROTOCOL = 0x10, 0x82, 4  # MQTT 3.1.1, 3.1 and 3.8


def cost_of_a_device() -> list[Row]:
    """Memory and processor time of all three nodes, per device that listens with QoS 0 and with QoS 1."""
    table: list[Row] = []
    for qos in (0, 1):
        with private_cluster("scale", fresh=True) as cluster:
            servers = NatsConfig(servers=cluster.nats_urls)
            asyncio.run(prepare(servers, StreamLimits(most_bytes=2**30)))
            table += _measured(cluster, qos)
    return table


def _measured(cluster: Cluster, qos: int) -> list[Row]:
    with ExitStack() as stack:
        stack.enter_context(_device(cluster.nodes[0], "first", qos))  # what the first one costs is the account's
        time.sleep(SETTLE_SECONDS)
        memory, busy = _memory(cluster), _busy(cluster)
        for number in range(DEVICES):
            node = cluster.nodes[number % len(cluster.nodes)]
            stack.enter_context(_device(node, f"bench-{number}", qos))
        time.sleep(SETTLE_SECONDS)
        held, connected = _memory(cluster), _busy(cluster)
        time.sleep(IDLE_SECONDS)
        idle = _busy(cluster)
    what = f"a device that listens with QoS {qos}, on all three nodes"
    return [
        row(f"{what}: memory", 1000 * (held - memory) / DEVICES, "kB", digits=0),
        row(f"{what}: to connect", 1000 * (connected - busy) / DEVICES, "CPU ms"),
        row(f"{what}: while it says nothing", 1000 * (idle - connected) / IDLE_SECONDS / DEVICES, "CPU ms/s"),
    ]


def _device(node: Broker, name: str, qos: int) -> socket.socket:
    """Connect with a session and subscribe to what a dongle listens to."""
    connection = socket.create_connection((node.host, node.port), timeout=60)
    session_kept, no_keepalive = bytes([_PROTOCOL, 0]), struct.pack(">H", 0)
    connection.sendall(_packet(_CONNECT, _text("MQTT") + session_kept + no_keepalive + _text(name)))
    assert _read(connection, 4)[3] == 0, "the broker refused the connection"
    topics = (f"wearcast/v1/{name}/acks", f"wearcast/v1/{name}/commands/+")
    asked = b"".join(_text(topic) + bytes([qos]) for topic in topics)
    connection.sendall(_packet(_SUBSCRIBE, struct.pack(">H", 1) + asked))
    assert list(_read(connection, 6)[4:]) == [qos, qos], "the broker refused a subscription"
    return connection


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + remaining_length(len(body)) + body


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the broker closed the connection"
        data += part
    return data


def _memory(cluster: Cluster) -> float:
    return sum(resident_mb(node.pid) for node in cluster.nodes)


def _busy(cluster: Cluster) -> float:
    return sum(cpu_seconds(node.pid) for node in cluster.nodes)
