"""Configuration of NATS servers: one node, or a cluster of several. Pure text.

What changes with the registry stands in a file of its own, which the main one includes: it is replaced as a whole, and
a reload (SIGHUP) disconnects those users alone that are no longer in it. There is no password but the routes'.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ingest.brokers.branch import (
    SERVICE_HEARD,
    Access,
    Permitted,
    heard_topics,
    published_topics,
    service_publishes,
    subjects,
    subjects_heard,
)
from ingest.sources.nats_stream import WORKER_MAY_PUBLISH, WORKER_MAY_SUBSCRIBE
from telemetry.subject import service_subject
from telemetry.wire import MAX_PAYLOAD_BYTES as WIRE_PAYLOAD_BYTES

MAIN_FILE: Final = "nats.conf"
USERS_FILE: Final = "users.json"
CLUSTER_NAME: Final = "wearcast"
ADMINISTRATOR: Final = "broker"  # the service whose certificate may do everything: wearcast ingest prepare

# Twice what the wire format takes: what is somewhat too large is refused with a reason, and not by disconnecting.
MAX_PAYLOAD_BYTES: Final = 2 * WIRE_PAYLOAD_BYTES
MAX_CONTROL_LINE_BYTES: Final = 4096  # the server's default: subjects here have at most 100 bytes
# A dongle out of coverage says nothing: after two unanswered pings its connection, and its will, are due.
PING_INTERVAL: Final = "30s"
PINGS_UNANSWERED: Final = 2
WRITE_DEADLINE: Final = "10s"  # a reader that takes nothing for so long is disconnected, and sent the rest again
AUTHORIZATION_SECONDS: Final = 10  # for TLS and CONNECT; longer than the default of 2: cars come by slow lines
ACK_WAIT: Final = "30s"  # after which an unacknowledged message comes again
# Per subscription without a PUBACK; one that ends in # counts twice, and a session's sum is limited to 65535.
MAX_ACK_PENDING: Final = 4000


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """PEM files: the broker's certificate and key, and the authority of the devices."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where the routes of each node listen, ``host:port`` by node, and the secret they know each other by."""

    routes: Mapping[str, str]
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Node:
    """One server. Addresses are ``host:port``."""

    name: str  # sessions are stored under it
    data: Path
    tls: TlsFiles
    pid_file: Path
    mqtt_listen: str = "0.0.0.0:8883"
    nats_listen: str = "0.0.0.0:4222"  # services; devices are not let in
    monitor_listen: str = "127.0.0.1:8222"
    max_connections: int = 65_536
    memory_bytes: int = 256 * 1024**2
    disk_bytes: int = 64 * 1024**3
    cluster: Cluster | None = None


def main_text(node: Node) -> str:
    """The main configuration. A node of a cluster holds the routes' secret: mode 0600."""
    text = f"""\
# Written by `wearcast broker config`. Users are in {USERS_FILE}: `wearcast broker apply` writes them again.

server_name: {_quoted(node.name)}
listen: {_quoted(node.nats_listen)}
http: {_quoted(node.monitor_listen)}
pid_file: {_quoted(node.pid_file)}

max_connections: {node.max_connections}
max_payload: {MAX_PAYLOAD_BYTES}
max_control_line: {MAX_CONTROL_LINE_BYTES}
ping_interval: "{PING_INTERVAL}"
ping_max: {PINGS_UNANSWERED}
write_deadline: "{WRITE_DEADLINE}"

# Services: the subject of the certificate is the user here too. Devices are not let in.
tls {{
  cert_file: {_quoted(node.tls.certificate)}
  key_file: {_quoted(node.tls.key)}
  ca_file: {_quoted(node.tls.ca)}
  verify_and_map: true
  timeout: {AUTHORIZATION_SECONDS}
}}

jetstream {{
  store_dir: {_quoted(node.data)}
  max_memory_store: {node.memory_bytes}
  max_file_store: {node.disk_bytes}
}}

# Devices: the subject of the certificate is the user.
mqtt {{
  listen: {_quoted(node.mqtt_listen)}
  ack_wait: "{ACK_WAIT}"
  max_ack_pending: {MAX_ACK_PENDING}
{_replicas(node.cluster)}  tls {{
    cert_file: {_quoted(node.tls.certificate)}
    key_file: {_quoted(node.tls.key)}
    ca_file: {_quoted(node.tls.ca)}
    verify_and_map: true
    timeout: {AUTHORIZATION_SECONDS}
  }}
}}

authorization {{
  timeout: {AUTHORIZATION_SECONDS}
  include {_quoted(USERS_FILE)}
}}
"""
    return text if node.cluster is None else text + _cluster_text(node, node.cluster)


