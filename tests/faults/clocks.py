"""Faults of clocks: a dongle's, whose readings are dated wrongly and put right later; a worker's; the database's."""

from datetime import timedelta

from tests.faults.database_clock import move
from tests.faults.fault import CLOCK_TARGETS, CLOCKED_WORKER, DATABASE_TARGETS, WORKER_TARGETS, Fault, MissedError
from tests.faults.site import wait_until
from tests.faults.worker import Worker

_HOUR_MS = 3_600_000
_STORES_WITHIN_SECONDS = 8.0


class _ClockMoved(Fault):
    targets = CLOCK_TARGETS
    hold_seconds = (0.4, 1.2)

    def heal(self) -> None:
        self.site.clocked.set_clock(offset_ms=0, synchronised=True)


class ClockForward(_ClockMoved):
    """By half an hour to a month, beyond what the backend takes for true."""

    kind = "clock jumps forward"

    def inject(self) -> None:
        offset_ms = round(self.draw.uniform(0.5, 720) * _HOUR_MS)
        self.site.clocked.set_clock(offset_ms=offset_ms, synchronised=self.draw.random() < 0.5)


class ClockBack(_ClockMoved):
    """By an hour to a year: followed where the machine says that it is synchronised."""

    kind = "clock jumps back"

    def inject(self) -> None:
        offset_ms = -round(self.draw.uniform(1, 8_760) * _HOUR_MS)
        self.site.clocked.set_clock(offset_ms=offset_ms, synchronised=self.draw.random() < 0.5)


class ClockUnset(_ClockMoved):
    """1970, as a dongle without a battery-backed clock wakes up, and starts anew."""

    kind = "clock forgotten at a restart"
    also = ("dongle 4",)
    hold_seconds = (0.8, 1.5)

    def inject(self) -> None:
        self.site.clocked.kill()
        self.site.clocked.set_clock(offset_ms=-56 * 8_766 * _HOUR_MS, synchronised=False)
        self.site.clocked.restart()


class _WorkerClockMoved(Fault):
    targets = (CLOCKED_WORKER,)
    hold_seconds = (0.3, 1.0)

    def move(self, hours: float) -> None:
        """Put it so far ahead, while the worker runs or before it is started; it lasts until the worker has stored."""
        before = self.worker.database.commits
        running = self.draw.random() < 0.5
        if not running:
            self.worker.kill()
        self.worker.set_clock(3_600 * hours)
        if not running:
            self.worker.restart()
        _stores(self, self.worker, before)

    def heal(self) -> None:
        self.worker.set_clock(0.0)


class WorkerClockBehind(_WorkerClockMoved):
    """By an hour to a year: everything seems to be of the future."""

    kind = "worker's clock behind"

    def inject(self) -> None:
        self.move(-self.draw.uniform(1, 8_760))


class WorkerClockAhead(_WorkerClockMoved):
    """By an hour to a year: no device seems to be ahead."""

    kind = "worker's clock ahead"

    def inject(self) -> None:
        self.move(self.draw.uniform(1, 8_760))


class _DatabaseClockMoved(Fault):
    """A worker that is started meanwhile sees it at once, the other at its next comparison."""

    targets = DATABASE_TARGETS
    also = (*WORKER_TARGETS, *CLOCK_TARGETS)
    hold_seconds = (0.3, 1.0)

    def move(self, hours: float) -> None:
        """Move it, and let one worker begin under it; it lasts until that one has stored."""
        self.site.database_clock_moved = True
        worker = self.draw.choice(self.site.workers)
        worker.kill()
        self._move(hours)
        before = worker.database.commits
        worker.restart()
        _stores(self, worker, before)

    def heal(self) -> None:
        self._move(0.0)

    def _move(self, hours: float) -> None:
        with self.site.connect() as connection:
            move(connection, timedelta(hours=hours))


class DatabaseClockBehind(_DatabaseClockMoved):
    """By an hour to a month: what is read now seems to be of the future, and waits until it does not."""

    kind = "database's clock behind"

    def inject(self) -> None:
        self.move(-self.draw.uniform(1, 720))


class DatabaseClockAhead(_DatabaseClockMoved):
    """By an hour to a month: no device seems to be ahead."""

    kind = "database's clock ahead"

    def inject(self) -> None:
        self.move(self.draw.uniform(1, 720))


def _stores(fault: Fault, worker: Worker, before: int) -> None:
    try:
        wait_until(lambda: worker.database.commits > before, "it stores", _STORES_WITHIN_SECONDS)
    except TimeoutError:
        fault.heal()
        raise MissedError("it stored nothing under this clock") from None
