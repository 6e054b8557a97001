"""Replays CAN recordings: every format python-can's LogReader opens, decoded by a DBC's layouts, mapped to signals.

Which DBC signal is which VSS path stands in the configuration, never here. A frame that cannot be decoded is a fault.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

import can
from can.io.blf import BLFParseError

from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.sources.broadcast_layout import EXTENDED, MessageDecoder, decoders
from edge_agent.sources.broadcast_mapping import CanMapping
from edge_agent.sources.pace import Recording

_EPOCH_FROM: Final = 1e9  # seconds; a log whose stamps are smaller counts from its own start, not from 1970
_MAX_FAULTS: Final = 5  # per reading: a wrong DBC must not fill the log
# NotImplementedError: a format whose reader needs a library that is not installed (MF4).
_UNREADABLE: Final = (OSError, EOFError, ValueError, struct.error, zlib.error, BLFParseError, NotImplementedError)


@dataclass(frozen=True, kw_only=True)
class ReplayCanConfig:
    """Which recording, how it is decoded, and how fast it is replayed (``speed`` None: as fast as possible).

    ``period_seconds``: the last value of each signal in every such stretch of time; 0: a reading per decoded frame.
    ``start``: the time of the first frame, for logs that do not count from 1970; then it is required.
    """

    path: Path
    dbc: Path
    mappings: tuple[CanMapping, ...]
    period_seconds: float = 0.1
    start: datetime | None = None
    channel: str | None = None  # only frames of this channel of the log; None: all
    speed: float | None = None


class ReplayCanSource(Recording):
    """A CAN recording as a source: one reading per period in which a mapped signal was seen, None at its end."""

    def __init__(self, config: ReplayCanConfig) -> None:
        super().__init__(config.path, config.speed, _UNREADABLE)
        self._config = config
        self._log: can.io.generic.MessageReader | None = None

    def open(self) -> None:
        """Load the DBC, check the mapping against it and the catalogue, open the log."""
        self.close()
        by_key = _decoders(self._config)
        try:
            self._log = can.LogReader(self._config.path)
            frames = iter(self._log)
            first = next(frames, None)
            self._rows = (
                iter(())
                if first is None
                else _gather(self._config, by_key, chain([first], frames), self._shift(first.timestamp))
            )
        except SourceError:
            self.close()
            raise
        except _UNREADABLE as error:
            self.close()
            raise SourceError(f"recording {self._config.path} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the log; may be called twice."""
        self._rewind()
        if self._log is not None:
            self._log.stop()
            self._log = None

    def _shift(self, first: float) -> float:
        """Seconds to add to the log's stamps for seconds since 1970."""
        if self._config.start is not None:
            return self._config.start.timestamp() - first
        if first >= _EPOCH_FROM:
            return 0.0
        raise SourceError(
            f"recording {self._config.path} does not count from 1970 (its first frame is at {first:.6f} s);"
            " give source.start, e.g. 2026-01-31T08:00:00Z"
        )


def _decoders(config: ReplayCanConfig) -> Mapping[int, MessageDecoder]:
    """Decoders of the mapped messages by frame key; SourceError for a mapping that DBC or catalogue do not have."""
    from edge_agent.sources.broadcast_dbc import compile_layouts  # cantools, only where a recording is read

    if not config.mappings:
        raise SourceError("no signal is mapped; give source.signals, a list of message, signal and path")
    try:
        return decoders(compile_layouts(config.dbc, config.mappings))
    except ConfigurationError as error:
        raise SourceError(str(error)) from error


def _gather(
    config: ReplayCanConfig, by_key: Mapping[int, MessageDecoder], frames: Iterator[can.Message], shift: float
) -> Iterator[Reading]:
    """One reading per period: the last value of each signal, at the time of the last frame that gave one."""
    values: dict[str, float] = {}
    faults: list[ReadFault] = []
    until: float | None = None  # end of the running period, in the log's seconds
    seen = 0.0  # last decoded frame, in the log's seconds
    for frame in frames:
        decoder = by_key.get(frame.arbitration_id | (EXTENDED if frame.is_extended_id else 0))
        if decoder is None or frame.is_error_frame or frame.is_remote_frame:
            continue
        if config.channel is not None and str(frame.channel) != config.channel:
            continue
        if (values or faults) and (until is None or frame.timestamp >= until):
            yield _reading(values, faults, seen + shift)
            values, faults, until = {}, [], None
        if until is None and config.period_seconds > 0:
            until = frame.timestamp + config.period_seconds
        seen = frame.timestamp
        decoded = decoder.decode(bytes(frame.data))
        values.update(decoded.values)
        faults.extend(decoded.faults[: _MAX_FAULTS - len(faults)])
    if values or faults:
        yield _reading(values, faults, seen + shift)


def _reading(values: dict[str, float], faults: list[ReadFault], seconds: float) -> Reading:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return Reading(values=values, time=moment, faults=tuple(faults))
