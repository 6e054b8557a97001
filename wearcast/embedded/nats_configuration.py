"""What a private broker's server is told: its ports, its users and what they may, TLS, and its place in a cluster.

The file format of the server is a superset of JSON. Here nothing is started and nothing is written.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ingest.brokers.nats import device_rights
from wearcast.embedded.errors import BrokerUnavailableError

HOST = "127.0.0.1"
_HANDSHAKE_SECONDS = 10.0  # a machine that runs all tests at once needs more than the default of 2
_ACK_WAIT = "5s"  # after which an unacknowledged message comes back; 30 s by default
# Per subscription without a PUBACK; one that ends in # counts twice, and a session's sum is limited to 65535.
_MAX_ACK_PENDING = 4000
_DEVICE = re.compile(r"[A-Za-z0-9_-]{1,64}")  # one level of a topic, and one token of a subject as it stands


@dataclass(frozen=True, kw_only=True)
class BrokerTls:
    """PEM files of a broker that speaks TLS: its own certificate, and the authority of the certificates it asks for."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, kw_only=True)
class BrokerUser:
    """Who may connect. With `device`: only that device's branch of the topics; without: everything.

    With subjects of NATS in `may_publish` and `may_subscribe`: only these.
    Without a password: whoever shows a certificate whose CN is the name. That needs a broker with TLS.
    """

    name: str
    password: str | None = field(default=None, repr=False)
    device: str | None = None
    may_publish: tuple[str, ...] | None = None
    may_subscribe: tuple[str, ...] | None = None

    @classmethod
    def with_new_password(cls, name: str, *, device: str | None = None) -> Self:
        """Make a user with a random password."""
        return cls(name=name, password=secrets.token_urlsafe(24), device=device)


@dataclass(frozen=True, kw_only=True)
class ClusterPlace:
    """Where a node stands among its peers, which know each other by a secret of theirs."""

    node: str
    route_ports: Mapping[str, int]  # of all nodes, by name
    secret: str = field(repr=False)


def configuration(
    store: Path,
    ports: tuple[int, int, int],
    users: Sequence[BrokerUser],
    tls: BrokerTls | None = None,
    place: ClusterPlace | None = None,
) -> dict[str, Any]:
    """Return the server's configuration. `ports`: of MQTT, NATS and monitoring."""
    mqtt, nats, monitoring = ports
    config: dict[str, Any] = {
        "server_name": "wearcast" if place is None else place.node,  # sessions are stored under it
        "listen": f"{HOST}:{nats}",
        "http": f"{HOST}:{monitoring}",
        "jetstream": {"store_dir": str(store), "max_memory_store": 64 << 20, "max_file_store": 8 << 30},
        "mqtt": {
            "listen": f"{HOST}:{mqtt}",
            "ack_wait": _ACK_WAIT,
            "max_ack_pending": _MAX_ACK_PENDING,
        },
    }
    if place is not None:
        config["cluster"] = _cluster(place)
        # By itself the server counts the nodes it knows when the first device connects, which may be one.
        config["mqtt"]["stream_replicas"] = len(place.route_ports)
    if tls is not None:
        config["mqtt"]["tls"] = {
            "cert_file": str(tls.certificate),
            "key_file": str(tls.key),
            "ca_file": str(tls.ca),
            "verify_and_map": True,
            "timeout": _HANDSHAKE_SECONDS,
        }
    if users:
        config["authorization"] = {"users": [_authorization(user) for user in users]}
    return config


def _cluster(place: ClusterPlace) -> dict[str, Any]:
    return {
        "name": "wearcast",
        "listen": f"{HOST}:{place.route_ports[place.node]}",
        "authorization": {"user": "node", "password": place.secret},
        "routes": [
            f"nats-route://node:{place.secret}@{HOST}:{port}"
            for name, port in place.route_ports.items()
            if name != place.node
        ],
    }


def _authorization(user: BrokerUser) -> dict[str, Any]:
    if user.password is None:
        entry: dict[str, Any] = {"user": f"CN={user.name}"}  # the subject of the certificate it shows
    else:
        entry = {"user": user.name, "password": user.password}
    if user.device is None:
        given = {"publish": user.may_publish, "subscribe": user.may_subscribe}
        permissions = {what: {"allow": list(subjects)} for what, subjects in given.items() if subjects is not None}
        return entry | ({"permissions": permissions} if permissions else {})
    if not _DEVICE.fullmatch(user.device):
        raise BrokerUnavailableError(
            f"{user.device!r} cannot name a device in topics: use letters, digits, - and _, at most 64."
        )
    return entry | device_rights(user.device)
