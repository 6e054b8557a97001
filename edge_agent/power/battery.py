"""What the 12 V battery can spare, from its voltage at rest and the cold. Pure.

The curve of rest voltage is the one the health of the battery is estimated by (:mod:`health.low_voltage_battery`).
Cold leaves the charge in the battery and takes away what can be had of it: by a common rule of thumb a lead-acid
battery gives four fifths at freezing point and three fifths at -20 celsius, while the engine asks for more.
"""

from dataclasses import dataclass
from typing import Final, Literal

from health.intervals import interpolate
from health.low_voltage_battery import REST_VOLTAGE

Chemistry = Literal["flooded", "agm"]
CHEMISTRIES: Final[tuple[Chemistry, ...]] = ("flooded", "agm")
AGM_OFFSET_V: Final = 0.15  # denser acid: the same charge rests higher
USABLE: Final = ((-30.0, 0.5), (-20.0, 0.6), (0.0, 0.8), (25.0, 1.0))  # celsius -> part that can be had


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A state of the battery: from which usable charge on it holds, and how much a day the agent may spend in it."""

    name: str
    least_percent: float
    mah_per_day: float
    wakes_per_day: float


def usable_percent(rest_voltage: float, *, temperature: float | None, chemistry: Chemistry) -> float:
    """Charge that can be had, percent of the battery's nominal; an unknown temperature takes nothing away."""
    soc = interpolate(REST_VOLTAGE, rest_voltage - (AGM_OFFSET_V if chemistry == "agm" else 0.0))
    return soc if temperature is None else soc * interpolate(USABLE, temperature)


def tier_of(percent: float, tiers: tuple[Tier, ...]) -> Tier | None:
    """The best tier this charge reaches; None below all of them."""
    return next((tier for tier in tiers if percent >= tier.least_percent), None)
