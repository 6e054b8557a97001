"""A worker: the real ``wearcast ingest run``, with a wire of its own to the database and one to each node."""

from collections.abc import Callable
from pathlib import Path

from tests.faults.service import Service
from tests.faults.wire import Bundle, Wire
from wearcast.embedded.processes import ManagedProcess


class Worker(Service):
    """``clock``: the file that moves its clock; see ``clocked_worker.py``."""

    def __init__(
        self,
        *,
        name: str,
        database: Wire,
        broker: Bundle,
        clock: Path | None,
        start: Callable[["Worker"], ManagedProcess],
    ) -> None:
        super().__init__(name=name, database=database, start=lambda: start(self))
        self.broker = broker
        self.clock = clock
        if clock is not None:
            self.set_clock(0.0)

    def set_clock(self, ahead_seconds: float) -> None:
        """Put its clock so far from the right time, while it runs or before it is started."""
        assert self.clock is not None
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(str(ahead_seconds), encoding="ascii")
        fresh.rename(self.clock)
