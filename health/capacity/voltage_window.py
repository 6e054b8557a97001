"""Capacity by the charge that flows between two cell voltages of one slow charge, where no gauge is believed.

The charge between two points of the voltage curve shrinks as the capacity does (as in incremental capacity
analysis: M. Dubarry and B. Y. Liaw, J. Power Sources 194 (2009) 541). The resistance shifts both points alike while
the current is steady; what remains of that, and a curve that is not this cell's, is the same at each charge: the
scale of the voltage window in capacity_filter. Only slow and steady charges count.
"""

from functools import cache
from typing import Final

import msgspec

from health.capacity.open_circuit_voltage import Chemistry, open_circuit_voltage

FROM_SOC, TO_SOC = 40.0, 80.0  # percent, by the curve of the new cell
SHARE: Final = (TO_SOC - FROM_SOC) / 100
ERROR: Final = 0.02  # of full charge, standard deviation of one window apart from what all share
_FASTEST: Final = 0.35  # of the nominal capacity per hour
_STEADY: Final = 1.3  # largest over smallest current


class VoltageCounting(msgspec.Struct, forbid_unknown_fields=True):
    """What flowed since the lower voltage was crossed."""

    voltage: float | None = None  # V per cell, last reading
    counted_ah: float | None = None  # since the lower voltage; None before
    least_a: float = 0.0
    most_a: float = 0.0

    def step(self, chemistry: Chemistry, nominal_ah: float, voltage: float, current: float, gained: float) -> float:
        """``gained`` Ah since the last reading; the charge between the voltages in Ah when it is known, else 0."""
        low, high = _bounds(chemistry)
        before, self.voltage = self.voltage, voltage
        if before is None or voltage <= before:
            if self.counted_ah is not None:
                self.counted_ah += gained
            return 0.0
        found = 0.0
        if self.counted_ah is not None:
            self.least_a, self.most_a = min(self.least_a, current), max(self.most_a, current)
            if voltage >= high:
                found = self.counted_ah + gained * min(1.0, max(0.0, (high - before) / (voltage - before)))
                if self.most_a > _FASTEST * nominal_ah or self.most_a > _STEADY * self.least_a:
                    found = 0.0
                self.counted_ah = None
            else:
                self.counted_ah += gained
        elif before < low <= voltage < high:
            self.counted_ah = gained * (voltage - low) / (voltage - before)
            self.least_a = self.most_a = current
        return found


@cache
def _bounds(chemistry: Chemistry) -> tuple[float, float]:
    return open_circuit_voltage(chemistry, FROM_SOC), open_circuit_voltage(chemistry, TO_SOC)
