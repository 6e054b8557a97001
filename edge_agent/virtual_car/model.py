"""The car itself: its parts put together, moved on in steps of any length, with all its signals readable at any time.

Nothing here reads a clock or a bus: who drives it (live or through its past) says how long and how fast.
"""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from edge_agent.virtual_car.batteries import LowVoltageBattery, TractionBattery
from edge_agent.virtual_car.config import Aging, CarCondition, Fault, VirtualCarConfig, WearAcceleration
from edge_agent.virtual_car.diagnostics import DtcMemory
from edge_agent.virtual_car.drive import Motion, Road
from edge_agent.virtual_car.parts import Engine, Wear
from telemetry.records import require_aware

Phase = str  # "parked", "charging", "cranking", "running"

_SLOW_LEAK_KPA_PER_DAY = 15.0
_FADING_FACTOR = 12.0
_FUEL_PERCENT_PER_KM = 0.13  # 6.5 l/100 km of 50 l
_EV_KWH_PER_KM: dict[Road, float] = {"urban": 0.14, "rural": 0.15, "motorway": 0.21}
_CRANKING_PERCENT_PER_S = 0.1  # of charge: 180 A of 50 Ah
_CHARGER_KW = 7.2


class CarModel:
    """One car from a stated condition on."""

    def __init__(self, config: VirtualCarConfig, *, now: datetime, condition: CarCondition | None = None) -> None:
        require_aware(now, "CarModel.now")
        start = condition if condition is not None else config.condition
        self.config = config
        self.now = now
        self.phase: Phase = "parked"
        self.motion = Motion(speed_kmh=0.0, acceleration_kmh_per_s=0.0, distance_km=0.0, road="urban")
        self.faults: set[Fault] = set()
        self.aging: Aging = config.aging
        self.odometer_km = start.odometer_km
        self.fuel_level_percent = start.fuel_level_percent
        self._weather: dict[int, float] = {}
        self.ambient_c = self._ambient()
        self.electric = config.kind == "electric"
        self.engine = Engine(coolant_c=self.ambient_c, oil_c=self.ambient_c, diesel=config.kind == "diesel")
        self.wear = Wear(
            oil_life_percent=start.oil_life_percent,
            pad_wear_percent=list(start.pad_wear_percent),
            cold_pressure_kpa=list(start.tire_pressure_kpa),
            tire_c=self.ambient_c,
            electric=self.electric,
            oil_life_km=config.aging.oil_life_km,
            pad_life_km=config.aging.pad_life_km,
        )
        self.low_voltage = LowVoltageBattery(
            health_percent=start.low_voltage_health_percent, charge_percent=start.low_voltage_charge_percent
        )
        self.traction = TractionBattery(
            capacity_kwh=config.battery_capacity_kwh,
            soh_percent=start.soh_percent,
            soc_percent=start.soc_percent,
            temperature_c=self.ambient_c + 3,
        )
        self.dtc = DtcMemory(confirm_after_s=config.misfire_confirmed_after_s)
        self._trip_distance_km = 0.0
        for fault in config.faults:
            self.switch_on(fault)

    # --- what happens to it

    def crank(self, dt_s: float) -> None:
        """Turn the starter (a combustion engine), or wake the converter (an electric car)."""
        self._pass(dt_s)
        self.low_voltage.charge_percent = max(0.0, self.low_voltage.charge_percent - _CRANKING_PERCENT_PER_S * dt_s)
        if self.phase == "cranking":
            return
        self.phase = "cranking"
        self.begin_trip()
        if self.engine.coolant_c < 45:
            self.dtc.warmups_since_clear = min(255, self.dtc.warmups_since_clear + 1)
        if self.fuel_level_percent < 10:
            self.fuel_level_percent = 96.0  # filled up on the way

    def begin_trip(self) -> None:
        """Count the distance of the trip from here."""
        self._trip_distance_km = 0.0

    def run(self, dt_s: float, motion: Motion) -> None:
        """Drive for a while, until ``motion``, whose distance counts from the start of the trip."""
        self._pass(dt_s)
        self.phase = "running"
        distance_km = max(0.0, motion.distance_km - self._trip_distance_km)
        self._trip_distance_km = motion.distance_km
        self.motion = motion
        self.odometer_km += distance_km
        self.low_voltage.feed(dt_s)
        if self.electric:
            power = -distance_km * _EV_KWH_PER_KM[motion.road] / dt_s * 3600 - 0.6
            cycles = self.traction.step(dt_s, power - 6.0 * motion.acceleration_kmh_per_s, self.ambient_c)
            self.traction.age(cycles * self.aging.soh_percent_per_cycle)
        else:
            self.engine.run(dt_s, motion)
            self.fuel_level_percent = max(0.0, self.fuel_level_percent - distance_km * _FUEL_PERCENT_PER_KM)
        self.dtc.run(dt_s, distance_km)
        self.wear.drive(dt_s, distance_km, motion.road, self.engine.oil_c, self.ambient_c)

    def rest(self, dt_s: float) -> None:
        """Stand parked for a while."""
        self._stand(dt_s)
        self.phase = "parked"
        self.low_voltage.rest(dt_s)
        if self.electric:
            self.traction.step(dt_s, 0.0, self.ambient_c)

    def charge(self, dt_s: float) -> None:
        """Stand at the charger for a while."""
        self._stand(dt_s)
        self.phase = "charging"
        self.low_voltage.feed(dt_s)
        power = _CHARGER_KW if self.traction.soc_percent < 90 else _CHARGER_KW * 0.4
        cycles = self.traction.step(dt_s, power, self.ambient_c)
        self.traction.age(cycles * self.aging.soh_percent_per_cycle)

    def accelerate(self, wear: WearAcceleration, dt_s: float) -> None:
        """Wear by the accelerated-life setting, on top of use."""
        self.wear.wear_oil(wear.oil_percent_per_s * dt_s)
        self.wear.wear_pads(wear.pad_percent_per_s * dt_s)
        self.wear.leak(0, wear.tire_kpa_per_s * dt_s)
        self.traction.age(wear.soh_percent_per_s * dt_s)
        self.low_voltage.age(wear.low_voltage_health_percent_per_s * dt_s)

    def switch_on(self, fault: Fault) -> None:
        """Let a fault happen; one that is there already stays."""
        if fault in self.faults:
            return
        self.faults.add(fault)
        if fault == "misfire":
            self.dtc.failing = not self.electric
        elif fault == "slow_leak":
            leak = self.aging.first_tire_leak_kpa_per_day + _SLOW_LEAK_KPA_PER_DAY
            self.aging = replace(self.aging, first_tire_leak_kpa_per_day=leak)
        elif fault == "weak_12v":
            self.low_voltage.health_percent = min(self.low_voltage.health_percent, 28.0)
            self.low_voltage.charge_percent = min(self.low_voltage.charge_percent, 62.0)
        elif fault == "worn_pads":
            self.wear.pad_wear_percent = [
                max(worn, 92.0) if n < 2 else worn for n, worn in enumerate(self.wear.pad_wear_percent)
            ]
        elif fault == "oil_worn":
            self.wear.oil_life_percent = min(self.wear.oil_life_percent, 3.0)
        else:
            self.aging = replace(self.aging, soh_percent_per_day=self.aging.soh_percent_per_day * _FADING_FACTOR)

    # --- what can be told of it

    def condition(self) -> CarCondition:
        """Condition now, with which a car can go on."""
        pads, tires = self.wear.pad_wear_percent, self.wear.cold_pressure_kpa
        return CarCondition(
            odometer_km=self.odometer_km,
            oil_life_percent=self.wear.oil_life_percent,
            pad_wear_percent=(pads[0], pads[1], pads[2], pads[3]),
            tire_pressure_kpa=(tires[0], tires[1], tires[2], tires[3]),
            low_voltage_health_percent=self.low_voltage.health_percent,
            low_voltage_charge_percent=self.low_voltage.charge_percent,
            soh_percent=self.traction.soh_percent,
            soc_percent=self.traction.soc_percent,
            fuel_level_percent=self.fuel_level_percent,
        )

    def low_voltage_v(self) -> float:
        """Voltage at the 12 V battery now."""
        if self.phase == "cranking" and not self.electric:
            return self.low_voltage.cranking_voltage(self.ambient_c)
        if self.phase in {"running", "charging"}:
            return self.low_voltage.charging_voltage(self.ambient_c, self.engine.load)
        return self.low_voltage.rest_voltage(self.ambient_c)

    # --- inside

    def _pass(self, dt_s: float) -> None:
        days = dt_s / 86_400
        self.now += timedelta(seconds=dt_s)
        self.ambient_c = self._ambient()
        aging = self.aging
        self.low_voltage.age(aging.low_voltage_health_percent_per_day * days)
        if self.electric:
            self.traction.age(aging.soh_percent_per_day * days)
        for wheel in range(4):
            self.wear.leak(wheel, aging.tire_leak_kpa_per_day * days)
        if aging.first_tire_leak_kpa_per_day:
            self.wear.leak(0, aging.first_tire_leak_kpa_per_day * days)

    def _stand(self, dt_s: float) -> None:
        self._pass(dt_s)
        self.motion = Motion(speed_kmh=0.0, acceleration_kmh_per_s=0.0, distance_km=0.0, road="urban")
        self.engine.rest(dt_s, self.ambient_c)
        self.wear.rest(dt_s, self.ambient_c)

    def _ambient(self) -> float:
        """Air temperature, degrees Celsius: a temperate climate, coldest in late January and before sunrise."""
        day = self.now.toordinal()
        weather = self._weather.get(day)
        if weather is None:
            weather = self._weather[day] = Random(f"{self.config.seed}/weather/{day}").gauss(0, 2.5)
        second = self.now.hour * 3600 + self.now.minute * 60 + self.now.second + self.config.utc_offset_h * 3600
        season = -9.5 * math.cos((self.now.timetuple().tm_yday - 22) / 365.25 * 2 * math.pi)
        return 11.0 + season - 4.5 * math.cos((second / 86_400 - 3 / 24) * 2 * math.pi) + weather
