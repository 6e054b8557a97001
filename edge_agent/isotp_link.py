"""ISO 15765-2 over one bus for many addresses: whole payloads in and out, driven by one thread, none of its own."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import can
import isotp

from edge_agent.tester.base import IsoTpAddress, address_of, ecu_name

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 0.05  # between two looks at the timers of the transport
_FIRST, _CONSECUTIVE = 1, 2  # kinds of frame, in the upper half of the first byte
_DATA_BYTES = 8
_FRAMES_AT_ONCE = 256  # a bus that never pauses must not keep the timers from being looked at


class _Channel:
    def __init__(self, bus: can.BusABC, address: IsoTpAddress, parameters: dict[str, Any]) -> None:
        self.address = address
        self.inbox: deque[isotp.CanMessage] = deque()
        extended = max(address.transmit_id, address.receive_id) > 0x7FF
        mode = isotp.AddressingMode.Normal_29bits if extended else isotp.AddressingMode.Normal_11bits

        def receive(_timeout: float) -> Any:
            while self.inbox:
                frame = self.inbox.popleft()
                if self._is_whole(frame.data):
                    return frame
                _log.debug("ISO-TP %03X: a frame of %d bytes within an answer", address.receive_id, len(frame.data))
            return None

        def transmit(frame: Any) -> None:
            bus.send(
                can.Message(arbitration_id=frame.arbitration_id, data=frame.data, is_extended_id=frame.is_extended_id)
            )

        def report(error: Exception) -> None:
            _log.debug("ISO-TP %03X: %s", address.receive_id, error)

        self.layer = isotp.TransportLayerLogic(
            rxfn=receive,
            txfn=transmit,
            address=isotp.Address(mode, txid=address.transmit_id, rxid=address.receive_id),
            error_handler=report,
            params=parameters,
        )

    def _is_whole(self, data: bytes) -> bool:
        """Whether a frame of a long answer has all its bytes; can-isotp fills up a short one from the next."""
        kind = data[0] >> 4 if data else None
        if kind == _CONSECUTIVE:
            missing = (self.layer.rx_frame_length or 0) - len(self.layer.rx_buffer)
            return len(data) > min(missing, _DATA_BYTES - 1)
        return kind != _FIRST or len(data) == _DATA_BYTES

    @property
    def busy(self) -> bool:
        return bool(self.inbox) or self.layer.transmitting() or self.layer.is_rx_active()


def is_obd_answer_29_bit(message: can.Message) -> bool:
    """Whether a frame goes from an ECU to external test equipment (ISO 15765-4: target address F1)."""
    return bool(message.is_extended_id) and message.arbitration_id & 0x1FFFFF00 == 0x18DAF100


class IsoTpLink:
    """Sends payloads to addresses and gives back those that arrive. Errors of the bus are those of python-can.

    ``stmin_ms``: pause this end asks for between consecutive frames; 1 ms paces udp_multicast. ``learn``: whether an
    ECU that answers with a 29-bit identifier of ISO 15765-4 is listened to though nobody has named it. ``clock``: by
    which waits for frames end, in seconds; the transport's own timers (N_Bs, N_Cr, STmin) keep the machine's time.
    ``error_frames`` counts those the adapter reports.
    """

    def __init__(
        self,
        bus: can.BusABC,
        addresses: Iterable[IsoTpAddress],
        *,
        stmin_ms: int = 1,
        padding: int = 0xAA,
        learn: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parameters: dict[str, Any] = {
            "stmin": stmin_ms,
            "blocksize": 0,
            "tx_padding": padding,
            "tx_data_min_length": 8,
            "rx_consecutive_frame_timeout": 1000,  # ms, N_Cr of ISO 15765-2
            "rx_flowcontrol_timeout": 1000,  # ms, N_Bs
            "logger_name": "isotp",  # its own: at DEBUG the library logs every frame, and some hold the VIN
            "wait_func": lambda _seconds: None,
        }
        self._bus = bus
        self._learn = learn
        self._clock = clock
        self._by_receive_id: dict[int, _Channel] = {}
        self._by_address: dict[IsoTpAddress, _Channel] = {}
        self._active: dict[_Channel, None] = {}  # those with anything under way: looking at all of them costs time
        self._single: list[tuple[IsoTpAddress, bytes]] = []  # payloads of single frames
        self.error_frames = 0
        for address in addresses:
            self.add(address)

    @property
    def addresses(self) -> tuple[IsoTpAddress, ...]:
        """Those whose payloads arrive."""
        return tuple(self._by_address)

    def add(self, address: IsoTpAddress) -> None:
        """Talk to that address too; of two with one receive identifier the later one gets the frames."""
        if address in self._by_address:
            return
        channel = _Channel(self._bus, address, self._parameters)
        self._by_receive_id[address.receive_id] = channel
        self._by_address[address] = channel

    def send(self, address: IsoTpAddress, payload: bytes) -> None:
        """Queue a payload and put its first frame on the bus."""
        channel = self._by_address[address]
        channel.layer.send(payload)
        channel.layer.process()
        self._active[channel] = None

    def send_frame(self, identifier: int, payload: bytes) -> None:
        """Send up to 7 bytes as a single frame without a channel: a functional request has many answers."""
        frame = bytes((len(payload),)) + payload
        data = frame.ljust(8, b"\xaa")
        self._bus.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=identifier > 0x7FF))

    def forget(self) -> None:
        """Drop what is half received or not yet read: answers to questions nobody waits for any more."""
        self._take(0.0)
        for channel in self._active:
            channel.inbox.clear()
            channel.layer.reset()
        self._active.clear()
        self._single.clear()

    def receiving(self) -> bool:
        """Whether a multi-frame payload is under way."""
        return any(channel.layer.is_rx_active() for channel in self._active)

    def pump(self, timeout_s: float) -> list[tuple[IsoTpAddress, bytes]]:
        """Move frames until a payload is complete or the time is over (0: one look); gives the complete ones."""
        deadline = self._clock() + timeout_s
        looked = False
        while True:
            arrived = self._process()
            remaining = deadline - self._clock()
            if arrived or (looked and remaining <= 0):
                return arrived
            looked = True
            self._take(max(0.0, min(remaining, self._pause())))

    def _take(self, timeout_s: float) -> None:
        """Wait for a frame and take those that lie ready after it."""
        message = self._bus.recv(timeout_s)
        taken = 0
        while message is not None:
            self._dispatch(message)
            taken += 1
            message = self._bus.recv(0) if taken < _FRAMES_AT_ONCE else None

    def _dispatch(self, message: can.Message) -> None:
        if message.is_error_frame:
            self.error_frames += 1
            return
        channel = self._by_receive_id.get(message.arbitration_id)
        if channel is None and self._learn and is_obd_answer_29_bit(message):
            self.add(address_of(ecu_name(message.arbitration_id)))
            channel = self._by_receive_id[message.arbitration_id]
        if channel is None or message.is_remote_frame:
            return
        if message.is_extended_id == (message.arbitration_id > 0x7FF):
            data = message.data
            if channel not in self._active and data and 1 <= data[0] <= 7:  # most answers, and nothing to keep count of
                if len(data) > data[0]:
                    self._single.append((channel.address, bytes(data[1 : 1 + data[0]])))
                return
            self._active[channel] = None
            channel.inbox.append(
                isotp.CanMessage(
                    arbitration_id=message.arbitration_id, data=bytes(data), extended_id=message.is_extended_id
                )
            )

    def _process(self) -> list[tuple[IsoTpAddress, bytes]]:
        arrived, self._single = self._single, []
        for channel in tuple(self._active):
            if channel.busy:
                channel.layer.process()
            while channel.layer.available():
                payload = channel.layer.recv()
                if payload is not None:
                    arrived.append((channel.address, bytes(payload)))
            if not channel.busy:
                del self._active[channel]
        return arrived

    def _pause(self) -> float:
        delays = [channel.layer.next_cf_delay() for channel in self._active if channel.layer.is_tx_transmitting_cf()]
        return min((delay for delay in delays if delay is not None), default=_LONGEST_WAIT_S)
