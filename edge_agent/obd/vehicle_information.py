"""Service 09, vehicle information: the VIN."""

import re

from edge_agent.obd.answers import AnswerError, answer_data

VIN_REQUEST = bytes((0x09, 0x02))
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")  # ISO 3779: no I, O, Q


def decode_vin(payload: bytes) -> str:
    """Give the VIN of an answer to 09 02; filling zeros before it are left out. AnswerError if it is none."""
    data = answer_data(VIN_REQUEST, payload, echo=1)
    if not data or data[0] != 1:
        raise AnswerError("a VIN is one item, the answer says otherwise")
    raw = data[1:].lstrip(b"\x00")
    text = raw.decode("ascii", errors="replace")
    if not _VIN.fullmatch(text):
        raise AnswerError(f"{len(raw)} bytes that are no VIN (17 letters and digits without I, O, Q)")
    return text
