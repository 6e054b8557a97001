"""A car's tyres under the weather: simulated, for the benchmark of leaks. No claim on real cars follows from it.

Air in a tyre follows Gay-Lussac's law at the tyre's temperature: the air's (season, day, weather of some days), the sun
on one side of a parked car, warming by driving with front and rear apart. Sensors: offset, noise, resolution; a
temperature that lags behind the air in the tyre.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from health import signals
from telemetry.records import Sample

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_AIR_KPA: Final = 101.3
_SAMPLE_S: Final = 300.0  # the mean of an hour hardly changes with more


@dataclass(frozen=True, kw_only=True)
class TireCar:
    """What distinguishes a car. ``leaks``: wheel -> first day, loss in kPa per day at 20 celsius beside permeation."""

    seed: int
    resolution_kpa: float = 2.5
    temperatures: bool = False  # of the wheels, read
    ambient: bool = True
    wheels: tuple[str, ...] = signals.WHEELS
    leaks: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    refill_days: float = 1e9  # between two visits to the pump: all wheels to their first pressure


class _Weather:
    """Temperature of the air and strength of the sun at each hour of a year."""

    def __init__(self, rng: random.Random, days: int) -> None:
        mean, season, swing = rng.uniform(6, 18), rng.uniform(6, 12), rng.uniform(3, 7)
        shift, spell = rng.uniform(0, 365), 0.0
        self._air: list[float] = []
        self._sun: list[float] = []
        clear = 0.5
        for hour in range(24 * (days + 1)):
            spell += -spell / 60 + rng.gauss(0, 0.65)  # 3.5 K, of two and a half days
            if hour % 24 == 0:
                clear = rng.random()
            daily = math.sin(2 * math.pi * (hour % 24 - 9) / 24)
            self._air.append(mean + season * math.sin(2 * math.pi * (hour / 24 + shift) / 365) + swing * daily + spell)
            self._sun.append(clear * max(0.0, math.sin(math.pi * (hour % 24 - 6) / 12)))

    def at(self, hours: float) -> tuple[float, float]:
        index = min(int(hours), len(self._air) - 2)
        part = hours - index
        return (
            self._air[index] + part * (self._air[index + 1] - self._air[index]),
            self._sun[index] + part * (self._sun[index + 1] - self._sun[index]),
        )


class _Permeation:
    """Loss of sound tyres: 3.4 to 6.9 kPa a month at 21 celsius, 10.3 at 32 (Tire Science and Technology 13, 16)."""

    def __init__(self, rng: random.Random, weather: _Weather, days: int) -> None:
        common = rng.uniform(0.11, 0.23)
        self.share = {wheel: rng.uniform(0.8, 1.2) for wheel in signals.WHEELS}
        self.rates = [
            common * math.exp(0.063 * (sum(weather.at(24 * day + hour)[0] for hour in (3, 9, 15, 21)) / 4 - 21))
            for day in range(days + 1)
        ]
        self.lost = [0.0]
        for rate in self.rates:
            self.lost.append(self.lost[-1] + rate)

    def until(self, wheel: str, day: float) -> float:
        whole = int(day)
        return self.share[wheel] * (self.lost[whole] + (day - whole) * self.rates[whole])


class TireLife:
    """The samples of a car over some days, and its wheels' true losses."""

    def __init__(self, car: TireCar, days: int) -> None:
        self.car, self.days = car, days
        self._weather = _Weather(random.Random(f"{car.seed}/weather"), days)
        self._permeation = _Permeation(random.Random(f"{car.seed}/permeation"), self._weather, days)

    def loss(self, wheel: str, day: float) -> float:
        """True loss, kPa per day: the leak's that day, permeation over the last ten days."""
        since, rate = self.car.leaks.get(wheel, (0.0, 0.0))
        begin = max(0.0, day - 10)
        permeation = self._permeation.until(wheel, day) - self._permeation.until(wheel, begin)
        return permeation / (day - begin) + (rate if day >= since else 0.0)

    def samples(self) -> Iterator[Sample]:
        """What a dongle reads that is awake while the car drives."""
        car, days, weather = self.car, self.days, self._weather
        rng = random.Random(f"{car.seed}/days")
        placard = rng.uniform(220, 260)
        first = {wheel: placard + rng.gauss(0, 4) for wheel in signals.WHEELS}
        offset = {wheel: rng.gauss(0, 3) for wheel in signals.WHEELS}
        warming = {wheel: rng.uniform(10, 16) if wheel.startswith("Row1") else rng.uniform(8, 14) for wheel in first}
        filled = 0.0
        warmth, last_day = 0.0, 0.0  # 0 to 1, of the drive
        for start, length_s, sunny in _drives(rng, days):
            if start - filled >= car.refill_days:
                filled = start
                first = {wheel: placard + rng.gauss(0, 3) for wheel in first}
            for second in range(0, int(length_s), int(_SAMPLE_S)):
                day = start + second / 86_400
                warmth *= math.exp(-(day - last_day) * 1440 / 40) if second == 0 else 1.0
                warmth = 1 - (1 - warmth) * math.exp(-_SAMPLE_S / 1200) if second else warmth
                last_day = day
                air, sun = weather.at(day * 24)
                height_kpa = 1.5 * math.sin(day * 40 + car.seed)
                values = {signals.SPEED.path: 50.0}
                if car.ambient:
                    values[signals.AMBIENT_TEMPERATURE.path] = float(round(air + 0.5))
                for wheel in car.wheels:
                    lit = 8 * sun * math.exp(-second / 1200) if wheel.endswith(sunny) else 0.0
                    celsius = air + lit + warming[wheel] * warmth
                    since, rate = car.leaks.get(wheel, (0.0, 0.0))
                    permeated = self._permeation.until(wheel, day) - self._permeation.until(wheel, filled)
                    leaked = permeated + rate * max(0.0, day - max(since, filled))
                    absolute = max(0.0, first[wheel] - leaked + _AIR_KPA) * (celsius + 273.15) / 293.15
                    gauge = max(0.0, absolute - _AIR_KPA + height_kpa + offset[wheel] + rng.gauss(0, 0.5))
                    values[signals.TIRE_PRESSURE[wheel].path] = round(gauge / car.resolution_kpa) * car.resolution_kpa
                    if car.temperatures:
                        values[signals.TIRE_TEMPERATURE[wheel].path] = float(
                            round(air + lit + 0.8 * warming[wheel] * warmth)
                        )
                yield Sample(time=START + timedelta(days=day), monotonic_ms=0, values=values)


def _drives(rng: random.Random, days: int) -> Iterator[tuple[float, float, str]]:
    """Start (days), length (s) and the side in the sun before it, in time order."""
    for day in range(days):
        if rng.random() < 0.12:
            continue
        for hour in (rng.gauss(7.5, 0.7), rng.gauss(17.5, 1.2)):
            if rng.random() < 0.9:
                yield day + max(1.0, hour) / 24, rng.uniform(900, 4200), rng.choice(("Left", "Right"))
