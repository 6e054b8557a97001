"""Traction battery capacity and state of health, from charges as a car tells them.

Every charge gives windows (charge_observer): charge counted against the change of the gauge's state of charge, against
that of the rested voltage before and after, and against two cell voltages passed on the way. Two estimators pool
them (capacity_pool):

- the recent windows by approximate weighted total least squares (G. L. Plett, J. Power Sources 196 (2011) 2319;
  capacity_awtls): it knows nothing of the past, so it notices another battery, and from it all starts anew;
- all windows by Kalman filters with trend, clipped innovations and the common errors as states (capacity_filter), one
  for each way of fading, weighted by their likelihood (capacity_bank): they are what is reported, as they follow a
  fading cell and their interval holds what no pooling takes away.

State of health is 100 / u. Errors beyond the filter's: the gain of the current sensor, and the gauge of a pack whose
voltage is flat. Without a nominal capacity nothing is estimated: a used car's first charges are not "new", and a share
of them is no state of health.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from health import signals
from health.capacity import bank as capacity_bank
from health.capacity import filter as capacity_filter
from health.capacity.bank import Bank
from health.capacity.charge_observer import ChargeObserver
from health.capacity.charge_window import Doubt
from health.capacity.filter import FilterParameters, Kind
from health.capacity.former import taken_up
from health.capacity.parameters import TractionBatteryParameters
from health.capacity.pool import Change, Pool, Window, started_from
from health.errors import HealthError
from health.estimator import Json
from health.intervals import Z90, ecu_estimate, percent_estimate
from health.persistence import dump, load
from health.told import Told, doubt_signal, is_new, suspect_service, take_findings
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

__all__ = ["METHOD", "TractionBattery", "TractionBatteryParameters"]

METHOD: Final = "traction_battery_capacity/2"
_VERSION: Final = 2
_FLAT_RISE: Final = 0.0009  # of the voltage per SOC point: LFP 0.0003, NMC 0.0018 and more
_FLAT_ERROR: Final = 0.05  # share, standard deviation: what the gauge of a flat pack is off at every charge
_OLD_DAYS: Final = 60.0
_FEW: Final = 10  # charges
_DOUBTED: Final = 2  # windows in a row that make the readings doubtful
_MOST: Final = 120.0  # percent of nominal: packs hold more than is promised, and cut at 100 the interval would lie
_MEASURED_ERROR: Final = 0.02  # share, of a workshop's capacity test
_AGAIN_S: Final = 90 * 86_400.0  # before the same doubt is told again
_DOUBTS: Final[dict[Doubt, tuple[str, str]]] = {
    "stuck": (signals.TRACTION_BATTERY_SOC.path, "stood still while charge flowed"),
    "jump": (signals.TRACTION_BATTERY_SOC.path, "jumped further than the charge that flowed explains"),
    "curve": (signals.TRACTION_BATTERY_VOLTAGE.path, "does not fit chemistry and cells_in_series of the profile"),
    "sign": (signals.TRACTION_BATTERY_CURRENT.path, "ran against the change of the state of charge: sign turned round"),
}


class _State(msgspec.Struct, forbid_unknown_fields=True):
    newest: datetime | None = None
    observer: ChargeObserver = msgspec.field(default_factory=ChargeObserver)
    pool: Pool = msgspec.field(default_factory=Pool)
    charges: int = 0  # that the pool's figure rests on
    since_rests: int = 0  # of them since the last window between two rests
    newest_window: datetime | None = None
    doubted: int = 0  # windows in a row
    refused: int = 0  # doubted windows ever
    doubts_told: dict[Doubt, datetime] = msgspec.field(default_factory=dict)
    told: Told = msgspec.field(default_factory=Told)
    ecu_soh: float | None = None
    ecu_time: datetime | None = None


class TractionBattery:
    """State of health in percent of nominal capacity, ours and, separately, the ECU's."""

    name = "traction_battery"

    def __init__(
        self, parameters: TractionBatteryParameters | None = None, priors: FilterParameters | None = None
    ) -> None:
        self.parameters = parameters or TractionBatteryParameters()
        self._priors = priors or FilterParameters()
        self._state = _State()

    @property
    def charges(self) -> int:
        """How many charges the figure rests on."""
        return self._state.charges

    @property
    def rejected_charges(self) -> int:
        """How many windows were not believed."""
        return self._state.pool.rejected + self._state.refused

    def update(self, sample: Sample) -> None:
        """Count charge while one direction goes on; at its end the window becomes one measurement."""
        state = self._state
        if state.newest is not None and sample.time < state.newest:
            return
        state.newest = sample.time
        soh = self._ecu_soh(sample)
        if soh is not None:
            state.ecu_soh, state.ecu_time = soh, sample.time
        if self.parameters.nominal_capacity_ah is None:
            return
        for ended in state.observer.take(sample, self.parameters.nominal_capacity_ah, self.parameters):
            if isinstance(ended, Window):
                self._take(sample.time, ended)
            else:
                self._doubt(sample.time, ended)

    def _ecu_soh(self, sample: Sample) -> float | None:
        """The ECU's own figure in percent, or its capacity as a share of what it told when new."""
        soh = signals.read(sample, signals.TRACTION_BATTERY_SOH)
        net = signals.read(sample, signals.TRACTION_BATTERY_NET_CAPACITY)
        nominal = self.parameters.nominal_net_capacity_kwh
        return 100 * net / nominal if soh is None and net is not None and nominal is not None else soh

    def _take(self, time: datetime, window: Window) -> None:
        state = self._state
        state.doubted = 0
        if window.kind == "gauge" and window.x >= self.parameters.min_window / 100:
            state.charges += 1
            state.since_rests += 1
        elif window.kind == "rests":
            state.charges += state.since_rests == 0  # else the gauge has counted it before
            state.since_rests = 0
        state.newest_window = time
        change = state.pool.take(time, window, self._priors)
        if change is not None:
            state.charges = change.windows
            if change.after > change.before:
                self._suspect(time, change)

    def _suspect(self, time: datetime, change: Change) -> None:
        """More capacity than before: batteries do not heal."""
        why = f"the capacity rose from {100 * change.before:.0f} to {100 * change.after:.0f} % of nominal"
        suspect_service(
            self._state.told,
            time,
            Quantity.TRACTION_BATTERY_SOH,
            certainty=math.erf(change.deviations / math.sqrt(2)),
            why=f"{why} within {change.windows} charges",
        )

    def _doubt(self, time: datetime, doubt: Doubt) -> None:
        state = self._state
        state.doubted += 1
        state.refused += 1
        before = state.doubts_told.get(doubt)
        if before is None or (time - before).total_seconds() > _AGAIN_S:
            state.doubts_told[doubt] = time
            path, why = _DOUBTS[doubt]
            doubt_signal(state.told, time, path, why=why)

    def reset(self, time: datetime, reason: str) -> None:
        """The battery was replaced: what was learnt of the old one is dropped."""
        require_aware(time, "TractionBattery.reset(time)")
        if not reason.strip():
            raise HealthError("traction_battery: a reset needs a reason, e.g. 'pack replaced, workshop booking'")
        self._state = _State(newest=self._state.newest, told=self._state.told)

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """Ours after ``min_charges`` charges, and the ECU's; the running charge counts once it has ended."""
        state = self._state
        found: list[Estimate] = []
        carried = state.pool.advanced(now, self._priors)
        if state.pool.bank is not None and carried is not None and state.charges >= self.parameters.min_charges:
            found.append(self._estimate(state.pool.bank.mixture()[0], carried, now))
        if state.ecu_soh is not None and state.ecu_time is not None:
            found.append(
                ecu_estimate(
                    time=state.ecu_time,
                    quantity=Quantity.TRACTION_BATTERY_SOH,
                    signal=signals.TRACTION_BATTERY_SOH,
                    value=state.ecu_soh,
                )
            )
        return tuple(found)

    def _estimate(self, u: float, carried: Bank, now: datetime) -> Estimate:
        """``u`` when last seen: what a battery may have lost since widens the interval, it is not foretold here."""
        common = math.hypot(self.parameters.systematic_error, _FLAT_ERROR if self._flat else 0.0)
        later, variance = carried.mixture()
        half = Z90 * math.sqrt(variance + (u * common) ** 2 + (later - u) ** 2)
        return percent_estimate(
            time=now,
            quantity=Quantity.TRACTION_BATTERY_SOH,
            value=100 / u,
            low=100 / (u + half),
            high=100 / max(u - half, 0.5),
            method=METHOD,
            most=_MOST,
            measurements=self._state.charges,
            limited_by=self._limited_by(carried.filters[0].windows, now),
        )

    @property
    def _flat(self) -> bool:
        rise = self._state.observer.voltage_rise
        return self.parameters.chemistry == "lfp" or (rise is not None and rise < _FLAT_RISE)

    def _limited_by(self, windows: dict[Kind, int], now: datetime) -> str:
        state = self._state
        last = state.newest_window
        if self._flat:  # first: whoever reads an estimate leaves one out by this word
            return Limitation.FLAT_VOLTAGE
        if state.doubted >= _DOUBTED:
            return Limitation.DOUBTFUL_READINGS
        if last is not None and (now - last).total_seconds() > _OLD_DAYS * 86_400:
            return Limitation.OLD_MEASUREMENTS
        if state.charges < _FEW:
            return Limitation.FEW_MEASUREMENTS
        return "" if windows.get("rests", 0) >= _FEW else Limitation.STATE_OF_CHARGE

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`. A measured capacity is given in percent of nominal."""
        state = self._state
        if record.quantity is not Quantity.TRACTION_BATTERY_SOH:
            return
        if record.position:
            raise HealthError(f"traction_battery: position {record.position!r}: a car has one; give none")
        measured = _measured(record) if record.action is ServiceAction.MEASURED else None
        if not is_new(state.told, record):
            return
        if record.action is ServiceAction.REPLACED:
            self.reset(record.time, f"{record.by}: {record.reason}")
        elif measured is not None:
            time = state.newest or record.time  # whose clock may be ahead: nothing may wait for it
            started_from(state.pool, time, measured, _MEASURED_ERROR, self._priors)
            state.charges = max(state.charges, self.parameters.min_charges)
            state.newest_window = time
        elif state.pool.bank is not None:  # balanced, or its gauge taught anew
            for one in state.pool.bank.filters:
                capacity_filter.forget_gauge(one, self._priors)

    def findings(self) -> tuple[VehicleEvent, ...]:
        """See :class:`health.estimator.Estimator`."""
        return take_findings(self._state.told)

    def state(self) -> Json:
        """The recursion as JSON values."""
        return dump(self.name, _VERSION, self._state)

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from :meth:`state`; HealthError if it is not one of this estimator."""
        former = {1: lambda fields: taken_up(fields, self.parameters, self._priors)}
        restored = load(self.name, _VERSION, _State, state, former)
        if restored.pool.bank is not None:
            capacity_bank.check(restored.pool.bank, self._priors)
        self._state = restored


def _measured(record: ServiceRecord) -> float:
    """Share of nominal that a capacity test found."""
    value = record.value or 0.0
    if record.unit != "percent" or not 20 <= value <= 120:
        raise HealthError(f"traction_battery: measured {value:g} {record.unit!r}: give percent of nominal, 20 to 120")
    return value / 100
