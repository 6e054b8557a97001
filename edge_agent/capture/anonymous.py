"""Takes out of raw answers what names one car. Pure.

Masked are, in ASCII and also with a zero or another byte between two characters:

* of everything that has the form of a VIN, all but the eight characters that name maker and model;
* pieces of three and more characters of the rest of this car's VIN, and its serial number in packed digits (BCD);
* identifiers that hold a serial number or a date by definition, whatever stands in them; and those that hold the VIN,
  unless it has the form of one: cars for Japan have a frame number there.

Reasons why there is no answer quote what came instead; of them the bytes are left out.
"""

import re
from collections.abc import Iterable, Iterator
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
_NAMING: Final = tuple(bytes.fromhex(request) for request in ("22F190", "22F802", "0902"))
# Bytes in hexadecimal, also in groups; two of them name nothing. Identifiers of 29 bits for ECUs may stay.
_BYTES_IN_TEXT: Final = re.compile(r"(?<![0-9A-Z])(?!18DA[0-9A-F]{4}\b)[0-9A-F]{2}(?: ?[0-9A-F]){3,}")
_CALIBRATION_IDS: Final = bytes.fromhex("0904")
_CALIBRATION_BYTES: Final = 16


class NotAnonymousError(EdgeAgentError):
    """What was to be written would have named the car: nothing is written."""


class Anonymiser:
    """Masks the answers of one car, which may hold several VINs: an ECU from a scrapyard has one of its own."""

    def __init__(self, *vins: str) -> None:
        self._pieces: list[bytes] = []
        self._packed: list[bytes] = []
        for vin in vins:
            tail = vin[MODEL_ENDS:].upper()
            lengths = range(len(tail), _SHORTEST_PIECE - 1, -1)
            self._pieces += [tail[at : at + n].encode() for n in lengths for at in range(len(tail) - n + 1)]
            digits = tail[-_SERIAL_DIGITS:]
            packed = bytes.fromhex(digits) if len(digits) == _SERIAL_DIGITS and digits.isdecimal() else b""
            # 00 00 01 stands everywhere; a number with two bytes in it does not.
            if sum(byte != 0 for byte in packed) >= 2:
                self._packed.append(packed)

    def answer(self, request: bytes, payload: bytes) -> bytes:
        """The answer without what names the car; service and echo stay."""
        echo = len(request)
        head, data = payload[:echo], payload[echo:]
        secret = any(request.startswith(each) for each in _SECRET)
        if secret or (request in _NAMING and vin_in(request, payload) is None):
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
        for packed in self._packed:
            at = data.find(packed)
            while at >= 0:
                clean[at : at + len(packed)] = bytes((MASK,)) * len(packed)
                at = data.find(packed, at + 1)
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


def vin_in(request: bytes, payload: bytes) -> str | None:
    """The VIN in an answer to a request for it; None if it is another request, or what came has no such form."""
    if request not in _NAMING:
        return None
    runs = [run.group() for run in _RUN.finditer(payload[len(request) :]) if len(run.group()) == LENGTH]
    return next((run.decode("ascii").upper() for run in runs if _VIN_FORM.match(run)), None)


def anonymous_reason(text: str) -> str:
    """Why there is no answer, without the bytes that came instead: half a VIN may be among them."""
    return _BYTES_IN_TEXT.sub("…", text)


def require_anonymous(text: str, vins: Iterable[str]) -> str:
    """The text itself, if no VIN nor its last eight characters stand in it, as text or in hexadecimal.

    The last guard before something is written; NotAnonymousError if it strikes.
    """
    folded = text.upper()
    packed = re.sub(r"[^0-9A-F]", "", folded)
    for part in (part.upper() for vin in vins for part in (vin, vin[-8:])):
        if part in folded or part.encode().hex().upper() in packed:
            raise NotAnonymousError("the VIN would stand in what is to be written; nothing was written. This is a bug")
    return text
