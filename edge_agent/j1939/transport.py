"""SAE J1939-21: what an identifier says, and messages of more than eight bytes as they are broadcast (BAM). Pure.

Connections between two control units (RTS, CTS) are their business: this end says nothing, so none is with it.
"""

from dataclasses import dataclass, field
from typing import Final

EVERYBODY: Final = 0xFF  # the global destination address
CONNECTION: Final = 0xEC00  # TP.CM
DATA: Final = 0xEB00  # TP.DT
_BROADCAST_ANNOUNCE: Final = 32  # TP.CM_BAM
_BYTES_A_PACKET: Final = 7
_LARGEST: Final = 255 * _BYTES_A_PACKET
_BETWEEN_PACKETS_S: Final = 0.75  # T1
_NO_DESTINATION_FROM: Final = 0xF0  # PDU format: from here the second byte is part of the number (PDU2)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a 29-bit identifier says: which parameter group, from whom, to whom (255: everybody)."""

    group: int  # parameter group number (PGN)
    source: int
    destination: int


def header(identifier: int) -> Header:
    """The header in an identifier; its priority is nothing to a listener."""
    page_and_format, specific, source = identifier >> 16 & 0x3FF, identifier >> 8 & 0xFF, identifier & 0xFF
    if page_and_format & 0xFF < _NO_DESTINATION_FROM:
        return Header(group=page_and_format << 8, source=source, destination=specific)
    return Header(group=page_and_format << 8 | specific, source=source, destination=EVERYBODY)


@dataclass(kw_only=True)
class _Transfer:
    group: int
    size: int  # bytes
    packets: int
    last_s: float
    received: bytearray = field(default_factory=bytearray)
    next_packet: int = 1


class BroadcastTransfers:
    """Puts announced broadcasts together. A control unit has one under way at most, so memory is bounded."""

    def __init__(self) -> None:
        self._under_way: dict[int, _Transfer] = {}  # by source address

    def hear(self, frame: Header, data: bytes, now: float) -> tuple[int, bytes] | None:
        """A whole message (group and data) if this frame completes one; what is out of order or late is dropped."""
        if len(data) != 8 or frame.destination != EVERYBODY:
            return None
        if frame.group == CONNECTION:
            self._announced(frame.source, data, now)
        elif frame.group == DATA:
            return self._packet(frame.source, data, now)
        return None

    def _announced(self, source: int, data: bytes, now: float) -> None:
        if data[0] != _BROADCAST_ANNOUNCE:
            return
        size, packets = int.from_bytes(data[1:3], "little"), data[3]
        self._under_way.pop(source, None)
        if 8 < size <= _LARGEST and packets == -(-size // _BYTES_A_PACKET):
            group = int.from_bytes(data[5:8], "little")
            self._under_way[source] = _Transfer(group=group, size=size, packets=packets, last_s=now)

    def _packet(self, source: int, data: bytes, now: float) -> tuple[int, bytes] | None:
        transfer = self._under_way.get(source)
        if transfer is None:
            return None
        if data[0] != transfer.next_packet or now - transfer.last_s > _BETWEEN_PACKETS_S:
            del self._under_way[source]
            return None
        transfer.received += data[1:]
        transfer.next_packet += 1
        transfer.last_s = now
        if data[0] < transfer.packets:
            return None
        del self._under_way[source]
        return transfer.group, bytes(transfer.received[: transfer.size])
