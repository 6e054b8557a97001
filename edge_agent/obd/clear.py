"""Requests that clear trouble codes. Nothing in the agent sends them: a person asks for it, by command, each time.

With the codes go freeze frames, readiness and the counters since the last clearing (SAE J1979, service 04); permanent
codes stay until the car itself has found the fault gone.
"""

from edge_agent.obd.answers import AnswerError, answer_data

CLEAR_OBD = bytes((0x04,))  # all ECUs, emissions-related codes
CLEAR_UDS = 0x14
ALL_GROUPS = 0xFFFFFF
EMISSIONS_GROUP = 0xFFFF33  # ISO 14229-1, annex D.1; what a car of SAE J1979-2 is asked instead of service 04


def uds_request(group: int = ALL_GROUPS) -> bytes:
    """Bytes that clear the codes of one ECU (ISO 14229-1, service 0x14): a group, or one code in three bytes."""
    if not 0 <= group <= 0xFFFFFF:
        raise ValueError(f"group {group:X} has more than three bytes; FFFFFF is all of them")
    return bytes((CLEAR_UDS,)) + group.to_bytes(3)


def require_cleared(request: bytes, payload: bytes) -> None:
    """AnswerError unless the ECU says that it has cleared; NRC 0x22 means that it wants the engine off."""
    if request[:1] not in {CLEAR_OBD, bytes((CLEAR_UDS,))}:
        raise ValueError(f"{request.hex().upper()} clears nothing")
    if answer_data(request, payload, echo=0):
        raise AnswerError(f"an answer of {len(payload)} bytes to a request to clear; it has one")
