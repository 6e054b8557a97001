"""CAN frames that were asked for, and nothing else: from a SocketCAN socket, or through python-can from other adapters.

On SocketCAN the kernel filters, and what it lets through is read as it lies in the socket (``struct can_frame``,
linux/can.h): a message object per frame costs more than everything done with the frame. What is decoded from frames is
no matter of this module.
"""

import errno
import select
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from edge_agent.can_interfaces import SOCKETCAN, remedy
from edge_agent.errors import SourceError
from edge_agent.sources.broadcast_layout import EXTENDED

if TYPE_CHECKING:
    import can

_REMOTE: Final = 0x4000_0000  # CAN_RTR_FLAG
_FRAME_BYTES: Final = 72  # struct canfd_frame; a classic one has 16
_MOST_AT_ONCE: Final = 1000  # frames of one look, a quarter of a second of a full bus: time must go on
_MOST_KNOWN: Final = 4096  # identifiers remembered; a bus has some hundred, an attacker all
_LINK_LOST: Final = {errno.ENETDOWN, errno.ENODEV, errno.ENXIO}

Heard = list[tuple[int, bytes]]  # key and data of each frame, in order


@dataclass(frozen=True, kw_only=True)
class FrameFilter:
    """Frames whose key (identifier, bit 31: 29-bit format) equals ``key`` in the bits of ``mask``."""

    key: int
    mask: int = 0x1FFF_FFFF | EXTENDED

    def lets_through(self, key: int) -> bool:
        """Whether it does."""
        return (key ^ self.key) & self.mask == 0

    def for_python_can(self) -> "can.typechecking.CanFilter":
        """The same as python-can writes it."""
        return {
            "can_id": self.key & ~EXTENDED,
            "can_mask": self.mask & ~EXTENDED,
            "extended": bool(self.key & EXTENDED),
        }


@dataclass(frozen=True, kw_only=True)
class BusActivity:
    """How busy the bus is, heard without a word said: frames since opening, and when the last one came.

    ``frames``: of the whole bus where that can be known cheaply (SocketCAN's own count), else of what passed the
    filters; ``last_s`` on the monotonic clock, None before the first one.
    """

    frames: int = 0
    last_s: float | None = None


class Frames(Protocol):
    """A bus that is only listened to. SourceError when it is gone."""

    def read(self, seconds: float) -> Heard:
        """Wait at most so long for a frame that passes the filters, and give it with those that lie ready."""
        ...

    def activity(self) -> BusActivity:
        """How busy the bus was since it was opened."""
        ...

    def close(self) -> None:
        """Let go of the bus; may be called twice."""
        ...


def pack_filters(filters: Iterable[FrameFilter]) -> bytes:
    """The filters as ``struct can_filter`` of linux/can.h; remote requests never pass."""
    return b"".join(struct.pack("=II", each.key, each.mask | EXTENDED | _REMOTE) for each in filters)


