"""A socket that reads ahead, for a client that asks for a packet's first byte, its length, and its rest one by one.

Each ``recv`` is a system call during which another thread of this process may go on, and Python then lets this one
wait for its turn. With thousands of packets a second the turns cost more than the packets.
"""

import socket
import ssl
from typing import Final

_BYTES: Final = 64 * 1024


class ReadAhead:
    """Around a connected socket, in the form of paho's own wrapper for WebSockets; for one thread at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._ahead = b""
        self._taken = 0  # bytes of it

    def recv(self, buffer_size: int) -> bytes:
        """At most so many bytes, none at the end of the connection; errors are those of the socket."""
        if self._taken == len(self._ahead):
            if buffer_size >= _BYTES:
                return self._socket.recv(buffer_size)
            self._ahead, self._taken = self._socket.recv(_BYTES), 0
        begin = self._taken
        self._taken = min(begin + buffer_size, len(self._ahead))
        return self._ahead[begin : self._taken]

    def pending(self) -> int:
        """Bytes there are to receive although the socket need not be readable: read ahead, or decrypted ahead."""
        decrypted = self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0
        return len(self._ahead) - self._taken + decrypted

    def send(self, buffer: bytes | bytearray) -> int:
        """As the socket does."""
        return self._socket.send(buffer)

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """As the socket does."""
        self._socket.setblocking(flag)

    def close(self) -> None:
        """As the socket does."""
        self._socket.close()
