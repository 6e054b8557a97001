"""What every kind of fault is: how it is brought about, how it ends, and when what it hit is at work again."""

import random
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from tests.faults.dongle import Dongle
from tests.faults.rules_side import DELIVERY, ENGINES
from tests.faults.service import Service
from tests.faults.site import FaultSite
from tests.faults.worker import Worker
from wearcast.embedded.nats import Broker

# What can be hit at one time by one fault only.
WORKER_TARGETS: Final[Sequence[str]] = ("worker 1", "worker 2")
DONGLE_TARGETS: Final = ("dongle 1", "dongle 2", "dongle 3", "dongle 4")
DATABASE_TARGETS: Final = ("database",)
BROKER_TARGETS: Final = ("broker",)
NODE_TARGETS: Final = ("node 1", "node 2", "node 3")
CLOCK_TARGETS: Final = ("clock",)
CLOCKED_WORKER: Final = "worker 2"  # whose clock can be moved
MESSAGE_TARGETS: Final = ("messages 1", "messages 2")
ENGINE_TARGETS: Final = ENGINES
DELIVERY_TARGETS: Final = (DELIVERY,)
RECEIVER_TARGETS: Final = ("receivers",)


class MissedError(Exception):
    """The fault could not be brought about just now, as what it needs was hit by another: it does not count."""


class Fault:
    """One fault, made for one target, used once."""

    kind: ClassVar[str]
    targets: ClassVar[Sequence[str]]
    also: ClassVar[Sequence[str]] = ()  # targets it needs for itself beside its own
    hold_seconds: ClassVar[tuple[float, float]] = (0.1, 0.8)  # how long it lasts, drawn between the two
    repeats_messages: ClassVar[bool] = False  # it can come between a message that is taken and the note that it was

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
    def service(self) -> Service:
        """The worker, engine or delivery of the target."""
        if self.target in ENGINES:
            return self.site.rules.engines[ENGINES.index(self.target)]
        return self.site.rules.delivery if self.target == DELIVERY else self.worker

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
    """What everybody has done: see :func:`all_serve`."""
    return {
        **{service.name: service.database.commits for service in (*site.workers, *site.rules.engines)},
        **{dongle.device: dongle.committed() for dongle in site.dongles},
        "judging of trouble codes": site.rules.cars.judged,
        site.rules.delivery.name: site.rules.receivers.taken,
    }


def all_serve(site: FaultSite, since: Mapping[str, int]) -> bool:
    """Whether since then every worker and engine has committed, every dongle was acknowledged, and a message taken."""
    return all(count > since[name] for name, count in progress(site).items())
