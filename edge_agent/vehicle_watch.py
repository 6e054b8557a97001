"""Successive readings -> events: identification, trouble codes, trips. Pure; its state survives restarts as JSON."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from edge_agent import trouble_codes
from edge_agent.sources.base import Reading, TroubleCode
from telemetry.records import EventKind, VehicleEvent

ENGINE_SPEED: Final = "Vehicle.Powertrain.CombustionEngine.Speed"
SPEED: Final = "Vehicle.Speed"
RUNNING_RPM: Final = 300.0  # below idle (600 and more), above what a starter turns (200 to 250)
MOVING_KMH: Final = 3.0  # above the noise of wheel speed sensors; an electric car makes a trip without engine speed


class _Trip(msgspec.Struct, frozen=True, kw_only=True):
    started: datetime
    last_active: datetime


class _State(msgspec.Struct, frozen=True, kw_only=True):
    vin: str | None = None
    codes: list[dict[str, object]] = []
    trip: _Trip | None = None


class VehicleWatch:
    """What is known of the car, and what changed with a reading."""

    def __init__(self, *, trip_gap_seconds: float, state: object = None) -> None:
        """``state``: what :meth:`state` gave before; msgspec.ValidationError if it is something else."""
        self._gap = timedelta(seconds=trip_gap_seconds)
        before = _State() if state is None else msgspec.convert(state, _State)
        self._vin = before.vin
        self._identified = False  # in this boot
        self._codes: dict[tuple[str, str], TroubleCode] = trouble_codes.from_json(before.codes)
        self._trip = before.trip

    def observe(self, reading: Reading, moment: datetime) -> tuple[VehicleEvent, ...]:
        """Events of a reading taken at ``moment``."""
        return (
            *self._identify(reading, moment),
            *self._diagnose(reading, moment),
            *self._travel(reading.values, moment),
        )

    def expire(self, moment: datetime) -> tuple[VehicleEvent, ...]:
        """The end of a trip of which nothing more was heard for the gap, dated at its last sign."""
        if self._trip is None or moment - self._trip.last_active < self._gap:
            return ()
        return self.finish()

    def finish(self) -> tuple[VehicleEvent, ...]:
        """The end of a running trip, because a recording is over."""
        if self._trip is None:
            return ()
        trip, self._trip = self._trip, None
        data: dict[str, object] = {
            "started": trip.started.isoformat(),
            "duration_s": (trip.last_active - trip.started).total_seconds(),
        }
        return (VehicleEvent(time=trip.last_active, kind=EventKind.TRIP_ENDED, data=data),)

    def heard(self, values: Mapping[str, float], moment: datetime) -> None:
        """A sample that :meth:`observe` saw in a former run: the trip goes on, and its events were told then."""
        if self._trip is not None and _active(values):
            self._trip = _Trip(started=self._trip.started, last_active=max(moment, self._trip.last_active))

    def put_right(self, moved: Callable[[datetime], datetime]) -> None:
        """The clock was put right: the running trip gets the times it should have had."""
        if self._trip is not None:
            self._trip = _Trip(started=moved(self._trip.started), last_active=moved(self._trip.last_active))

    def state(self) -> object:
        """All that is needed to go on after a restart, as JSON values."""
        state = _State(vin=self._vin, codes=trouble_codes.to_json(self._codes), trip=self._trip)
        return msgspec.to_builtins(state)

    def _identify(self, reading: Reading, moment: datetime) -> tuple[VehicleEvent, ...]:
        vin, identified = reading.vin, reading.identified
        if identified is None and (vin is None or (self._identified and vin == self._vin)):
            return ()
        events: tuple[VehicleEvent, ...] = ()
        data: dict[str, object] = {}
        if vin is not None:
            if self._vin not in {None, vin}:  # another car: what the former one stored is not cleared, it is elsewhere
                self._codes = {}
                events = self.finish()
            self._identified, self._vin = True, vin
            data["vin"] = vin
        if identified is not None:
            data |= {
                "profile": identified.profile,
                "certainty": identified.certainty,
                "reasons": list(identified.reasons),
            }
        return (*events, VehicleEvent(time=moment, kind=EventKind.VEHICLE_IDENTIFIED, data=data))

    def _diagnose(self, reading: Reading, moment: datetime) -> tuple[VehicleEvent, ...]:
        if reading.trouble_codes is None:  # not read, or the read failed: it says nothing
            return ()
        now = trouble_codes.known_after(self._codes, reading.trouble_codes, reading.ecus_read)
        events = trouble_codes.difference(self._codes, now, moment, reading.freeze_frames)
        self._codes = now
        return events

    def _travel(self, values: Mapping[str, float], moment: datetime) -> tuple[VehicleEvent, ...]:
        events = self.expire(moment)
        if not _active(values):
            return events
        if self._trip is None:
            self._trip = _Trip(started=moment, last_active=moment)
            return (*events, VehicleEvent(time=moment, kind=EventKind.TRIP_STARTED))
        self._trip = _Trip(started=self._trip.started, last_active=max(moment, self._trip.last_active))
        return events


def _active(values: Mapping[str, float]) -> bool:
    return values.get(ENGINE_SPEED, 0.0) > RUNNING_RPM or values.get(SPEED, 0.0) > MOVING_KMH
