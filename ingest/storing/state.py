"""Latest state of a vehicle, and how what arrives changes it. Pure: no database, no clock.

Batches arrive late and in any order (a backlog is uploaded while the car drives on). So the newest *sample* wins per
signal, not the newest message, and merging in any order gives the same state. One thing may differ: when a code's
clearing arrives after later sightings of it, its new episode is dated from the last of these, not the first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import cast
from uuid import UUID

import msgspec

from ingest.decoding.columns import ColumnarBatch
from ingest.decoding.decode import Readings
from telemetry.catalogue import catalogue
from telemetry.records import EventKind, EventsBatch, ReadingsBatch, Sample, Source, VehicleEvent
from telemetry.trace import trace_id


class SignalState(msgspec.Struct, frozen=True, kw_only=True):  # a dataclass takes five times as long to make
    """Newest value of a signal, in the catalogue's unit (boolean signals: 0 or 1)."""

    value: float
    time: datetime


@dataclass(frozen=True, kw_only=True)
class EstimateState:
    """Newest estimate of a quantity, with its 90 % interval in the quantity's unit."""

    quantity: str  # telemetry.records.Quantity
    position: str  # "" for the whole car, or a wheel, "Row1.Left"
    value: float
    low: float
    high: float
    source: Source
    method: str
    time: datetime
    measurements: int | None = None
    limited_by: str = ""  # telemetry.records.Limitation


@dataclass(frozen=True, kw_only=True)
class TroubleCode:
    """A trouble code present now, per control unit that reports it."""

    code: str  # SAE J2012, "P0301"
    ecu: str
    status: str  # pending, confirmed, permanent
    mil: bool
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, kw_only=True)
class VehicleState:
    """Latest state of a vehicle; ``version`` rises with each change and is 0 before the first."""

    vehicle_id: UUID
    version: int = 0
    last_sample_at: datetime | None = None
    changed_at: datetime | None = None
    trace: str | None = None  # of the batch that changed it last (telemetry.trace)
    signals: Mapping[str, SignalState] = field(default_factory=dict)  # by column of the catalogue
    estimates: Mapping[str, EstimateState] = field(default_factory=dict)  # by :func:`estimate_key`
    trouble_codes: tuple[TroubleCode, ...] = ()  # by code, then control unit
    # When a code was last cleared, by "P0301@7E8": a message that comes late does not bring it back.
    cleared_codes: Mapping[str, datetime] = field(default_factory=dict)

    def value(self, column: str) -> float | None:
        """Newest value of a column, or None if the car never said it."""
        found = self.signals.get(column)
        return None if found is None else found.value


def estimate_key(quantity: str, position: str, source: Source) -> str:
    """``oil_life/ecu``, ``pad_wear@Row1.Left/estimated``: what the car says and what we estimate stand side by side."""
    return f"{quantity}@{position}/{source}" if position else f"{quantity}/{source}"


def merge(state: VehicleState, batches: Iterable[Readings | EventsBatch], now: datetime) -> VehicleState:
    """State after these batches: the same object if they bring nothing newer, else of the next version."""
    merged = state
    for are_events, group in groupby(batches, lambda batch: isinstance(batch, EventsBatch)):
        if are_events:
            for batch in group:
                merged = _merge_events(merged, cast("EventsBatch", batch))
        else:
            merged = _merge_readings(merged, cast("Iterable[Readings]", group))
    if merged is state:
        return state
    return replace(merged, version=state.version + 1, changed_at=now)


def _merge_readings(state: VehicleState, batches: Iterable[Readings]) -> VehicleState:
    newest = _Newest(state)
    estimates: dict[str, EstimateState] = {}
    changed_by: Readings | None = None
    for batch in batches:
        newer = newest.add(batch.newest() if isinstance(batch, ColumnarBatch) else _newest(batch))
        if _add_estimates(estimates, state, batch) or newer:
            changed_by = batch
    if changed_by is None:
        return state
    signals = newest.states()
    return replace(
        state,
        trace=trace_id(changed_by.key),
        last_sample_at=newest.last_at,
        # What nothing is added to stays the same object: it need not be written.
        signals={**state.signals, **signals} if signals else state.signals,
        estimates={**state.estimates, **estimates} if estimates else state.estimates,
    )


