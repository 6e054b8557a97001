"""The VIN of a car, believed only where it is the one that is known, or was given twice alike.

A line to an adapter has no checksum, and a VIN that was misread would be another car: its history, its profile and its
owner. And a used ECU tells the VIN of the car it came from, so the answer must not depend on who is quickest.
"""

from collections.abc import Sequence

from edge_agent.obd.answers import AnswerError
from edge_agent.obd.dialect import VinRequest
from edge_agent.sources.base import ReadFault
from edge_agent.tester.base import Tester


def read_vin(
    tester: Tester, requests: Sequence[VinRequest], *, known: str | None = None
) -> tuple[str | None, tuple[ReadFault, ...]]:
    """The VIN, None if there is none to be believed, and what failed. Of several ECUs that differ the first counts."""
    faults: list[ReadFault] = []
    for asked in requests:
        exchange = tester.functional(asked.request, expected=None)
        told: dict[str, str] = {}
        failed: list[ReadFault] = []
        for ecu, payload in sorted(exchange.answers.items()):
            try:
                told[ecu] = asked.decode(payload)
            except AnswerError as error:
                failed.append(ReadFault(request=f"{asked.name} at {ecu}", reason=str(error)))
        if known is not None and known in told.values():
            return known, ()
        for ecu, vin in told.items():
            if _told_again(tester, asked, ecu) == vin:
                return vin, ()
            failed.append(ReadFault(request=f"{asked.name} at {ecu}", reason="not the same VIN when asked again"))
        if not exchange.answers:
            failed.append(ReadFault(request=asked.name, reason=exchange.reason(tester.timeout_s)))
        faults += failed
    return None, tuple(faults)


def _told_again(tester: Tester, asked: VinRequest, ecu: str) -> str | None:
    payload = tester.functional(asked.request, expected={ecu}).answers.get(ecu)
    try:
        return None if payload is None else asked.decode(payload)
    except AnswerError:
        return None
