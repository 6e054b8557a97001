"""Where and when a car is driven: days made of trips, trips made of speed over time. Pure, seeded, no clock.

Speeds follow the phases of the WLTC (low, medium and high, extra high): stops and 20 to 55 km/h in town, 60 to 97 km/h
between towns, 105 to 131 km/h on the motorway. Speed is piecewise linear, so that distance is exact for any step.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

Road = Literal["urban", "rural", "motorway"]

_ACCELERATION_KMH_PER_S = 3.2
_BRAKING_KMH_PER_S = 4.0
_MEAN_SPEED_KMH: dict[Road, float] = {"urban": 26.0, "rural": 74.0, "motorway": 116.0}


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What the car does at one instant of a trip."""

    speed_kmh: float
    acceleration_kmh_per_s: float
    distance_km: float  # since the start of the trip
    road: Road


class Trip:
    """One drive from standstill to standstill."""

    def __init__(self, random: Random, roads: tuple[tuple[Road, float], ...]) -> None:
        """``roads``: kinds of road in order with the kilometres on each."""
        self._times = [0.0]
        self._speeds = [0.0]
        self._distances = [0.0]
        self._roads: list[Road] = []
        self._stay(4.0, roads[0][0] if roads else "urban")
        for road, distance_km in roads:
            until = self._distances[-1] + distance_km
            while self._distances[-1] < until:
                self._leg(random, road)
        if self._speeds[-1] > 0:
            self._to(0.0, self._roads[-1])
        self._stay(5.0, self._roads[-1])

    @property
    def duration_s(self) -> float:
        """Time from key on to key off."""
        return self._times[-1]

    @property
    def distance_km(self) -> float:
        """Length of the drive."""
        return self._distances[-1]

    def at(self, time_s: float) -> Motion:
        """Motion ``time_s`` after the start; the ends outside of the trip."""
        time_s = min(max(time_s, 0.0), self.duration_s)
        index = min(bisect_right(self._times, time_s), len(self._times) - 1)
        start = index - 1
        duration = self._times[index] - self._times[start]
        passed = time_s - self._times[start]
        slope = (self._speeds[index] - self._speeds[start]) / duration
        speed = self._speeds[start] + slope * passed
        return Motion(
            speed_kmh=speed,
            acceleration_kmh_per_s=slope,
            distance_km=self._distances[start] + (self._speeds[start] + speed) / 2 * passed / 3600,
            road=self._roads[start],
        )

    def _leg(self, random: Random, road: Road) -> None:
        if road == "urban":
            self._to(random.uniform(20, 55), road)
            self._stay(random.uniform(12, 55), road)
            if random.random() < 0.6:
                self._to(0.0, road)
                self._stay(random.uniform(4, 35), road)
        elif road == "rural":
            self._to(random.uniform(60, 97), road)
            self._stay(random.uniform(40, 180), road)
            if random.random() < 0.15:
                self._to(0.0, road)
                self._stay(random.uniform(4, 20), road)
        else:
            self._to(random.uniform(105, 131), road)
            self._stay(random.uniform(90, 400), road)

    def _to(self, speed_kmh: float, road: Road) -> None:
        change = speed_kmh - self._speeds[-1]
        rate = _ACCELERATION_KMH_PER_S if change > 0 else _BRAKING_KMH_PER_S
        self._add(max(abs(change) / rate, 0.5), speed_kmh, road)

    def _stay(self, duration_s: float, road: Road) -> None:
        self._add(duration_s, self._speeds[-1], road)

    def _add(self, duration_s: float, speed_kmh: float, road: Road) -> None:
        mean_kmh = (self._speeds[-1] + speed_kmh) / 2
        self._distances.append(self._distances[-1] + mean_kmh * duration_s / 3600)
        self._times.append(self._times[-1] + duration_s)
        self._speeds.append(speed_kmh)
        self._roads.append(road)


def trip_of(random: Random, distance_km: float) -> Trip:
    """Make a drive of about that length: town at both ends, and the longer, the more open road between."""
    town = min(distance_km, 2.0 + 0.15 * distance_km)
    open_road = distance_km - town
    motorway = open_road * random.uniform(0.2, 0.7) if open_road > 12 else 0.0
    roads: tuple[tuple[Road, float], ...] = (
        ("urban", town / 2),
        ("rural", open_road - motorway),
        ("motorway", motorway),
        ("urban", town / 2),
    )
    return Trip(random, tuple((road, km) for road, km in roads if km > 0.3) or (("urban", max(distance_km, 0.5)),))


@dataclass(frozen=True, kw_only=True)
class PlannedTrip:
    """A drive that starts at a second of the day, local time."""

    start_s: float
    trip: Trip


def day_plan(seed: int, ordinal: int, daily_km: float) -> tuple[PlannedTrip, ...]:
    """Trips of one day in order: to work and back from Monday to Friday, something else at the weekend."""
    if daily_km <= 0:
        return ()
    random = Random(f"{seed}/{ordinal}")
    weekend = ordinal % 7 in {6, 0}  # date.toordinal() of a Saturday leaves 6, of a Sunday 0
    starts: list[tuple[float, float]] = []
    if weekend:
        starts.extend(
            (random.uniform(9, 18) * 3600, daily_km * random.uniform(0.2, 0.8)) for _ in range(random.choice((0, 2, 2)))
        )
    else:
        starts.append((random.gauss(7.6, 0.3) * 3600, daily_km * random.uniform(0.42, 0.5)))
        starts.append((random.gauss(17.1, 0.5) * 3600, daily_km * random.uniform(0.42, 0.55)))
        if random.random() < 0.3:
            starts.append((random.gauss(20.0, 0.3) * 3600, random.uniform(2, 8)))
    planned: list[PlannedTrip] = []
    earliest = 6 * 3600.0
    for start_s, distance_km in sorted(starts):
        trip = trip_of(random, max(distance_km, 0.5))
        begin = max(start_s, earliest)
        if begin + trip.duration_s > 22 * 3600:
            break
        planned.append(PlannedTrip(start_s=begin, trip=trip))
        earliest = begin + trip.duration_s + 900
    return tuple(planned)


def endless_drive(seed: int) -> Iterator[Trip]:
    """Drives one after the other, for a car that is shown live."""
    random = Random(f"{seed}/live")
    while True:
        yield trip_of(random, random.uniform(8, 40))
