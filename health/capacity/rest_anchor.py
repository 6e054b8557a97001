"""State of charge by the voltage of a rested pack, and the charge counted from one such rest to the next.

After hours without current the voltage is that of an open circuit and tells the charge (open_circuit_voltage). Between
two rests everything must have been counted: a drive, whose current changes faster than it is sampled, or a gap
without a rest makes the counting worthless until the next rest.
"""

import math
from datetime import datetime
from typing import Final

import msgspec

REST_S: Final = 7200.0  # what is left of the relaxation then is in VOLTAGE_ERROR_V
REST_CURRENT: Final = 0.02  # of the nominal capacity per hour: 0.3 % of the voltage falls over the resistance
REST_DRIFT: Final = 2.0  # SOC points the gauge may move over a rest
VOLTAGE_ERROR_V: Final = 0.003  # per cell: relaxation left over, spread of the cells, resolution
_CURVE_C: Final = 25.0  # temperature at which the curves were measured
_VOLTAGE_PER_KELVIN: Final = 0.0002  # V of a cell: entropy of intercalation, either sign by charge (up to 0.3 mV/K)
_COLDEST_C: Final = 0.0  # below, what is left of the relaxation after two hours is no longer a few millivolts
_DISBELIEF: Final = 6.5  # SOC points rms between curve and gauge: the curve is of another cell
_USUAL: Final = 4.3  # the same in 300 EVs with their own curves: mean -3.2, standard deviation 2.8
_OUTSIDE: Final = 30.0  # SOC points: what a voltage that the curve does not have counts for
_RESTS_TO_JUDGE: Final = 5


def voltage_error(temperature_c: float | None) -> float | None:
    """Error of a rested cell's voltage against its curve, V; None where it is too cold to say. None given: mild."""
    if temperature_c is None:
        return VOLTAGE_ERROR_V
    if temperature_c < _COLDEST_C:
        return None
    return math.hypot(VOLTAGE_ERROR_V, _VOLTAGE_PER_KELVIN * (temperature_c - _CURVE_C))


class Rests(msgspec.Struct, forbid_unknown_fields=True):
    """The rest that goes on, the last anchor, and what was counted since."""

    since: datetime | None = None  # no current worth the name from here
    since_soc: float | None = None  # percent, the gauge then
    anchor: tuple[float, float] | None = None  # percent and its standard deviation, at the newest rest
    taken: bool = False  # this rest has closed its window
    counted_ah: float = 0.0  # since ``anchor``
    unknown: bool = False  # not all was counted
    judged: int = 0
    squared: float = 0.0  # mean squared difference of gauge and curve, SOC points

    @property
    def trusted(self) -> bool:
        """Whether the curve has proved to fit this car: before, a wrong cell count would give wrong anchors."""
        return self.judged >= _RESTS_TO_JUDGE and self.squared < _DISBELIEF**2

    @property
    def refuted(self) -> bool:
        """Whether the curve has proved to be of another cell, or the cell count wrong."""
        return self.judged >= _RESTS_TO_JUDGE and not self.trusted

    @property
    def curve_error(self) -> float:
        """SOC points by which the curve is off, so far as the gauge's usual errors do not explain the difference."""
        return math.sqrt(max(0.0, self.squared - _USUAL**2))

    def flow(self, charge_ah: float, *, counted: bool) -> None:
        """Charge that went in or out since the last sample, and whether that is all there was."""
        self.counted_ah += charge_ah
        self.unknown = self.unknown or not counted

    def quiet(self, time: datetime, soc: float | None, *, current_flows: bool) -> bool:
        """Go on resting or begin anew; whether the pack has rested long enough."""
        moved = soc is not None and self.since_soc is not None and abs(soc - self.since_soc) > REST_DRIFT
        if current_flows:
            self.since, self.since_soc, self.taken = None, None, False
            return False
        if self.since is None or moved:
            self.since, self.since_soc, self.taken = time, soc, False
            self.unknown = self.unknown or moved  # a drive that nobody saw
        elif self.since_soc is None:
            self.since_soc = soc
        return (time - self.since).total_seconds() >= REST_S

    def fix(self, soc: float, error: float, gauge: float | None) -> tuple[float, float, float] | None:
        """A rested voltage was read; the window it closes as change of SOC (share), its error and charge (Ah).

        ``soc``, ``error`` and ``gauge`` in percent. None where no window ends here.
        """
        if gauge is not None:
            self._judge(gauge - soc)
        error = (error**2 + self.curve_error**2) ** 0.5
        window = None
        if not self.taken and self.anchor is not None and not self.unknown:
            both = (error**2 + self.anchor[1] ** 2) ** 0.5 / 100
            window = ((soc - self.anchor[0]) / 100, both, self.counted_ah)
        self.anchor, self.counted_ah, self.unknown, self.taken = (soc, error), 0.0, False, True
        return window

    def misfit(self) -> None:
        """A rested voltage was read that the curve does not have."""
        self._judge(_OUTSIDE)
        self.taken = True

    def _judge(self, difference: float) -> None:
        if not self.taken:
            self.judged += 1
            self.squared += (difference**2 - self.squared) / min(self.judged, 20)
