"""Service 0x19 of a virtual ECU, written from ISO 14229-1 and ISO 27145-3 (emissions group), not from a decoder."""

from edge_agent.obd.trouble_codes import code_bytes
from edge_agent.virtual_car.diagnostics import MISFIRE_CODE, DtcMemory
from edge_agent.virtual_car.encode import ENCODERS
from edge_agent.virtual_car.refused import (
    OUT_OF_RANGE,
    SUB_FUNCTION_NOT_SUPPORTED,
    WRONG_LENGTH,
    Refused,
    require_length,
)

_AVAILABLE = 0x8D  # status bits it keeps: test failed, pending, confirmed, warning lamp
_DTC = code_bytes(MISFIRE_CODE) + b"\x00"
_FORMAT_J2012, _FORMAT_J2012_04 = 0x00, 0x04
_EMISSIONS = 0x33
_SEVERITY = 0x42  # check at next halt; class 1 (ISO 14229-1, annex D.3)
_SNAPSHOT_PIDS = (0x0C, 0x0D, 0x05)
_ALL_RECORDS = 0xFF


def read_dtc(request: bytes, dtc: DtcMemory) -> bytes:
    """Answer to one request; Refused with the code that the standard has for it."""
    if len(request) < 2:
        raise Refused(WRONG_LENGTH)
    sub = request[1]
    status = _status(dtc)
    there = bool(dtc.pending or dtc.confirmed)
    head = bytes((0x59, sub))
    if sub in {0x01, 0x02}:
        require_length(request, 3)
        matching = there and status & request[2]
        if sub == 0x01:
            return head + bytes((_AVAILABLE, _FORMAT_J2012, 0, int(bool(matching))))
        return head + bytes((_AVAILABLE,)) + (_DTC + bytes((status,)) if matching else b"")
    if sub == 0x0A:
        require_length(request, 2)
        return head + bytes((_AVAILABLE,)) + _DTC + bytes((status,))
    if sub == 0x03:
        require_length(request, 2)
        return head + (_DTC + b"\x01" if dtc.frozen is not None else b"")
    if sub in {0x04, 0x06}:
        require_length(request, 6)
        return head + _DTC + bytes((status,)) + _record(request, dtc)
    if sub in {0x42, 0x55}:
        return head + _of_group(request, dtc, status)
    raise Refused(SUB_FUNCTION_NOT_SUPPORTED)


def _status(dtc: DtcMemory) -> int:
    return 0x01 * dtc.failing | 0x04 * dtc.pending | 0x08 * dtc.confirmed | 0x80 * dtc.mil_on


def _record(request: bytes, dtc: DtcMemory) -> bytes:
    if request[2:5] != _DTC or request[5] not in {0x01, _ALL_RECORDS}:
        raise Refused(OUT_OF_RANGE)
    if dtc.frozen is None:
        return b""
    if request[1] == 0x06:
        return bytes((0x01, dtc.occurrences))
    pids = [pid for pid in _SNAPSHOT_PIDS if _can_encode(pid, dtc)]
    values = b"".join(bytes((0xF4, pid)) + ENCODERS[pid](dtc.frozen) for pid in pids)
    return bytes((0x01, len(pids))) + values


def _can_encode(pid: int, dtc: DtcMemory) -> bool:
    try:
        ENCODERS[pid](dtc.frozen or {})
    except KeyError:
        return False
    return True


def _of_group(request: bytes, dtc: DtcMemory, status: int) -> bytes:
    permanent = request[1] == 0x55
    require_length(request, 3 if permanent else 5)
    if request[2] != _EMISSIONS:
        raise Refused(OUT_OF_RANGE)
    if permanent:
        record = _DTC + bytes((status,)) if dtc.permanent else b""
        return bytes((_EMISSIONS, _AVAILABLE, _FORMAT_J2012_04)) + record
    matching = (dtc.pending or dtc.confirmed) and status & request[3] and _SEVERITY & request[4]
    record = bytes((_SEVERITY,)) + _DTC + bytes((status,)) if matching else b""
    return bytes((_EMISSIONS, _AVAILABLE, 0xFF, _FORMAT_J2012_04)) + record