class SocketCanFrames:
    """Frames of a SocketCAN interface. :meth:`open` makes one; tests give any datagram socket with such frames."""

    def __init__(self, link: socket.socket, filters: Iterable[FrameFilter], *, name: str, counter: Path | None) -> None:
        """``counter``: the file in which the system counts the interface's frames, if it has one."""
        self._socket: socket.socket | None = link
        self._filters = tuple(filters)
        self._name = name
        self._counter = counter
        self._first_count = self._count()
        self._activity = BusActivity()
        self._known: dict[bytes, int | None] = {}  # the first four bytes of a frame -> its key if it is wanted
        link.setblocking(False)
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)

    @classmethod
    def open(cls, channel: str, filters: Iterable[FrameFilter]) -> "SocketCanFrames":
        """Open an interface; SourceError says what is wrong and what to do."""
        filters = tuple(filters)
        name = f"CAN bus socketcan:{channel}"
        link: socket.socket | None = None
        try:
            link = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
            link.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, pack_filters(filters))
            link.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
            link.bind((channel,))
        except OSError as error:
            if link is not None:
                link.close()
            raise SourceError(f"{name} cannot be opened ({error}); {remedy(SOCKETCAN, channel, error)}") from error
        return cls(link, filters, name=name, counter=Path(f"/sys/class/net/{channel}/statistics/rx_packets"))

    def read(self, seconds: float) -> Heard:
        """See :class:`Frames`."""
        if self._socket is None:
            raise SourceError("the source is not open; call open() first")
        heard: Heard = []
        if not self._poll.poll(max(1.0, seconds * 1000)):
            return heard
        receive, known = self._socket.recv, self._known
        taken = 0
        try:
            while taken < _MOST_AT_ONCE:
                frame = receive(_FRAME_BYTES)
                taken += 1
                head = frame[:4]
                key = known[head] if head in known else self._learn(head)
                if key is not None:
                    heard.append((key, frame[8 : 8 + frame[4]]))
        except BlockingIOError:
            pass
        except OSError as error:
            remedy = "check the cable and the interface" if error.errno in _LINK_LOST else "it is opened again"
            raise SourceError(f"{self._name} is gone ({error}); {remedy}") from error
        if self._counter is None and taken:
            self._activity = BusActivity(frames=self._activity.frames + taken, last_s=time.monotonic())
        return heard

    def activity(self) -> BusActivity:
        """See :class:`Frames`. The system counts what the filters keep from us; a look at it is a look at the bus."""
        count = self._count()
        if count is None or self._first_count is None:
            return self._activity
        if (frames := count - self._first_count) != self._activity.frames:
            self._activity = BusActivity(frames=frames, last_s=time.monotonic())
        return self._activity

    def close(self) -> None:
        """See :class:`Frames`."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _learn(self, head: bytes) -> int | None:
        (key,) = struct.unpack("=I", head)
        wanted = not key & _REMOTE and any(each.lets_through(key) for each in self._filters)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        return self._known.setdefault(head, key if wanted else None)

    def _count(self) -> int | None:
        if self._counter is None:
            return None
        try:
            return int(self._counter.read_text(encoding="ascii"))
        except (OSError, ValueError):
            self._counter = None  # not every interface and sandbox shows it: what passes the filters is counted then
            return None


class PythonCanFrames:
    """Frames through python-can, for adapters that are no network interface."""

    def __init__(self, bus: "can.BusABC", filters: Iterable[FrameFilter], *, name: str) -> None:
        self._bus: can.BusABC | None = bus
        self._filters = tuple(filters)
        self._name = name
        self._known: dict[int, bool] = {}
        self._activity = BusActivity()

    def read(self, seconds: float) -> Heard:
        """See :class:`Frames`."""
        import can

        if self._bus is None:
            raise SourceError("the source is not open; call open() first")
        receive, known = self._bus.recv, self._known
        heard: Heard = []
        taken = 0
        try:
            message = receive(seconds)
            while message is not None:
                taken += 1
                key = message.arbitration_id | EXTENDED if message.is_extended_id else message.arbitration_id
                wanted = known[key] if key in known else self._learn(key)
                if wanted and not message.is_error_frame and not message.is_remote_frame:
                    heard.append((key, bytes(message.data)))
                message = receive(0) if taken < _MOST_AT_ONCE else None
        except (can.CanError, OSError) as error:
            raise SourceError(f"{self._name} is gone ({error}); check the cable and the interface") from error
        if taken:
            self._activity = BusActivity(frames=self._activity.frames + taken, last_s=time.monotonic())
        return heard

    def activity(self) -> BusActivity:
        """See :class:`Frames`."""
        return self._activity

    def close(self) -> None:
        """See :class:`Frames`."""
        if self._bus is not None:
            self._bus.shutdown()
        self._bus = None

    def _learn(self, key: int) -> bool:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        return self._known.setdefault(key, any(each.lets_through(key) for each in self._filters))
