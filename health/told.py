"""What an estimator was told and has to tell: service records that counted, findings nobody has taken yet.

Part of each estimator's state: a restart neither loses a finding nor counts a record twice.
"""

from datetime import datetime
from typing import Final

import msgspec

from telemetry.records import EventKind, Quantity, ServiceRecord, VehicleEvent

_RECORDS: Final = 16  # ids remembered: a record is told again within days, not after sixteen services
_FINDINGS: Final = 8  # not taken: the oldest gives way


class Told(msgspec.Struct, forbid_unknown_fields=True):
    """Ids of the newest service records, and findings that wait."""

    records: list[str] = []
    findings: list[VehicleEvent] = []


def is_new(told: Told, record: ServiceRecord) -> bool:
    """Whether this record was not told before; from now on it was."""
    identifier = str(record.id)
    if identifier in told.records:
        return False
    told.records = [*told.records, identifier][-_RECORDS:]
    return True


def suspect_service(
    told: Told, time: datetime, quantity: Quantity, *, position: str = "", certainty: float, why: str
) -> None:
    """Note a change of the part that nobody reported; ``certainty`` from 0 to 1."""
    data = {"quantity": str(quantity), "position": position, "certainty": round(certainty, 2), "why": why}
    _note(told, VehicleEvent(time=time, kind=EventKind.SERVICE_SUSPECTED, data=data))


def doubt_signal(told: Told, time: datetime, path: str, *, why: str) -> None:
    """Note readings that cannot be right; ``path``: the signal's VSS path."""
    _note(told, VehicleEvent(time=time, kind=EventKind.SIGNAL_DOUBTED, data={"signal": path, "why": why}))


def take_findings(told: Told) -> tuple[VehicleEvent, ...]:
    """The findings that waited, each given once."""
    findings, told.findings = tuple(told.findings), []
    return findings


def _note(told: Told, event: VehicleEvent) -> None:
    told.findings = [*told.findings, event][-_FINDINGS:]
