"""A process of the backend with a wire of its own to the database: a worker, a rules engine, the delivery."""

from collections.abc import Callable

from tests.faults.wire import Wire
from wearcast.embedded.processes import ManagedProcess


class Service:
    """Whether it works is told by its own commits: another one's would hide that it does not."""

    def __init__(self, *, name: str, database: Wire, start: Callable[[], ManagedProcess]) -> None:
        self.name = name
        self.database = database
        self.down = False  # on purpose, by a fault that will start it again
        self._start = start
        self._process: ManagedProcess | None = None

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

    def restart(self) -> None:
        """Start it, as systemd would."""
        self._process = self._start()
        self.down = False
