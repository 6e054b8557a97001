"""The virtual ELM327 on a port: a pseudo-terminal, as a USB or Bluetooth adapter, or TCP, as one on Wi-Fi."""

import os
import select
import socket
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final, Literal

from edge_agent.can_bus import CanBusConfig
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.obd.fields import Fields
from edge_agent.virtual_car.elm327 import PROTOCOLS, VirtualElm327, Written
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.responder import Responder
from edge_agent.virtual_car.signals import signals

ELM327: Final = "elm327"  # how a garage file names it
_SOCKET: Final = "socket://"
_BITS_PER_BYTE: Final = 10  # on a serial line: start, eight, stop

FaultKind = Literal[
    "silence",  # takes everything and writes nothing
    "garbage",  # writes bytes without sense instead of each reply
    "endless",  # writes lines and never a prompt
    "no_prompt",  # writes the reply and no prompt
    "cut",  # of a reply to a request only the first half, then the prompt
    "says",  # writes ``text`` instead of the reply to a request
    "reset",  # in the middle of a reply to a request its supply breaks down: it starts anew
    "echo",  # forgets that it was told to echo nothing
]


@dataclass(frozen=True, kw_only=True)
class AdapterFault:
    """What goes wrong with the adapter itself; with the car: :class:`edge_agent.virtual_car.disturb.Disturbance`."""

    kind: FaultKind
    text: str = ""
    times: int | None = None  # so many replies, then no more; None: always


