"""Service 09, vehicle information (SAE J1979): VIN, calibration identifications and verification numbers, ECU name."""

import re

from edge_agent.obd.answers import AnswerError, answer_data
from edge_agent.obd.service01 import decode_bitmap

SERVICE = 0x09
SUPPORTED, VIN, CALIBRATION_ID, CALIBRATION_NUMBER, ECU_NAME = 0x00, 0x02, 0x04, 0x06, 0x0A
VIN_REQUEST = bytes((SERVICE, VIN))
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")  # ISO 3779: no I, O, Q
_BYTES_OF_ITEM = {CALIBRATION_ID: 16, CALIBRATION_NUMBER: 4, ECU_NAME: 20}


def request(item: int) -> bytes:
    """Bytes that ask for one item."""
    return bytes((SERVICE, item))


def request_name(item: int) -> str:
    """How a fault names that request."""
    return f"service 09 item {item:02X}"


def decode_supported(payload: bytes) -> frozenset[int]:
    """Items 01 to 20 that the ECU has; AnswerError if this is no such answer."""
    return decode_bitmap(SUPPORTED, answer_data(request(SUPPORTED), payload, echo=1))


def decode_vin(payload: bytes) -> str:
    """Give the VIN of an answer to 09 02; filling zeros before it are left out. AnswerError if it is none."""
    data = answer_data(VIN_REQUEST, payload, echo=1)
    if not data or data[0] != 1:
        raise AnswerError("a VIN is one item, the answer says otherwise")
    return vin_text(data[1:])


def vin_text(raw: bytes) -> str:
    """Give the VIN in these bytes, without zeros that fill them up in front; AnswerError if it is none."""
    raw = raw.lstrip(b"\x00")
    text = raw.decode("ascii", errors="replace")
    if not _VIN.fullmatch(text):
        raise AnswerError(f"{len(raw)} bytes that are no VIN (17 letters and digits without I, O, Q)")
    return text


def decode_calibration_ids(payload: bytes) -> tuple[str, ...]:
    """Names of the software an ECU runs, as its maker wrote them; AnswerError if this is no such answer."""
    return tuple(_text(item) for item in _items(CALIBRATION_ID, payload))


def decode_calibration_numbers(payload: bytes) -> tuple[str, ...]:
    """Checksums over that software, eight hex digits each, in the same order; AnswerError if this is no such answer."""
    return tuple(item.hex().upper() for item in _items(CALIBRATION_NUMBER, payload))


def decode_ecu_name(payload: bytes) -> str:
    """What the ECU is: "ECM - EngineControl"; AnswerError if this is no such answer.

    Twenty bytes: an acronym of up to four, a hyphen, and the long form, each filled up with zeros.
    """
    items = _items(ECU_NAME, payload)
    if len(items) != 1:
        raise AnswerError(f"an ECU has one name, the answer holds {len(items)}")
    acronym, long = _text(items[0][:4]), _text(items[0][4:].removeprefix(b"-"))
    return f"{acronym} - {long}" if acronym and long else acronym or long


def _items(item: int, payload: bytes) -> tuple[bytes, ...]:
    """The items of an answer on CAN: a count, then items of one size each."""
    data = answer_data(request(item), payload, echo=1)
    if not data:
        raise AnswerError("the count of items is missing")
    count, size = data[0], _BYTES_OF_ITEM[item]
    if len(data) - 1 != count * size:
        raise AnswerError(f"{count} items of {size} bytes announced, {len(data) - 1} bytes given")
    return tuple(data[1 + n * size : 1 + (n + 1) * size] for n in range(count))


def _text(raw: bytes) -> str:
    text = raw.strip(b"\x00 ").decode("ascii", errors="replace")
    if not text.isprintable():
        raise AnswerError(f"{raw.hex().upper()} is no text")
    return text
