"""All kinds of faults, by name, and which of them a shape of the site can have."""

from collections.abc import Mapping
from typing import Final

from tests.faults import clocks, connections, databases, messages, nodes, processes, rules_faults
from tests.faults.brokers import Shape
from tests.faults.fault import Fault

_ON_ONE_NODE: Final[tuple[type[Fault], ...]] = (processes.BrokerKilled, processes.BrokerFrozen)
_ON_A_CLUSTER: Final[tuple[type[Fault], ...]] = (
    nodes.NodeKilled,
    nodes.LeaderKilled,
    nodes.TwoNodesKilled,
    nodes.AllNodesKilled,
    nodes.NodeFrozen,
    nodes.NodeCutOff,
    nodes.AllCutOff,
)
_ON_BOTH: Final[tuple[type[Fault], ...]] = (
    processes.WorkerKilled,
    processes.DongleKilled,
    processes.DatabaseKilled,
    processes.WorkerFrozen,
    processes.DongleFrozen,
    processes.DatabaseFrozen,
    connections.CopyCut,
    connections.CommitAnswerLost,
    connections.DatabaseUnreachable,
    connections.DatabaseSilent,
    connections.WorkerBrokerCut,
    connections.WorkerBrokerSilent,
    connections.DongleCut,
    connections.DongleSilent,
    databases.DatabaseReadOnly,
    databases.SessionsReadOnly,
    databases.DatabaseFull,
    databases.ConnectionsEnded,
    clocks.ClockForward,
    clocks.ClockBack,
    clocks.ClockUnset,
    clocks.WorkerClockBehind,
    clocks.WorkerClockAhead,
    clocks.DatabaseClockBehind,
    clocks.DatabaseClockAhead,
    messages.Duplicates,
    messages.Reordered,
    messages.WeekOld,
    messages.Tomorrow,
    messages.Poison,
    rules_faults.EngineKilled,
    rules_faults.EngineFrozen,
    rules_faults.EngineRefused,
    rules_faults.EngineSilent,
    rules_faults.EngineCut,
    rules_faults.EngineAnswerLost,
    rules_faults.DeliveryKilled,
    rules_faults.DeliveryFrozen,
    rules_faults.DeliveryRefused,
    rules_faults.DeliverySilent,
    rules_faults.ReceiversAway,
    rules_faults.ReceiversSilent,
    rules_faults.ReceiversFail,
    rules_faults.ReceiversSlow,
    rules_faults.AnswersLost,
)
NEEDS_SMALL_DISK: Final = databases.DatabaseFull.kind


def kinds_of(shape: Shape) -> Mapping[str, type[Fault]]:
    """The kinds that can happen to a site of this shape."""
    own = _ON_ONE_NODE if shape == "node" else _ON_A_CLUSTER
    return {kind.kind: kind for kind in (*own, *_ON_BOTH)}


ALL_KINDS: Final = tuple(sorted({*kinds_of("node"), *kinds_of("cluster")}))