def users_text(access: Access, services: tuple[str, ...]) -> str:
    """The users, all known by certificates: services, who prepares the streams, devices."""
    users = [service_entry(service) for service in services]
    users.append({"user": str(service_subject(ADMINISTRATOR)), "allowed_connection_types": ["STANDARD"]})
    users += [device_entry(permitted) for permitted in access.permitted]
    users += [device_entry(permitted, only_wiped=True) for permitted in access.only_wiped]
    # One user to a line: what changed between two of these files can be read.
    lines = ",\n".join(json.dumps(user, separators=(",", ":")) for user in users)
    return f'{{"users": [\n{lines}\n]}}\n'


def service_entry(service: str) -> dict[str, Any]:
    """A part of the backend, by MQTT or as a NATS client that shares a durable consumer with others."""
    return {
        "user": str(service_subject(service)),
        "allowed_connection_types": ["MQTT", "STANDARD"],
        "permissions": {
            "publish": {"allow": [*subjects(service_publishes()), *WORKER_MAY_PUBLISH]},
            "subscribe": {"allow": [*subjects_heard([SERVICE_HEARD]), *WORKER_MAY_SUBSCRIBE]},
        },
    }


def device_entry(permitted: Permitted, *, only_wiped: bool = False) -> dict[str, Any]:
    """A device, known by its certificate."""
    return {"user": str(permitted.subject), **device_rights(permitted.device, only_wiped=only_wiped)}


def device_rights(device: str, *, only_wiped: bool = False) -> dict[str, Any]:
    """What a device may do, as a user's entry says it."""
    return {
        # As an MQTT client alone. Nothing of $MQTT.>: the server delivers QoS 1 messages without, and there
        # everybody's could be heard.
        "allowed_connection_types": ["MQTT"],
        "permissions": {
            "publish": {"allow": subjects(published_topics(device, only_wiped=only_wiped))},
            "subscribe": {"allow": subjects_heard(heard_topics(device, only_wiped=only_wiped))},
        },
    }


def _replicas(cluster: Cluster | None) -> str:
    # By itself the server counts the nodes it knows when the first device connects, which may be one.
    return "" if cluster is None else f"  stream_replicas: {min(len(cluster.routes), 5)}\n"


def _cluster_text(node: Node, cluster: Cluster) -> str:
    others = [
        f"    {_quoted(f'tls://node:{cluster.secret}@{address}')}"
        for name, address in cluster.routes.items()
        if name != node.name
    ]
    # Both ends of a route show a certificate, which must be a server's and a client's (issue_node_certificate): the
    # server asks for it, told or not. It alone lets nobody in as a node: every device has one of the same authority.
    # The secret does.
    return f"""
cluster {{
  name: {_quoted(CLUSTER_NAME)}
  listen: {_quoted(cluster.routes[node.name])}
  authorization {{ user: node, password: {_quoted(cluster.secret)}, timeout: {AUTHORIZATION_SECONDS} }}
  tls {{
    cert_file: {_quoted(node.tls.certificate)}
    key_file: {_quoted(node.tls.key)}
    ca_file: {_quoted(node.tls.ca)}
    timeout: {AUTHORIZATION_SECONDS}
  }}
  routes [
{chr(10).join(others)}
  ]
}}
"""


def _quoted(value: object) -> str:
    return json.dumps(str(value))
