"""Takes out of raw answers what names one car. Pure.

Masked are, in ASCII and also with a zero or another byte between two characters:

* of everything that has the form of a VIN, all but the eight characters that name maker and model;
* pieces of three and more characters of the rest of this car's VIN, and its serial number in packed digits (BCD);
* identifiers that hold a serial number or a date by definition, whatever stands in them.
"""

import re
from collections.abc import Iterator
from typing import Final

from edge_agent.errors import EdgeAgentError
from edge_agent.recognition.vin import LENGTH, MODEL_ENDS

MASK: Final = 0x2A  # '*'
_VIN_FORM: Final = re.compile(rb"(?=([A-HJ-NPR-Z0-9]{17}))", re.IGNORECASE)
_RUN: Final = re.compile(rb"[A-Z0-9]{17,}", re.IGNORECASE)
_SHORTEST_PIECE: Final = 3  # characters
_SERIAL_DIGITS: Final = 6
# ISO 14229-1, annex C.1: fingerprints of who programmed an ECU and when (F183 to F185, F198 to F19B, F19D), its
# manufacturing date and serial number. SAE J1979: item 0D of service 09 is the engine's serial number.
_SECRET: Final = tuple(
    bytes.fromhex(request)
    for request in (
        *("22F183", "22F184", "22F185", "22F18B", "22F18C", "22F198", "22F199", "22F19A", "22F19B", "22F19D"),
        "090D",
    )
)
_CALIBRATION_IDS: Final = bytes.fromhex("0904")
_CALIBRATION_BYTES: Final = 16


class NotAnonymousError(EdgeAgentError):
    """What was to be written would have named the car: nothing is written."""


class Anonymiser:
    """Masks the answers of one car; ``vin`` None where it could not be read."""

    def __init__(self, vin: str | None) -> None:
        tail = "" if vin is None else vin[MODEL_ENDS:].upper()
        lengths = range(len(tail), _SHORTEST_PIECE - 1, -1)
        self._pieces = [tail[at : at + n].encode() for n in lengths for at in range(len(tail) - n + 1)]
        digits = tail[-_SERIAL_DIGITS:]
        packed = bytes.fromhex(digits) if len(digits) == _SERIAL_DIGITS and digits.isdecimal() else b""
        # 00 00 01 stands everywhere; a number with two bytes in it does not.
        self._packed = packed if sum(byte != 0 for byte in packed) >= 2 else b""

    def answer(self, request: bytes, payload: bytes) -> bytes:
        """The answer without what names the car; service and echo stay."""
        echo = len(request)
        head, data = payload[:echo], payload[echo:]
        if any(request.startswith(secret) for secret in _SECRET):
            return head + bytes((MASK,)) * len(data)
        if request == _CALIBRATION_IDS and data:  # items of 16 characters side by side look like one long number
            items = [self._masked(data[at : at + _CALIBRATION_BYTES]) for at in range(1, len(data), _CALIBRATION_BYTES)]
            return head + data[:1] + b"".join(items)
        return head + self._masked(data)

    def _masked(self, data: bytes) -> bytes:
        clean = bytearray(data)
        for stride in (1, 2):  # two bytes a character, or a byte of something else between
            for start in range(stride):
                lane = data[start::stride]
                for position in self._naming(lane):
                    clean[start + position * stride] = MASK
        if self._packed:
            at = data.find(self._packed)
            while at >= 0:
                clean[at : at + len(self._packed)] = bytes((MASK,)) * len(self._packed)
                at = data.find(self._packed, at + 1)
        return bytes(clean)

    def _naming(self, lane: bytes) -> Iterator[int]:
        """Positions of characters that name the car."""
        for run in _RUN.finditer(lane):
            windows = [run.start() + found.start() for found in _VIN_FORM.finditer(run.group())]
            # In a longer run a VIN may begin anywhere: then nothing of it is kept.
            kept = MODEL_ENDS if run.end() - run.start() == LENGTH else 0
            for begin in windows:
                yield from range(begin + kept, begin + LENGTH)
        upper = lane.upper()
        for piece in self._pieces:
            at = upper.find(piece)
            while at >= 0:
                yield from range(at, at + len(piece))
                at = upper.find(piece, at + 1)


def require_anonymous(text: str, vin: str | None) -> str:
    """The text itself, if neither the VIN nor its last eight characters stand in it, as text or in hexadecimal.

    The last guard before something is written; NotAnonymousError if it strikes.
    """
    if vin is None:
        return text
    folded = text.upper()
    packed = re.sub(r"[^0-9A-F]", "", folded)
    for part in (vin.upper(), vin[-8:].upper()):
        if part in folded or part.encode().hex().upper() in packed:
            raise NotAnonymousError("the VIN would stand in what is to be written; nothing was written. This is a bug")
    return text
