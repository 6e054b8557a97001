"""Samples of a traction battery to windows of charge: what was counted against what, and what was wrong with it.

It keeps only the charge that goes on and the last rest; what the windows say together is the pool's business.
"""

import math
from datetime import datetime
from typing import Final

import msgspec

from health import signals
from health.capacity import voltage_window
from health.capacity.charge_window import Counting, Doubt
from health.capacity.open_circuit_voltage import charge_at_rest, is_possible
from health.capacity.parameters import TractionBatteryParameters
from health.capacity.pool import Window
from health.capacity.rest_anchor import REST_CURRENT, Rests, voltage_error
from telemetry.records import Sample

_LEAST_CHARGE: Final = 0.08  # of the nominal capacity: below, a window says nothing
_POSSIBLE: Final = (0.4, 3.0)  # state of charge gained per charge, in full charges per nominal capacity
_BEYOND: Final = 3.0  # standard deviations of the gauge outside of that which are no chance


class ChargeObserver(msgspec.Struct, forbid_unknown_fields=True):
    """What goes on with the battery; fed by :meth:`take`."""

    last: datetime | None = None  # newest sample with a current
    current: float = 0.0  # A at ``last``
    charging: bool = False
    counting: Counting | None = None  # the charge that goes on
    passing: voltage_window.VoltageCounting | None = None
    rests: Rests = msgspec.field(default_factory=Rests)
    soc: float | None = None  # percent, newest reading
    temperature_c: float | None = None  # the same
    voltage_rise: float | None = None  # share per SOC point, pooled over charges

    def take(self, sample: Sample, nominal_ah: float, parameters: TractionBatteryParameters) -> list[Window | Doubt]:
        """One sample; the windows it ends, and what is wrong with one that is none. Without a current: nothing."""
        current = signals.read(sample, signals.TRACTION_BATTERY_CURRENT)
        if current is None:
            return []
        soc = signals.read(sample, signals.TRACTION_BATTERY_SOC)
        voltage = signals.read(sample, signals.TRACTION_BATTERY_VOLTAGE)
        ended = self._flow(sample, current, nominal_ah, parameters)
        if soc is not None:
            self.soc = soc
        temperature_c = signals.read(sample, signals.TRACTION_BATTERY_TEMPERATURE)
        if temperature_c is not None:
            self.temperature_c = temperature_c
        if self.charging or parameters.discharges:
            self._read(soc, voltage, nominal_ah)
        return ended + self._rested(sample.time, voltage, nominal_ah, parameters)

    def _flow(
        self, sample: Sample, current: float, nominal_ah: float, parameters: TractionBatteryParameters
    ) -> list[Window | Doubt]:
        """Count the charge since the last sample; what ends because the direction turns or samples are missing."""
        elapsed_s = (sample.time - self.last).total_seconds() if self.last is not None else math.inf
        charging, before = _charging(sample, current, nominal_ah), self.charging
        together = elapsed_s <= parameters.max_gap_s
        ended = [] if together and charging == before else self._end(nominal_ah, parameters)
        gained = (self.current + current) / 2 * elapsed_s / 3600 if together else 0.0
        if self.counting is not None:
            self.counting.counted_ah += gained
        small = REST_CURRENT * nominal_ah
        quiet = abs(current) <= small and abs(self.current) <= small
        counted = together and (charging or before or parameters.discharges)
        if parameters.curve is not None:
            self.rests.flow(gained, counted=quiet or counted)
        self.last, self.current, self.charging = sample.time, current, charging
        if parameters.curve is not None and charging and before and together:
            ended += self._passed(sample, current, gained, nominal_ah, parameters)
        return ended

    def _read(self, soc: float | None, voltage: float | None, nominal_ah: float) -> None:
        if soc is None:
            return
        if self.counting is None:
            self.counting = Counting()
        self.counting.read(soc, nominal_ah)
        if voltage is not None:
            self.counting.see_voltage(voltage)

    def _end(self, nominal_ah: float, parameters: TractionBatteryParameters) -> list[Window | Doubt]:
        """The charge counted so far as a measurement by the gauge, if it is one."""
        counting, self.counting, self.passing = self.counting, None, None
        if counting is None:
            return []
        doubt, slope = counting.judged(), counting.slope
        if doubt:
            return [doubt]
        share, sigma_x = counting.charge_ah / nominal_ah, math.sqrt(2) * parameters.soc_error / 100
        # Chosen by the charge, which is exact: choosing by what the gauge shows would pool the errors of one sign.
        if slope is None or share < _LEAST_CHARGE:
            return []
        gained = slope * nominal_ah  # full charges per nominal capacity: 1 when new
        chance = _BEYOND * sigma_x / share
        if not _POSSIBLE[0] - chance < gained < _POSSIBLE[1] + chance:
            return ["jump" if gained > 1 else "stuck"]
        rise = counting.voltage_rise
        if rise is not None:
            self.voltage_rise = rise if self.voltage_rise is None else 0.7 * self.voltage_rise + 0.3 * rise
        return [
            Window(
                kind="gauge",
                x=slope * counting.charge_ah,
                y=share,
                sigma_x=sigma_x,
                sigma_y=parameters.charge_error,
                low_end=-counting.low_slope * nominal_ah,
            )
        ]

    def _passed(
        self, sample: Sample, current: float, gained: float, nominal_ah: float, parameters: TractionBatteryParameters
    ) -> list[Window | Doubt]:
        """The charge between two cell voltages, where the higher one was just passed."""
        voltage = signals.read(sample, signals.TRACTION_BATTERY_VOLTAGE)
        if voltage is None or parameters.curve is None or self.rests.refuted:
            self.passing = None  # the charge since the last voltage would be lost
            return []
        chemistry, cells = parameters.curve
        if self.passing is None:
            self.passing = voltage_window.VoltageCounting()
        between = self.passing.step(chemistry, nominal_ah, voltage / cells, current, gained)
        if between <= 0:
            return []
        return [
            Window(
                kind="voltage",
                x=voltage_window.SHARE,
                y=between / nominal_ah,
                sigma_x=voltage_window.ERROR,
                sigma_y=parameters.charge_error,
            )
        ]

    def _rested(
        self, time: datetime, voltage: float | None, nominal_ah: float, parameters: TractionBatteryParameters
    ) -> list[Window | Doubt]:
        """Anchor the state of charge where the pack has rested; the window that this closes."""
        flows = abs(self.current) > REST_CURRENT * nominal_ah
        if parameters.curve is None or not self.rests.quiet(time, self.soc, current_flows=flows) or voltage is None:
            return []
        error = voltage_error(self.temperature_c)
        if error is None:
            return []
        chemistry, cells = parameters.curve
        found, refuted = charge_at_rest(chemistry, voltage / cells), self.rests.refuted
        if found is not None:
            window = self.rests.fix(found[0], error / found[1], self.soc)
        else:
            window = None
            if not is_possible(chemistry, voltage / cells):
                self.rests.misfit()
        if self.rests.refuted and not refuted:
            return ["curve"]
        if window is None or not self.rests.trusted:
            return []
        change, error, charge = window
        if change * charge <= 0 or abs(change) < parameters.min_window / 100:
            return []
        return [
            Window(
                kind="rests",
                x=abs(change),
                y=abs(charge) / nominal_ah,
                sigma_x=error,
                sigma_y=parameters.charge_error,
            )
        ]


def _charging(sample: Sample, current: float, nominal_ah: float) -> bool:
    """By the car's own word, or else where current flows in while it stands."""
    plugged = signals.read(sample, signals.TRACTION_BATTERY_CHARGING)
    if plugged is not None:
        return plugged == 1
    return current > REST_CURRENT * nominal_ah and (signals.read(sample, signals.SPEED) or 0.0) <= 0
