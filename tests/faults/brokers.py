"""What stands between dongles and workers: one node, or a cluster of three whose workers share a consumer."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal
from unittest import mock

import wearcast.embedded.nats_configuration
from ingest.sources.nats_connection import NatsConfig
from ingest.sources.nats_stream import (
    STREAM,
    WORKER_MAY_PUBLISH,
    WORKER_MAY_SUBSCRIBE,
    StreamLimits,
    prepare,
)
from tests.faults.routes import Routes
from tests.faults.wire import HOST, Address, Bundle, Wires
from wearcast.embedded.nats import Broker, BrokerUser, private_broker
from wearcast.embedded.nats_cluster import Cluster, private_cluster

Shape = Literal["node", "cluster"]
SHAPES: Final[tuple[Shape, ...]] = ("node", "cluster")
BACKEND: Final = "backend"  # may everything
WORKER: Final = "worker"  # a worker of the cluster: may what one needs
ACK_WAIT_SECONDS: Final = 1  # instead of 5 or 30: a worker need not be frozen that long to be past it
_STREAM_BYTES: Final = 1024**3


@dataclass(frozen=True, kw_only=True)
class Brokers:
    """Running nodes: one, or three."""

    shape: Shape
    nodes: tuple[Broker, ...]
    cluster: Cluster | None
    routes: Routes
    users: Mapping[str, BrokerUser]

    @property
    def one(self) -> Broker:
        """The node where there is one only."""
        (node,) = self.nodes
        return node

    def leader(self) -> Broker | None:
        """The node that leads the stream of what dongles say; None while there is none."""
        return None if self.cluster is None else self.cluster.leader(STREAM)

    def balanced(self, wires: Wires) -> Bundle:
        """A way to the MQTT listeners, as through a balancer: each connection to the next node that accepts it."""
        turn = itertools.count()

        def addresses() -> Sequence[Address]:
            first = next(turn) % len(self.nodes)
            return [(node.host, node.port) for node in (*self.nodes[first:], *self.nodes[:first])]

        return Bundle([wires.wire(addresses)])

    def for_worker(self, wires: Wires) -> Bundle:
        """A worker's ways: to the MQTT listener, or to each node of the cluster."""
        if self.cluster is None:
            return self.balanced(wires)
        return Bundle([wires.wire(_only(url)) for url in self.cluster.nats_urls])

    def worker_arguments(self) -> tuple[str, ...]:
        """What ``wearcast ingest run`` is told beside its name."""
        return () if self.cluster is None else ("--source", "jetstream")

    def worker_environment(self, way: Bundle) -> dict[str, str]:
        """Where a worker finds the broker, and who it is there."""
        if self.cluster is None:
            return {"WEARCAST_BROKER_URL": f"mqtt://{BACKEND}:{self.users[BACKEND].password}@{HOST}:{way.ports[0]}"}
        servers = [f"nats://{WORKER}:{self.users[WORKER].password}@{HOST}:{port}" for port in way.ports]
        return {"WEARCAST_NATS_URL": ",".join(servers)}


@contextlib.contextmanager
def running_brokers(shape: Shape, devices: Sequence[str], wires: Wires) -> Iterator[Brokers]:
    """Start them, with the backend's users and one for each device; a cluster's routes go through wires."""
    users = {
        BACKEND: BrokerUser.with_new_password(BACKEND),
        WORKER: replace(
            BrokerUser.with_new_password(WORKER), may_publish=WORKER_MAY_PUBLISH, may_subscribe=WORKER_MAY_SUBSCRIBE
        ),
        **{device: BrokerUser.with_new_password(device, device=device) for device in devices},
    }
    everybody = tuple(users.values())
    routes = Routes(wires)
    with mock.patch.multiple(
        wearcast.embedded.nats_configuration, _ACK_WAIT=f"{ACK_WAIT_SECONDS}s", _cluster=routes.configuration
    ):
        if shape == "node":
            with private_broker(fresh=True, users=everybody) as broker:
                yield Brokers(shape=shape, nodes=(broker,), cluster=None, routes=routes, users=users)
            return
        with private_cluster("faults", fresh=True, users=everybody) as cluster:
            asyncio.run(
                prepare(
                    NatsConfig(servers=cluster.nats_urls, username=BACKEND, password=users[BACKEND].password),
                    StreamLimits(most_bytes=_STREAM_BYTES, ack_wait=timedelta(seconds=ACK_WAIT_SECONDS)),
                )
            )
            yield Brokers(shape=shape, nodes=cluster.nodes, cluster=cluster, routes=routes, users=users)


def _only(nats_url: str) -> Callable[[], Sequence[Address]]:
    host, port = nats_url.removeprefix("nats://").rsplit(":", 1)
    return lambda: [(host, int(port))]
