"""Who answers on this car, and what each ECU has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from edge_agent.obd import vehicle_information
from edge_agent.obd.answers import POSITIVE_OFFSET, AnswerError
from edge_agent.obd.dialect import OBD, Dialect
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
    """What a scan found; ``speaks``: the dialect of the car; ``faults``: answers that could not be used."""

    vin: str | None
    speaks: str
    ecus: tuple[EcuFound, ...]
    faults: tuple[ReadFault, ...] = field(default=())


def scan(tester: Tester, dialect: Dialect = OBD) -> Scan:
    """Ask everybody what they have, in the dialect that is spoken; SourceError when the adapter is gone."""
    fingerprint = take_fingerprint(tester)
    service = dialect.request(0)[0]
    ecus = {
        ecu: EcuFound(ecu=ecu, pids=pids, services=frozenset({service} if pids else ()))
        for ecu, pids in fingerprint.pids.items()
    }
    faults: list[ReadFault] = []
    if not ecus:
        return Scan(vin=fingerprint.vin, speaks=dialect.name, ecus=())
    for asked in dialect.codes(_CODE_SERVICES):
        exchange = tester.functional(asked.request, expected=set(ecus))
        for ecu, payload in exchange.answers.items():
            if payload[0] == asked.request[0] + POSITIVE_OFFSET:
                found = ecus.setdefault(ecu, EcuFound(ecu=ecu))
                ecus[ecu] = replace(found, services=found.services | {asked.request[0]})
    if dialect is not OBD:
        everybody = tuple(found for _, found in sorted(ecus.items()))
        return Scan(vin=fingerprint.vin, speaks=dialect.name, ecus=everybody)
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
        speaks=dialect.name,
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
