"""Trouble codes -> events: the difference between two successful reads. Pure; the known set is kept by the agent.

A read that failed is no read: it neither clears nor adds anything. Nothing here asks a car to clear a code.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from datetime import datetime
from types import MappingProxyType
from typing import cast

import msgspec

from edge_agent.sources.base import DtcStatus, TroubleCode
from telemetry.records import EventKind, VehicleEvent

# One code can answer to several services at once (03 confirmed, 07 pending, 0A permanent): the event carries the
# one that says most about the present. A permanent code alone outlives its fault (SAE J1979, service 0A).
_RANK: dict[DtcStatus, int] = {"confirmed": 3, "permanent": 2, "pending": 1}

Known = Mapping[tuple[str, str], TroubleCode]  # (ecu, code) -> as last reported
Frames = Mapping[tuple[str, str], Mapping[str, float]]  # (ecu, code) -> VSS path -> value
_NO_FRAMES: Frames = MappingProxyType({})


def collapse(codes: Iterable[TroubleCode]) -> dict[tuple[str, str], TroubleCode]:
    """One entry per ECU and code, with the status that says most; order of first appearance."""
    found: dict[tuple[str, str], TroubleCode] = {}
    for code in codes:
        key = (code.ecu, code.code)
        if key not in found or _RANK[code.status] > _RANK[found[key].status]:
            found[key] = code
    return found


def known_after(
    known: Known, read: Iterable[TroubleCode], ecus_read: AbstractSet[str] | None
) -> dict[tuple[str, str], TroubleCode]:
    """What is known after a read: of an ECU read in part a code may appear or gain status, and none is gone."""
    kept = [code for code in known.values() if ecus_read is not None and code.ecu not in ecus_read]
    return collapse((*kept, *read))


def difference(known: Known, read: Known, moment: datetime, frames: Frames = _NO_FRAMES) -> tuple[VehicleEvent, ...]:
    """What appeared, changed its status or lamp, or was cleared between two successful reads.

    ``frames``: the freeze frames read with them; an event carries that of its code.
    """
    events = [
        _event(EventKind.DTC_APPEARED if key not in known else EventKind.DTC_CHANGED, code, moment, frames.get(key))
        for key, code in read.items()
        if known.get(key) != code
    ]
    events += [_event(EventKind.DTC_CLEARED, code, moment) for key, code in known.items() if key not in read]
    return tuple(events)


def to_json(known: Known) -> list[dict[str, object]]:
    """The known set as JSON values."""
    return [asdict(code) for code in known.values()]


def from_json(entries: object) -> dict[tuple[str, str], TroubleCode]:
    """The known set from JSON values; msgspec.ValidationError if they are none."""
    return collapse(msgspec.convert(cast("Sequence[object]", entries), list[TroubleCode]))


def _event(
    kind: EventKind, code: TroubleCode, moment: datetime, frame: Mapping[str, float] | None = None
) -> VehicleEvent:
    data: dict[str, object] = {"code": code.code, "ecu": code.ecu, "status": code.status}
    if code.warning_lamp is not None:
        data["mil"] = code.warning_lamp
    if frame:
        data["freeze_frame"] = dict(frame)
    return VehicleEvent(time=moment, kind=kind, data=data)
