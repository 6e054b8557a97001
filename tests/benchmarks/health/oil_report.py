"""What can be said of oil on a recorded trip: revolutions, how many of them cold, and whether the oil is plausible."""

from dataclasses import dataclass
from typing import Final

from health.oil_life import OilLife, OilLifeParameters
from tests.benchmarks.health.oil_trips import RecordedTrip

_COLD_OIL_C: Final = 60.0
_COLD_START_C: Final = 50.0  # coolant at the start; a start from outside air is at 25 to 35 on these trips
_WARM_C: Final = 75.0
_CURVE_S: Final = 15.0


@dataclass(frozen=True, kw_only=True)
class TripReport:
    """One line per trip. ``lag_s``: from coolant to oil at 75 degrees, None where the trip does not show both."""

    name: str
    duration_s: float
    distance_km: float
    revolutions: float
    cold_share: float  # of the revolutions, oil below 60 degrees
    cold_start: bool
    oil_max_c: float
    excess_warm_k: float  # oil above coolant, mean of the last two minutes
    lag_s: float | None
    life_used_points: float
    plausible: bool
    curve: tuple[tuple[float, float, float], ...]  # seconds, coolant, oil


def report(trip: RecordedTrip) -> TripReport:
    """The trip through the estimator."""
    oil = OilLife(OilLifeParameters(life_at_start=100.0, time_cap_days=1e6, budget_revolutions=35e6))
    cold = distance = before = 0.0
    curve = []
    air = min(reading.intake_c for reading in trip.readings)
    for reading, sample in zip(trip.readings, trip.samples, strict=True):
        revolutions = oil.revolutions
        oil.update(sample)
        temperature = oil.oil_temperature_c
        assert temperature is not None
        cold += (oil.revolutions - revolutions) * (temperature < _COLD_OIL_C)
        distance += reading.speed_kmh * (reading.seconds - before) / 3600
        before = reading.seconds
        curve.append((reading.seconds, reading.coolant_c, temperature))
    end = curve[-1][0]
    last = [oil_c - coolant for seconds, coolant, oil_c in curve if seconds > end - 120]
    excess = sum(last) / len(last)
    cold_start = curve[0][1] < _COLD_START_C
    warmed = end > 1200
    lag = _lag(curve) if cold_start else None
    return TripReport(
        name=trip.name,
        duration_s=end,
        distance_km=distance,
        revolutions=oil.revolutions,
        cold_share=cold / oil.revolutions,
        cold_start=cold_start,
        oil_max_c=max(oil_c for _, _, oil_c in curve),
        excess_warm_k=excess,
        lag_s=lag,
        life_used_points=100.0 - oil.estimates(trip.samples[-1].time)[0].value,
        plausible=(
            min(oil_c for _, _, oil_c in curve) >= min(air, curve[0][1]) - 1
            and (lag is None or 30 <= lag <= 900)
            and (not warmed or -5 <= excess <= 20)
            and max(oil_c for _, _, oil_c in curve) < 125
        ),
        curve=_thinned(curve),
    )


def _lag(curve: list[tuple[float, float, float]]) -> float | None:
    coolant = next((seconds for seconds, coolant_c, _ in curve if coolant_c >= _WARM_C), None)
    oil = next((seconds for seconds, _, oil_c in curve if oil_c >= _WARM_C), None)
    return oil - coolant if oil is not None and coolant is not None else None


def _thinned(curve: list[tuple[float, float, float]]) -> tuple[tuple[float, float, float], ...]:
    kept: list[tuple[float, float, float]] = []
    for point in curve:
        if not kept or point[0] >= kept[-1][0] + _CURVE_S:
            kept.append(point)
    return tuple(kept)
