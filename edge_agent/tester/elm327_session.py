"""What an ELM327 is set to, so that each request goes to the right ECUs with as few commands as possible.

Settings are remembered and only changes are sent. An adapter that lacks a command (many sold as "v1.5" lack some) is
used without it where that is safe, and :attr:`ElmSession.lacking` says what it lacks. Commands are those of the ELM327
data sheet, without blanks.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_agent.obd.answers import AnswerError
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.elm327_text import lines_of

_log = logging.getLogger(__name__)

FUNCTIONAL: Final = None
_CAN_BITS: Final = {"6": 11, "7": 29, "8": 11, "9": 29}
_OF_OTHER_BITS: Final = {"6": "7", "7": "6", "8": "9", "9": "8"}  # same bit rate
_ST_UNIT_S: Final = 0.004
_LONGEST_ST: Final = 0xFF
_ST_STEP: Final = 25  # 100 ms
_COMMAND_S: Final = 2.0  # an adapter answers its own commands at once; a Bluetooth link may doze
# Echo, line feeds and blanks off, headers on, formatting of ISO 15765-2 on.
_AT_START: Final = ("ATE0", "ATL0", "ATS0", "ATH1", "ATCAF1")
_NEEDED: Final = frozenset({"ATE0", "ATH1"})


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the adapter listens for (more) frames. ``adaptive``: it may learn to wait less."""

    timeout_s: float
    adaptive: bool = True

    @property
    def commands(self) -> tuple[str, str]:
        """The two settings; the time is rounded up, so that one that is learned little by little is sent seldom."""
        units = min(_LONGEST_ST, _ST_STEP * math.ceil(self.timeout_s / (_ST_STEP * _ST_UNIT_S) - 0.001))
        return f"ATAT{int(self.adaptive)}", f"ATST{units:02X}"


PATIENT: Final = Timing(timeout_s=_LONGEST_ST * _ST_UNIT_S, adaptive=False)  # 1.02 s after each frame, its longest


