"""OBDonUDS (SAE J1979-2, and ISO 27145 before it): what services 01 and 09 gave is read by UDS identifiers.

A parameter of service 01 is identifier F4xx, an item of service 09 is F8xx, with the same data bytes; codes come by
service 0x19 for the emissions group, see :mod:`edge_agent.obd.dtc_records`. Cars have it from model year 2023 on.
"""

from edge_agent.obd.answers import AnswerError, Decoded, answer_data
from edge_agent.obd.dtc_records import DtcRecord
from edge_agent.obd.service01 import BITMAP_PIDS, decode_bitmap, decode_data
from edge_agent.obd.vehicle_information import vin_text
from edge_agent.sources.base import DtcStatus, TroubleCode

READ_DATA = 0x22
_PARAMETERS, _INFORMATION = 0xF400, 0xF800
VIN_REQUEST = bytes((READ_DATA, 0xF8, 0x02))
VIN_REQUEST_OF_MAKER = bytes((READ_DATA, 0xF1, 0x90))  # ISO 14229-1, annex C.1: vehicle identification number


def request(pid: int) -> bytes:
    """Bytes that ask for one parameter."""
    return bytes((READ_DATA,)) + (_PARAMETERS | pid).to_bytes(2)


def request_name(pid: int) -> str:
    """How a fault names that request."""
    return f"service 22 DID {_PARAMETERS | pid:04X}"


def decode_supported(bitmap_pid: int, payload: bytes) -> frozenset[int]:
    """Parameters ``bitmap_pid`` + 1 to + 32 that the ECU has; AnswerError if this is no such answer."""
    return decode_bitmap(bitmap_pid, answer_data(request(bitmap_pid), payload, echo=2))


def decode(pid: int, payload: bytes) -> Decoded:
    """Values of one answer; AnswerError for a negative, foreign or wrongly sized one, KeyError for an unknown PID."""
    return decode_data(pid, answer_data(request(pid), payload, echo=2), request_name(pid))


def decode_vin(request_bytes: bytes, payload: bytes) -> str:
    """Give the VIN of an answer to F802 or F190; AnswerError if it is none."""
    return vin_text(answer_data(request_bytes, payload, echo=2))


def trouble_codes(records: tuple[DtcRecord, ...], *, ecu: str, permanent: bool = False) -> tuple[TroubleCode, ...]:
    """Codes as the agent keeps them: pending or confirmed ones, or the permanent ones."""
    codes: list[TroubleCode] = []
    for record in records:
        status: DtcStatus | None = "permanent" if permanent else "confirmed" if record.confirmed else None
        if status is None and record.pending:
            status = "pending"
        if status is not None:
            lamp = None if permanent else record.warning_lamp
            codes.append(TroubleCode(code=record.code, ecu=ecu, status=status, warning_lamp=lamp))
    return tuple(codes)


def is_supported_answer(payload: bytes) -> bool:
    """Whether an answer to 22 F400 shows an ECU that speaks OBDonUDS."""
    try:
        return bool(decode_supported(BITMAP_PIDS[0], payload))
    except AnswerError:
        return False
