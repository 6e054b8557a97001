"""A CAN bus in memory that has a bit rate: who listens at another one receives error frames, who speaks disturbs it.

python-can's own virtual bus has no bit rate. Frames go from node to node at once; acknowledging and arbitration are
left out.
"""

from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import can

from edge_agent.can_bus import CanBusConfig

_BITS_OF_FRAME = {False: 111, True: 131}  # with eight data bytes, without stuffing: 11 and 29 bit identifiers


class Wire:
    """The two wires between the nodes, at ``bit_rate`` in bit/s; all nodes of a car have that one.

    ``disturbed``: frames sent, or destroyed by an adapter that acknowledges, at a wrong rate; a harmless tester leaves
    it at 0. ``sent``: frames by identifier. ``busy_s``: how long the wire was taken.
    """

    def __init__(self, bit_rate: int = 500_000) -> None:
        self.bit_rate = bit_rate
        self.disturbed = 0
        self.sent: list[can.Message] = []
        self.busy_s = 0.0
        self._nodes: list[WireBus] = []
        self._lock = Lock()

    def open(self, config: CanBusConfig) -> can.BusABC:
        """Another node; without a bit rate it has the wire's."""
        rate = self.bit_rate if config.bitrate is None else config.bitrate
        return WireBus(self, bit_rate=rate, listen_only=config.listen_only)

    def join(self, node: "WireBus") -> None:
        """Let a node hear what is said from now on."""
        with self._lock:
            self._nodes.append(node)

    def leave(self, node: "WireBus") -> None:
        """Let a node hear nothing more."""
        with self._lock:
            if node in self._nodes:
                self._nodes.remove(node)

    def carry(self, sender: "WireBus", message: can.Message) -> None:
        """Give a frame to all others, or an error frame to everybody if somebody with a wrong rate takes part."""
        with self._lock:
            wrong = [node for node in self._nodes if node.bit_rate != self.bit_rate]
            destroyed = sender.bit_rate != self.bit_rate or any(not node.listen_only for node in wrong)
            self.disturbed += destroyed
            self.sent.append(message)
            self.busy_s += _BITS_OF_FRAME[message.is_extended_id] / self.bit_rate
            for node in self._nodes:
                if destroyed or node in wrong:
                    node.inbox.put(can.Message(is_error_frame=True))
                elif node is not sender:
                    node.inbox.put(message)


class WireBus(can.BusABC):
    """A node on a :class:`Wire`, as python-can has buses."""

    def __init__(self, wire: Wire, *, bit_rate: int, listen_only: bool) -> None:
        self._wire = wire
        self.bit_rate = bit_rate
        self.listen_only = listen_only
        self.inbox: SimpleQueue[can.Message] = SimpleQueue()
        super().__init__(channel="wire")
        wire.join(self)

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Put a frame on the wire; CanOperationError from a node that only listens."""
        del timeout  # the wire is never busy
        if self.listen_only:
            raise can.CanOperationError("this node only listens")
        self._wire.carry(self, msg)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        try:
            message = self.inbox.get(timeout=timeout) if timeout != 0 else self.inbox.get_nowait()
        except Empty:
            return None, False
        return message, message.is_error_frame  # filters are for frames

    def shutdown(self) -> None:
        """Leave the wire."""
        super().shutdown()
        self._wire.leave(self)

    def _apply_filters(self, filters: Any) -> None:
        """Left to python-can, which compares identifiers by itself."""
