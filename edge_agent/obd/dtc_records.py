"""UDS 0x19, read DTC information (ISO 14229-1): codes with their whole status byte, and what was kept beside them.

The short form that the agent's events need is :mod:`edge_agent.obd.trouble_codes`; this is for who diagnoses.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.obd.answers import AnswerError, answer_data
from edge_agent.obd.trouble_codes import (
    BY_STATUS_MASK,
    READ_DTC,
    STATUS_CONFIRMED,
    STATUS_PENDING,
    STATUS_WARNING_LAMP,
    code_bytes,
    code_text,
    require_kept,
)

COUNT_BY_STATUS_MASK, SNAPSHOT_IDENTIFICATION, SNAPSHOT_BY_DTC, EXTENDED_BY_DTC, SUPPORTED = (
    0x01,
    0x03,
    0x04,
    0x06,
    0x0A,
)
EMISSIONS_BY_MASK, EMISSIONS_PERMANENT = 0x42, 0x55  # of a functional group (ISO 27145-3, SAE J1979-2)
EMISSIONS_GROUP = 0x33
ALL_RECORDS = 0xFF
EVERY_STATUS = 0xFF
CLASSES_OF_EMISSIONS = 0x1E  # severity mask: DTC classes 1 to 4 (ISO 14229-1, annex D.3)
# ISO 14229-1:2020, annex D.2
_TEST_FAILED, _FAILED_THIS_CYCLE, _FAILED_SINCE_CLEAR = 0x01, 0x02, 0x20
_NOT_TESTED_SINCE_CLEAR, _NOT_TESTED_THIS_CYCLE = 0x10, 0x40


@dataclass(frozen=True, kw_only=True)
class DtcRecord:
    """One code of one ECU with its status byte. ``available``: bits of it that the ECU keeps; the others say nothing.

    ``code``: "P0301", with a failure type other than 00 "C0035-1C"; ``severity``: severity and class byte, where asked.
    """

    code: str
    status: int
    available: int = 0xFF
    severity: int | None = None

    def has(self, bit: int) -> bool | None:
        """Whether a bit of the status is set; None if the ECU does not keep it."""
        return bool(self.status & bit) if self.available & bit else None

    @property
    def pending(self) -> bool | None:
        """Failed in this drive or the one before, and not yet confirmed or gone."""
        return self.has(STATUS_PENDING)

    @property
    def confirmed(self) -> bool | None:
        """Failed often enough to be stored."""
        return self.has(STATUS_CONFIRMED)

    @property
    def warning_lamp(self) -> bool | None:
        """The ECU asks for its warning lamp because of it."""
        return self.has(STATUS_WARNING_LAMP)

    @property
    def failing_now(self) -> bool | None:
        """The last test failed."""
        return self.has(_TEST_FAILED)

    @property
    def failed_this_cycle(self) -> bool | None:
        """A test failed since the car was started."""
        return self.has(_FAILED_THIS_CYCLE)

    @property
    def failed_since_clear(self) -> bool | None:
        """A test failed since codes were cleared."""
        return self.has(_FAILED_SINCE_CLEAR)

    @property
    def tested_since_clear(self) -> bool | None:
        """The test has run since codes were cleared."""
        not_tested = self.has(_NOT_TESTED_SINCE_CLEAR)
        return None if not_tested is None else not not_tested

    @property
    def tested_this_cycle(self) -> bool | None:
        """The test has run since the car was started."""
        not_tested = self.has(_NOT_TESTED_THIS_CYCLE)
        return None if not_tested is None else not not_tested


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    """A snapshot or extended data record beside a code: its number, and its bytes as the maker defines them.

    ``values``: data identifier -> bytes, of a snapshot as far as the lengths are known; ``rest``: what follows.
    """

    number: int
    values: Mapping[int, bytes]
    rest: bytes


def uds_code_text(raw: bytes) -> str:
    """Three bytes as text: SAE J2012 and the failure type unless it is 00."""
    return code_text(raw[0], raw[1]) + (f"-{raw[2]:02X}" if raw[2] else "")


def uds_code_bytes(code: str) -> bytes:
    """Three bytes of "P0301" or "C0035-1C"; ValueError says what is wrong with the text."""
    base, _, failure = code.partition("-")
    if failure and (len(failure) != 2 or failure.strip("0123456789ABCDEF")):
        raise ValueError(f"{code!r}: the failure type after '-' is two hex digits, as in 'C0035-1C'")
    return code_bytes(base) + bytes((int(failure or "0", 16),))


def count_request(status_mask: int = EVERY_STATUS) -> bytes:
    """Bytes that ask how many codes have a bit of the mask."""
    return bytes((READ_DTC, COUNT_BY_STATUS_MASK, status_mask))


def decode_count(payload: bytes) -> int:
    """How many; AnswerError if the answer does not say."""
    data = _data(COUNT_BY_STATUS_MASK, payload)
    if len(data) != 4:
        raise AnswerError(f"a count has 4 bytes (mask, format, number), these are {len(data)}")
    return int.from_bytes(data[2:])


def records_request(status_mask: int = EVERY_STATUS) -> bytes:
    """Bytes that ask for codes whose status has a bit of the mask."""
    return bytes((READ_DTC, BY_STATUS_MASK, status_mask))


def supported_request() -> bytes:
    """Bytes that ask for every code the ECU could report, with its status."""
    return bytes((READ_DTC, SUPPORTED))


def decode_records(payload: bytes, sub_function: int = BY_STATUS_MASK) -> tuple[DtcRecord, ...]:
    """All codes of an answer to 19 02 or 19 0A, whatever their status; AnswerError for any other answer."""
    data = _data(sub_function, payload)
    if not data:
        raise AnswerError("the status availability mask is missing")
    return tuple(
        DtcRecord(code=uds_code_text(record), status=record[3], available=data[0]) for record in _each(data[1:], 4)
    )


def emissions_request(
    status_mask: int = STATUS_PENDING | STATUS_CONFIRMED, severity_mask: int = CLASSES_OF_EMISSIONS
) -> bytes:
    """Bytes that ask for emissions-related codes, of all ECUs at once (ISO 27145-3, SAE J1979-2)."""
    return bytes((READ_DTC, EMISSIONS_BY_MASK, EMISSIONS_GROUP, status_mask, severity_mask))


def decode_emissions(payload: bytes) -> tuple[DtcRecord, ...]:
    """Codes of an answer to 19 42; AnswerError for any other answer."""
    data = _of_group(EMISSIONS_BY_MASK, payload)
    if len(data) < 3:
        raise AnswerError(f"masks and format are 3 bytes, these are {len(data)}")
    require_kept(data[0])
    return tuple(
        DtcRecord(code=uds_code_text(record[1:4]), status=record[4], available=data[0], severity=record[0])
        for record in _each(data[3:], 5)
    )


def permanent_request() -> bytes:
    """Bytes that ask for permanent emissions-related codes."""
    return bytes((READ_DTC, EMISSIONS_PERMANENT, EMISSIONS_GROUP))


def decode_permanent(payload: bytes) -> tuple[DtcRecord, ...]:
    """Codes of an answer to 19 55; AnswerError for any other answer."""
    data = _of_group(EMISSIONS_PERMANENT, payload)
    if len(data) < 2:
        raise AnswerError(f"mask and format are 2 bytes, these are {len(data)}")
    return tuple(
        DtcRecord(code=uds_code_text(record), status=record[3], available=data[0]) for record in _each(data[2:], 4)
    )


def snapshot_identification_request() -> bytes:
    """Bytes that ask which codes have snapshots."""
    return bytes((READ_DTC, SNAPSHOT_IDENTIFICATION))


def decode_snapshot_identification(payload: bytes) -> tuple[tuple[str, int], ...]:
    """Codes and the numbers of their snapshots; AnswerError for any other answer."""
    return tuple((uds_code_text(record), record[3]) for record in _each(_data(SNAPSHOT_IDENTIFICATION, payload), 4))


def snapshot_request(code: str, record: int = ALL_RECORDS) -> bytes:
    """Bytes that ask for the snapshots of one code."""
    return bytes((READ_DTC, SNAPSHOT_BY_DTC)) + uds_code_bytes(code) + bytes((record,))


def decode_snapshots(
    code: str, payload: bytes, lengths: Mapping[int, int] | None = None
) -> tuple[DtcRecord, tuple[StoredRecord, ...]]:
    """The code with its status, and its snapshots; AnswerError for any other answer.

    ``lengths``: data identifier -> bytes. Where one is not known nobody can tell where the next begins: the remaining
    bytes stay together in ``rest``.
    """
    found, data = _of_code(SNAPSHOT_BY_DTC, code, payload)
    snapshots: list[StoredRecord] = []
    while data:
        if len(data) < 2:
            raise AnswerError("a snapshot breaks off after its number")
        number, count, data = data[0], data[1], data[2:]
        values: dict[int, bytes] = {}
        while len(values) < count and len(data) >= 2 and int.from_bytes(data[:2]) in (lengths or {}):
            identifier = int.from_bytes(data[:2])
            end = 2 + (lengths or {})[identifier]
            if len(data) < end or identifier in values:
                raise AnswerError(f"snapshot {number:02X} does not hold its {count} values")
            values[identifier], data = data[2:end], data[end:]
        complete = len(values) == count and count > 0
        snapshots.append(StoredRecord(number=number, values=values, rest=b"" if complete else data))
        if not complete:
            break
    return found, tuple(snapshots)


def extended_request(code: str, record: int = ALL_RECORDS) -> bytes:
    """Bytes that ask for the extended data of one code: counters of occurrence, of healing, of distance."""
    return bytes((READ_DTC, EXTENDED_BY_DTC)) + uds_code_bytes(code) + bytes((record,))


def decode_extended(code: str, payload: bytes) -> tuple[DtcRecord, StoredRecord | None]:
    """The code with its status, and its extended data (the first number, all bytes after it); AnswerError otherwise."""
    found, data = _of_code(EXTENDED_BY_DTC, code, payload)
    return found, StoredRecord(number=data[0], values={}, rest=data[1:]) if data else None


def _data(sub_function: int, payload: bytes) -> bytes:
    return answer_data(bytes((READ_DTC, sub_function)), payload, echo=1)


def _of_group(sub_function: int, payload: bytes) -> bytes:
    return answer_data(bytes((READ_DTC, sub_function, EMISSIONS_GROUP)), payload, echo=2)


def _of_code(sub_function: int, code: str, payload: bytes) -> tuple[DtcRecord, bytes]:
    request = bytes((READ_DTC, sub_function)) + uds_code_bytes(code)
    data = answer_data(request, payload, echo=4)
    if not data:
        raise AnswerError("the status of the code is missing")
    return DtcRecord(code=code, status=data[0]), data[1:]


def _each(data: bytes, size: int) -> tuple[bytes, ...]:
    """Records of that size; those whose code is 000000 are filled places."""
    if len(data) % size:
        raise AnswerError(f"{len(data)} bytes of codes are no multiple of {size}")
    records = (data[start : start + size] for start in range(0, len(data), size))
    return tuple(record for record in records if any(record[size - 4 : size - 1]))