class _Newest:
    """Newest value of each signal that batches bring beyond what the state knows."""

    def __init__(self, state: VehicleState) -> None:
        self._known = state.signals
        self._found: dict[str, tuple[float, datetime]] = {}
        self.last_at = state.last_sample_at  # nothing known is newer

    def add(self, newest: Mapping[str, tuple[float, datetime]]) -> bool:
        """Take what is newer; whether there is any. ``newest``: value and time by column."""
        times = {time for _, time in newest.values()}
        if not times:
            return False
        if self.last_at is None or min(times) > self.last_at:  # nearly always: the present, in order
            self._found.update(newest)
        else:
            newest = {column: entry for column, entry in newest.items() if self._is_newer(column, entry[1])}
            if not newest:
                return False
            self._found.update(newest)
            times = {time for _, time in newest.values()}
        self.last_at = max(times) if self.last_at is None else max(self.last_at, *times)
        return True

    def _is_newer(self, column: str, time: datetime) -> bool:
        if column in self._found:
            return time > self._found[column][1]
        return column not in self._known or time > self._known[column].time

    def states(self) -> dict[str, SignalState]:
        """What was taken, by column."""
        return {column: SignalState(value=value, time=time) for column, (value, time) in self._found.items()}


def _add_estimates(estimates: dict[str, EstimateState], state: VehicleState, batch: Readings) -> bool:
    """Add those estimates of the batch that are newer than what is there or in the state; whether there is any.

    Of two of a batch with the same time the latter counts, as of its samples.
    """
    added = False
    newest = {
        estimate_key(estimate.quantity, estimate.position, estimate.source): estimate
        for estimate in sorted(batch.estimates, key=lambda entry: entry.time)
    }
    for key, estimate in newest.items():
        held = estimates.get(key) or state.estimates.get(key)
        if held is None or estimate.time > held.time:
            added = True
            estimates[key] = EstimateState(
                quantity=str(estimate.quantity),
                position=estimate.position,
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
                source=estimate.source,
                method=estimate.method,
                measurements=estimate.measurements,
                limited_by=estimate.limited_by,
                time=estimate.time,
            )
    return added


def _newest(batch: ReadingsBatch) -> dict[str, tuple[float, datetime]]:
    """Newest value of each column and its time."""
    newest: dict[str, Sample] = {}
    for sample in sorted(batch.samples, key=lambda entry: entry.time):
        newest.update(dict.fromkeys(sample.values, sample))
    return {catalogue().by_path(path).column: (sample.values[path], sample.time) for path, sample in newest.items()}


def _merge_events(state: VehicleState, batch: EventsBatch) -> VehicleState:
    codes = {code_key(entry.code, entry.ecu): entry for entry in state.trouble_codes}
    cleared = dict(state.cleared_codes)
    for event in sorted(batch.events, key=lambda entry: entry.time):
        if event.kind in {EventKind.DTC_APPEARED, EventKind.DTC_CHANGED}:
            _appear(codes, cleared, event)
        elif event.kind is EventKind.DTC_CLEARED:
            _clear(codes, cleared, event)
    present = tuple(codes[key] for key in sorted(codes))
    if present == state.trouble_codes and cleared == state.cleared_codes:
        return state
    return replace(state, trace=trace_id(batch.key), trouble_codes=present, cleared_codes=cleared)


def code_key(code: str, ecu: str) -> str:
    """Two control units can report one code: each has its own entry."""
    return f"{code}@{ecu}" if ecu else code


def _appear(codes: dict[str, TroubleCode], cleared: Mapping[str, datetime], event: VehicleEvent) -> None:
    code, ecu = str(event.data["code"]), str(event.data.get("ecu", ""))
    key = code_key(code, ecu)
    if key in cleared and event.time <= cleared[key]:
        return
    known = codes.get(key)
    first_seen = event.time if known is None else min(known.first_seen, event.time)
    if known is None or event.time >= known.last_seen:
        codes[key] = TroubleCode(
            code=code,
            ecu=ecu,
            status=str(event.data["status"]),
            mil=bool(event.data.get("mil", False)),
            first_seen=first_seen,
            last_seen=event.time,
        )
    else:
        codes[key] = replace(known, first_seen=first_seen)


def _clear(codes: dict[str, TroubleCode], cleared: dict[str, datetime], event: VehicleEvent) -> None:
    key = code_key(str(event.data["code"]), str(event.data.get("ecu", "")))
    cleared[key] = max(cleared.get(key, event.time), event.time)
    known = codes.get(key)
    if known is None or known.first_seen > event.time:
        return
    if known.last_seen <= event.time:
        del codes[key]
    else:
        # Seen again after it was cleared, and that message came first: a new episode.
        codes[key] = replace(known, first_seen=known.last_seen)
