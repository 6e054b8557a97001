"""The two batteries of a car: 12 V lead-acid, and the traction battery. Steps of any length, no clock."""

from dataclasses import dataclass
from math import exp, sqrt

_ALTERNATOR_V = 14.2
_CRANKING_CURRENT_A = 180.0
_PARASITIC_PERCENT_PER_DAY = 0.9  # of charge: quiescent current and self-discharge of a parked car
_CELLS = 96  # of the traction battery, in series
_EMPTY_V, _RISE_V, _TOP_V = 3.30, 0.70, 0.15  # of a cell: empty, and what it rises by the charge and its sixth power
_MEAN_OPEN_V = _CELLS * (_EMPTY_V + _RISE_V / 2 + _TOP_V / 7)  # of the pack, over its charge


@dataclass(kw_only=True)
class LowVoltageBattery:
    """12 V lead-acid. ``health_percent``: 100 new, 0 will not crank; inner resistance grows as it falls."""

    health_percent: float
    charge_percent: float

    def rest_voltage(self, temperature_c: float) -> float:
        """Voltage after hours of rest, V: 12.73 V full and new, falling with charge and with sulphation."""
        full = 12.73 - 0.45 * (1 - self.health_percent / 100)
        return full - 0.0112 * (100 - self.charge_percent) - 0.0004 * (25 - temperature_c)

    def cranking_voltage(self, temperature_c: float) -> float:
        """Lowest voltage while the starter turns, V: above 10 V for a good battery, below 9 V before it fails."""
        cold = max(0.0, 20.0 - temperature_c)
        worn = 1 - self.health_percent / 100
        resistance_ohm = 0.0095 + 0.019 * worn * sqrt(worn) + 0.00012 * cold
        return max(5.0, self.rest_voltage(temperature_c) - _CRANKING_CURRENT_A * resistance_ohm)

    def charging_voltage(self, temperature_c: float, electrical_load: float) -> float:
        """Voltage at the battery while the alternator or the converter feeds it, V; ``electrical_load`` 0 to 1."""
        return _ALTERNATOR_V - 0.012 * (temperature_c - 20.0) - 0.25 * electrical_load

    def feed(self, dt_s: float) -> None:
        """Charge from alternator or converter; a worn battery takes less."""
        target = 80.0 + 20.0 * self.health_percent / 100
        self.charge_percent += (target - self.charge_percent) * (1 - exp(-dt_s / 5400))

    def rest(self, dt_s: float) -> None:
        """Drain by what a parked car consumes; a worn battery has less to give."""
        rate = _PARASITIC_PERCENT_PER_DAY * (1 + 2 * (1 - self.health_percent / 100))
        self.charge_percent = max(0.0, self.charge_percent - rate * dt_s / 86_400)

    def age(self, percent: float) -> None:
        """Lose health."""
        self.health_percent = min(100.0, max(0.0, self.health_percent - percent))


@dataclass(kw_only=True)
class TractionBattery:
    """Lithium-ion pack of 96 cells in series, whose gauge counts charge. Current is positive into the battery (VSS)."""

    capacity_kwh: float  # as new
    soh_percent: float
    soc_percent: float
    temperature_c: float
    power_kw: float = 0.0  # positive into the battery

    @property
    def voltage(self) -> float:
        """Voltage of the pack, V: open circuit by charge, and the drop over its resistance."""
        return self._open_voltage + self.power_kw * 1000 / self._open_voltage * self._resistance_ohm

    @property
    def current(self) -> float:
        """Current, A."""
        return self.power_kw * 1000 / self.voltage

    @property
    def capacity_ah(self) -> float:
        """Charge from empty to full, Ah, as new: that whose energy at open-circuit voltage is ``capacity_kwh``."""
        return self.capacity_kwh * 1000 / _MEAN_OPEN_V

    def step(self, dt_s: float, power_kw: float, ambient_c: float) -> float:
        """Take or give power for a while; gives the full equivalent cycles that cost."""
        usable_ah = self.capacity_ah * self.soh_percent / 100
        before = self.soc_percent
        self.power_kw = power_kw
        self.soc_percent = min(100.0, max(2.0, before + self.current * dt_s / 3600 / usable_ah * 100))
        heat = min(12.0, abs(power_kw) * 0.25)
        self.temperature_c += (ambient_c + heat - self.temperature_c) * (1 - exp(-dt_s / 9000))
        return abs(self.soc_percent - before) / 200

    def age(self, percent: float) -> None:
        """Lose capacity."""
        self.soh_percent = min(100.0, max(0.0, self.soh_percent - percent))

    @property
    def _open_voltage(self) -> float:
        return _open_voltage(self.soc_percent / 100)

    @property
    def _resistance_ohm(self) -> float:
        return 0.06 * (1 + (100 - self.soh_percent) / 50)


def _open_voltage(soc: float) -> float:
    """V of the pack at a state of charge from 0 to 1."""
    return _CELLS * (_EMPTY_V + _RISE_V * soc + _TOP_V * soc**6)
