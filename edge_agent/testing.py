"""In-memory twins of the agent's ports, for tests: a clock that is set, a source with a script, a loopback uplink."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from edge_agent.errors import SourceError
from edge_agent.outbox import BatchChannel, Outbox
from edge_agent.sources.base import Reading
from telemetry.records import Acknowledgement, BatchKey, ms_from_utc
from telemetry.topics import Channel

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


class FakeClock:
    """A clock that stands until :meth:`advance` is called."""

    def __init__(
        self,
        moment: datetime = START,
        monotonic_ms: int = 1_000,
        boot: UUID | None = None,
        kernel_boot: str = "kernel-1",
    ) -> None:
        self._boot = uuid4() if boot is None else boot
        self._kernel_boot = kernel_boot
        self.moment = moment
        self.milliseconds = monotonic_ms
        self.unsure = False
        self.synchronised = False

    @property
    def boot(self) -> UUID:
        """Names this start of the agent."""
        return self._boot

    @property
    def kernel_boot(self) -> str:
        """Names this start of the machine."""
        return self._kernel_boot

    def now(self) -> datetime:
        """The time it was set to."""
        return self.moment

    def monotonic_ms(self) -> int:
        """The milliseconds it was set to."""
        return self.milliseconds

    def offset_ms(self) -> int:
        """Wall time at CLOCK_BOOTTIME 0, in ms since 1970."""
        return ms_from_utc(self.moment) - self.milliseconds

    def not_before(self, moment: datetime) -> None:
        """It is later than this."""
        self.moment = max(self.moment, moment)

    def remember(self) -> None:
        """Nothing to keep."""

    def set(self, moment: datetime) -> None:
        """The clock is put right, while CLOCK_BOOTTIME goes on."""
        self.moment = moment

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)
        self.milliseconds += round(seconds * 1000)


class ScriptedSource:
    """Plays a script: readings are given, exceptions raised, callables called (to advance a clock, to stop)."""

    def __init__(self, script: Iterable[Reading | BaseException | Callable[[], None]]) -> None:
        self._script: Iterator[Reading | BaseException | Callable[[], None]] = iter(script)
        self.opened = 0
        self.is_open = False

    def open(self) -> None:
        """Go on where the script stands."""
        self.opened += 1
        self.is_open = True

    def poll(self) -> Reading | None:
        """The next reading; None at the end of the script."""
        if not self.is_open:
            raise SourceError("the source is not open; call open first")
        for step in self._script:
            if isinstance(step, Reading):
                return step
            if isinstance(step, BaseException):
                raise step
            step()
        return None

    def close(self) -> None:
        """Nothing to let go of."""
        self.is_open = False


Backend = Callable[[BatchKey, Channel, bytes], Acknowledgement | None]


class LoopbackUplink:
    """Hands each batch to a function that acknowledges it or not; every tick publishes what is still there."""

    def __init__(self, *, device: str, outbox: Outbox, backend: Backend, window: int = 32) -> None:
        self._device = device
        self._outbox = outbox
        self._backend = backend
        self._window = window
        self.connected = False

    def start(self) -> None:
        """Be connected."""
        self.connected = True

    def tick(self) -> None:
        """Publish the oldest batches."""
        channels: tuple[BatchChannel, ...] = ("events", "readings")
        for channel in channels:
            for batch in self._outbox.publish(self._outbox.waiting(channel, self._window)):
                ack = self._backend(batch.key, batch.channel, batch.payload)
                if ack is not None:
                    self._outbox.acknowledge(ack)

    def wait(self, seconds: float) -> None:
        """No time passes."""

    def stop(self) -> None:
        """Be disconnected."""
        self.connected = False
