"""Where signals stand in broadcast CAN frames, and their decoding: shifts and masks, worked out once. Pure.

What a DBC says becomes these records (:mod:`edge_agent.sources.broadcast_dbc`); no library is needed to decode by them.
A frame's key is its identifier, with bit 31 set for the 29-bit format, as SocketCAN writes it (linux/can.h).
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from edge_agent.sources.base import ReadFault

EXTENDED: Final = 0x8000_0000  # CAN_EFF_FLAG
_FLOATS: Final = {16: "e", 32: "f", 64: "d"}  # IEEE 754 lengths in bits -> struct
NumberKind = Literal["unsigned", "signed", "float"]


class SignalLayout(msgspec.Struct, frozen=True, kw_only=True):
    """One signal in a message: ``value = raw * scale + offset``, in the catalogue's unit of ``path``.

    ``start`` is the DBC's start bit: of the least significant bit where ``little_endian``, else of the most significant
    one, byte n holding bits 8n to 8n+7. ``absent``: raw values by which the car says that it has no value. ``when``: of
    each multiplexer that decides on the signal, its number in the message and the values with which the signal is.
    ``period_s``: at most one value in so long; None: as the source has it.
    """

    name: str
    path: str
    start: int
    length: int
    little_endian: bool
    kind: NumberKind = "unsigned"
    scale: float = 1.0
    offset: float = 0.0
    absent: tuple[int, ...] = ()
    when: tuple[tuple[int, tuple[int, ...]], ...] = ()
    period_s: float | None = None


class MultiplexerLayout(msgspec.Struct, frozen=True, kw_only=True):
    """The number in a message that says which of its signals a frame carries."""

    start: int
    length: int
    little_endian: bool


class MessageLayout(msgspec.Struct, frozen=True, kw_only=True):
    """A message: its frames have at least ``length`` bytes; recorders pad them, what lies behind is not of it."""

    key: int
    name: str
    length: int
    signals: tuple[SignalLayout, ...]
    multiplexers: tuple[MultiplexerLayout, ...] = ()

    @property
    def request(self) -> str:
        """How faults name it."""
        return f"frame {self.key & ~EXTENDED:03X} {self.name}"


@dataclass(kw_only=True)
class Decoded:
    """What frames gave: values by VSS path, and what could not be read."""

    values: dict[str, float] = field(default_factory=dict)
    faults: list[ReadFault] = field(default_factory=list)


def raw_number(data: bytes, start: int, length: int, *, little_endian: bool) -> int:
    """The bits of an unsigned number; the data must hold them."""
    if little_endian:
        return int.from_bytes(data, "little") >> start & ((1 << length) - 1)
    first = start & ~7 | 7 - (start & 7)  # counted from the most significant bit of the first byte
    return int.from_bytes(data, "big") >> (8 * len(data) - first - length) & ((1 << length) - 1)


class SignalDecoder:
    """A signal's layout, ready to be used on the data of a frame of its message's length."""

    __slots__ = ("_absent", "_big_endian", "_float", "_mask", "_offset", "_scale", "_shift", "_sign", "layout")

    def __init__(self, layout: SignalLayout, message_length: int) -> None:
        self.layout = layout
        self._big_endian = not layout.little_endian
        first = layout.start & ~7 | 7 - (layout.start & 7)
        self._shift = layout.start if layout.little_endian else 8 * message_length - first - layout.length
        if self._shift < 0 or (layout.little_endian and layout.start + layout.length > 8 * message_length):
            raise ValueError(f"signal {layout.name} lies outside the {message_length} bytes of its message")
        self._mask = (1 << layout.length) - 1
        self._sign = 1 << (layout.length - 1) if layout.kind == "signed" else 0
        self._float = f">{_FLOATS[layout.length]}" if layout.kind == "float" else None
        self._scale, self._offset = layout.scale, layout.offset
        self._absent = frozenset(layout.absent)

    def decode(self, little: int, big: int) -> float | None:
        """The value in a frame given as one number in either byte order; None where the car says it has none."""
        raw = (big if self._big_endian else little) >> self._shift & self._mask
        if raw in self._absent:
            return None
        if self._float is not None:
            number: float = struct.unpack(self._float, raw.to_bytes(self.layout.length // 8, "big"))[0]
        else:
            number = raw - ((raw & self._sign) << 1)
        return number * self._scale + self._offset


class MessageDecoder:
    """A message's layout, ready to be used: page of a frame, and values of a frame."""

    def __init__(self, layout: MessageLayout) -> None:
        """Raises ValueError for a layout that does not fit its message."""
        self.layout = layout
        self.request = layout.request
        self.signals = tuple(SignalDecoder(signal, layout.length) for signal in layout.signals)

    def page(self, data: bytes) -> tuple[int, ...]:
        """What the multiplexers say in a frame: frames of one page carry the same signals."""
        layout = self.layout
        if not layout.multiplexers or len(data) < layout.length:
            return ()
        used = data[: layout.length]
        return tuple(
            raw_number(used, number.start, number.length, little_endian=number.little_endian)
            for number in layout.multiplexers
        )

    def decode(self, data: bytes, *, due: frozenset[str] | None = None) -> Decoded:
        """The values in one frame; of the paths in ``due`` alone, if given. A truncated frame is a fault, no value."""
        decoded = Decoded()
        length = self.layout.length
        if len(data) < length:
            reason = f"{len(data)} bytes where the message has {length}"
            decoded.faults.append(ReadFault(request=self.request, reason=reason))
            return decoded
        used = data[:length]
        little, big = int.from_bytes(used, "little"), int.from_bytes(used, "big")
        page = self.page(data)
        for signal in self.signals:
            layout = signal.layout
            if due is not None and layout.path not in due:
                continue
            if any(page[number] not in values for number, values in layout.when):
                continue
            value = signal.decode(little, big)
            if value is None:
                continue
            if math.isfinite(value):
                decoded.values[layout.path] = value
            else:
                request = f"{self.request}.{layout.name}"
                decoded.faults.append(ReadFault(request=request, reason=f"{value} is not a number"))
        return decoded


def decoders(layouts: tuple[MessageLayout, ...]) -> Mapping[int, MessageDecoder]:
    """Decoders by frame key. Raises ValueError for a layout that does not fit its message."""
    return {layout.key: MessageDecoder(layout) for layout in layouts}
