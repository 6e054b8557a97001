"""Listens to what a car says unasked: alone as a source, or beside a source that asks. Not a frame is sent.

Alone, each poll listens. Beside a source that asks, which may wait seconds for an ECU, a thread of its own listens on
a socket of its own; the readings of both are one.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.errors import SourceError
from edge_agent.shared_bus import share
from edge_agent.sources.base import ReadFault, Reading, ReadsCodesOnDemand, Source
from edge_agent.sources.broadcast_frames import BusActivity, FrameFilter, Frames, PythonCanFrames, SocketCanFrames
from edge_agent.sources.broadcast_listener import Listener, merged

_LISTEN_S: Final = 0.1  # of one poll, or one turn of the thread
_NAP_S: Final = 0.02  # between two looks: waking up for every frame costs more than reading it
SILENT_S: Final = 15.0  # what is worth listening for mostly comes every second at least
_END_S: Final = 2.0  # the thread ends within a turn

FramesOpener = Callable[[CanBusConfig, tuple[FrameFilter, ...]], Frames]


def open_frames(config: CanBusConfig, filters: tuple[FrameFilter, ...]) -> Frames:
    """The bus of a configuration, for listening; SourceError says what is wrong and what to do."""
    if config.interface == "socketcan":
        return SocketCanFrames.open(config.channel, filters)
    return PythonCanFrames(open_can_bus(config), filters, name=config.name)


def open_shared_frames(config: CanBusConfig, filters: tuple[FrameFilter, ...]) -> Frames:
    """The bus of an adapter that can be opened once: whoever opens it from now on shares it."""
    view = share(config.name, open_can_bus(config))
    view.set_filters([each.for_python_can() for each in filters])
    return PythonCanFrames(view, filters, name=config.name)


class BroadcastSource:
    """A car that is only listened to."""

    def __init__(
        self,
        bus: CanBusConfig,
        listeners: tuple[Listener, ...],
        *,
        open_frames: FramesOpener = open_frames,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._listeners = listeners
        self._filters = tuple(each for listener in listeners for each in listener.filters)
        self._open_frames = open_frames
        self._clock = clock
        self._frames: Frames | None = None
        self._lock = threading.Lock()  # what was heard: a listening thread adds, the agent's takes
        self._heard_at = 0.0  # or opened at, in seconds of the clock
        self._silence_told = False

    def open(self) -> None:
        """Open the bus."""
        self.close()
        self._frames = self._open_frames(self._bus, self._filters)
        self._heard_at = self._clock()
        self._silence_told = False

    def poll(self) -> Reading | None:
        """Listen for a moment; what is due then."""
        self.listen(_LISTEN_S)
        return self.take()

    def listen(self, seconds: float) -> None:
        """Take note of frames for that long."""
        frames = self._frames
        if frames is None:
            raise SourceError("the source is not open; call open() first")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            heard = frames.read(left)
            now = self._clock()
            with self._lock:
                if heard:
                    self._heard_at, self._silence_told = now, False
                for key, data in heard:
                    for listener in self._listeners:
                        listener.hear(key, data, now)
            time.sleep(max(0.0, min(_NAP_S, until - time.monotonic())))

    def take(self) -> Reading:
        """What is due by now of what was heard."""
        now = self._clock()
        with self._lock:
            taken = [listener.take(now) for listener in self._listeners]
            silent = now - self._heard_at >= SILENT_S and not self._silence_told
            self._silence_told = self._silence_told or silent
        return merged([Reading(faults=(self._silence(),)), *taken] if silent else taken)

    def activity(self) -> BusActivity:
        """How busy the bus is; nothing while it is not open."""
        return BusActivity() if self._frames is None else self._frames.activity()

    def close(self) -> None:
        """Let go of the bus."""
        if self._frames is not None:
            self._frames.close()
        self._frames = None

    def _silence(self) -> ReadFault:
        """What it means that nothing wanted is heard: told once, until something is."""
        frames = self.activity().frames
        if frames > 0:
            reason = f"{frames} frames since it was opened, none of them wanted: is the DBC that of this car?"
        else:
            reason = (
                "nothing is heard: is the ignition on, is the bit rate right, does the car speak on this connector?"
            )
        return ReadFault(request=f"listening to {self._bus.name}", reason=reason)


class ListeningSource:
    """A source that asks, and what is heard on its bus meanwhile: values heard stand beside values read.

    A value both give is the one read. Losing the bus ends both, whoever notices first.
    """

    def __init__(self, asking: Source, heard: BroadcastSource) -> None:
        self._asking = asking
        self._heard = heard
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def open(self) -> None:
        """Open both, and begin to listen."""
        self.close()
        self._heard.open()
        self._failure = None
        self._stop.clear()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()
        self._asking.open()

    def poll(self) -> Reading | None:
        """What the other source read, and what was heard and is due."""
        if self._failure is not None:
            raise self._failure
        read = self._asking.poll()
        return None if read is None else merged((self._heard.take(), read))

    def read_codes_soon(self) -> None:
        """See :class:`edge_agent.sources.base.ReadsCodesOnDemand`."""
        if isinstance(self._asking, ReadsCodesOnDemand):
            self._asking.read_codes_soon()

    def activity(self) -> BusActivity:
        """How busy the bus is."""
        return self._heard.activity()

    def close(self) -> None:
        """Stop listening and let go of the bus."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_END_S)
        self._thread = None
        self._heard.close()
        self._asking.close()

    def _listen(self) -> None:
        """The thread: what goes wrong is kept for the agent's thread, this one must not die unnoticed."""
        try:
            while not self._stop.is_set():
                self._heard.listen(_LISTEN_S)
        except BaseException as error:  # noqa: BLE001 - raised from poll()
            self._failure = error
