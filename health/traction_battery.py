"""Traction battery capacity and state of health: charge counted between two states of charge, pooled over charges.

Source: G. L. Plett, Recursive approximate weighted total least squares estimation of battery cell total capacity,
Journal of Power Sources 196 (2011) 2319, the total least squares with proportional uncertainties and fading memory,
which has an exact recursion. Each charge gives x = change of SOC (share) with error sigma_x and y = charge (Ah) with
sigma_y; both are noisy, so y/x or ordinary least squares would be biased.

    c1 = sum x^2, c2 = sum x y, c3 = sum y^2, each times g^days before adding        k = sigma_x / sigma_y
    Q  = (k^2 c3 - c1 + sqrt((k^2 c3 - c1)^2 + 4 k^2 c2^2)) / (2 k^2 c2)               Ah
    var(Q) = (Q^2 sigma_x^2 + sigma_y^2) / c1  +  (systematic_error Q)^2

The second term of the variance is ours: SOC gauges and current sensors err in the same sense at each charge, which
no pooling takes away.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from health import signals
from health.checks import require_between, require_positive
from health.errors import HealthError
from health.estimator import Json
from health.intervals import Z90, ecu_estimate, percent_estimate
from health.persistence import dump, load
from telemetry.records import Estimate, Quantity, Sample, ServiceRecord, VehicleEvent, require_aware

METHOD: Final = "traction_battery_tls/1"
_VERSION: Final = 1
_DAY_S: Final = 86_400.0
_OUTLIER: Final = 0.25  # a charge whose capacity is further off is not believed; the third in a row starts anew


@dataclass(frozen=True, kw_only=True)
class TractionBatteryParameters:
    """Per battery. Without ``nominal_capacity_ah`` only the ECU's own figure is passed on.

    Some ECUs tell in its place what the aged pack holds; ``nominal_net_capacity_kwh`` makes a share of that.
    """

    nominal_capacity_ah: float | None = None  # of the whole pack when new, by the definition SOH refers to
    nominal_net_capacity_kwh: float | None = None  # what the ECU tells of the pack when new
    min_window: float = 20.0  # SOC points a charge must span to count
    min_charges: int = 3  # before anything is said
    soc_error: float = 2.8  # SOC points, standard deviation of one reading (300 EVs in daily use)
    charge_error: float = 0.005  # share of the nominal capacity, standard deviation of one counting
    systematic_error: float = 0.02  # share of the capacity, standard deviation common to all charges
    memory_days: float = 60.0  # a charge this old weighs 1/e: fading is followed with about this lag
    max_gap_s: float = 120.0  # samples further apart end the counting
    discharges: bool = False  # also count while driving: only where current is sampled well above 1 Hz

    def __post_init__(self) -> None:
        if self.nominal_capacity_ah is not None:
            require_positive(nominal_capacity_ah=self.nominal_capacity_ah)
        if self.nominal_net_capacity_kwh is not None:
            require_positive(nominal_net_capacity_kwh=self.nominal_net_capacity_kwh)
        require_positive(
            min_charges=self.min_charges,
            soc_error=self.soc_error,
            charge_error=self.charge_error,
            memory_days=self.memory_days,
            max_gap_s=self.max_gap_s,
        )
        require_between(5, 100, min_window=self.min_window)
        require_between(0, 0.5, systematic_error=self.systematic_error)


class _State(msgspec.Struct, forbid_unknown_fields=True):
    newest: datetime | None = None
    last: datetime | None = None  # newest sample with a current
    current: float = 0.0  # A at ``last``
    charging: bool = False
    start_soc: float | None = None  # percent, where the counting began
    soc: float | None = None  # percent, newest within the counting
    counted_ah: float = 0.0  # since ``start_soc``, positive into the battery
    counted_at_soc_ah: float = 0.0  # the same when ``soc`` was read
    c1: float = 0.0
    c2: float = 0.0
    c3: float = 0.0
    weighted_at: datetime | None = None  # to which the fading memory is carried
    charges: int = 0
    doubted: int = 0  # outliers in a row
    rejected: int = 0  # outliers ever
    ecu_soh: float | None = None
    ecu_time: datetime | None = None


class TractionBattery:
    """State of health in percent of nominal capacity, ours and, separately, the ECU's."""

    name = "traction_battery"

    def __init__(self, parameters: TractionBatteryParameters | None = None) -> None:
        self.parameters = parameters or TractionBatteryParameters()
        self._state = _State()

    @property
    def charges(self) -> int:
        """How many charges the figure rests on."""
        return self._state.charges

    @property
    def rejected_charges(self) -> int:
        """How many were not believed."""
        return self._state.rejected

    def update(self, sample: Sample) -> None:
        """Count charge while one direction goes on; at its end the window becomes one measurement."""
        state = self._state
        if state.newest is not None and sample.time < state.newest:
            return
        state.newest = sample.time
        soh = self._ecu_soh(sample)
        if soh is not None:
            state.ecu_soh, state.ecu_time = soh, sample.time
        current = signals.read(sample, signals.TRACTION_BATTERY_CURRENT)
        if current is None:
            return
        plugged = signals.read(sample, signals.TRACTION_BATTERY_CHARGING)
        charging = plugged == 1 if plugged is not None else current > 0 and not self._moving(sample)
        elapsed_s = (sample.time - state.last).total_seconds() if state.last is not None else math.inf
        if elapsed_s > self.parameters.max_gap_s or charging != state.charging:
            self._end_window()
            state.charging = charging
        elif state.start_soc is not None:
            state.counted_ah += (state.current + current) / 2 * elapsed_s / 3600
        state.last, state.current = sample.time, current
        soc = signals.read(sample, signals.TRACTION_BATTERY_SOC)
        if soc is not None and (charging or self.parameters.discharges):
            if state.start_soc is None:
                state.start_soc, state.counted_ah = soc, 0.0
            state.soc, state.counted_at_soc_ah = soc, state.counted_ah

    def _ecu_soh(self, sample: Sample) -> float | None:
        """The ECU's own figure in percent, or its capacity as a share of what it told when new."""
        soh = signals.read(sample, signals.TRACTION_BATTERY_SOH)
        net = signals.read(sample, signals.TRACTION_BATTERY_NET_CAPACITY)
        nominal = self.parameters.nominal_net_capacity_kwh
        return 100 * net / nominal if soh is None and net is not None and nominal is not None else soh

    @staticmethod
    def _moving(sample: Sample) -> bool:
        return (signals.read(sample, signals.SPEED) or 0.0) > 0

    def _end_window(self) -> None:
        state = self._state
        self._take_window()
        state.start_soc = state.soc = None
        state.counted_ah = state.counted_at_soc_ah = 0.0

    def _take_window(self) -> None:
        """The window counted so far as one measurement, if it is one."""
        state = self._state
        if state.start_soc is None or state.soc is None or state.last is None:
            return
        x = (state.soc - state.start_soc) / 100
        y = state.counted_at_soc_ah
        if abs(x) * 100 < self.parameters.min_window or x * y <= 0:  # a current of the wrong sign is no measurement
            return
        if state.charges >= self.parameters.min_charges:
            pooled = self._capacity()
            if abs(y / x - pooled) > _OUTLIER * pooled:
                state.rejected += 1
                state.doubted += 1
                if state.doubted < 3:
                    return
                state.c1 = state.c2 = state.c3 = 0.0  # three in a row: another battery
                state.charges = 0
        state.doubted = 0
        if state.weighted_at is not None:
            days = (state.last - state.weighted_at).total_seconds() / _DAY_S
            fading = math.exp(-days / self.parameters.memory_days)
            state.c1, state.c2, state.c3 = state.c1 * fading, state.c2 * fading, state.c3 * fading
        state.c1, state.c2, state.c3 = state.c1 + x * x, state.c2 + x * y, state.c3 + y * y
        state.weighted_at = state.last
        state.charges += 1

    def _errors(self) -> tuple[float, float]:
        """sigma_x (share of SOC; both ends of the window err) and sigma_y (Ah)."""
        nominal = self.parameters.nominal_capacity_ah or 1.0
        return math.sqrt(2) * self.parameters.soc_error / 100, self.parameters.charge_error * nominal

    def _capacity(self) -> float:
        state = self._state
        sigma_x, sigma_y = self._errors()
        k2 = (sigma_x / sigma_y) ** 2
        difference = k2 * state.c3 - state.c1
        return (difference + math.sqrt(difference**2 + 4 * k2 * state.c2**2)) / (2 * k2 * state.c2)

    def reset(self, time: datetime, reason: str) -> None:
        """The battery was replaced: what was learnt of the old one is dropped."""
        require_aware(time, "TractionBattery.reset(time)")
        if not reason.strip():
            raise HealthError("traction_battery: a reset needs a reason, e.g. 'pack replaced, workshop booking'")
        newest = self._state.newest
        self._state = _State(newest=time if newest is None else max(newest, time))

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """Ours after ``min_charges`` charges, and the ECU's; the running charge counts once it has ended."""
        state, nominal = self._state, self.parameters.nominal_capacity_ah
        found: list[Estimate] = []
        if nominal is not None and state.charges >= self.parameters.min_charges:
            capacity = self._capacity()
            sigma_x, sigma_y = self._errors()
            unseen_days = (now - state.weighted_at).total_seconds() / _DAY_S if state.weighted_at is not None else 0.0
            weight = state.c1 * math.exp(-max(0.0, unseen_days) / self.parameters.memory_days)
            variance = ((capacity * sigma_x) ** 2 + sigma_y**2) / max(weight, 1e-12)
            variance += (self.parameters.systematic_error * capacity) ** 2
            half = Z90 * math.sqrt(variance)
            found.append(
                percent_estimate(
                    time=now,
                    quantity=Quantity.TRACTION_BATTERY_SOH,
                    value=100 * capacity / nominal,
                    low=100 * (capacity - half) / nominal,
                    high=100 * (capacity + half) / nominal,
                    method=METHOD,
                )
            )
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

    def serviced(self, record: ServiceRecord) -> None:
        """See :class:`health.estimator.Estimator`."""
        if record.quantity is Quantity.TRACTION_BATTERY_SOH:
            self.reset(record.time, f"{record.by}: {record.reason}")

    def findings(self) -> tuple[VehicleEvent, ...]:
        """See :class:`health.estimator.Estimator`."""
        return ()

    def state(self) -> Json:
        """The recursion as JSON values."""
        return dump(self.name, _VERSION, self._state)

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from :meth:`state`; HealthError if it is not one of this estimator."""
        self._state = load(self.name, _VERSION, _State, state)
