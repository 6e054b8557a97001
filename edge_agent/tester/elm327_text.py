"""What an ELM327 wrote, word by word: frames that are whole become payloads, everything else becomes a reason.

The dialect is that of the ELM327 data sheet (Elm Electronics), with headers on: each line is an identifier and the
bytes of one CAN frame. The link to the adapter has no checksum, so a reply is believed as a whole or not at all: one
line that cannot be understood, and none of the others counts. Nothing here does input or output.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# What the adapter says instead of an answer -> what that means.
_NOBODY: Final[Mapping[str, str]] = {
    "NO DATA": "no answer from the car (NO DATA)",
    "UNABLE TO CONNECT": "the adapter finds no car on the bus (UNABLE TO CONNECT): is the ignition on?",
    "CAN ERROR": "nobody takes what the adapter sends on the bus (CAN ERROR): is the ignition on?",
    "BUS INIT: ERROR": "the car does not answer the start of communication (BUS INIT: ERROR): is the ignition on?",
    "BUS INIT: ...ERROR": "the car does not answer the start of communication (BUS INIT: ERROR): is the ignition on?",
    "BUS ERROR": "the bus is disturbed or short-circuited (BUS ERROR)",
    "FB ERROR": "the adapter hears something else than it sends (FB ERROR): is it plugged in fully?",
    "LP ALERT": "the adapter is about to switch itself off (LP ALERT)",
    "ACT ALERT": "the adapter saw no activity and is about to switch itself off (ACT ALERT)",
}
_SPOILT: Final[Mapping[str, str]] = {
    "<RX ERROR": "the adapter received a damaged frame (RX ERROR)",
    "<DATA ERROR": "a frame is not what the protocol says (DATA ERROR)",
    "DATA ERROR": "a frame is not what the protocol says (DATA ERROR)",
    "BUFFER FULL": "the adapter cannot pass on the answer fast enough (BUFFER FULL)",
    "BUS BUSY": "the bus was too busy to send the request (BUS BUSY)",
    "OUT OF MEMORY": "the adapter ran out of memory",
    "STOPPED": "the adapter was interrupted while it waited for the answer (STOPPED)",
    "?": "the adapter does not understand the request (?)",
}
RESET: Final[Mapping[str, str]] = {
    "LV RESET": "the adapter started anew because its supply broke down (LV RESET)",
    "ELM327": "the adapter started anew",
    "ELM320": "the adapter started anew",
    "OBDLink": "the adapter started anew",
}
_INTERNAL_ERROR: Final = re.compile(r"ERR\d\d")  # of the chip itself
_HEX: Final = re.compile(r"[0-9A-F]+")  # ELM327 writes capitals
_PROGRESS: Final = re.compile(r"SEARCHING\.*|BUS INIT: ?\.*(OK)?")
PROMPT: Final = ">"
_LONGEST_QUOTE: Final = 24  # characters of what was not understood
_CAN_DATA_BYTES: Final = 8
_SURE, _DOUBT, _SUREST = 3, 3, 12  # replies


@dataclass(kw_only=True)
class Heard:
    """What one reply of the adapter says.

    ``payloads``: whole answers in the order they were completed, by response identifier. ``trouble``: why there are no
    (more) answers. ``nobody``: the trouble is that the car kept silent, and not that the adapter or the link is in
    trouble. ``reset``: the adapter has perhaps lost its settings. ``lines``: how many frames came. ``short``, ``full``:
    senders of frames of fewer than eight bytes, and of eight.
    """

    payloads: list[tuple[int, bytes]] = field(default_factory=list)
    trouble: str | None = None
    nobody: bool = False
    reset: bool = False
    lines: int = 0
    short: set[int] = field(default_factory=set)
    full: set[int] = field(default_factory=set)


def lines_of(text: str) -> list[str]:
    """The lines of a reply without the prompt, blanks and NUL bytes (some clones send them)."""
    lines = text.replace("\0", "").replace(PROMPT, "\r").replace("\n", "\r").split("\r")
    return [stripped for line in lines if (stripped := line.strip())]


def hear(text: str, *, command: str, identifier_bits: int) -> Heard:
    """Understand a reply to ``command`` on a bus with 11 or 29 bit identifiers."""
    heard = Heard()
    assembly = Assembly()
    for number, line in enumerate(lines_of(text)):
        frame = frame_of(line, identifier_bits)
        if frame is not None and (number or line != command):
            heard.lines += 1
            sender, data = frame
            (heard.full if len(data) == _CAN_DATA_BYTES else heard.short).add(sender)
            assembly.take(sender, data)
        elif number == 0 and line.replace(" ", "") == command:
            heard.reset = True  # it was told to echo nothing
            return _refused(heard, "the adapter repeats what it is told: it has lost its settings")
        elif not _PROGRESS.fullmatch(line) and not _understood(line, heard):
            return heard
    if not heard.lines:
        heard.trouble = heard.trouble or "the adapter gave an empty reply"
        return heard
    heard.payloads = assembly.whole
    heard.nobody = False
    heard.trouble = assembly.trouble() or heard.trouble
    return heard


def _understood(line: str, heard: Heard) -> bool:
    """Take a line that is no frame; False if nothing of the reply counts."""
    if (reason := _known(line, RESET)) is not None:
        heard.reset = True
    elif (reason := _known(line, _NOBODY)) is not None:
        heard.trouble, heard.nobody = reason, True
        return True
    elif (reason := _known(line, _SPOILT)) is None and _INTERNAL_ERROR.fullmatch(line):
        reason = f"the adapter reports an error of its own ({line})"
    elif reason is None:
        heard.reset = True  # or has it lost its headers?
        quote = line[:_LONGEST_QUOTE].encode("ascii", "backslashreplace").decode()
        reason = f"the adapter wrote something that is no frame ({quote})"
    _refused(heard, reason)
    return False


def frame_of(line: str, identifier_bits: int) -> tuple[int, bytes] | None:
    """Who sent a line (CAN identifier) and its bytes, with or without blanks; None if it cannot be a frame."""
    digits = line.replace(" ", "")
    header = 3 if identifier_bits == 11 else 8
    if not _HEX.fullmatch(digits) or (len(digits) - header) % 2 or len(digits) - header < 2:
        return None
    sender, data = int(digits[:header], 16), bytes.fromhex(digits[header:])
    if sender > (0x7FF if identifier_bits == 11 else 0x1FFFFFFF) or len(data) > _CAN_DATA_BYTES:
        return None
    return sender, data


class FrameLengths:
    """Which ECUs fill every frame to eight bytes, as most do (ISO 15765-4 has them all do so).

    Of those a shorter frame lost bytes on the link to the adapter, and what was left moved up: nothing else shows it.
    """

    def __init__(self) -> None:
        self._sure: dict[int, int] = {}  # sender -> how sure it is that all its frames are full

    def check(self, heard: Heard) -> None:
        """Refuse a reply with a frame that is shorter than this ECU's always are; learn from it."""
        lost = {sender for sender in heard.short if self._sure.get(sender, 0) >= _SURE}
        for sender in heard.short:  # seen again and again it is no loss, but what this ECU does
            self._sure[sender] = max(0, self._sure.get(sender, 0) - _DOUBT)
        for sender in heard.full - heard.short:
            self._sure[sender] = min(_SUREST, self._sure.get(sender, 0) + 1)
        if lost:
            _refused(heard, f"bytes of a frame of {min(lost):03X} were lost between the adapter and here")


