"""Service 02: what an ECU kept of the moment in which a trouble code came up (SAE J1979, freeze frame data).

Parameters are those of service 01. Frame 0 is the one the law asks for; further frames are the maker's choice.
"""

from dataclasses import dataclass, field

from edge_agent.obd.answers import AnswerError, Decoded, answer_data
from edge_agent.obd.service01 import decode_bitmap, decode_data
from edge_agent.obd.trouble_codes import code_text
from edge_agent.sources.base import ReadFault

SERVICE = 0x02
CAUSE_PID = 0x02  # the code that made the ECU keep the frame
_ECHO = 2  # parameter and frame number


@dataclass(frozen=True, kw_only=True)
class FreezeFrame:
    """One frame of one ECU: the code that caused it, and the values of that moment by VSS path.

    ``code`` None: the ECU keeps no frame under this number.
    """

    ecu: str
    frame: int
    code: str | None
    values: dict[str, float] = field(default_factory=dict)
    faults: tuple[ReadFault, ...] = ()


def request(pid: int, frame: int = 0) -> bytes:
    """Bytes that ask for one parameter of one frame."""
    return bytes((SERVICE, pid, frame))


def request_name(pid: int, frame: int = 0) -> str:
    """How a fault names that request."""
    return f"service 02 PID {pid:02X} frame {frame:02X}"


def decode_supported(bitmap_pid: int, payload: bytes, frame: int = 0) -> frozenset[int]:
    """Parameters ``bitmap_pid`` + 1 to + 32 that the frame holds; AnswerError if this is no such answer."""
    return decode_bitmap(bitmap_pid, answer_data(request(bitmap_pid, frame), payload, echo=_ECHO))


def decode_cause(payload: bytes, frame: int = 0) -> str | None:
    """The code that caused the frame, None if there is no frame; AnswerError if the answer does not say."""
    data = answer_data(request(CAUSE_PID, frame), payload, echo=_ECHO)
    if len(data) != 2:
        raise AnswerError(f"a code of {len(data)} bytes, expected 2")
    return code_text(data[0], data[1]) if any(data) else None


def decode(pid: int, payload: bytes, frame: int = 0) -> Decoded:
    """Values of one parameter; AnswerError for a negative, foreign or wrongly sized answer, KeyError for no signal."""
    return decode_data(pid, answer_data(request(pid, frame), payload, echo=_ECHO), request_name(pid, frame))