class ElmSession:
    """Settings of one adapter. ``send`` takes a command and seconds, and gives the raw reply."""

    PROTOCOLS: Final = frozenset(_CAN_BITS)

    def __init__(self, send: Callable[[str, float], str]) -> None:
        self._send = send
        self._set: dict[str, str] = {}  # what for -> command in force
        self._started = False
        self._prepared: tuple[IsoTpAddress | None, Timing] | None = None  # what all of it is set for
        self._protocol = ""  # of the car's OBD ECUs
        self.lacking: set[str] = set()

    @property
    def protocol(self) -> str:
        """Number of the car's protocol, "" as long as none was found."""
        return self._protocol

    @property
    def identifier_bits(self) -> int | None:
        """Of the protocol in force: 11 or 29; None if it is not CAN, or not known."""
        return _CAN_BITS.get(self._set.get("protocol", "ATTP")[4:])

    def forget(self) -> None:
        """The adapter may have lost its settings: everything is set again before the next request."""
        self._set.clear()
        self._started = False
        self._prepared = None

    def found(self, protocol: str) -> None:
        """Note the protocol in force: the adapter found the car speaking it."""
        self._protocol, self._prepared = protocol, None
        self._set["protocol"] = f"ATTP{protocol}"

    def prepare(self, address: IsoTpAddress | None, timing: Timing) -> None:
        """Set what a request to this ECU (None: to all OBD ECUs) needs. AnswerError if the adapter cannot."""
        if self._prepared == (address, timing):
            return
        self._prepared = None
        if not self._started:
            self._start()
        if self._protocol:
            self._choose_protocol(address)
        for purpose, command in zip(("adaptive", "timeout"), timing.commands, strict=True):
            self._change(purpose, command)
        if self.identifier_bits is None:
            return  # not found yet
        if address is FUNCTIONAL:
            self._to_all()
        else:
            self._to_one(address)
        self._prepared = address, timing

    def ask(self, command: str) -> str | None:
        """The reply to a command that is asked for its text; None if the adapter does not know it."""
        lines = lines_of(self._send(command, _COMMAND_S))
        return None if not lines or lines[-1] == "?" else lines[-1]

    def _start(self) -> None:
        for command in _AT_START:
            if not self._accepted(command) and command in _NEEDED:
                raise AnswerError(f"the adapter does not obey {command}: it is broken, or no ELM327")
        self._started = True
        if self._protocol:
            self._accepted(f"ATTP{self._protocol}")
            self._set["protocol"] = f"ATTP{self._protocol}"

    def _choose_protocol(self, address: IsoTpAddress | None) -> None:
        wanted = self._protocol
        if address is not None and self._protocol in _CAN_BITS:
            bits = 29 if max(address.transmit_id, address.receive_id) > 0x7FF else 11
            if bits != _CAN_BITS[self._protocol]:
                wanted = _OF_OTHER_BITS[self._protocol]
        if self._set.get("protocol") != f"ATTP{wanted}":
            self._change("protocol", f"ATTP{wanted}", needed=True)
            for purpose in ("header", "priority", "receive", "flow header", "flow data", "flow mode"):
                self._set.pop(purpose, None)  # they begin anew with a protocol

    def _to_all(self) -> None:
        self._receive(None)
        self._change("flow mode", "ATFCSM0")
        if self.identifier_bits == 11:
            self._change("header", "ATSH7DF", needed=True)
        else:
            self._change("priority", "ATCP18")
            self._change("header", "ATSHDB33F1", needed=True)

    def _to_one(self, address: IsoTpAddress) -> None:
        standard = _is_standard(address)
        if self.identifier_bits == 11:
            self._change("header", f"ATSH{address.transmit_id:03X}", needed=True)
        else:
            self._change("priority", f"ATCP{address.transmit_id >> 24:02X}", needed=not standard)
            self._change("header", f"ATSH{address.transmit_id & 0xFFFFFF:06X}", needed=True)
        self._receive(None if standard else address)
        if standard:
            self._change("flow mode", "ATFCSM0")
            return
        width = 3 if self.identifier_bits == 11 else 8
        # Without these the flow control goes nowhere, and of a long answer only the first frame comes.
        if self._change("flow header", f"ATFCSH{address.transmit_id:0{width}X}") and self._change(
            "flow data", "ATFCSD300000"
        ):
            self._change("flow mode", "ATFCSM1")

    def _receive(self, address: IsoTpAddress | None) -> None:
        if address is not None:
            width = 3 if self.identifier_bits == 11 else 8
            self._change("receive", f"ATCRA{address.receive_id:0{width}X}", needed=True)
        elif self._set.get("receive") != "ATCRA" and not self._change("receive", "ATCRA"):
            # Adapters before v2.0 have no such way back; automatic reception is one.
            self._change("receive", "ATAR", needed="ATCRA" in self._set.get("receive", ""))
            self._set["receive"] = "ATCRA"

    def _change(self, purpose: str, command: str, *, needed: bool = False) -> bool:
        """Send a setting if it is another one; whether it is in force now."""
        if self._set.get(purpose) == command:
            return True
        accepted = command_name(command) not in self.lacking and self._accepted(command)
        if accepted:
            self._set[purpose] = command
        elif needed:
            raise AnswerError(f"this adapter cannot reach the ECU: it does not know {command}")
        return accepted

    def _accepted(self, command: str) -> bool:
        reply = lines_of(self._send(command, _COMMAND_S))
        if any(line.endswith("OK") for line in reply):
            return True
        if reply == ["?"]:
            name = command_name(command)
            if name not in self.lacking:
                _log.info("The ELM327 adapter does not know %s", command)
            self.lacking.add(name)
            return False
        raise AnswerError(f"the adapter answered {command} with {' '.join(reply)[:40]!r}")


def command_name(command: str) -> str:
    """A command without its values: whether an adapter has it does not depend on them."""
    for name in ("ATFCSH", "ATFCSD", "ATFCSM", "ATCAF", "ATSH", "ATCP", "ATST", "ATTP", "ATAT"):
        if command.startswith(name):
            return name
    return "ATCRA with a value" if command.startswith("ATCRA") and command != "ATCRA" else command


def _is_standard(address: IsoTpAddress) -> bool:
    """Whether the adapter receives and continues the answers of this ECU by itself (ISO 15765-4)."""
    if address.transmit_id <= 0x7FF:
        return 0x7E0 <= address.transmit_id <= 0x7E7 and address.receive_id == address.transmit_id + 8
    ecu = address.transmit_id >> 8 & 0xFF
    return address.transmit_id == 0x18DA00F1 | ecu << 8 and address.receive_id == 0x18DAF100 | ecu