class Assembly:
    """Frames of any senders into payloads (ISO 15765-2): each frame must be whole, counted and in its turn."""

    def __init__(self) -> None:
        self.whole: list[tuple[int, bytes]] = []
        self._parts: dict[int, _Parts] = {}
        self._trouble: str | None = None

    def take(self, sender: int, data: bytes) -> None:
        """Take the next frame."""
        kind = data[0] >> 4
        if kind == 0:
            length = data[0] & 0x0F
            if not 1 <= length <= len(data) - 1:
                self._broken(sender, data, f"has {len(data) - 1} of {length} bytes")
                return
            self.whole.append((sender, data[1 : 1 + length]))
        elif kind == 1 and len(data) == _CAN_DATA_BYTES:
            length = (data[0] & 0x0F) << 8 | data[1]
            if length < _CAN_DATA_BYTES:
                self._broken(sender, data, f"announces {length} bytes in several frames")
                return
            self._parts[sender] = _Parts(length=length, data=bytearray(data[2:]))
        elif kind == 2:
            self._consecutive(sender, data)
        elif kind != 3:  # flow control of another tester is none of our business
            self._broken(sender, data, "is of no known kind")

    def trouble(self) -> str | None:
        """Why not everything became a payload."""
        for sender, parts in self._parts.items():
            self._trouble = self._trouble or (
                f"truncated answer of {sender:03X}: {len(parts.data)} of {parts.length} bytes arrived"
            )
        return self._trouble

    def _consecutive(self, sender: int, data: bytes) -> None:
        parts = self._parts.get(sender)
        if parts is None:
            self._broken(sender, data, "continues nothing")
            return
        number = data[0] & 0x0F
        if number != parts.next_number:
            del self._parts[sender]
            self._broken(sender, data, f"is number {number}, expected was {parts.next_number}: a frame was lost")
            return
        missing = parts.length - len(parts.data)
        if len(data) - 1 < min(missing, _CAN_DATA_BYTES - 1):
            del self._parts[sender]
            self._broken(sender, data, "is cut short")
            return
        parts.next_number = (number + 1) % 16
        parts.data += data[1 : 1 + missing]
        if len(parts.data) == parts.length:
            self.whole.append((sender, bytes(parts.data)))
            del self._parts[sender]

    def _broken(self, sender: int, data: bytes, what: str) -> None:
        self._trouble = self._trouble or f"truncated frame: {data.hex().upper()} of {sender:03X} {what}"


@dataclass(kw_only=True)
class _Parts:
    length: int  # bytes announced by the first frame
    data: bytearray
    next_number: int = 1


def _known(line: str, texts: Mapping[str, str]) -> str | None:
    """The reason of the first text that ends the line: a spoilt frame has it behind its bytes, noise before it."""
    for text, reason in texts.items():
        if line == text or (text != "?" and text in line):
            return reason
    return None


def _refused(heard: Heard, reason: str) -> Heard:
    heard.payloads, heard.lines, heard.trouble, heard.nobody = [], 0, reason, False
    return heard
