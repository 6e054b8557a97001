"""A small slcan adapter on a pseudo-terminal, in front of a wire: enough of Lawicel's protocol for python-can.

Written from the description of the CAN232 commands: C closes, S0 to S8 choose the rate, O opens, L opens listening
only, t and T send frames with 11 and 29 bit identifiers. What a real adapter cannot tell, it does not tell either:
error frames are not reported.
"""

import os
import pty
import select
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import can

from edge_agent.virtual_car.wire import Wire, WireBus
from tests.unit.edge_agent.timed_bus import TimedBus

RATES = {"S5": 250_000, "S6": 500_000}


class SlcanPeer:
    """``garbage``: bytes that are written before the next frame, as a disturbed serial line has them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.garbage = b""
        self.modes: list[str] = []  # how it was opened: rate and L or O
        self._rate = 0
        self._node: WireBus | None = None
        self._pending = b""

    def turn(self) -> None:
        """Do what the far end has written, and write what is said on the wire."""
        if self._master < 0:
            return
        while select.select([self._master], [], [], 0)[0]:
            self._pending += os.read(self._master, 4096)
        *lines, self._pending = self._pending.split(b"\r")
        for line in lines:
            self._command(line.decode())
        while self._node is not None and (message := self._node.recv(0)) is not None:
            if not message.is_error_frame:
                self._write(self.garbage + _line(message))
                self.garbage = b""

    def unplug(self) -> None:
        """Pull it out."""
        if self._node is not None:
            self._node.shutdown()
            self._node = None
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    def _write(self, data: bytes) -> None:
        os.write(self._master, data)

    def _command(self, line: str) -> None:
        if line[:1] in {"C", "O", "L"} and self._node is not None:
            self._node.shutdown()
            self._node = None
        if line in RATES:
            self._rate = RATES[line]
        elif line in {"O", "L"} and self._rate:
            self._node = WireBus(self._wire, bit_rate=self._rate, listen_only=line == "L")
            self.modes.append(f"{self._rate} {line}")
        elif line[:1] in {"t", "T"} and self._node is not None:
            digits = 3 if line[0] == "t" else 8
            message = can.Message(
                arbitration_id=int(line[1 : 1 + digits], 16),
                is_extended_id=digits == 8,
                data=bytes.fromhex(line[2 + digits :]),
            )
            try:
                self._node.send(message)
            except can.CanError:
                self._write(b"\a")
                return
        self._write(b"\r")


def _line(message: can.Message) -> bytes:
    name = f"T{message.arbitration_id:08X}" if message.is_extended_id else f"t{message.arbitration_id:03X}"
    return f"{name}{message.dlc}{message.data.hex().upper()}\r".encode()


@contextmanager
def slcan_on(wire: Wire, bus: TimedBus) -> Iterator[SlcanPeer]:
    """An adapter that takes its turn on that bus, whose wire is the one given."""
    peer = SlcanPeer(wire)
    try:
        with bus.taking_turns(peer.turn):
            yield peer
    finally:
        peer.unplug()
