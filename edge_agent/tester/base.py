"""The port between what is asked and how it travels: requests out, whole answers in, checked for whose they are.

Nothing here knows what an answer means; that is :mod:`edge_agent.obd`. Adapters: :mod:`edge_agent.tester.can`
(python-can and ISO 15765-2), :mod:`edge_agent.tester.elm327`; the twin for tests is :mod:`edge_agent.tester.testing`.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from edge_agent.obd.answers import NEGATIVE_RESPONSE, POSITIVE_OFFSET, AnswerError, answer_data

PENDING_TIMEOUT_S = 5.0  # P2* of ISO 14229-2, after NRC 0x78
LONGEST_PENDING_S = 15.0  # an ECU that says 0x78 for ever is not waited for any longer
_ECHO_OF_SERVICE = {0x01: 1, 0x02: 2, 0x09: 1, 0x19: 1, 0x21: 1, 0x22: 2}  # bytes an answer repeats after the service


@dataclass(frozen=True, kw_only=True)
class IsoTpAddress:
    """A pair of CAN identifiers as seen from this end; identifiers above 0x7FF are 29-bit ones."""

    transmit_id: int
    receive_id: int

    @property
    def ecu(self) -> str:
        """How answers of this ECU are named: its response identifier in hex ("7E8", "18DAF110")."""
        return ecu_name(self.receive_id)


@dataclass(kw_only=True)
class Exchange:
    """Answers to one functional request by response identifier ("7E8"), and what else came meanwhile."""

    answers: dict[str, bytes] = field(default_factory=dict)
    foreign: str | None = None  # an answer to something else, in hex
    trouble: str | None = None  # what the adapter said instead of an answer ("CAN ERROR", "truncated frame")

    def reason(self, timeout_s: float) -> str:
        """Say why an ECU is not among the answers."""
        if self.trouble is not None:
            return self.trouble
        more = f", only an answer to something else ({self.foreign})" if self.foreign else ""
        return f"no answer in {timeout_s * 1000:.0f} ms{more}"


class Tester(Protocol):
    """One question at a time to the ECUs of one car. Blocking, within a bound; used by one thread.

    SourceError when the adapter or the bus itself is gone: then close it and open another.
    """

    timeout_s: float  # seconds an ECU is given to answer
    unanswered: int  # requests in a row that nobody answered; whoever asks on purpose into silence may set it back

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        """Ask all OBD ECUs; done when the ``expected`` ones (or ``enough`` of any, positively) answered or in time.

        Answers are those that belong to the request, negative ones included; their length and meaning are unchecked.
        """
        ...

    def physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        """Ask one ECU; its whole positive answer. AnswerError says why there is none: its NRC, silence, garbage."""
        ...

    def close(self) -> None:
        """Let go of the adapter; may be called twice."""
        ...


ANY_IDENTIFIERS = 0  # whichever somebody answers
# Addresses to be talked to, and whether functional requests have 11 or 29 bit identifiers -> an open tester.
Connect = Callable[[Sequence[IsoTpAddress], int], Tester]


def address_of(ecu: str) -> IsoTpAddress:
    """Where an ECU is asked that answers OBD as ``ecu`` (ISO 15765-4: 7E8 at 7E0, 18DAF110 at 18DA10F1)."""
    receive_id = int(ecu, 16)
    if receive_id <= 0x7FF:
        return IsoTpAddress(transmit_id=receive_id - 8, receive_id=receive_id)
    return IsoTpAddress(transmit_id=0x18DA00F1 | (receive_id & 0xFF) << 8, receive_id=receive_id)


def ecu_name(receive_id: int) -> str:
    """A response identifier as answers are named by: at least three hex digits."""
    return f"{receive_id:03X}"


def answers_to_all(receive_id: int) -> bool:
    """Whether this is an identifier by which ECUs answer a question to all (ISO 15765-4); any other was misread."""
    return 0x7E8 <= receive_id <= 0x7EF or receive_id & 0x1FFFFF00 == 0x18DAF100


def belongs(request: bytes, payload: bytes) -> bool:
    """Whether an answer is one to this request, be it negative: late answers to earlier requests are not."""
    if not payload:
        return False
    if payload[0] == NEGATIVE_RESPONSE:
        return len(payload) >= 2 and payload[1] == request[0]
    echo = min(_ECHO_OF_SERVICE.get(request[0], 0), len(request) - 1)
    if request[0] == 0x01:  # several parameters in one request: an ECU answers those it has, the first may be missing
        return payload[0] == 0x41 and len(payload) > 1 and payload[1] in request[1:]
    return payload[: 1 + echo] == bytes((request[0] + POSITIVE_OFFSET,)) + request[1 : 1 + echo]


def positive(request: bytes, payload: bytes) -> bytes:
    """The answer itself if it is a positive one to this request; AnswerError otherwise."""
    answer_data(request, payload, echo=0)
    if not belongs(request, payload):
        raise AnswerError(f"an answer to something else ({payload[:8].hex().upper()})", foreign=True)
    return payload
