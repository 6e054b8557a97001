"""Brake pad wear from friction energy, for a car of which only the speed need be known.

Archard's wear law in energy form: worn volume = k * friction energy, k = 25 to 125 mm3/MJ for resin-bonded pads on grey
cast iron. Wear is linear in friction energy (R2 = 0.97 on a car measured 18 times in 6,000 km: Jensen and Santos,
DINAME 2023, DIN2023-0103); what differs from car to car is the factor, and that is learned from each thickness a
workshop measures::

    wear per wheel = k * share of axle / 2 * E_friction / usable pad volume of the wheel

``friction_energy`` has the energy balance and what heat does, ``pad_driving`` how it is summed over samples,
``pad_calibration`` the Bayesian update, ``pad_axle`` what is kept of measurements.

Where samples are more than ``max_step_s`` apart, or the odometer shows driving nobody sampled, the loss of speed
cannot be seen. That distance is charged at the friction energy per km seen so far, drawn to a prior while little was
seen, and the interval grows by ``unseen_error`` of that energy. The estimate's method ends in "+unseen" while more than
half of the energy is of that kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, cast

import msgspec

from health import signals
from health.checks import require_between
from health.errors import HealthError
from health.estimator import Json
from health.intervals import ecu_estimate, percent_estimate
from health.pads import axle as pad_axle
from health.pads.axle import SIDES, Axle, Measurement, Side
from health.pads.calibration import Stretch
from health.pads.driving import Brake, Driving
from health.pads.parameters import ROWS, BrakePadsParameters, Row
from health.persistence import dump, load
from health.told import Told, is_new, suspect_service, take_findings
from telemetry.records import (
    Estimate,
    Limitation,
    Quantity,
    Sample,
    ServiceAction,
    ServiceRecord,
    VehicleEvent,
    require_aware,
)

__all__ = ["METHOD", "BrakePads", "BrakePadsParameters", "PadDistance"]

METHOD: Final = "brake_pads_energy/2"
_VERSION: Final = 2
_FURTHEST_KM: Final = 300_000.0  # no pad's distance is told beyond a car's life
_ECU_FELL: Final = 20.0  # percent the ECU's wear goes back by when pads are changed
_ECU_NEW: Final = 20.0  # percent: what it then says at most
_ECU_CERTAIN: Final = 0.9  # that pads are new if it says so twice; otherwise a control unit may have been reset
_OLD: Final = 0.5  # share of the present wear since the last measurement, from which on that is old
_THICKER_MM: Final = 4.0  # above a new pad: other pads than the profile knows, above this a backing plate measured too


@dataclass(frozen=True, kw_only=True)
class PadDistance:
    """How far a wheel's pads last at the driving of the last thousands of km: median and 90 % interval, km."""

    position: str  # wheel, as "Row1.Left"
    value_km: float
    low_km: float
    high_km: float


class _Ecu(msgspec.Struct, array_like=True):
    """A wheel's wear as the car tells it."""

    time: datetime
    wear: float  # percent
    before_fall: float | None = None  # percent: what it said before it went back


class _State(msgspec.Struct, forbid_unknown_fields=True):
    row1: Axle
    row2: Axle
    driving: Driving
    told: Told = msgspec.field(default_factory=Told)
    newest: datetime | None = None
    ecu: dict[str, _Ecu] = {}  # by wheel


