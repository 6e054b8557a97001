"""Replays CAN recordings: every format python-can's LogReader opens, decoded with a DBC by cantools, mapped to signals.

Which DBC signal is which VSS path stands in the configuration, never here. A frame that cannot be decoded is a fault.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

import can
import cantools
from can.io.blf import BLFParseError
from cantools.database.can import Database, Message
from cantools.database.errors import Error as DbcError

from edge_agent.errors import SourceError
from edge_agent.section import nearest
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.sources.pace import Recording
from telemetry.catalogue import catalogue

_EPOCH_FROM: Final = 1e9  # seconds; a log whose stamps are smaller counts from its own start, not from 1970
_MAX_FAULTS: Final = 5  # per reading: a wrong DBC must not fill the log
# NotImplementedError: a format whose reader needs a library that is not installed (MF4).
_UNREADABLE: Final = (OSError, EOFError, ValueError, struct.error, zlib.error, BLFParseError, NotImplementedError)


@dataclass(frozen=True, kw_only=True)
class CanMapping:
    """One DBC signal and the catalogue signal it is: value in the catalogue's unit = DBC value * factor + offset."""

    message: str
    signal: str
    path: str
    factor: float = 1.0
    offset: float = 0.0


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
        by_id = _messages(self._config)
        try:
            self._log = can.LogReader(self._config.path)
            frames = iter(self._log)
            first = next(frames, None)
            self._rows = (
                iter(())
                if first is None
                else _gather(self._config, by_id, chain([first], frames), self._shift(first.timestamp))
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


def _messages(config: ReplayCanConfig) -> Mapping[int, tuple[Message, tuple[CanMapping, ...]]]:
    """Mapped messages by CAN identifier; SourceError for a mapping that DBC or catalogue do not have."""
    try:
        database = cantools.database.load_file(config.dbc, strict=False)
    except (OSError, DbcError, ValueError) as error:
        raise SourceError(f"DBC {config.dbc} cannot be read: {error}") from error
    if not isinstance(database, Database):
        raise SourceError(f"{config.dbc} describes no CAN bus; give a DBC, KCD, SYM or ARXML file")
    found: dict[int, tuple[Message, tuple[CanMapping, ...]]] = {}
    names = {message.name: message for message in database.messages}
    signals = [signal.path for signal in catalogue()]
    for mapping in config.mappings:
        if mapping.path not in catalogue():
            raise SourceError(f"{mapping.path!r} is no signal of the catalogue{nearest(mapping.path, signals)}")
        message = names.get(mapping.message)
        if message is None:
            raise SourceError(f"{config.dbc} has no message {mapping.message!r}{nearest(mapping.message, list(names))}")
        inside = [signal.name for signal in message.signals]
        if mapping.signal not in inside:
            close = nearest(mapping.signal, inside)
            raise SourceError(f"{config.dbc}: message {mapping.message} has no signal {mapping.signal!r}{close}")
        others = found[message.frame_id][1] if message.frame_id in found else ()
        found[message.frame_id] = (message, (*others, mapping))
    if not found:
        raise SourceError("no signal is mapped; give source.signals, a list of message, signal and path")
    return found


def _gather(
    config: ReplayCanConfig,
    by_id: Mapping[int, tuple[Message, tuple[CanMapping, ...]]],
    frames: Iterator[can.Message],
    shift: float,
) -> Iterator[Reading]:
    """One reading per period: the last value of each signal, at the time of the last frame that gave one."""
    values: dict[str, float] = {}
    faults: list[ReadFault] = []
    until: float | None = None  # end of the running period, in the log's seconds
    seen = 0.0  # last decoded frame, in the log's seconds
    for frame in frames:
        known = by_id.get(frame.arbitration_id)
        if known is None or frame.is_error_frame or frame.is_remote_frame:
            continue
        if config.channel is not None and str(frame.channel) != config.channel:
            continue
        if (values or faults) and (until is None or frame.timestamp >= until):
            yield _reading(values, faults, seen + shift)
            values, faults, until = {}, [], None
        if until is None and config.period_seconds > 0:
            until = frame.timestamp + config.period_seconds
        seen = frame.timestamp
        _decode(frame, *known, values, faults)
    if values or faults:
        yield _reading(values, faults, seen + shift)


def _decode(
    frame: can.Message,
    message: Message,
    mappings: tuple[CanMapping, ...],
    values: dict[str, float],
    faults: list[ReadFault],
) -> None:
    request = f"frame {frame.arbitration_id:03X} {message.name}"
    try:
        # Recorders pad payloads to 8 bytes: what lies behind the message's length is not of it.
        decoded = message.decode(bytes(frame.data[: message.length]), decode_choices=False)
    except (DbcError, ValueError) as error:
        if len(faults) < _MAX_FAULTS:
            faults.append(ReadFault(request=request, reason=str(error)))
        return
    assert isinstance(decoded, dict)
    for mapping in mappings:
        raw = decoded.get(mapping.signal)  # absent: a multiplexed signal of another page
        if raw is None:
            continue
        value = float(raw) * mapping.factor + mapping.offset if isinstance(raw, int | float) else math.nan
        if math.isfinite(value):
            values[mapping.path] = value
        elif len(faults) < _MAX_FAULTS:
            faults.append(ReadFault(request=f"{request}.{mapping.signal}", reason=f"{raw!r} is not a number"))


def _reading(values: dict[str, float], faults: list[ReadFault], seconds: float) -> Reading:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return Reading(values=values, time=moment, faults=tuple(faults))
