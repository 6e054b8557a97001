"""Newest frames -> readings, at the pace that is wanted. Pure: frames and time come as arguments.

A frame costs a look-up and a note; only what is due is decoded. Speed comes a hundred times a second, and one value a
second of it is sent.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from edge_agent.obd.answers import checked
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.sources.broadcast_frames import FrameFilter
from edge_agent.sources.broadcast_layout import MessageDecoder, MessageLayout, decoders

FIRST_S: Final = 0.2  # after the first frame: by then the fast signals of a bus have come once
_MOST_FAULTS: Final = 5  # per reading: a wrong DBC must not fill the log
_MOST_PAGES: Final = 4096


class Listener(Protocol):
    """What is made of the frames of one kind. Used by one thread at a time."""

    @property
    def filters(self) -> tuple[FrameFilter, ...]:
        """Which frames it wants."""
        ...

    def hear(self, key: int, data: bytes, now: float) -> None:
        """Take note of a frame; ``now`` in monotonic seconds."""
        ...

    def take(self, now: float) -> Reading:
        """What is due by now; empty if nothing is."""
        ...


class SignalListener:
    """The newest value of each signal, once in its period; signals of one period come together."""

    def __init__(self, layouts: Iterable[MessageLayout], *, period_s: float) -> None:
        """``period_s``: of signals that say none themselves. Raises ValueError for a layout that does not fit."""
        layouts = tuple(layouts)
        self._decoders: Mapping[int, MessageDecoder] = decoders(layouts)
        self._filters = tuple(FrameFilter(key=key) for key in self._decoders)
        self._due: dict[float, frozenset[str]] = {}  # period -> paths
        for layout in layouts:
            for signal in layout.signals:
                period = signal.period_s or period_s
                self._due[period] = self._due.get(period, frozenset()) | {signal.path}
        self._plain = frozenset(key for key, decoder in self._decoders.items() if not decoder.layout.multiplexers)
        self._newest: dict[tuple[int, tuple[int, ...]], tuple[bytes, float]] = {}
        self._next: dict[float, float] = {}  # period -> when its signals are due
        self._last: dict[float, float] = {}  # period -> when they were taken last

    @property
    def filters(self) -> tuple[FrameFilter, ...]:
        """See :class:`Listener`."""
        return self._filters

    def hear(self, key: int, data: bytes, now: float) -> None:
        """See :class:`Listener`."""
        if key in self._plain:
            self._newest[key, ()] = (data, now)
        elif key in self._decoders:
            self._newest[key, self._decoders[key].page(data)] = (data, now)

    def take(self, now: float) -> Reading:
        """See :class:`Listener`. What was not heard since the last time is not given again."""
        if not self._newest:
            return Reading()
        if not self._next:
            self._next = dict.fromkeys(self._due, now + FIRST_S)
        values: dict[str, float] = {}
        faults: dict[ReadFault, None] = {}
        for period, paths in self._due.items():
            if now < self._next[period]:
                continue
            since = self._last.get(period, float("-inf"))
            for (key, _), (data, heard) in self._newest.items():
                if heard >= since:
                    decoded = self._decoders[key].decode(data, due=paths)
                    faults.update(dict.fromkeys(decoded.faults))
                    for path, value in decoded.values.items():  # many cars send ones while they have no value
                        kept = checked(path, value, self._decoders[key].request)
                        values.update(kept.values)
                        faults.update(dict.fromkeys(kept.faults))
            self._last[period] = now
            behind = now - self._next[period] >= period  # after a standstill the grid starts anew
            self._next[period] = now + period if behind else self._next[period] + period
        if len(self._newest) > _MOST_PAGES:
            self._newest.clear()
        return Reading(values=values, faults=tuple(faults)[:_MOST_FAULTS])


def merged(readings: Iterable[Reading]) -> Reading:
    """Readings of one moment as one; a later one's value wins. Trouble codes of several are those of all their ECUs."""
    found = tuple(readings)
    codes = [reading for reading in found if reading.trouble_codes is not None]
    return Reading(
        values={path: value for reading in found for path, value in reading.values.items()},
        trouble_codes=tuple(code for reading in codes for code in reading.trouble_codes or ()) if codes else None,
        ecus_read=_ecus(codes),
        vin=next((reading.vin for reading in found if reading.vin is not None), None),
        faults=tuple(fault for reading in found for fault in reading.faults),
        identified=next((reading.identified for reading in found if reading.identified is not None), None),
        freeze_frames={key: frame for reading in found for key, frame in reading.freeze_frames.items()},
    )


def _ecus(codes: Iterable[Reading]) -> frozenset[str] | None:
    found: frozenset[str] | None = None
    for reading in codes:
        if reading.ecus_read is None:
            return None
        found = reading.ecus_read | (found or frozenset())
    return found
