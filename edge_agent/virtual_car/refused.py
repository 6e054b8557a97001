"""How an ECU says no: negative response codes (ISO 14229-1, annex A.1)."""

SERVICE_NOT_SUPPORTED, SUB_FUNCTION_NOT_SUPPORTED, WRONG_LENGTH, OUT_OF_RANGE = 0x11, 0x12, 0x13, 0x31


class Refused(Exception):  # noqa: N818 - it is an answer, not an error
    """A negative response with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"NRC 0x{code:02X}")
        self.code = code


def require_length(request: bytes, *lengths: int) -> None:
    """Refuse a request of any other number of bytes."""
    if len(request) not in lengths:
        raise Refused(WRONG_LENGTH)
