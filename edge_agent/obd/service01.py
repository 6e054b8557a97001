"""Service 01, current data: which parameters an ECU has, and what its answers say."""

from collections.abc import Iterable, Mapping, Sequence

from edge_agent.obd.answers import AnswerError, Decoded, answer_data, checked, merged
from edge_agent.obd.pids import PIDS, PidSignal

CURRENT_DATA = 0x01
MOST_AT_ONCE = 6  # parameters of one request (SAE J1979, service 01 on CAN)
BITMAP_PIDS = (0x00, 0x20, 0x40, 0x60, 0x80, 0xA0, 0xC0, 0xE0)
_SIGNALS: Mapping[str, PidSignal] = {signal.path: signal for pid in PIDS.values() for signal in pid.signals}


def request(*pids: int) -> bytes:
    """Bytes that ask for one parameter, or for several (up to :data:`MOST_AT_ONCE`) of an ECU that copes with it."""
    return bytes((CURRENT_DATA, *pids))


def request_name(pid: int) -> str:
    """How a fault names that request."""
    return f"service 01 PID {pid:02X}"


def decode_supported(bitmap_pid: int, payload: bytes) -> frozenset[int]:
    """Parameters ``bitmap_pid`` + 1 to + 32 that the ECU says it has; AnswerError if this is no such answer."""
    return decode_bitmap(bitmap_pid, answer_data(request(bitmap_pid), payload, echo=1))


def decode_bitmap(base: int, data: bytes) -> frozenset[int]:
    """Numbers ``base`` + 1 to + 32 whose bit is set; AnswerError unless these are four bytes."""
    if len(data) != 4:
        raise AnswerError(f"bitmap of {len(data)} bytes, expected 4")
    bits = int.from_bytes(data)
    return frozenset(base + n for n in range(1, 33) if bits >> (32 - n) & 1)


def decode(pid: int, payload: bytes) -> Decoded:
    """Values of one answer; AnswerError for a negative, foreign or wrongly sized one, KeyError for an unknown PID."""
    return decode_data(pid, answer_data(request(pid), payload, echo=1), request_name(pid))


def decode_data(pid: int, data: bytes, name: str) -> Decoded:
    """Values of the data bytes of a parameter, however it was asked; ``name`` is what a fault calls the request."""
    definition = PIDS[pid]
    if len(data) != definition.length:
        raise AnswerError(f"{len(data)} data bytes, expected {definition.length}")
    values = [(signal.path, signal.value(data)) for signal in definition.signals]
    return merged([checked(path, value, name) for path, value in values if value is not None])


def split_several(payload: bytes) -> list[tuple[int, bytes]]:
    """Parameters and their data of an answer to several; AnswerError where one is unknown or cut."""
    parts: list[tuple[int, bytes]] = []
    start = 1
    while start < len(payload):
        pid = payload[start]
        length = 4 if pid in BITMAP_PIDS else PIDS[pid].length if pid in PIDS else None
        if length is None:
            raise AnswerError(f"PID {pid:02X} within an answer to several is none that was asked")
        data = payload[start + 1 : start + 1 + length]
        if len(data) < length:
            raise AnswerError(f"PID {pid:02X} has {len(data)} data bytes, expected {length}")
        parts.append((pid, data))
        start += 1 + length
    return parts


def decode_several(pids: Sequence[int], payload: bytes) -> dict[int, bytes]:
    """PID -> its data in an answer that holds exactly the parameters asked, in their order; AnswerError otherwise.

    The standard lets an ECU leave out what it lacks. Here only what it said to have is asked, and one that
    departs from that is not to be trusted with several at all.
    """
    answer_data(request(*pids), payload, echo=0)
    parts = split_several(payload)
    if [pid for pid, _ in parts] != list(pids):
        got, asked = (" ".join(f"{pid:02X}" for pid in one) or "none" for one in ([p for p, _ in parts], pids))
        raise AnswerError(f"answer to several holds {got}, asked was {asked}")
    return dict(parts)


def combine(answers: Iterable[Decoded]) -> Decoded:
    """Several ECUs' answers to one functional request as one; the order is that of precedence."""
    parts = list(answers)
    values: dict[str, float] = {}
    for part in parts:
        for path, value in part.values.items():
            if path not in values:
                values[path] = value
            elif _SIGNALS[path].combine == "sum":
                values[path] += value
            elif _SIGNALS[path].combine == "any":
                values[path] = max(values[path], value)
    return Decoded(values=values, faults=tuple(fault for part in parts for fault in part.faults))
