"""One adapter for several: whoever opens a bus that is shared gets a view of it, with filters and an inbox of its own.

A serial or USB adapter can be opened once. One thread reads it and hands each frame to the views that want it; it is
closed with its last view. Frames that nobody takes in time are dropped, the oldest first.
"""

import queue
import threading
from typing import Final

import can

_INBOX_FRAMES: Final = 1000
_LOOK_S: Final = 0.05  # so soon does the reading thread end
_END_S: Final = 2.0

_shared: dict[str, "_SharedBus"] = {}
_lock = threading.Lock()


def share(name: str, bus: can.BusABC) -> can.BusABC:
    """Take over an open bus; the first view of it. ``name`` is what :func:`view_of` finds it by."""
    shared = _SharedBus(name, bus)
    with _lock:
        _shared[name] = shared
    first = shared.view()
    shared.start()
    return first


def view_of(name: str) -> can.BusABC | None:
    """Another view of a bus that is shared; None if none of that name is."""
    with _lock:
        shared = _shared.get(name)
    return None if shared is None else shared.view()


class _SharedBus:
    def __init__(self, name: str, bus: can.BusABC) -> None:
        self._name = name
        self._bus = bus
        self._views: tuple[_View, ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"reader of {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def view(self) -> "_View":
        view = _View(self, self._name)
        with _lock:
            self._views += (view,)
        return view

    def send(self, message: can.Message, timeout: float | None) -> None:
        self._bus.send(message, timeout)

    def leave(self, view: "_View") -> None:
        with _lock:
            self._views = tuple(other for other in self._views if other is not view)
            last = not self._views
            if last and _shared.get(self._name) is self:
                del _shared[self._name]
        if last:
            self._stop.set()
            self._thread.join(_END_S)
            self._bus.shutdown()

    def _read(self) -> None:
        """The thread. What goes wrong is raised where the views are read: it must not end unnoticed."""
        try:
            while not self._stop.is_set():
                message = self._bus.recv(_LOOK_S)
                if message is not None:
                    for view in self._views:
                        view.offer(message)
        except BaseException as error:  # noqa: BLE001 - raised by every view
            for view in self._views:
                view.fail(error)


class _View(can.BusABC):
    def __init__(self, shared: _SharedBus, name: str) -> None:
        self._shared = shared
        self._inbox: queue.Queue[can.Message | None] = queue.Queue(_INBOX_FRAMES)
        self._failure: BaseException | None = None
        self.channel_info = f"view of {name}"
        super().__init__(channel=name)

    def offer(self, message: can.Message) -> None:
        if self._matches_filters(message):
            self._put(message)

    def fail(self, error: BaseException) -> None:
        self._failure = error
        self._put(None)

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        self._shared.send(msg, timeout)

    def shutdown(self) -> None:
        if not self._is_shutdown:
            super().shutdown()
            self._shared.leave(self)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        try:
            message = self._inbox.get(block=timeout != 0, timeout=timeout or None)
        except queue.Empty:
            message = None
        if message is None and self._failure is not None:
            raise self._failure
        return message, True

    def _put(self, message: can.Message | None) -> None:
        while True:
            try:
                self._inbox.put_nowait(message)
            except queue.Full:
                self._drop_oldest()
            else:
                return

    def _drop_oldest(self) -> None:
        try:
            self._inbox.get_nowait()
        except queue.Empty:
            return
