"""Trouble codes: services 03, 07 and 0A of SAE J1979, and UDS 0x19 02, to SAE J2012 text."""

import re
from collections.abc import Iterable

from edge_agent.obd.answers import AnswerError, answer_data
from edge_agent.sources.base import DtcStatus, TroubleCode

CONFIRMED, PENDING, PERMANENT = 0x03, 0x07, 0x0A
STATUS_OF_SERVICE: dict[int, DtcStatus] = {CONFIRMED: "confirmed", PENDING: "pending", PERMANENT: "permanent"}

READ_DTC, BY_STATUS_MASK = 0x19, 0x02
# ISO 14229-1:2020, annex D.2, DTC status bits.
STATUS_PENDING, STATUS_CONFIRMED, STATUS_WARNING_LAMP = 0x04, 0x08, 0x80

_CODE = re.compile(r"[PCBU][0-3][0-9A-F]{3}")
_SYSTEMS = "PCBU"  # powertrain, chassis, body, network (SAE J2012)
_PRECEDENCE: dict[DtcStatus, int] = {"confirmed": 0, "permanent": 1, "pending": 2}


def code_text(high: int, low: int) -> str:
    """Two bytes as SAE J2012 writes them: 03 01 is P0301, C1 00 is U0100."""
    return f"{_SYSTEMS[high >> 6]}{high >> 4 & 0x3}{high & 0xF:X}{low:02X}"


def code_bytes(code: str) -> bytes:
    """Give the two bytes of a code like "P0301"; ValueError says what is wrong with it."""
    if not _CODE.fullmatch(code):
        raise ValueError(f"{code!r} is no trouble code; write a letter of P, C, B, U and four digits, as in 'P0301'")
    return (_SYSTEMS.index(code[0]) << 14 | int(code[1:], 16)).to_bytes(2)


def request_name(service: int) -> str:
    """How a fault names that request."""
    return f"service {service:02X}"


def decode_stored(service: int, payload: bytes, *, ecu: str) -> tuple[TroubleCode, ...]:
    """Codes of an answer to service 03, 07 or 0A on CAN: a count byte, two bytes each; zeros after them are padding.

    AnswerError for any other answer: a failed read is never an empty list.
    """
    data = answer_data(bytes((service,)), payload, echo=0)
    if not data:
        raise AnswerError("the count of codes is missing")
    count, records = data[0], data[1:]
    if len(records) < 2 * count:
        raise AnswerError(f"{count} codes announced, {len(records) // 2} given")
    if any(records[2 * count :]):
        raise AnswerError(f"{count} codes announced, more bytes given")
    status = STATUS_OF_SERVICE[service]
    pairs = (records[2 * n : 2 * n + 2] for n in range(count))
    # 0000 is no code but a filled place (SAE J1979, 6.3.4)
    return tuple(TroubleCode(code=code_text(high, low), ecu=ecu, status=status) for high, low in pairs if high or low)


def by_status_request(status_mask: int) -> bytes:
    """Bytes that ask one ECU for its codes whose status has a bit of ``status_mask`` (ISO 14229-1, 0x19 02)."""
    return bytes((READ_DTC, BY_STATUS_MASK, status_mask))


def decode_by_status(payload: bytes, *, ecu: str) -> tuple[TroubleCode, ...]:
    """Codes of an answer to UDS 0x19 02: availability mask, then four bytes each (J2012 code, failure type, status).

    A failure type other than 00 follows the code: "C0035-1C". Codes neither pending nor confirmed are left out.
    """
    data = answer_data(bytes((READ_DTC, BY_STATUS_MASK)), payload, echo=1)
    if not data:
        raise AnswerError("the status availability mask is missing")
    if (len(data) - 1) % 4:
        raise AnswerError(f"{len(data) - 1} bytes of codes are no multiple of 4")
    mask = data[0]
    require_kept(mask)
    codes: list[TroubleCode] = []
    for start in range(1, len(data), 4):
        high, low, failure, status_byte = data[start : start + 4]
        bits = status_byte & mask
        if not (high or low) or not bits & (STATUS_PENDING | STATUS_CONFIRMED):
            continue
        codes.append(
            TroubleCode(
                code=code_text(high, low) + (f"-{failure:02X}" if failure else ""),
                ecu=ecu,
                status="confirmed" if bits & STATUS_CONFIRMED else "pending",
                warning_lamp=bool(bits & STATUS_WARNING_LAMP) if mask & STATUS_WARNING_LAMP else None,
            )
        )
    return tuple(codes)


def require_kept(mask: int) -> None:
    """AnswerError if an ECU keeps neither pending nor confirmed: then the codes it gives are not all, but never any."""
    if not mask & (STATUS_PENDING | STATUS_CONFIRMED):
        raise AnswerError(f"the ECU tells neither pending nor confirmed codes (status availability mask {mask:02X})")


def strongest(codes: Iterable[TroubleCode]) -> tuple[TroubleCode, ...]:
    """One entry per code and ECU: confirmed before permanent before pending; the lamp where a service says it."""
    best: dict[tuple[str, str], TroubleCode] = {}
    lamps: dict[tuple[str, str], bool] = {}
    for code in codes:
        key = (code.ecu, code.code)
        if code.warning_lamp is not None:
            lamps[key] = lamps.get(key, False) or code.warning_lamp
        if key not in best or _PRECEDENCE[code.status] < _PRECEDENCE[best[key].status]:
            best[key] = code
    return tuple(
        TroubleCode(code=code.code, ecu=code.ecu, status=code.status, warning_lamp=lamps.get(key))
        for key, code in sorted(best.items())
    )
