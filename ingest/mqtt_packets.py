"""Packets of MQTT 3.1.1 <-> bytes, as far as a subscriber with QoS 1 needs them. Pure.

Source: OASIS, MQTT Version 3.1.1; the numbers in comments are its sections.
"""

import struct
from typing import Final, NamedTuple

CONNACK: Final = 2  # packet types, 2.2.1
PUBLISH: Final = 3
PUBACK: Final = 4
SUBACK: Final = 9
PINGRESP: Final = 13

PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"
REFUSED: Final = 0x80  # a subscription that the broker does not grant, 3.9.3
REFUSALS: Final = {  # of a connection, 3.2.2.3
    1: "it does not speak MQTT 3.1.1",
    2: "it does not take the client's name",
    3: "it is not available",
    4: "user name or password is wrong",
    5: "this client may not connect",
}
_USER: Final = 0x80  # connect flags, 3.1.2.3
_PASSWORD: Final = 0x40
_CLEAN: Final = 0x02
_LEVEL: Final = 4  # of the protocol: 3.1.1
_LENGTH_BYTES: Final = 4  # of the remaining length at most, 2.2.3


class ProtocolError(Exception):
    """Bytes that are no MQTT."""


class Packet(NamedTuple):
    """Type and flags of a packet (2.2) and what follows its fixed header."""

    kind: int
    flags: int
    body: bytes


class Publication(NamedTuple):
    """A message from the broker; ``packet`` is 0 with QoS 0."""

    topic: str
    payload: bytes
    packet: int


def next_packet(buffer: bytearray, start: int) -> tuple[Packet, int] | None:
    """Packet that begins there and where the next one does, or None where it is not all there yet."""
    length, shift, place = 0, 0, start + 1
    while True:
        if place >= len(buffer):
            return None
        digit = buffer[place]
        length |= (digit & 0x7F) << shift
        place += 1
        if digit < 0x80:
            break
        shift += 7
        if shift == 7 * _LENGTH_BYTES:
            raise ProtocolError("the length of a packet does not end")
    if place + length > len(buffer):
        return None
    first = buffer[start]
    return Packet(first >> 4, first & 0x0F, bytes(memoryview(buffer)[place : place + length])), place + length


def publication(packet: Packet) -> Publication:
    """Message of a PUBLISH (3.3)."""
    body, qos = packet.body, packet.flags >> 1 & 0x03
    topic_end = 2 + int.from_bytes(body[:2])
    payload_at = topic_end + (2 if qos else 0)
    if qos > 1 or len(body) < max(payload_at, 2):
        raise ProtocolError("a PUBLISH with another QoS than was asked for, or cut short")
    return Publication(
        topic=body[2:topic_end].decode(errors="replace"),
        payload=body[payload_at:],
        packet=packet_id(body[topic_end:]) if qos else 0,
    )


def packet_id(body: bytes) -> int:
    """The packet identifier (2.3.1) at the beginning of these bytes."""
    if len(body) < 2:
        raise ProtocolError("a packet without its identifier")
    return int.from_bytes(body[:2])


def connect(
    *, client_id: str, username: str | None, password: str | None, clean_session: bool, keep_alive_seconds: int
) -> bytes:
    """CONNECT (3.1)."""
    flags = _CLEAN if clean_session else 0
    fields = [_text(client_id)]
    if username is not None:
        flags |= _USER
        fields.append(_text(username))
        if password is not None:
            flags |= _PASSWORD
            fields.append(_text(password))
    header = _text("MQTT") + struct.pack(">BBH", _LEVEL, flags, keep_alive_seconds)
    return _packet(0x10, header + b"".join(fields))


def subscribe(packet: int, topic_filter: str) -> bytes:
    """SUBSCRIBE with QoS 1 (3.8)."""
    return _packet(0x82, struct.pack(">H", packet) + _text(topic_filter) + b"\x01")


def publish(packet: int, topic: str, payload: bytes) -> bytes:
    """PUBLISH with QoS 1 (3.3)."""
    return _packet(0x32, _text(topic) + struct.pack(">H", packet) + payload)


def puback(packet: int) -> bytes:
    """PUBACK (3.4)."""
    return struct.pack(">BBH", 0x40, 2, packet)


def _packet(first: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 0x80)
        digits.append(digit | 0x80 if length else digit)
        if not length:
            return bytes((first,)) + bytes(digits) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded
