"""What an ECU's answer is before its meaning: whose, positive or negative, complete. The rest is refused here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_agent.errors import EdgeAgentError
from edge_agent.sources.base import ReadFault
from telemetry.catalogue import catalogue

NEGATIVE_RESPONSE = 0x7F
POSITIVE_OFFSET = 0x40  # an ECU answers service n as n + 0x40 (ISO 14229-1, 8.2)
RESPONSE_PENDING = 0x78
BUSY = 0x21
_SERVICE_NOT_SUPPORTED = 0x11

# ISO 14229-1:2020, annex A.1; the codes seen on cars.
NEGATIVE_RESPONSE_CODES: Mapping[int, str] = {
    0x10: "general reject",
    0x11: "service not supported",
    0x12: "sub-function not supported",
    0x13: "incorrect message length or invalid format",
    0x14: "response too long",
    0x21: "busy, repeat request",
    0x22: "conditions not correct",
    0x24: "request sequence error",
    0x25: "no response from subnet component",
    0x31: "request out of range",
    0x33: "security access denied",
    0x78: "response pending",
    0x7E: "sub-function not supported in active session",
    0x7F: "service not supported in active session",
}


class AnswerError(EdgeAgentError):
    """An answer that gives no value: the text is the reason of a :class:`ReadFault`.

    ``foreign``: it does not belong to the request at all (a late answer to an earlier one); waiting on is right.
    ``not_supported``: the ECU says that it does not have the service. ``nrc``: the code of a negative response.
    """

    def __init__(
        self, reason: str, *, foreign: bool = False, not_supported: bool = False, nrc: int | None = None
    ) -> None:
        super().__init__(reason)
        self.foreign = foreign
        self.not_supported = not_supported
        self.nrc = nrc

    @property
    def busy(self) -> bool:
        """Whether the ECU asks to be asked again."""
        return self.nrc == BUSY


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What one answer says: VSS path -> value in the catalogue's unit, and what of it could not be true."""

    values: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[ReadFault, ...] = ()


def answer_data(request: bytes, payload: bytes, *, echo: int) -> bytes:
    """Bytes after service and echo of a positive answer to ``request``.

    ``echo``: how many bytes after the service the ECU repeats (PID 1, DID 2, services 03, 07, 0A none).
    Raises AnswerError for a negative, foreign or short answer.
    """
    service = request[0]
    if not payload:
        raise AnswerError("empty answer")
    if payload[0] == NEGATIVE_RESPONSE:
        raise _negative(service, payload)
    if payload[0] != service + POSITIVE_OFFSET:
        raise AnswerError(f"answer {payload[0]:02X} does not belong to service {service:02X}", foreign=True)
    repeated = payload[1 : 1 + echo]
    if len(repeated) < echo:
        raise AnswerError(f"answer of {len(payload)} bytes is too short")
    if repeated != request[1 : 1 + echo]:
        raise AnswerError(
            f"answer is about {repeated.hex().upper()}, asked was {request[1 : 1 + echo].hex().upper()}", foreign=True
        )
    return payload[1 + echo :]


def is_response_pending(request: bytes, payload: bytes) -> bool:
    """Whether the ECU asks for patience (NRC 0x78) with this request."""
    return (
        len(payload) >= 3
        and payload[0] == NEGATIVE_RESPONSE
        and payload[1] == request[0]
        and payload[2] == RESPONSE_PENDING
    )


def checked(path: str, value: float, request: str) -> Decoded:
    """Give the value, or the fault that it lies outside the catalogue's range and so cannot be true of a car."""
    signal = catalogue().by_path(path)
    if signal.accepts(value):
        return Decoded(values={path: value})
    reason = f"{path} = {value:g} {signal.unit.sign} is outside [{signal.minimum:g}, {signal.maximum:g}]"
    return Decoded(faults=(ReadFault(request=request, reason=reason),))


def merged(parts: list[Decoded]) -> Decoded:
    """All values and faults of the parts."""
    values: dict[str, float] = {}
    faults: list[ReadFault] = []
    for part in parts:
        values.update(part.values)
        faults.extend(part.faults)
    return Decoded(values=values, faults=tuple(faults))


def _negative(service: int, payload: bytes) -> AnswerError:
    if len(payload) < 3:
        return AnswerError(f"negative answer of {len(payload)} bytes is too short")
    if payload[1] != service:
        return AnswerError(f"negative answer to service {payload[1]:02X}, asked was {service:02X}", foreign=True)
    nrc = payload[2]
    name = NEGATIVE_RESPONSE_CODES.get(nrc, "unknown code")
    return AnswerError(f"NRC 0x{nrc:02X} ({name})", not_supported=nrc == _SERVICE_NOT_SUPPORTED, nrc=nrc)
