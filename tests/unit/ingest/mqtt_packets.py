"""Packets of MQTT 3.1.1 <-> bytes, as far as a broker of a few lines needs them. Source: OASIS, MQTT Version 3.1.1."""

import struct
from typing import NamedTuple

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE = 1, 3, 4, 8, 10  # packet types, 2.2.1


class Packet(NamedTuple):
    kind: int
    flags: int
    body: bytes


def next_packet(buffer: bytearray) -> Packet | None:
    """Take the first packet off the buffer, if it is all there."""
    length, shift, place = 0, 0, 1
    while True:
        if place >= len(buffer):
            return None
        length |= (buffer[place] & 0x7F) << shift
        place += 1
        if buffer[place - 1] < 0x80:
            break
        shift += 7
    if place + length > len(buffer):
        return None
    packet = Packet(buffer[0] >> 4, buffer[0] & 0x0F, bytes(buffer[place : place + length]))
    del buffer[: place + length]
    return packet


def packet_id(body: bytes) -> int:
    """The packet identifier (2.3.1) at the beginning of these bytes."""
    return int.from_bytes(body[:2])


def qos(packet: Packet) -> int:
    """Of a PUBLISH (3.3.1.2)."""
    return packet.flags >> 1 & 3


def payload_and_id(packet: Packet) -> tuple[bytes, int]:
    """Of a PUBLISH (3.3); with QoS 0 it has no id: 0."""
    topic_end = 2 + int.from_bytes(packet.body[:2])
    if not qos(packet):
        return packet.body[topic_end:], 0
    return packet.body[topic_end + 2 :], packet_id(packet.body[topic_end:])


def publish(packet: int, topic: bytes, payload: bytes) -> bytes:
    """PUBLISH with QoS 1 (3.3)."""
    body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", packet) + payload
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 0x80)
        digits.append(digit | 0x80 if length else digit)
        if not length:
            return b"\x32" + bytes(digits) + body


def puback(packet: int) -> bytes:
    """PUBACK (3.4)."""
    return struct.pack(">BBH", 0x40, 2, packet)


def unsuback(packet: int) -> bytes:
    """UNSUBACK (3.11)."""
    return struct.pack(">BBH", 0xB0, 2, packet)
