"""DBC -> layouts: which DBC signal is which VSS path, checked against both. The only place that knows cantools.

An agent needs cantools once per DBC and mapping, not while it runs: ``python -m edge_agent.sources.broadcast_dbc`` does
the work in a process of its own, and :mod:`edge_agent.sources.broadcast_cache` keeps what it found.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import cantools
import msgspec
from cantools.database.can import Database, Message, Signal
from cantools.database.errors import Error as DbcError

from edge_agent.errors import ConfigurationError
from edge_agent.section import nearest
from edge_agent.sources.broadcast_layout import EXTENDED, MessageLayout, MultiplexerLayout, NumberKind, SignalLayout
from edge_agent.sources.broadcast_mapping import CanMapping, CompileRequest
from telemetry.catalogue import catalogue

# Names that DBC files give to raw values which are no measurement; SNA is "signal not available".
_NO_VALUE: Final = re.compile(r"\b(sna|n/?a|not[ _]?(avail|valid|present|def)\w*|invalid|err(or)?|init\w*|undefined)\b")


def compile_layouts(dbc: Path, mappings: Sequence[CanMapping]) -> tuple[MessageLayout, ...]:
    """The layouts of the mapped messages; ConfigurationError for a mapping that DBC or catalogue do not have."""
    database = _database(dbc)
    names = {message.name: message for message in database.messages}
    wanted: dict[str, list[CanMapping]] = {}
    for mapping in mappings:
        _check(dbc, names, mapping)
        wanted.setdefault(mapping.message, []).append(mapping)
    return tuple(_message(dbc, names[name], inside) for name, inside in wanted.items())


def _database(dbc: Path) -> Database:
    try:
        database = cantools.database.load_file(dbc, strict=False)
    except (OSError, DbcError, ValueError) as error:
        raise ConfigurationError(f"DBC {dbc} cannot be read: {error}") from error
    if not isinstance(database, Database):
        raise ConfigurationError(f"{dbc} describes no CAN bus; give a DBC, KCD, SYM or ARXML file")
    return database


def _check(dbc: Path, names: Mapping[str, Message], mapping: CanMapping) -> None:
    signals = [signal.path for signal in catalogue()]
    if mapping.path not in catalogue():
        raise ConfigurationError(f"{mapping.path!r} is no signal of the catalogue{nearest(mapping.path, signals)}")
    message = names.get(mapping.message)
    if message is None:
        raise ConfigurationError(f"{dbc} has no message {mapping.message!r}{nearest(mapping.message, list(names))}")
    inside = [signal.name for signal in message.signals]
    if mapping.signal not in inside:
        close = nearest(mapping.signal, inside)
        raise ConfigurationError(f"{dbc}: message {mapping.message} has no signal {mapping.signal!r}{close}")


def _message(dbc: Path, message: Message, mappings: Sequence[CanMapping]) -> MessageLayout:
    by_name = {signal.name: signal for signal in message.signals}
    multiplexers = [signal for signal in message.signals if signal.is_multiplexer]
    for signal in (*multiplexers, *(by_name[mapping.signal] for mapping in mappings)):
        # a shape that cantools itself would not decode
        if not _fits(signal, message.length):
            raise ConfigurationError(
                f"{dbc}: signal {message.name}.{signal.name} lies outside the {message.length} bytes of its message"
            )
    return MessageLayout(
        key=message.frame_id | (EXTENDED if message.is_extended_frame else 0),
        name=message.name,
        length=message.length,
        signals=tuple(_signal(by_name, multiplexers, mapping) for mapping in mappings),
        multiplexers=tuple(
            MultiplexerLayout(start=one.start, length=one.length, little_endian=one.byte_order == "little_endian")
            for one in multiplexers
        ),
    )


def _signal(by_name: Mapping[str, Signal], multiplexers: Sequence[Signal], mapping: CanMapping) -> SignalLayout:
    signal = by_name[mapping.signal]
    factor, offset = Fraction(str(mapping.factor)), Fraction(str(mapping.offset))
    when: list[tuple[int, tuple[int, ...]]] = []
    inner = signal
    while inner.multiplexer_signal is not None:  # a multiplexer may itself stand on a page of another
        outer = by_name[inner.multiplexer_signal]
        when.append((multiplexers.index(outer), tuple(inner.multiplexer_ids or ())))
        inner = outer
    return SignalLayout(
        name=signal.name,
        path=mapping.path,
        start=signal.start,
        length=signal.length,
        little_endian=signal.byte_order == "little_endian",
        kind=_kind(signal),
        scale=float(Fraction(str(signal.scale)) * factor),
        offset=float(Fraction(str(signal.offset)) * factor + offset),
        absent=tuple(
            sorted(
                int(raw) & ((1 << signal.length) - 1)
                for raw, name in (signal.choices or {}).items()
                if _NO_VALUE.search(str(name).lower().replace("_", " "))
            )
        ),
        when=tuple(when),
        period_s=mapping.period_s,
    )


def _kind(signal: Signal) -> NumberKind:
    if signal.is_float:
        return "float"
    return "signed" if signal.is_signed else "unsigned"


def _fits(signal: Signal, length: int) -> bool:
    start = signal.start
    first = start if signal.byte_order == "little_endian" else start & ~7 | 7 - (start & 7)
    return first + signal.length <= 8 * length


def main() -> None:
    """Compile a request on standard input to layouts on standard output; errors go to standard error, status 1."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=CompileRequest)
    try:
        layouts = compile_layouts(Path(request.dbc), request.mappings)
    except ConfigurationError as error:
        sys.stderr.write(str(error))
        sys.exit(1)
    sys.stdout.buffer.write(msgspec.json.encode(layouts))


if __name__ == "__main__":
    main()
