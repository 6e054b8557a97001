"""A worker: the real ``wearcast ingest run``, with a wire of its own to the database and one to each node."""

from collections.abc import Callable
from pathlib import Path

from tests.faults.wire import Bundle, Wire
from wearcast.embedded.processes import ManagedProcess


class Worker:
    """Whether it stores is told by its own commits: another worker's would hide that it does not."""

    def __init__(
        self,
        *,
        name: str,
        database: Wire,
        broker: Bundle,
        clock: Path | None,
        start: Callable[["Worker"], ManagedProcess],
    ) -> None:
        """``clock``: the file that moves its clock; see ``clocked_worker.py``."""
        self.name = name
        self.database = database
        self.broker = broker
        self.clock = clock
        self.down = False  # on purpose, by a fault that will start it again
        self._start = start
        self._process: ManagedProcess | None = None
        if clock is not None:
            self.set_clock(0.0)

    @property
    def process(self) -> ManagedProcess:
        """The latest."""
        assert self._process is not None
        return self._process

    def supervise(self) -> str | None:
        """What went wrong, if it ended by itself: it never may."""
        process = self.process
        status = process.returncode
        if status is None or self.down or process is not self.process:
            return None
        complaint = f"{self.name} ended by itself with {status}: {process.output()[-800:]}"
        self.restart()
        return complaint

    def kill(self) -> None:
        """End it with SIGKILL; it stays down until started again."""
        self.down = True
        self.process.kill()

    def set_clock(self, ahead_seconds: float) -> None:
        """Put its clock so far from the right time, while it runs or before it is started."""
        assert self.clock is not None
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(str(ahead_seconds), encoding="ascii")
        fresh.rename(self.clock)

    def restart(self) -> None:
        """Start it, as systemd would."""
        self._process = self._start(self)
        self.down = False
