"""A broker of one connection that counts the bytes on its TCP socket, and acknowledges batches as our backend does.

It speaks what the measurement needs of MQTT 3.1.1: CONNECT, SUBSCRIBE, PUBLISH at QoS 1, PUBACK. TLS is OpenSSL's on
both ends; it runs over memory buffers here, so that every byte that crosses the socket is seen.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

TLS13_RECORD: Final = 22  # bytes around a record's content: header 5, content type 1, tag 16 (RFC 8446, 5.2)
_RECORD_CONTENT: Final = 16_384  # bytes at most in one record (RFC 8446, 5.1)
_CONNECT, _PUBLISH, _PUBACK, _SUBSCRIBE, _DISCONNECT = 1, 3, 4, 8, 14

Answer = Callable[[str, bytes], tuple[str, bytes]]  # a publication's topic and payload -> those of its acknowledgement


@dataclass(kw_only=True)
class Traffic:
    """Bytes on the socket, as TLS put them there; TCP/IP headers are not among them."""

    handshake_up: int = 0  # until CONNACK, from the device
    handshake_down: int = 0
    up: int = 0  # after it
    down: int = 0
    records_up: int = 0  # MQTT packets after the handshake, each a TLS record of its own
    records_down: int = 0
    publications: int = 0
    publications_bytes: int = 0  # of them on the socket, TLS included
    framed_up: int = 0  # bytes of the packets after the handshake, each with the TLS records it takes


class CountingBroker:
    """Serves one client; use :func:`counting_broker`."""

    def __init__(self, context: ssl.SSLContext, answer: Answer) -> None:
        self.traffic = Traffic()
        self._context = context
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._packet_id = 0
        self._connected = False
        self.thread = threading.Thread(target=self._serve, name="counting broker")

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        self._listener.close()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        plain = bytearray()
        established = False
        with connection:
            while chunk := connection.recv(65536):
                self._count_up(len(chunk))
                incoming.write(chunk)
                try:
                    if not established:
                        tls.do_handshake()
                        established = True
                    while data := tls.read(65536):
                        plain += data
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    return
                self._flush(connection, outgoing)
                for kind, flags, body, size in packets(plain):
                    if kind == _DISCONNECT:
                        return
                    for packet in self._react(kind, flags, body, size):
                        tls.write(packet)
                        self.traffic.records_down += self._connected
                        self._flush(connection, outgoing)
                    self._connected = True

    def _react(self, kind: int, flags: int, body: bytes, size: int) -> Iterator[bytes]:
        if kind == _CONNECT:
            yield bytes((0x20, 2, 0, 0))
            return
        self.traffic.records_up += 1
        self.traffic.framed_up += on_socket(size)
        if kind == _SUBSCRIBE:
            yield bytes((0x90, 3, body[0], body[1], 1))
        elif kind == _PUBLISH:
            length = int.from_bytes(body[:2])
            topic, at = body[2 : 2 + length].decode(), 2 + length
            self.traffic.publications += 1
            self.traffic.publications_bytes += on_socket(size)
            if flags & 0b110:
                yield bytes((0x40, 2)) + body[at : at + 2]
                at += 2
            self._packet_id = self._packet_id % 65535 + 1
            reply_topic, reply = self._answer(topic, body[at:])
            name = reply_topic.encode()
            rest = len(name).to_bytes(2) + name + self._packet_id.to_bytes(2) + reply
            yield bytes((0x32,)) + remaining_length(len(rest)) + rest

    def _flush(self, connection: socket.socket, outgoing: ssl.MemoryBIO) -> None:
        data = outgoing.read()
        if self._connected:
            self.traffic.down += len(data)
        else:
            self.traffic.handshake_down += len(data)
        connection.sendall(data)

    def _count_up(self, size: int) -> None:
        if self._connected:
            self.traffic.up += size
        else:
            self.traffic.handshake_up += size


def on_socket(size: int) -> int:
    """Bytes of a packet within its TLS records."""
    return size + TLS13_RECORD * -(-size // _RECORD_CONTENT)


def packets(plain: bytearray) -> Iterator[tuple[int, int, bytes, int]]:
    """Take whole MQTT packets off the buffer: kind, flags, body, size with its header."""
    while len(plain) >= 2:
        length = shift = 0
        at = 1
        while True:
            if at >= len(plain):
                return
            byte = plain[at]
            length |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if not byte & 0x80:
                break
        if len(plain) < at + length:
            return
        first, body = plain[0], bytes(plain[at : at + length])
        del plain[: at + length]
        yield first >> 4, first & 0x0F, body, at + length


def remaining_length(value: int) -> bytes:
    """A packet's length as MQTT writes it (MQTT 3.1.1, 2.2.3)."""
    written = bytearray()
    while True:
        value, low = divmod(value, 128)
        written.append(low | (0x80 if value else 0))
        if not value:
            return bytes(written)


@contextmanager
def counting_broker(context: ssl.SSLContext, answer: Answer) -> Iterator[CountingBroker]:
    """A broker that waits for its client; what it counted is whole after the block."""
    broker = CountingBroker(context, answer)
    broker.thread.start()
    try:
        yield broker
    finally:
        broker.thread.join(60)
