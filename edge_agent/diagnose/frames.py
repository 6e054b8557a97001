"""Raw CAN frames on file, and what they look like: who speaks how often, which bytes move, what a DBC makes of it."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import can

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.errors import SourceError

FORMATS: Final = frozenset({".log", ".asc", ".blf", ".trc"})  # of python-can, which reads and writes them
_LOOK_S: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class FrameRow:
    """One identifier: how many frames, mean seconds between two, its last data, and which bytes ever changed."""

    identifier: int
    extended: bool
    count: int
    period_s: float | None
    data: bytes
    moving: frozenset[int]

    @property
    def name(self) -> str:
        """The identifier in hex, eight digits where it has 29 bits."""
        return f"{self.identifier:08X}" if self.extended else f"{self.identifier:03X}"


@dataclass(kw_only=True)
class _Seen:
    first: float
    last: float
    count: int
    data: bytes
    moving: set[int] = field(default_factory=set)


class FrameTable:
    """Collects frames by identifier."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, bool], _Seen] = {}

    def add(self, frame: can.Message) -> None:
        """Take one frame; error and remote frames say nothing."""
        if frame.is_error_frame or frame.is_remote_frame:
            return
        key, data = (frame.arbitration_id, frame.is_extended_id), bytes(frame.data)
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = _Seen(first=frame.timestamp, last=frame.timestamp, count=1, data=data)
            return
        seen.moving |= {n for n, (old, new) in enumerate(zip(seen.data, data, strict=False)) if old != new}
        seen.moving |= set(range(min(len(seen.data), len(data)), max(len(seen.data), len(data))))
        seen.count, seen.last, seen.data = seen.count + 1, frame.timestamp, data

    def rows(self) -> tuple[FrameRow, ...]:
        """What was seen, by identifier."""
        return tuple(
            FrameRow(
                identifier=identifier,
                extended=extended,
                count=seen.count,
                period_s=(seen.last - seen.first) / (seen.count - 1) if seen.count > 1 else None,
                data=seen.data,
                moving=frozenset(seen.moving),
            )
            for (identifier, extended), seen in sorted(self._seen.items())
        )


def record_frames(
    bus: CanBusConfig,
    out: Path,
    *,
    go_on: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[int, float]:
    """Write every frame of the bus to a file while ``go_on``; how many, in how many seconds. Nothing is sent.

    SourceError when the bus cannot be opened or is gone; what came until then is on file.
    """
    started, count = clock(), 0
    with open_can_bus(bus) as opened, can.Logger(out) as writer:
        try:
            while go_on():
                frame = opened.recv(_LOOK_S)
                if frame is not None:
                    writer(frame)
                    count += 1
        except can.CanError as error:
            raise SourceError(
                f"CAN bus {bus.interface}:{bus.channel} is gone ({error}); {count} frames are kept"
            ) from error
    return count, clock() - started


def read_frames(path: Path) -> Iterator[can.Message]:
    """All frames of a recording; SourceError says what is wrong with it."""
    try:
        with can.LogReader(path) as reader:
            yield from reader
    except (OSError, ValueError, can.CanError) as error:
        raise SourceError(f"{path}: cannot be read as a recording of frames ({error})") from error


def decoded(frames: Iterable[can.Message], dbc: Path) -> Iterator[tuple[float, dict[str, float]]]:
    """Time of each frame that the DBC knows, and its signals as "MESSAGE.SIGNAL"; texts of choices are left out."""
    import cantools
    from cantools.database.can import Database
    from cantools.database.errors import Error as DbcError

    try:
        database = cantools.database.load_file(dbc, strict=False)
    except (OSError, DbcError, ValueError) as error:
        raise SourceError(f"DBC {dbc} cannot be read: {error}") from error
    if not isinstance(database, Database):
        raise SourceError(f"{dbc} describes no CAN bus; give a DBC, KCD, SYM or ARXML file")
    messages = {(message.frame_id, message.is_extended_frame): message for message in database.messages}
    for frame in frames:
        message = messages.get((frame.arbitration_id, frame.is_extended_id))
        if message is None:
            continue
        try:
            values = message.decode(bytes(frame.data), decode_choices=False, allow_truncated=True)
        except (DbcError, ValueError):
            continue  # other content than the DBC says: a recording of another car
        assert isinstance(values, dict)
        yield (
            frame.timestamp,
            {
                f"{message.name}.{name}": float(value)
                for name, value in values.items()
                if isinstance(value, int | float)
            },
        )
