"""Who answers on this car, and what each ECU has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from edge_agent.obd import vehicle_information
from edge_agent.obd.answers import AnswerError
from edge_agent.recognition.take import take_fingerprint
from edge_agent.sources.base import ReadFault
from edge_agent.tester.base import Tester

_T = TypeVar("_T")
_CODE_SERVICES = (0x03, 0x07, 0x0A)


@dataclass(frozen=True, kw_only=True)
class EcuFound:
    """An ECU that answers. ``services``: those of OBD it answered positively; what was not told is empty or None."""

    ecu: str
    pids: frozenset[int] = frozenset()
    services: frozenset[int] = frozenset()
    name: str | None = None
    calibrations: tuple[str, ...] = ()
    verification_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a scan found; ``faults``: answers that could not be used."""

    vin: str | None
    ecus: tuple[EcuFound, ...]
    faults: tuple[ReadFault, ...] = field(default=())


def scan(tester: Tester) -> Scan:
    """Ask everybody what they have; SourceError when the adapter is gone."""
    fingerprint = take_fingerprint(tester)
    ecus = {
        ecu: EcuFound(ecu=ecu, pids=pids, services=frozenset({0x01} if pids else ()))
        for ecu, pids in fingerprint.pids.items()
    }
    faults: list[ReadFault] = []
    if not ecus:
        return Scan(vin=fingerprint.vin, ecus=())
    for service in _CODE_SERVICES:
        exchange = tester.functional(bytes((service,)), expected=set(ecus))
        for ecu, payload in exchange.answers.items():
            if payload[0] == service + 0x40:
                found = ecus.setdefault(ecu, EcuFound(ecu=ecu))
                ecus[ecu] = replace(found, services=found.services | {service})
    names = _each(tester, vehicle_information.ECU_NAME, vehicle_information.decode_ecu_name, set(ecus), faults)
    software = _each(
        tester, vehicle_information.CALIBRATION_ID, vehicle_information.decode_calibration_ids, set(ecus), faults
    )
    numbers = _each(
        tester,
        vehicle_information.CALIBRATION_NUMBER,
        vehicle_information.decode_calibration_numbers,
        set(ecus),
        faults,
    )
    return Scan(
        vin=fingerprint.vin,
        ecus=tuple(
            replace(
                found,
                name=names.get(ecu),
                calibrations=software.get(ecu, ()),
                verification_numbers=numbers.get(ecu, ()),
            )
            for ecu, found in sorted(ecus.items())
        ),
        faults=tuple(faults),
    )


def _each(
    tester: Tester, item: int, decode: Callable[[bytes], _T], ecus: set[str], faults: list[ReadFault]
) -> Mapping[str, _T]:
    """An item of service 09 of every ECU that gives it; not having it is no fault."""
    found: dict[str, _T] = {}
    for ecu, payload in tester.functional(vehicle_information.request(item), expected=ecus).answers.items():
        try:
            found[ecu] = decode(payload)
        except AnswerError as error:
            if error.nrc is None:
                faults.append(
                    ReadFault(request=f"{vehicle_information.request_name(item)} at {ecu}", reason=str(error))
                )
    return found
