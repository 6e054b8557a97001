"""The routes between the nodes of a cluster, each way through a wire of its own: so that a network can be split."""

from collections.abc import Collection
from typing import Any, Final

import wearcast.embedded.nats_configuration as configuration
from tests.faults.wire import HOST, Wire, Wires
from wearcast.embedded.nats_cluster import _NODES as NODE_NAMES
from wearcast.embedded.nats_configuration import ClusterPlace

__all__ = ["NODE_NAMES", "Routes"]

_own_cluster: Final = configuration._cluster


class Routes:
    """Nodes reach each other by their configured routes alone: the address they tell of themselves is dead."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._ports: dict[str, int] = {}  # of the nodes' own listeners
        self._ways: dict[tuple[str, str], Wire] = {}  # from, to
        self._nowhere: dict[str, Wire] = {}

    def configuration(self, place: ClusterPlace) -> dict[str, Any]:
        """In the place of the one that lets nodes connect directly."""
        self._ports.update(place.route_ports)
        peers = [name for name in place.route_ports if name != place.node]
        return _own_cluster(place) | {
            "advertise": f"{HOST}:{self._dead_end(place.node).port}",
            "routes": [f"nats-route://node:{place.secret}@{HOST}:{self._way(place.node, peer).port}" for peer in peers],
        }

    def around(self, nodes: Collection[str]) -> list[Wire]:
        """The ways to and from these nodes."""
        return [way for (begin, end), way in self._ways.items() if begin in nodes or end in nodes]

    def _way(self, begin: str, end: str) -> Wire:
        if (begin, end) not in self._ways:
            self._ways[begin, end] = self._wires.wire(lambda: [(HOST, self._ports[end])])
        return self._ways[begin, end]

    def _dead_end(self, node: str) -> Wire:
        if node not in self._nowhere:
            self._nowhere[node] = self._wires.wire(list)
            self._nowhere[node].refuse(True)
        return self._nowhere[node]
