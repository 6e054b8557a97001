"""What every kind of fault is: how it is brought about, how it ends, and when what it hit is at work again."""

import random
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from tests.faults.dongle import Dongle
from tests.faults.site import FaultSite
from tests.faults.worker import Worker
from wearcast.embedded.nats import Broker

# What can be hit at one time by one fault only.
WORKER_TARGETS: Final = ("worker 1", "worker 2")
DONGLE_TARGETS: Final = ("dongle 1", "dongle 2", "dongle 3", "dongle 4")
DATABASE_TARGETS: Final = ("database",)
BROKER_TARGETS: Final = ("broker",)
NODE_TARGETS: Final = ("node 1", "node 2", "node 3")
CLOCK_TARGETS: Final = ("clock",)
CLOCKED_WORKER: Final = "worker 2"  # whose clock can be moved
MESSAGE_TARGETS: Final = ("messages 1", "messages 2")


class MissedError(Exception):
    """The fault could not be brought about just now, as what it needs was hit by another: it does not count."""


class Fault:
    """One fault, made for one target, used once."""

    kind: ClassVar[str]
    targets: ClassVar[Sequence[str]]
    also: ClassVar[Sequence[str]] = ()  # targets it needs for itself beside its own
    hold_seconds: ClassVar[tuple[float, float]] = (0.1, 0.8)  # how long it lasts, drawn between the two

    def __init__(self, site: FaultSite, target: str, draw: random.Random) -> None:
        self.site = site
        self.target = target
        self.draw = draw

    def inject(self) -> None:
        """Bring it about. MissedError where it did not happen."""
        raise NotImplementedError

    def heal(self) -> None:
        """End it, as the world would; nothing else is done for what it hit."""

    def recovered(self) -> bool:
        """Whether more than what is asked of everybody (:func:`progress`) has come right."""
        return True

    @property
    def worker(self) -> Worker:
        """The worker of the target."""
        return self.site.workers[int(self.target[-1]) - 1]

    @property
    def dongle(self) -> Dongle:
        """The dongle of the target."""
        return self.site.dongles[int(self.target[-1]) - 1]

    @property
    def node(self) -> Broker:
        """The node of the cluster that is the target."""
        return self.site.brokers.nodes[int(self.target[-1]) - 1]


def progress(site: FaultSite) -> Mapping[str, int]:
    """What each worker has committed, and how many batches of each dongle were acknowledged."""
    return {
        **{worker.name: worker.database.commits for worker in site.workers},
        **{dongle.device: dongle.committed() for dongle in site.dongles},
    }


def all_serve(site: FaultSite, since: Mapping[str, int]) -> bool:
    """Whether every worker has stored and every dongle was heard since then."""
    return all(count > since[name] for name, count in progress(site).items())
