"""Faults of a cluster of three nodes: killed, frozen beyond an election, and a network that splits it."""

from collections.abc import Sequence
from typing import Final

from tests.faults.fault import NODE_TARGETS, Fault, MissedError
from tests.faults.routes import NODE_NAMES
from tests.faults.site import wait_until
from tests.faults.wire import Bundle
from wearcast.embedded.nats import Broker
from wearcast.embedded.nats_cluster import _page

_SPLIT_WITHIN_SECONDS: Final = 30.0  # a deadline: without a way round it takes a moment
_EVERY_NODE: Final = ("cluster",)  # for faults that need all nodes for themselves


class _NodesKilled(Fault):
    def chosen(self) -> Sequence[Broker]:
        """The nodes to kill."""
        return (self.node,)

    def inject(self) -> None:
        self._killed: list[Broker] = []
        for node in self.chosen():
            node.kill()
            self._killed.append(node)

    def heal(self) -> None:
        for node in self._killed:
            node.restart()


class NodeKilled(_NodesKilled):
    """Any of them."""

    kind = "cluster node killed"
    targets = NODE_TARGETS
    hold_seconds = (0.3, 3.0)


class LeaderKilled(_NodesKilled):
    """The one that leads the stream: nothing is stored until the others have elected, or it is back."""

    kind = "leader of the stream killed"
    targets = _EVERY_NODE
    also = NODE_TARGETS
    hold_seconds = (1.0, 8.0)

    def chosen(self) -> Sequence[Broker]:
        leader = self.site.brokers.leader()
        if leader is None:
            raise MissedError("nobody leads the stream")
        return (leader,)


class TwoNodesKilled(_NodesKilled):
    """No majority: nothing is confirmed by the third."""

    kind = "two cluster nodes killed"
    targets = _EVERY_NODE
    also = NODE_TARGETS
    hold_seconds = (0.3, 2.0)

    def chosen(self) -> Sequence[Broker]:
        return self.draw.sample(self.site.brokers.nodes, 2)


class AllNodesKilled(_NodesKilled):
    """The whole cluster at once."""

    kind = "all cluster nodes killed"
    targets = _EVERY_NODE
    also = NODE_TARGETS

    def chosen(self) -> Sequence[Broker]:
        return self.site.brokers.nodes


class NodeFrozen(Fault):
    """Now and then for longer than the others wait before they elect (4 s): a former leader then goes on."""

    kind = "cluster node frozen"
    targets = NODE_TARGETS
    hold_seconds = (0.5, 8.0)

    def inject(self) -> None:
        self.node.pause()

    def heal(self) -> None:
        self.node.resume()


class _Split(Fault):
    """The routes are cut and refused, or silent, while all nodes run and all clients reach theirs."""

    def nodes(self) -> Sequence[str]:
        """Which are on their own."""
        raise NotImplementedError

    def inject(self) -> None:
        self._ways = Bundle(self.site.brokers.routes.around(self.nodes()))
        self._silent = self.draw.random() < 0.5
        if self._silent:
            self._ways.stall(True)
        else:
            self._ways.refuse(True)
            wait_until(self._is_split, f"{', '.join(self.nodes())} without routes", _SPLIT_WITHIN_SECONDS)

    def _is_split(self) -> bool:
        """Whether those on their own say so: a server that knew another way round would take it."""
        nodes = dict(zip(NODE_NAMES, self.site.brokers.nodes, strict=True))
        try:
            return not any(_page(nodes[name], "/routez")["num_routes"] for name in self.nodes())
        except OSError:
            return False  # it did not answer in time

    def heal(self) -> None:
        if self._silent:
            self._ways.stall(False)
        else:
            self._ways.refuse(False)


class NodeCutOff(_Split):
    """One node without the others, now and then for longer than an election takes: it may be the one that led."""

    kind = "cluster node cut off by the network"
    targets = NODE_TARGETS
    hold_seconds = (0.5, 8.0)

    def nodes(self) -> Sequence[str]:
        return (NODE_NAMES[NODE_TARGETS.index(self.target)],)


class AllCutOff(_Split):
    """Each node from each: nobody has a majority."""

    kind = "cluster split into single nodes"
    targets = _EVERY_NODE
    also = NODE_TARGETS
    hold_seconds = (0.5, 5.0)

    def nodes(self) -> Sequence[str]:
        return NODE_NAMES
