"""Charge counted while the state of charge is read: one charge becomes one window, or is found doubtful.

The charge gained per state of charge is the slope of a least-squares line through all readings, each weighted by the
charge that flows until the next, so that a rounded, jittering or irregularly polled gauge does no harm. Readings
that stand at full or empty (a gauge that is clipped there) are left out.
"""

from typing import Final, Literal

import msgspec

from health.capacity.filter import LOW_END

Doubt = Literal["", "stuck", "sign", "jump", "curve"]

_STUCK: Final = 0.06  # of the nominal capacity counted while the gauge stands still
_JUMP: Final = 20.0  # SOC points between two readings that the counted charge does not explain
_CLIPPED: Final = (0.5, 99.5)  # percent: at or beyond these a gauge may be clipped
_NEARLY: Final = (2.0, 97.0)  # percent: beyond these a gauge may stand still while cells are balanced
_LEAST_SIGN: Final = 0.10  # change of SOC (share) from which the sign of the current can be judged
_FLAT_FROM, _FLAT_TO, _FLAT_SPAN = 25.0, 85.0, 25.0  # percent: where the rise of the voltage is looked at


class Counting(msgspec.Struct, forbid_unknown_fields=True):
    """A window that is being counted. Sums are integrals over charge (Ah) with SOC as a share."""

    counted_ah: float = 0.0
    soc: float | None = None  # percent, last reading
    at_soc_ah: float = 0.0  # counted when it was read
    since_change_ah: float = 0.0  # counted when the reading last changed
    weight: float = 0.0
    a: float = 0.0
    s: float = 0.0
    aa: float = 0.0
    as_: float = 0.0
    low: float = 0.0
    a_low: float = 0.0
    doubt: Doubt = ""
    first_voltage: tuple[float, float] | None = None  # percent, V
    last_voltage: tuple[float, float] | None = None

    def read(self, soc: float, nominal_ah: float) -> None:
        """A reading of the gauge, in percent, at what is counted now."""
        if self.soc is None:
            self.since_change_ah = self.counted_ah
        else:
            if soc != self.soc:
                self.since_change_ah = self.counted_ah
            elif abs(self.counted_ah - self.since_change_ah) > _STUCK * nominal_ah and _NEARLY[0] < soc < _NEARLY[1]:
                self.doubt = "stuck"
            gained = self.counted_ah - self.at_soc_ah
            if abs(soc - self.soc) > _JUMP + 200 * abs(gained) / nominal_ah:  # twice: half the capacity may be gone
                self.doubt = "jump"
            if not (min(soc, self.soc) >= _CLIPPED[1] or max(soc, self.soc) <= _CLIPPED[0]):
                self._add(self.soc / 100, soc / 100)
        self.soc, self.at_soc_ah = soc, self.counted_ah

    def _add(self, s0: float, s1: float) -> None:
        a0, a1 = self.at_soc_ah, self.counted_ah
        d = a1 - a0
        low0, low1 = low_shape(100 * s0), low_shape(100 * s1)
        self.weight += d
        self.a += d * (a0 + a1) / 2
        self.s += d * (s0 + s1) / 2
        self.low += d * (low0 + low1) / 2
        self.aa += d * (a0 * a0 + a0 * a1 + a1 * a1) / 3
        self.as_ += d * (2 * a0 * s0 + a0 * s1 + a1 * s0 + 2 * a1 * s1) / 6
        self.a_low += d * (2 * a0 * low0 + a0 * low1 + a1 * low0 + 2 * a1 * low1) / 6

    def see_voltage(self, voltage: float) -> None:
        """Voltage of the pack beside the newest reading, for the rise of the voltage."""
        if self.soc is not None and _FLAT_FROM <= self.soc <= _FLAT_TO:
            if self.first_voltage is None:
                self.first_voltage = (self.soc, voltage)
            self.last_voltage = (self.soc, voltage)

    @property
    def slope(self) -> float | None:
        """Share of full charge per Ah; None where nothing was counted."""
        below = self.aa * self.weight - self.a * self.a
        return (self.as_ * self.weight - self.a * self.s) / below if below > 1e-12 * self.weight**4 else None

    @property
    def low_slope(self) -> float:
        """Change of the low end's shape per Ah, where :attr:`slope` is known."""
        return (self.a_low * self.weight - self.a * self.low) / (self.aa * self.weight - self.a * self.a)

    @property
    def charge_ah(self) -> float:
        """Charge over which the slope was taken, positive also where it was given away."""
        return abs(self.weight)

    @property
    def voltage_rise(self) -> float | None:
        """Rise of the voltage per SOC point as a share of it; None where too little was seen."""
        if self.first_voltage is None or self.last_voltage is None:
            return None
        points = self.last_voltage[0] - self.first_voltage[0]
        if points < _FLAT_SPAN or self.first_voltage[1] <= 0:
            return None
        return (self.last_voltage[1] / self.first_voltage[1] - 1) / points

    def judged(self) -> Doubt:
        """What speaks against the window as a whole."""
        slope = self.slope
        if not self.doubt and slope is not None and slope * self.charge_ah < -_LEAST_SIGN:
            return "sign"
        return self.doubt


def low_shape(soc: float) -> float:
    """How much of its bias when empty a gauge has at ``soc`` percent."""
    return max(0.0, 1 - soc / LOW_END)
