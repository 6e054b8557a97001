"""Connections that can be cut: a TCP proxy of ours between a process and what it talks to, one per process.

Besides cutting and stalling it counts what the database says of commits: that tells, of each worker apart, whether it
stores.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

HOST: Final = "127.0.0.1"
_CHUNK_BYTES: Final = 16_384
# CommandComplete of a COMMIT that was one: the answer to a failed transaction's says ROLLBACK (PostgreSQL 17, 53.7).
_COMMITTED: Final = b"C\x00\x00\x00\x0bCOMMIT\x00"
# End the names of a worker's other connections, which store no batches.
_ASIDES: Final = (b"-courier\x00", b"-warden\x00")
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: the peer gets a RST


Address = tuple[str, int]  # host, port


@dataclass
class _Cut:
    """Cut when these have gone by, one after the other: so many bytes after the last, or in place of its answer."""

    triggers: list[bytes]  # those that are still to come
    after_bytes: int | None  # None: what carries the last gets through, its answer does not
    fired: threading.Event = field(default_factory=threading.Event)


class Wires:
    """The loop all wires run on, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._wires: list[Wire] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)

    def wire(self, targets: Callable[[], Sequence[Address]]) -> "Wire":
        """A new wire; ``targets`` is asked at each connection, and the first taken that accepts it."""
        wire = Wire(self._loop, targets)
        asyncio.run_coroutine_threadsafe(wire.listen(), self._loop).result()
        self._wires.append(wire)
        return wire

    @contextlib.contextmanager
    def running(self) -> Iterator["Wires"]:
        """Run for the time of the block."""
        self._thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self) -> None:
        for wire in self._wires:
            wire.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Wire:
    """Listens on ``port``, passes on to a target. The faults may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, targets: Callable[[], Sequence[Address]]) -> None:
        self._loop = loop
        self._targets = targets
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._asides: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._cut: _Cut | None = None
        self.port = 0
        self.commits = 0
        self.turned_away = 0  # connections that were refused
        self.held = 0  # pieces that were said into the silence
        self.bytes_per_second: float | None = None  # what is passed on of the client's words, at most

    async def listen(self) -> None:
        """Begin to accept connections."""
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Accept no more, on the loop."""
        if self._server is not None:
            self._server.close()

    def cut(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._reset)

    def refuse(self, on: bool) -> None:
        """Reset every connection, also those to come."""
        self._refuses = on
        if on:
            self.cut()

    def stall(self, on: bool) -> None:
        """Pass nothing on in either direction, and close nothing: a black hole."""
        self._loop.call_soon_threadsafe(self._flows.clear if on else self._flows.set)

    def cut_after(self, triggers: Sequence[bytes], after_bytes: int | None) -> threading.Event:
        """Cut once, ``after_bytes`` after the client said these in turn; None: before the last one's answer is back."""
        cut = _Cut(triggers=list(triggers), after_bytes=after_bytes)
        self._cut = cut
        return cut.fired

    def disarm(self) -> None:
        """Forget a cut that did not happen."""
        self._cut = None

    def _reset(self) -> None:
        for writer in list(self._open):
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            writer.transport.abort()
        self._open.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._refuses:
                self.turned_away += 1
                raise ConnectionError
            far_reader, far_writer = await _first_open(self._targets())
            self._open.add(far_writer)
            try:
                up = asyncio.create_task(self._up(reader, far_writer, writer))
                down = asyncio.create_task(self._down(far_reader, writer))
                _, left = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                for task in left:
                    task.cancel()
                await asyncio.gather(up, down, return_exceptions=True)
            finally:
                self._open.discard(far_writer)
                far_writer.close()
        except (OSError, asyncio.CancelledError):  # at its end the loop cancels all: streams log what they do not know
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            self._asides.discard(writer)
            writer.close()

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        seen = b""
        while chunk := await reader.read(_CHUNK_BYTES):
            self.held += not self._flows.is_set()
            await self._flows.wait()
            if any(name in chunk for name in _ASIDES):
                self._asides.add(client)
            cut = self._cut
            if cut is not None and client not in self._asides:
                end = _end_of_last(cut.triggers, seen + chunk)
                if end is not None:
                    await self._cut_at(cut, chunk, max(0, end - len(seen)), writer, client)
                    return
                seen = (seen + chunk)[-len(cut.triggers[0]) :]
            if self.bytes_per_second is not None:
                await asyncio.sleep(len(chunk) / self.bytes_per_second)
            writer.write(chunk)
            await writer.drain()

    async def _cut_at(
        self, cut: _Cut, chunk: bytes, end: int, writer: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        self._cut = None
        if cut.after_bytes is None:
            client.transport.abort()  # nothing gets back any more
            writer.write(chunk)
        else:
            writer.write(chunk[: end + cut.after_bytes])
        await writer.drain()
        for stream in (client, writer):
            raw = stream.get_extra_info("socket")
            with contextlib.suppress(OSError):
                if cut.after_bytes is not None:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        client.transport.abort()
        cut.fired.set()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = b""
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._flows.wait()
            if writer not in self._asides:
                self.commits += (seen + chunk).count(_COMMITTED)
            seen = (seen + chunk)[-len(_COMMITTED) + 1 :]
            writer.write(chunk)
            await writer.drain()


def _end_of_last(triggers: list[bytes], said: bytes) -> int | None:
    """Take from the triggers those that were said, in turn; where the last one ends, once it was said too."""
    end = 0
    while (found := said.find(triggers[0], end)) >= 0:
        end = found + len(triggers[0])
        if len(triggers) == 1:
            return end
        triggers.pop(0)
    return None


class Bundle:
    """Wires that are cut together: the ways of one process to several nodes."""

    def __init__(self, wires: Sequence[Wire]) -> None:
        self._wires = tuple(wires)

    @property
    def ports(self) -> tuple[int, ...]:
        """Where they listen."""
        return tuple(wire.port for wire in self._wires)

    def cut(self) -> None:
        """Reset every connection."""
        for wire in self._wires:
            wire.cut()

    def refuse(self, on: bool) -> None:
        """Reset every connection, also those to come."""
        for wire in self._wires:
            wire.refuse(on)

    def stall(self, on: bool) -> None:
        """A black hole."""
        for wire in self._wires:
            wire.stall(on)


async def _first_open(addresses: Sequence[Address]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(*address)
    return await asyncio.open_connection(*addresses[-1])
