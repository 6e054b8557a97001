"""Where a traction battery stands against the durability that Euro 7 requires of it. Pure.

Source: Regulation (EU) 2024/1257 (Euro 7), Annex II, minimum performance requirements of battery durability, measured
as state of certified energy (SOCE, UN GTR 22): up to 5 years or 100,000 km, whichever comes first, cars (M1) keep 80 %
and vans (N1) 75 %; from then up to 8 years or 160,000 km 72 % and 67 %. Afterwards nothing is required. The regulation
judges types of vehicles by samples of them; for one car this is its position, not a verdict. A state of health by
capacity stands in for the certified energy, which hardly differs while the voltage does not fall.

The forecast is the straight line from 100 % at first registration through the present value, along the part of the
stage that is used up: time or distance, whichever comes first at the car's own rate of driving. Batteries lose faster
at first (the square root of time in calendar ageing), so the line rather says too little than too much.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal

from health.errors import HealthError

Category = Literal["M1", "N1"]
CATEGORIES: Final[tuple[Category, ...]] = ("M1", "N1")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A requirement: percent to be kept up to an age or a distance, whichever comes first."""

    years: float
    km: float
    required: float  # percent


_STAGES: Final[dict[Category, tuple[Stage, ...]]] = {
    "M1": (Stage(years=5, km=100_000, required=80.0), Stage(years=8, km=160_000, required=72.0)),
    "N1": (Stage(years=5, km=100_000, required=75.0), Stage(years=8, km=160_000, required=67.0)),
}
_LEAST_USED: Final = 0.1  # of a stage: from less a straight line says nothing of its end


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Percent left at the end of the stage by the straight line, with the interval that the present one becomes.

    ``holds`` is None where the requirement lies within the interval: too close to say.
    """

    value: float
    low: float
    high: float
    holds: bool | None


@dataclass(frozen=True, kw_only=True)
class Durability:
    """Position against the requirement. ``margin``: percent points above it, with its 90 % interval.

    ``certain`` is False where age or mileage alone is known: the stage may be a later one. ``outlook`` is None where
    too little of the stage is used up to draw a line.
    """

    category: Category
    stage: Stage
    certain: bool
    margin: float
    low: float
    high: float
    outlook: Outlook | None


def durability(
    *,
    value: float,
    low: float,
    high: float,
    age_years: float | None,
    mileage_km: float | None,
    category: Category = "M1",
) -> Durability | None:
    """Position of a state of health (percent, 90 % interval) at an age since first registration and a mileage.

    None where neither is known, or no stage applies any more. HealthError for numbers that cannot be.
    """
    if not low <= value <= high or not all(map(isfinite, (low, value, high))):
        raise HealthError(f"durability: {value} lies outside its interval [{low}, {high}]")
    for name, known in (("age_years", age_years), ("mileage_km", mileage_km)):
        if known is not None and not 0 <= known < float("inf"):
            raise HealthError(f"durability: {name} {known} must not be below zero")
    stage = stage_at(age_years, mileage_km, category)
    if stage is None:
        return None
    return Durability(
        category=category,
        stage=stage,
        certain=age_years is not None and mileage_km is not None,
        margin=value - stage.required,
        low=low - stage.required,
        high=high - stage.required,
        outlook=_outlook(value, low, high, _used(stage, age_years, mileage_km), stage.required),
    )


def stage_at(age_years: float | None, mileage_km: float | None, category: Category) -> Stage | None:
    """The stage that applies; None where neither is known, or none applies any more."""
    if age_years is None and mileage_km is None:
        return None
    return next((stage for stage in _STAGES[category] if _used(stage, age_years, mileage_km) <= 1), None)


def _used(stage: Stage, age_years: float | None, mileage_km: float | None) -> float:
    """Share of the stage that is used up, counted from first registration: 1 at its end."""
    return max((age_years or 0.0) / stage.years, (mileage_km or 0.0) / stage.km)


def _outlook(value: float, low: float, high: float, used: float, required: float) -> Outlook | None:
    if used < _LEAST_USED:
        return None
    at_end, low_at_end, high_at_end = (100 - max(0.0, 100 - now) / used for now in (value, low, high))
    holds = True if low_at_end >= required else False if high_at_end < required else None
    return Outlook(value=at_end, low=low_at_end, high=high_at_end, holds=holds)
