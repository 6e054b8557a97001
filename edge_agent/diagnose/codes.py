"""The trouble codes of a car with all that lies beside them: whole status byte and freeze frame."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edge_agent.obd import dtc_records, freeze_frame
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.dialect import OBD, Dialect
from edge_agent.obd.dtc_records import DtcRecord
from edge_agent.obd.freeze_frame import FreezeFrame
from edge_agent.sources.base import ReadFault, TroubleCode
from edge_agent.sources.code_reader import CodeReader
from edge_agent.sources.frame_reader import read_frame
from edge_agent.sources.parameters import Parameters, Several
from edge_agent.tester.base import Tester, address_of

_SERVICES = (0x03, 0x07, 0x0A)


@dataclass(frozen=True, kw_only=True)
class CodeEntry:
    """One code of one ECU. ``record``: its UDS status, where the ECU gives one; ``frame``: if kept for this code."""

    code: TroubleCode
    record: DtcRecord | None = None
    frame: FreezeFrame | None = None


@dataclass(frozen=True, kw_only=True)
class CodesReport:
    """What was read. ``entries`` None: no ECU gave all of its codes, which is not the same as having none.

    ``silent``: nobody answered at all. ``dialect``: in which the car was asked.
    """

    entries: tuple[CodeEntry, ...] | None
    ecus_read: frozenset[str] = frozenset()
    faults: tuple[ReadFault, ...] = ()
    silent: bool = False
    dialect: Dialect = OBD


def read_report(tester: Tester) -> CodesReport:
    """Read everything once; SourceError when the adapter is gone."""
    parameters = Parameters(tester, Several())
    parameters.discover()
    ecus = frozenset(ecu for having in parameters.ecus.values() for ecu in having)
    read = CodeReader(tester, services=_SERVICES, uds_ecus=()).read(ecus, parameters.dialect)
    records = _records(tester, ecus)
    frames, faults = _frames(tester, ecus) if parameters.dialect is OBD else ({}, [])
    entries = None
    if read.codes is not None:
        told = {(code.ecu, code.code) for code in read.codes}
        known = [_with_lamp(code, records.get((code.ecu, code.code))) for code in read.codes]
        # by UDS an ECU gives codes that do not concern emissions too
        known += [
            CodeEntry(code=_as_trouble_code(ecu, record), record=record)
            for (ecu, _), record in records.items()
            if (ecu, record.code) not in told and (record.confirmed or record.pending)
        ]
        entries = tuple(
            CodeEntry(code=entry.code, record=entry.record, frame=frames.get((entry.code.ecu, entry.code.code)))
            for entry in known
        )
    return CodesReport(
        entries=entries,
        ecus_read=read.ecus_read,
        faults=(*read.faults, *faults),
        silent=not ecus and entries is None,
        dialect=parameters.dialect,
    )


def _with_lamp(code: TroubleCode, record: DtcRecord | None) -> CodeEntry:
    """Services 03, 07 and 0A do not say which code asks for the lamp; the status byte does."""
    if record is not None and code.warning_lamp is None:
        code = replace(code, warning_lamp=record.warning_lamp)
    return CodeEntry(code=code, record=record)


def _as_trouble_code(ecu: str, record: DtcRecord) -> TroubleCode:
    return TroubleCode(
        code=record.code,
        ecu=ecu,
        status="confirmed" if record.confirmed else "pending",
        warning_lamp=record.warning_lamp,
    )


def _records(tester: Tester, ecus: frozenset[str]) -> Mapping[tuple[str, str], DtcRecord]:
    """Status bytes by ECU and code; an ECU that does not speak UDS has none."""
    found: dict[tuple[str, str], DtcRecord] = {}
    for ecu in sorted(ecus):
        try:
            payload = tester.physical(address_of(ecu), dtc_records.records_request())
            for record in dtc_records.decode_records(payload):
                found[ecu, record.code] = record
        except AnswerError:
            continue
    return found


def _frames(tester: Tester, ecus: frozenset[str]) -> tuple[Mapping[tuple[str, str], FreezeFrame], list[ReadFault]]:
    """Frame 0 of every ECU that keeps one, by ECU and the code that caused it."""
    found: dict[tuple[str, str], FreezeFrame] = {}
    faults: list[ReadFault] = []
    if not ecus:
        return found, faults
    causes = tester.functional(freeze_frame.request(freeze_frame.CAUSE_PID), expected=ecus)
    for ecu, payload in sorted(causes.answers.items()):
        try:
            code = freeze_frame.decode_cause(payload)
        except AnswerError as error:
            if error.nrc is None:
                request = freeze_frame.request_name(freeze_frame.CAUSE_PID)
                faults.append(ReadFault(request=f"{request} at {ecu}", reason=str(error)))
            continue
        if code is not None:
            found[ecu, code] = read_frame(tester, ecu, code)
    return found, faults
