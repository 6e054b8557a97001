"""Faults of processes: killed with SIGKILL, or frozen with SIGSTOP and let go again."""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.faults.fault import BROKER_TARGETS, DATABASE_TARGETS, DONGLE_TARGETS, WORKER_TARGETS, Fault, MissedError


class WorkerKilled(Fault):
    """With a group in the midst of its transaction, as likely as not."""

    kind = "worker killed"
    targets = WORKER_TARGETS

    def inject(self) -> None:
        self.service.kill()

    def heal(self) -> None:
        self.service.restart()


class DongleKilled(Fault):
    """The agent's process; its outbox stays."""

    kind = "agent killed"
    targets = DONGLE_TARGETS

    def inject(self) -> None:
        self.dongle.kill()

    def heal(self) -> None:
        self.dongle.restart()


class BrokerKilled(Fault):
    """With what it had acknowledged and not yet delivered."""

    kind = "broker killed"
    targets = BROKER_TARGETS

    def inject(self) -> None:
        self.site.brokers.one.kill()

    def heal(self) -> None:
        self.site.brokers.one.restart()


class DatabaseKilled(Fault):
    """Postmaster and backends; it recovers from its log."""

    kind = "database killed"
    repeats_messages = True
    targets = DATABASE_TARGETS

    def inject(self) -> None:
        self.site.server.kill()

    def heal(self) -> None:
        self.site.server.restart()


class _Frozen(Fault):
    hold_seconds = (0.3, 1.5)

    def pids(self) -> Sequence[int]:
        """The processes to stop, the one that starts others first."""
        raise NotImplementedError

    def inject(self) -> None:
        self._stopped: list[int] = []
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._stopped.append(pid)
        if not self._stopped:
            raise MissedError("it had just ended")

    def heal(self) -> None:
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


class WorkerFrozen(_Frozen):
    """Past the broker's ``ack_wait``: what it held is delivered again while it holds it."""

    kind = "worker frozen past ack_wait"
    targets = WORKER_TARGETS
    hold_seconds = (1.3, 2.5)

    def pids(self) -> Sequence[int]:
        return (self.service.process.pid,)


class DongleFrozen(_Frozen):
    """As a suspended machine: its connections stay open and nobody answers on them."""

    kind = "agent frozen"
    targets = DONGLE_TARGETS

    def pids(self) -> Sequence[int]:
        return (self.dongle.process.pid,)


class BrokerFrozen(_Frozen):
    """Connections stand, nothing moves."""

    kind = "broker frozen"
    targets = BROKER_TARGETS

    def pids(self) -> Sequence[int]:
        return (self.site.brokers.one.pid,)


class DatabaseFrozen(_Frozen):
    """As a machine whose storage hangs."""

    kind = "database frozen"
    repeats_messages = True
    targets = DATABASE_TARGETS

    def pids(self) -> Sequence[int]:
        postmaster = self.site.server.pid
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
        return (postmaster, *map(int, children.split()))
