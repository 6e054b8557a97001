"""One request as an engineer types it: ``7E0 22 F1 90``. What may change a car is told apart here."""

from dataclasses import dataclass

from edge_agent.errors import ConfigurationError
from edge_agent.tester.base import IsoTpAddress

FUNCTIONAL = frozenset({0x7DF, 0x18DB33F1})
MAX_BYTES = 4095  # of one ISO-TP message
# ISO 14229-1: services that only read; 3E keeps a session alive. 10 01 goes back to the default session.
_READS = frozenset({0x19, 0x1A, 0x21, 0x22, 0x3E})
# SAE J1979, by ISO 15765-4's identifiers alone. At a maker's own identifiers an ECU may expect its address before the
# length (ISO 15765-2, extended addressing), and would take "01 04" after our length for a request of one byte: 04.
_OBD_READS = frozenset({0x01, 0x02, 0x03, 0x06, 0x07, 0x09, 0x0A})
_CLEARS = frozenset({0x04, 0x14})
_DEFAULT_SESSION = bytes((0x10, 0x01))


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """Whom to ask, and what. ``address`` None: everybody."""

    address: IsoTpAddress | None
    payload: bytes

    @property
    def clears(self) -> bool:
        """Whether it clears trouble codes: that has a command of its own."""
        return self.payload[0] in _CLEARS

    @property
    def only_reads(self) -> bool:
        """Whether it is known to change nothing in the car."""
        if self.payload[0] in _OBD_READS:
            return self.address is None or _is_obd(self.address.transmit_id)
        return self.payload[0] in _READS or self.payload == _DEFAULT_SESSION


def parse_request(words: list[str], answer_from: str | None = None) -> RawRequest:
    """Identifier and bytes in hex; ``answer_from``: where the answer comes from, if not where standards put it."""
    if len(words) < 2:
        raise ConfigurationError("give an identifier and bytes in hex, as in: 7E0 22 F1 90, or 7DF 01 0C for all ECUs")
    identifier = _identifier(words[0])
    try:
        payload = bytes.fromhex("".join(words[1:]))
    except ValueError:
        raise ConfigurationError(f"{' '.join(words[1:])!r} are no bytes in hex; write 22 F1 90 or 22F190") from None
    if not 1 <= len(payload) <= MAX_BYTES:
        raise ConfigurationError(f"{len(payload)} bytes: a request has 1 to {MAX_BYTES}")
    if identifier in FUNCTIONAL:
        if len(payload) > 7:
            raise ConfigurationError("a request to all ECUs fits one frame: at most 7 bytes")
        return RawRequest(address=None, payload=payload)
    receive = _identifier(answer_from) if answer_from else _answering(identifier)
    return RawRequest(address=IsoTpAddress(transmit_id=identifier, receive_id=receive), payload=payload)


def _is_obd(identifier: int) -> bool:
    """Whether an ECU is asked there as ISO 15765-4 has it."""
    return 0x7E0 <= identifier <= 0x7E7 or identifier & 0x1FFF00FF == 0x18DA00F1


def _identifier(text: str) -> int:
    try:
        identifier = int(text, 16)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no CAN identifier in hex, as in 7E0 or 18DA10F1") from None
    if not 0 <= identifier <= 0x1FFFFFFF:
        raise ConfigurationError(f"{text!r}: CAN identifiers have 11 or 29 bits")
    return identifier


def _answering(identifier: int) -> int:
    """Where an ECU answers by ISO 15765-4: 8 above, or with target and source exchanged."""
    if identifier > 0x7FF:
        target, source = identifier >> 8 & 0xFF, identifier & 0xFF
        return identifier & 0x1FFF0000 | source << 8 | target
    return identifier + 8
