"""A private cluster of three NATS nodes on the loopback interface: what many machines run, for tests and benchmarks.

Each node has an MQTT listener of its own. What they store is on a majority of them before it is confirmed.
"""

import contextlib
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wearcast.embedded.errors import BrokerUnavailableError
from wearcast.embedded.nats import Broker, own_home
from wearcast.embedded.nats_configuration import BrokerTls, BrokerUser, ClusterPlace
from wearcast.embedded.paths import make_folder
from wearcast.embedded.ports import free_port

_NODES = ("node-1", "node-2", "node-3")
_READY_SECONDS = 30.0  # an election takes 4 to 9 s where the leader vanished (Raft timeouts of the server)
_POLL_SECONDS = 0.05
_PAGE_SECONDS = 2.0  # a paused node never answers
_START_ATTEMPTS = 3  # a program that is told its port may have taken a route's


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Running nodes; each may be killed, paused and restarted by itself."""

    nodes: tuple[Broker, ...]

    @property
    def nats_urls(self) -> tuple[str, ...]:
        """Where NATS clients connect, of each node."""
        return tuple(node.nats_url for node in self.nodes)

    def wait_until_ready(self, nodes: Sequence[Broker] | None = None) -> None:
        """Wait until these nodes (all, by default) have caught up with the others and know their leader.

        Raises BrokerUnavailableError with what a node says it lacks.
        """
        deadline = time.monotonic() + _READY_SECONDS
        for node in nodes or self.nodes:
            while complaint := _complaint(node):
                if time.monotonic() > deadline:
                    raise BrokerUnavailableError(
                        f"The private cluster is not ready after {_READY_SECONDS:g} s: {complaint}; see {node.log_path}"
                    )
                time.sleep(_POLL_SECONDS)

    def leader(self, stream: str) -> Broker | None:
        """Return the node that says it leads a stream; None while there is none, or no such stream.

        Until an election is over the others still name the one before.
        """
        for name, node in zip(_NODES, self.nodes, strict=True):
            with contextlib.suppress(OSError):
                if _leader_name(_page(node, "/jsz?accounts=true&streams=true"), stream) == name:
                    return node
        return None


@contextlib.contextmanager
def private_cluster(
    instance: str = "cluster",
    *,
    fresh: bool = False,
    users: Sequence[BrokerUser] = (),
    tls: BrokerTls | None = None,
) -> Iterator[Cluster]:
    """Run three nodes for the time of the block; arguments as of :func:`wearcast.embedded.nats.private_broker`.

    Raises BrokerUnavailableError, saying what to do.
    """
    with own_home("cluster", instance, fresh=fresh) as home:
        cluster = _start(home, users, tls)
        try:
            cluster.wait_until_ready()
            yield cluster
        finally:
            _stop(cluster.nodes)


def _start(home: Path, users: Sequence[BrokerUser], tls: BrokerTls | None) -> Cluster:
    failure: BrokerUnavailableError | None = None
    for _attempt in range(_START_ATTEMPTS):
        route_ports = {name: free_port() for name in _NODES}
        secret = secrets.token_urlsafe(24)
        nodes = tuple(
            Broker(
                home=make_folder(home / name),
                users=users,
                tls=tls,
                place=ClusterPlace(node=name, route_ports=route_ports, secret=secret),
            )
            for name in _NODES
        )
        started: list[Broker] = []
        try:
            for node in nodes:
                node.start()
                started.append(node)
        except BrokerUnavailableError as error:
            failure = error
            _stop(started)
        else:
            return Cluster(nodes=nodes)
    raise BrokerUnavailableError(f"The private cluster does not start. {failure}") from failure


def _stop(nodes: Sequence[Broker]) -> None:
    for node in nodes:
        node.kill()  # in order, each would wait for the others


def _complaint(node: Broker) -> str:
    try:
        _page(node, "/healthz")
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace").strip() or str(error)
    except OSError as error:
        return str(error)
    return ""


def _page(node: Broker, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{node.monitor_url}{path}", timeout=_PAGE_SECONDS) as answer:  # noqa: S310 - of our own server
        page: dict[str, Any] = json.load(answer)
    return page


def _leader_name(page: dict[str, Any], stream: str) -> str | None:
    for account in page.get("account_details", ()):
        for detail in account.get("stream_detail", ()):
            if detail["name"] == stream:
                name: str | None = detail.get("cluster", {}).get("leader")
                return name
    return None