class BrakePads:
    """Pad wear in percent worn per wheel, ours for both axles and the ECU's where it reports it.

    Where the wear at the start is unknown and nothing was measured the value counts from new pads (the least it can
    be) and the interval reaches 90 points above, or nine tenths of what a young car's pads can have lost.
    """

    name = "brake_pads"

    def __init__(self, parameters: BrakePadsParameters | None = None) -> None:
        self.parameters = parameters or BrakePadsParameters()
        self._state = _State(
            row1=Axle(start=self.parameters.wear_at_start_row1),
            row2=Axle(start=self.parameters.wear_at_start_row2),
            driving=Driving(row1=Brake(), row2=Brake()),
        )

    def update(self, sample: Sample) -> None:
        """Take the speed lost since the last sample into the energy balance; keep the ECU's figures."""
        state = self._state
        if state.newest is not None and sample.time < state.newest:
            return
        state.newest = sample.time
        for wheel, signal in signals.PAD_WEAR.items():
            wear = signals.read(sample, signal)
            if wear is not None:
                self._take_ecu(sample.time, wheel, wear)
        state.driving.update(self.parameters, state.told, sample)

    def _take_ecu(self, time: datetime, wheel: str, wear: float) -> None:
        """Pads do not grow: an ECU that goes back, and stays there, has new ones."""
        state = self._state
        last = state.ecu.get(wheel)
        fell = last is not None and last.wear - wear >= _ECU_FELL
        known = state.ecu[wheel] = _Ecu(time, wear, last.wear if last is not None and fell else None)
        if last is None or last.before_fall is None or last.before_fall - wear < _ECU_FELL:
            return
        known.before_fall = None
        row = _row(wheel)
        axle = self._axle(row)
        if axle.suspected is not None:
            return
        axle.certainty = _ECU_CERTAIN if wear <= _ECU_NEW else 0.5
        axle.suspected = state.driving.mark(row)
        why = f"the car told {last.before_fall:.0f} % worn at {wheel} and now tells {wear:.0f} %"
        suspect_service(state.told, time, Quantity.PAD_WEAR, position=row, certainty=axle.certainty, why=why)

    def _axle(self, row: Row) -> Axle:
        return self._state.row1 if row == "Row1" else self._state.row2

    def _put(self, row: Row, axle: Axle) -> None:
        if row == "Row1":
            self._state.row1 = axle
        else:
            self._state.row2 = axle

    def reset(self, time: datetime, reason: str, row: Row | None = None, wear: float = 0.0) -> None:
        """Pads of an axle (both if None) were changed for others, ``wear`` percent worn.

        Older than that axle's last reset: ignored.
        """
        require_aware(time, "BrakePads.reset(time)")
        require_between(0, 100, wear=wear)
        if not reason.strip():
            raise HealthError("brake_pads: a reset needs a reason, e.g. 'front pads changed, workshop booking'")
        state, time = self._state, self._not_ahead(time)
        for name in ROWS if row is None else (row,):
            axle = self._axle(name)
            if axle.since is not None and time < axle.since:
                continue
            mark = pad_axle.mark_at(state.driving, name, axle, time, state.newest)
            fresh = pad_axle.replaced(self.parameters, state.driving, name, axle, time=time, reason=reason, mark=mark)
            fresh.start = wear
            self._put(name, fresh)
            for wheel in [wheel for wheel, said in state.ecu.items() if _row(wheel) == name and said.time <= time]:
                del state.ecu[wheel]

    def _not_ahead(self, time: datetime) -> datetime:
        """The moment of a report, the newest sample's where its clock is ahead: it would bar all that come after."""
        return time if self._state.newest is None else min(time, self._state.newest)

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`. Measured: lining left in mm, or percent worn."""
        if record.quantity is not Quantity.PAD_WEAR:
            return
        rows, side = _place(record.position)
        worn = {row: self._worn(row, record) for row in rows}
        if not is_new(self._state.told, record):
            return
        for row in rows:
            if record.action is ServiceAction.REPLACED:
                self.reset(record.time, f"{record.by}: {record.reason}", row)
            elif record.action is ServiceAction.MEASURED:
                self._measured(row, side, worn[row], record)
            else:
                self._put(row, pad_axle.adjusted(self.parameters, self._state.driving, row, self._axle(row)))

    def _worn(self, row: Row, record: ServiceRecord) -> float:
        """Percent worn that a record's value means; 0 where it measured nothing."""
        if record.value is None:
            return 0.0
        if record.unit == "percent":
            if not 0 <= record.value <= 150:
                raise HealthError(f"brake_pads: {record.value:g} % worn; give 0 (new) to 150 (100: at the minimum)")
            return record.value
        if record.unit != "mm":
            raise HealthError(f"brake_pads: a thickness in {record.unit!r}; give 'mm' of lining left or 'percent' worn")
        new = self.parameters.pad_new_mm(row)
        if not 0 <= record.value <= new + _THICKER_MM:
            raise HealthError(
                f"brake_pads: {record.value:g} mm of lining where new pads have {new:g}; measure without the backing "
                f"plate, or set health.brake_pads.pad_new_mm_{row.lower()}"
            )
        return max(0.0, 100 * (new - record.value) / self.parameters.usable_mm(row))

    def _measured(self, row: Row, side: Side, worn: float, record: ServiceRecord) -> None:
        state, axle, time = self._state, self._axle(row), self._not_ahead(record.time)
        if axle.since is not None and time < axle.since:
            return
        mark = pad_axle.mark_at(state.driving, row, axle, time, state.newest)
        error = 100 * self.parameters.gauge_error_mm / self.parameters.usable_mm(row)
        new = Measurement(time, side, worn, error, mark)
        reason = f"{record.by}: {record.reason}"
        fresh, changed = pad_axle.with_measurement(self.parameters, state.driving, row, axle, new, reason)
        self._put(row, fresh)
        if changed >= pad_axle.CHANGED:
            why = f"{worn:.0f} % worn was measured, less than these pads can have"
            suspect_service(state.told, time, Quantity.PAD_WEAR, position=row, certainty=changed, why=why)

    def energy_mj_per_km(self) -> float:
        """Friction energy per km, of the driving seen so far and the prior."""
        return self._state.driving.energy_mj_per_km(self.parameters)

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """Four wheels of ours once the car was seen driving; each wheel the ECU reports beside it."""
        state = self._state
        found = []
        if state.driving.last is not None:
            for row in ROWS:
                left = self._wheel(now, row, "Left")
                found.append(left)
                alike = all(one.side == "" for one in self._axle(row).measured)
                found.append(replace(left, position=f"{row}.Right") if alike else self._wheel(now, row, "Right"))
        for wheel, said in state.ecu.items():
            found.append(
                ecu_estimate(
                    time=said.time,
                    quantity=Quantity.PAD_WEAR,
                    signal=signals.PAD_WEAR[wheel],
                    value=said.wear,
                    position=wheel,
                )
            )
        return tuple(found)

    def _wheel(self, now: datetime, row: Row, side: Side) -> Estimate:
        axle, driving = self._axle(row), self._state.driving
        since = pad_axle.since_measured(self.parameters, driving, row, axle)
        wear = pad_axle.learned(self.parameters, driving, row, axle, side).after(since)
        value, low, high = wear.median(), wear.quantile(0.05), wear.quantile(0.95)
        if not axle.measured:
            low = max(low, axle.start or 0.0)
            high += 0.9 * pad_axle.start_span(self.parameters, driving, row, axle) if axle.start is None else 0.0
        if axle.suspected is not None:
            fresh = pad_axle.stretch(
                self.parameters, driving, row, axle.suspected, pad_axle.now_mark(self.parameters, driving, row)
            )
            low = min(low, fresh.wear)
        return percent_estimate(
            time=now,
            quantity=Quantity.PAD_WEAR,
            position=f"{row}.{side}",
            value=value,
            low=low,
            high=high,
            method=METHOD + ("+unseen" if self._mostly_unseen(row, axle) else ""),
            measurements=len(axle.measured),
            limited_by=self._limited_by(row, axle, since, value),
        )

    def _mostly_unseen(self, row: Row, axle: Axle) -> bool:
        mark = pad_axle.now_mark(self.parameters, self._state.driving, row)
        per_km = self.parameters.share(row) * self.energy_mj_per_km() * 1e6
        return (mark.unseen_km - axle.at.unseen_km) * per_km > mark.worn_j - axle.at.worn_j

    def _limited_by(self, row: Row, axle: Axle, since: Stretch, worn: float) -> str:
        """What stands out, the gravest first."""
        driving = self._state.driving
        mark = driving.mark(row)
        if axle.suspected is not None or (axle.start is None and not axle.measured):
            return Limitation.START_UNKNOWN
        if driving.stuck:
            return Limitation.DOUBTFUL_READINGS
        if self._mostly_unseen(row, axle):
            return Limitation.UNSEEN_DRIVING
        if not axle.measured and axle.known is None:
            return Limitation.NOT_CALIBRATED
        if mark.slow_j - axle.at.slow_j > (mark.worn_j - axle.at.worn_j) / 2 > 0:
            return Limitation.SLOW_SAMPLING
        if since.wear > _OLD * worn:
            return Limitation.OLD_MEASUREMENTS
        return Limitation.FEW_MEASUREMENTS if len(axle.measured) < 2 else ""

    def remaining_distance(self, now: datetime) -> tuple[PadDistance, ...]:
        """How far each wheel's pads last; none for an axle nobody knows the wear of."""
        require_aware(now, "BrakePads.remaining_distance(now)")
        if self._state.driving.last is None:
            return ()
        return tuple(
            self._distance(row, side)
            for row in ROWS
            if self._axle(row).start is not None or self._axle(row).measured
            for side in SIDES
        )

    def _distance(self, row: Row, side: Side) -> PadDistance:
        axle, driving = self._axle(row), self._state.driving
        wear = pad_axle.learned(self.parameters, driving, row, axle, side)
        wear = wear.after(pad_axle.since_measured(self.parameters, driving, row, axle))
        per_km = pad_axle.percent_per_km(self.parameters, driving, row)
        error = driving.rate_error(self.parameters.mix_error)
        low, value, high = (
            wear.distance_km(share, per_km=per_km, rate_error=error, furthest_km=_FURTHEST_KM)
            for share in (0.05, 0.5, 0.95)
        )
        return PadDistance(position=f"{row}.{side}", value_km=value, low_km=low, high_km=high)

    def findings(self) -> tuple[VehicleEvent, ...]:
        """See :class:`health.estimator.Estimator`."""
        return take_findings(self._state.told)

    def state(self) -> Json:
        """The recursion as JSON values."""
        return dump(self.name, _VERSION, self._state)

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from :meth:`state`; HealthError if it is not one of this estimator."""
        self._state = load(self.name, _VERSION, _State, state, {1: self._from_first})

    def _from_first(self, fields: Json) -> Json:
        """Version 1 kept the car's energy as a whole, and no measurements."""
        for name in ("episode_j", "episode_at_drop_j", "constant_s"):  # of a deceleration: some seconds
            fields.pop(name, None)
        seen_j, unseen_km = cast("float", fields.pop("seen_j")), cast("float", fields.pop("unseen_km"))
        rows = {"row1": "Row1", "row2": "Row2"}
        made: Json = {"newest": fields.get("newest")}
        driving: Json = {
            "first": None,
            "seen_j": seen_j,
            "recent_j": seen_j,
            "recent_km": fields.get("seen_km", 0.0),
            "unseen_km": unseen_km,
        }
        for key, row in rows.items():
            share = self.parameters.share(cast("Row", row))
            axle = cast("Json", fields.pop(key))
            made[key] = {
                "start": axle["start"],
                "at": [share * cast("float", axle["seen_j"]), 0.0, axle["unseen_km"], 0.0],
                "since": axle["changed"],
                "reason": axle["reason"],
            }
            driving[key] = {"worn_j": share * seen_j}
        made["ecu"] = {wheel: list(said) for wheel, said in cast("dict[str, list[object]]", fields.pop("ecu")).items()}
        fields.pop("newest", None)
        made["driving"] = driving | fields
        return made


def _row(wheel: str) -> Row:
    return "Row1" if wheel.startswith("Row1") else "Row2"


def _place(position: str) -> tuple[tuple[Row, ...], Side]:
    """Axles and side of a record; HealthError for what is none."""
    if position == "":
        return ROWS, ""
    if position in ROWS:
        return (_row(position),), ""
    if position in signals.WHEELS:
        row, side = position.split(".")
        return (_row(row),), cast("Side", side)
    raise HealthError(f"brake_pads: no pads at {position!r}; give an axle as 'Row1' or a wheel as 'Row1.Left'")
