"""All kinds of faults, by name."""

from collections.abc import Mapping
from typing import Final

from tests.faults import clocks, connections, databases, messages, processes
from tests.faults.fault import Fault

_ALL: Final[tuple[type[Fault], ...]] = (
    processes.WorkerKilled,
    processes.DongleKilled,
    processes.BrokerKilled,
    processes.DatabaseKilled,
    processes.WorkerFrozen,
    processes.DongleFrozen,
    processes.BrokerFrozen,
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
    messages.Duplicates,
    messages.Reordered,
    messages.WeekOld,
    messages.Tomorrow,
    messages.Poison,
)
KINDS: Final[Mapping[str, type[Fault]]] = {kind.kind: kind for kind in _ALL}
NEEDS_SMALL_DISK: Final = databases.DatabaseFull.kind