class AdapterPort:
    """Serves one adapter to one client. Owned by one thread; ``fault``, ``plug`` and ``unplug`` may be set from others.

    ``channel``: path of a link to the pseudo-terminal, or ``socket://127.0.0.1:35000`` (port 0: any free one).
    ``baud``: rate the adapter listens at, None for any; its pace as well.
    """

    def __init__(
        self,
        adapter: VirtualElm327,
        channel: str,
        *,
        baud: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.adapter = adapter
        self.url = channel
        self.fault: AdapterFault | None = None
        self._baud = baud
        self._clock = clock
        self._random = Random(1)
        self._lock = threading.RLock()
        self._master: int | None = None
        self._slave: int | None = None
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._typed = b""
        self._endless = False  # writes by itself
        self._due: tuple[float, bytes] | None = None
        self.plug()

    @classmethod
    @contextmanager
    def open(cls, responder: Responder, live: LiveCar, bus: CanBusConfig) -> Iterator["AdapterPort"]:
        """The adapter of a garage's car, there as long as the context is.

        Options of the bus: ``baud``, at whose pace it then writes; ``ecu_latency_ms`` of every answer.
        """
        if "://" in bus.channel and not bus.channel.startswith(_SOCKET):
            raise ConfigurationError(f"{bus.channel}: a virtual adapter is at a path or at {_SOCKET}127.0.0.1:35000")
        car = live.config
        kind = car.identifier_bits, bus.bitrate or 500_000
        if kind not in PROTOCOLS:
            raise ConfigurationError(f"{car.name}: an ELM327 does not speak CAN with {kind[1]} bit/s; take 500000")
        options = Fields(dict(bus.options), f"{car.name}.bus")
        latency_s = options.number("ecu_latency_ms", 0.0) / 1000
        adapter = VirtualElm327(
            responder=responder,
            protocol=PROTOCOLS[kind],
            ecu_latency_s=latency_s,
            voltage=lambda: signals(live.model)["Vehicle.LowVoltageBattery.CurrentVoltage"],
        )
        baud = options.optional_integer("baud")
        options.done()
        port = cls(adapter, bus.channel, baud=baud)
        try:
            yield port
        finally:
            port.unplug()

    def plug(self) -> None:
        """Be there (again), with all settings lost."""
        with self._lock:
            self.adapter.banner()
            if self.url.startswith(_SOCKET):
                self._listen()
                return
            self._master, self._slave = os.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            link = Path(self.url)
            try:
                if link.is_symlink():  # of a garage that was killed; anything else is not ours to remove
                    link.unlink()
                link.symlink_to(os.ttyname(self._slave))
            except OSError as error:
                os.close(self._master)
                os.close(self._slave)
                self._master = self._slave = None
                raise SourceError(f"{link}: the virtual adapter cannot be linked there ({error.strerror})") from error

    def unplug(self) -> None:
        """Be gone: the client's port fails. May be called twice."""
        with self._lock:
            if self._master is not None and self._slave is not None:
                Path(self.url).unlink(missing_ok=True)
                os.close(self._master)
                os.close(self._slave)
                self._master = self._slave = None
            for each in (self._client, self._listener):
                if each is not None:
                    each.close()
            self._client = self._listener = None
            self._typed, self._due, self._endless = b"", None, False

    def serve(self, timeout_s: float) -> None:
        """Take what is typed and write what is due, within that time."""
        with self._lock:
            if self._due is not None:
                timeout_s = min(timeout_s, max(0.0, self._due[0] - self._clock()))
            watched = [each for each in (self._master, self._listener, self._client) if each is not None]
            descriptors = {each if isinstance(each, int) else each.fileno(): each for each in watched}
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        ready = poll.poll(timeout_s * 1000)
        with self._lock:
            for descriptor, _event in ready:
                self._take(descriptors[descriptor])
            if self._due is not None and self._clock() >= self._due[0]:
                data, self._due = self._due[1], None
                self._write(data)
            if self._endless and self.fault is not None:
                self._write(b"7E8 03 41 0D\r")

    def _listen(self) -> None:
        host, _, port = self.url.removeprefix(_SOCKET).rpartition(":")
        self._listener = socket.create_server((host, int(port)))
        self.url = f"{_SOCKET}{host}:{self._listener.getsockname()[1]}"

    def _take(self, ready: int | socket.socket) -> None:
        if ready is self._listener and self._listener is not None:
            client, _address = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._client is not None:
                self._client.close()  # such adapters take one connection
            self._client, self._typed, self._due = client, b"", None
            return
        try:
            data = os.read(ready, 4096) if isinstance(ready, int) else ready.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data and ready is self._client and self._client is not None:
            self._client.close()
            self._client, self._due = None, None
        for n in range(len(data)):
            self._byte(data[n : n + 1])

    def _byte(self, byte: bytes) -> None:
        if self._endless and self.fault is not None:
            return  # not to be interrupted
        if self._due is not None:
            self._due, self._typed = None, b""  # any byte interrupts
            if self.fault is None or self.fault.kind not in {"silence", "no_prompt"}:
                self._write(b"STOPPED\r\r>")
            return
        if byte == b"\r":
            line, self._typed = self._typed.decode("latin-1"), b""
            self._line(line)
        elif byte != b" " or self._typed:
            self._typed += byte

    def _line(self, line: str) -> None:
        if not self._heard_right():
            self._write(self._random.randbytes(12))
            return
        written = self._spoilt(line)
        if written is None:
            return
        data = written.text.encode("latin-1")
        after_s = written.after_s
        if self._baud is not None:
            after_s += (len(data) + len(line) + 1) * _BITS_PER_BYTE / self._baud
        if after_s <= 0:
            self._write(data)
        else:
            self._due = (self._clock() + after_s, data)

    def _spoilt(self, line: str) -> Written | None:
        """What the adapter writes, or what its fault makes of it; None for nothing."""
        fault = self.fault
        about_car = not line.upper().lstrip().startswith("AT") and line.strip() != ""
        if fault is None or (fault.kind in {"says", "cut", "reset", "echo"} and not about_car):
            return self.adapter.command(line)
        if fault.times is not None:
            self.fault = None if fault.times <= 1 else replace(fault, times=fault.times - 1)
        if fault.kind == "silence":
            return None
        if fault.kind == "endless":
            self._endless = True
            return None
        if fault.kind == "garbage":
            return Written(text=self._random.randbytes(40).decode("latin-1"))
        if fault.kind == "says":
            return Written(text=f"{fault.text}\r\r>")
        written = self.adapter.command(line)
        body = written.text.rstrip("\r>")
        if fault.kind == "no_prompt":
            return Written(text=body + "\r", after_s=written.after_s)
        if fault.kind == "cut":
            return Written(text=f"{body[: len(body) * 2 // 3]}\r\r>", after_s=written.after_s)
        if fault.kind == "echo":
            return Written(text=f"{line}\r{written.text}", after_s=written.after_s)
        return Written(text=body[: len(body) // 2] + self.adapter.banner(), after_s=written.after_s)

    def _heard_right(self) -> bool:
        """Whether the client has set the baud rate the adapter listens at."""
        if self._baud is None or self._slave is None:
            return True
        return termios.tcgetattr(self._slave)[5] == getattr(termios, f"B{self._baud}")  # type: ignore[no-any-return]  # a list of mixed types

    def _write(self, data: bytes) -> None:
        try:
            if self._master is not None:
                os.write(self._master, data)
            elif self._client is not None:
                self._client.sendall(data)
        except OSError:
            return  # nobody reads, or is no more
