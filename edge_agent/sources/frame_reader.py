"""Freeze frames by service 02: the whole of one, or what tells how grave a code is, of codes that are new."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from edge_agent.obd import freeze_frame, service01
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.freeze_frame import FreezeFrame
from edge_agent.obd.pids import PIDS
from edge_agent.sources.base import ReadFault, TroubleCode
from edge_agent.tester.base import Tester, address_of

# Load, coolant temperature, engine speed, speed: all of the first bitmap, so that a frame costs six requests at most.
TELLING_PIDS: Final = frozenset({0x04, 0x05, 0x0C, 0x0D})


def read_cause(tester: Tester, ecu: str) -> str | None:
    """The code of which an ECU keeps frame 0, None if it keeps none; AnswerError if it does not say."""
    payload = tester.physical(address_of(ecu), freeze_frame.request(freeze_frame.CAUSE_PID))
    return freeze_frame.decode_cause(payload)


def read_frame(tester: Tester, ecu: str, code: str, *, wanted: AbstractSet[int] = frozenset(PIDS)) -> FreezeFrame:
    """Frame 0 of an ECU, which it keeps of that code; what cannot be read is among its faults."""
    address, values, faults = address_of(ecu), dict[str, float](), list[ReadFault]()
    pids: set[int] = set()
    for bitmap in service01.BITMAP_PIDS:
        if (bitmap and bitmap not in pids) or bitmap >= max(wanted):
            continue
        try:
            payload = tester.physical(address, freeze_frame.request(bitmap))
            pids |= freeze_frame.decode_supported(bitmap, payload)
        except AnswerError as error:
            faults.append(ReadFault(request=freeze_frame.request_name(bitmap), reason=str(error)))
            break
    for pid in sorted(pids & wanted & PIDS.keys()):
        try:
            decoded = freeze_frame.decode(pid, tester.physical(address, freeze_frame.request(pid)))
        except AnswerError as error:
            faults.append(ReadFault(request=freeze_frame.request_name(pid), reason=str(error)))
            continue
        values.update(decoded.values)
        faults.extend(decoded.faults)
    return FreezeFrame(ecu=ecu, frame=0, code=code, values=values, faults=tuple(faults))


class FrameReader:
    """Reads the frame of a code once, when the code comes up or changes its status. An ECU may keep none: no fault."""

    def __init__(self, tester: Tester) -> None:
        self._tester = tester
        self._seen: frozenset[tuple[str, str, str]] = frozenset()  # ECU, code, status

    def of_new(self, codes: Iterable[TroubleCode], ecus: AbstractSet[str]) -> Mapping[tuple[str, str], FreezeFrame]:
        """Frames by ECU and code, of codes that were not there so before. ``ecus``: those that speak service 02."""
        now = frozenset((code.ecu, code.code, code.status) for code in codes)
        new, self._seen = now - self._seen, now
        found: dict[tuple[str, str], FreezeFrame] = {}
        unanswered = self._tester.unanswered
        for ecu in sorted({ecu for ecu, _, _ in new} & ecus):
            try:
                cause = read_cause(self._tester, ecu)
            except AnswerError:
                continue
            if cause is not None and any((ecu, cause) == (there, code) for there, code, _ in new):
                found[ecu, cause] = read_frame(self._tester, ecu, cause, wanted=TELLING_PIDS)
        self._tester.unanswered = unanswered  # an ECU without this service is not one that sleeps
        return found
