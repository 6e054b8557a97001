"""Faults of connections: reset at a chosen byte, silent without being closed, refused."""

from collections.abc import Sequence

from tests.faults.fault import DONGLE_TARGETS, WORKER_TARGETS, Fault, MissedError
from tests.faults.patience import PATIENCE
from tests.faults.wire import Bundle, Wire

_HAPPENS_WITHIN_SECONDS = 4.0 * PATIENCE
_COPY_BYTES = 2_000  # of a group's COPY, at most, before the cut


class CopyCut(Fault):
    """The worker's connection to the database reset in mid-COPY."""

    kind = "connection cut in mid-COPY"
    targets = WORKER_TARGETS
    hold_seconds = (0.0, 0.0)

    def inject(self) -> None:
        wait_for_cut(self.worker.database, [b"COPY "], self.draw.randrange(_COPY_BYTES))


class CommitAnswerLost(Fault):
    """The database commits, and the worker never hears of it."""

    kind = "answer to COMMIT lost"
    targets = WORKER_TARGETS
    hold_seconds = (0.0, 0.0)

    def inject(self) -> None:
        wait_for_cut(self.worker.database, [b"COMMIT"], None)


class DatabaseUnreachable(Fault):
    """One worker's connections to the database reset and refused; the other's stand."""

    kind = "database refuses a worker"
    targets = WORKER_TARGETS

    def inject(self) -> None:
        self.service.database.refuse(True)

    def heal(self) -> None:
        self.service.database.refuse(False)


class Silent(Fault):
    """A black hole, then as before or reset."""

    hold_seconds = (0.5, 2.0)

    @property
    def wire(self) -> Wire | Bundle:
        """The connection's."""
        raise NotImplementedError

    def inject(self) -> None:
        self.wire.stall(True)

    def heal(self) -> None:
        if self.draw.random() < 0.5:
            self.wire.cut()
        self.wire.stall(False)


class DatabaseSilent(Silent):
    """A worker's connection to the database: a black hole, then as before or reset."""

    kind = "worker's connection to the database silent"
    targets = WORKER_TARGETS

    @property
    def wire(self) -> Wire:
        return self.service.database


class WorkerBrokerSilent(Silent):
    """A worker's connection to the broker."""

    kind = "worker's connection to the broker silent"
    targets = WORKER_TARGETS

    @property
    def wire(self) -> Bundle:
        return self.worker.broker


class DongleSilent(Silent):
    """A dongle's connection to the broker: no radio, nobody told."""

    kind = "agent's connection to the broker silent"
    targets = DONGLE_TARGETS

    @property
    def wire(self) -> Bundle:
        return self.dongle.wire


class WorkerBrokerCut(Fault):
    """A worker's connection to the broker reset and refused for a while."""

    kind = "worker's connection to the broker cut"
    targets = WORKER_TARGETS

    def inject(self) -> None:
        self.worker.broker.refuse(True)

    def heal(self) -> None:
        self.worker.broker.refuse(False)


class DongleCut(Fault):
    """A dongle's connection to the broker reset and refused for a while."""

    kind = "agent's connection to the broker cut"
    targets = DONGLE_TARGETS

    def inject(self) -> None:
        self.dongle.wire.refuse(True)

    def heal(self) -> None:
        self.dongle.wire.refuse(False)


def wait_for_cut(wire: Wire, triggers: Sequence[bytes], after_bytes: int | None) -> None:
    """Cut a wire when its client has said these; MissedError where it does not say them."""
    if not wire.cut_after(triggers, after_bytes).wait(_HAPPENS_WITHIN_SECONDS):
        wire.disarm()
        raise MissedError(f"nothing said {triggers!r}")
