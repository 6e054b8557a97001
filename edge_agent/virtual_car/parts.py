"""Engine, oil, pads and tyres: what runs warm and what wears. Steps of any length, no clock."""

from dataclasses import dataclass
from math import exp

from edge_agent.virtual_car.drive import Motion, Road

# km/h at 1000 rpm in each gear; shift up above about 2200 rpm.
_GEARS_KMH_PER_1000_RPM = (7.5, 13.5, 20.5, 28.5, 37.0, 46.0)
IDLE_RPM = 780.0
_ATMOSPHERE_KPA = 101.3
# Braking energy over a kilometre, relative to mixed use.
_BRAKING: dict[Road, float] = {"urban": 2.1, "rural": 0.7, "motorway": 0.25}
# Oil ages by revolutions and heat; a kilometre in town has more of them.
_OIL: dict[Road, float] = {"urban": 1.7, "rural": 0.9, "motorway": 0.8}
WHEEL_PAD_RATES = (1.0, 0.97, 0.66, 0.64)


@dataclass(kw_only=True)
class Engine:
    """Combustion engine: speed, load, temperatures. ``running_s`` since the last start."""

    coolant_c: float
    oil_c: float
    diesel: bool
    rpm: float = 0.0
    load: float = 0.0  # 0 to 1
    running_s: float = 0.0
    catalyst_c: float = 20.0

    def run(self, dt_s: float, motion: Motion) -> None:
        """Run for a while at the motion of its end."""
        self.running_s += dt_s
        self.rpm = engine_speed(motion.speed_kmh)
        drag = (motion.speed_kmh / 130) ** 2 * 0.55
        self.load = min(0.97, max(0.14, 0.17 + drag + 0.14 * motion.acceleration_kmh_per_s))
        thermostat_c = 86.0 if self.diesel else 91.0
        self.coolant_c += (thermostat_c + 4 * self.load - self.coolant_c) * (1 - exp(-dt_s / 330))
        self.oil_c += (thermostat_c + 14 * self.load - self.oil_c) * (1 - exp(-dt_s / 720))
        self.catalyst_c += (420 + 330 * self.load - self.catalyst_c) * (1 - exp(-dt_s / 90))

    def rest(self, dt_s: float, ambient_c: float) -> None:
        """Stand still and cool down."""
        self.rpm = self.load = self.running_s = 0.0
        self.coolant_c += (ambient_c - self.coolant_c) * (1 - exp(-dt_s / 6500))
        self.oil_c += (ambient_c - self.oil_c) * (1 - exp(-dt_s / 8000))
        self.catalyst_c += (ambient_c - self.catalyst_c) * (1 - exp(-dt_s / 2500))

    @property
    def air_flow_g_per_s(self) -> float:
        """Air taken in, g/s: a 1.6 l four-stroke engine, volumetric efficiency by load."""
        return self.rpm / 120 * 1.6 * 1.18 * (0.12 + 0.8 * self.load)


@dataclass(kw_only=True)
class Wear:
    """Oil life, pads and tyres; wheels in the order of the configuration."""

    oil_life_percent: float
    pad_wear_percent: list[float]
    cold_pressure_kpa: list[float]  # gauge, at 20 degrees Celsius
    tire_c: float
    electric: bool
    oil_life_km: float
    pad_life_km: float

    def drive(self, dt_s: float, distance_km: float, road: Road, oil_c: float, ambient_c: float) -> None:
        """Wear over a distance. Cold oil (below 60) and hot oil (above 115) ages faster."""
        penalty = 1.0 + max(0.0, 60 - oil_c) / 60 + max(0.0, oil_c - 115) / 20
        self.wear_oil(distance_km * 100 / self.oil_life_km * _OIL[road] * penalty)
        saved = 0.35 if self.electric else 1.0  # recuperation brakes for the pads
        self.wear_pads(distance_km * 100 / self.pad_life_km * _BRAKING[road] * saved)
        speed_kmh = distance_km / dt_s * 3600
        self._warm(dt_s, ambient_c + min(22.0, speed_kmh * 0.2))

    def rest(self, dt_s: float, ambient_c: float) -> None:
        """Stand still: tyres take the temperature of the air."""
        self._warm(dt_s, ambient_c)

    def wear_oil(self, percent: float) -> None:
        """Use up oil life; an electric car has none."""
        if self.electric:
            return
        self.oil_life_percent = max(0.0, self.oil_life_percent - percent)

    def wear_pads(self, percent: float) -> None:
        """Wear all pads, the front left one by ``percent``."""
        for wheel, rate in enumerate(WHEEL_PAD_RATES):
            self.pad_wear_percent[wheel] = min(100.0, self.pad_wear_percent[wheel] + percent * rate)

    def leak(self, wheel: int, kpa: float) -> None:
        """Lose pressure from one tyre."""
        self.cold_pressure_kpa[wheel] = max(0.0, self.cold_pressure_kpa[wheel] - kpa)

    def pressure_kpa(self, wheel: int) -> float:
        """Gauge pressure now: absolute pressure goes with absolute temperature (Gay-Lussac)."""
        absolute = self.cold_pressure_kpa[wheel] + _ATMOSPHERE_KPA
        return absolute * (self.tire_c + 273.15) / 293.15 - _ATMOSPHERE_KPA

    def _warm(self, dt_s: float, target_c: float) -> None:
        self.tire_c += (target_c - self.tire_c) * (1 - exp(-dt_s / 900))


def engine_speed(speed_kmh: float) -> float:
    """Engine speed of an automatic box, rpm: the highest gear that stays above 1300 rpm."""
    for ratio in reversed(_GEARS_KMH_PER_1000_RPM):
        rpm = speed_kmh / ratio * 1000
        if rpm >= 1300:
            return rpm
    return max(IDLE_RPM, speed_kmh / _GEARS_KMH_PER_1000_RPM[0] * 1000)
