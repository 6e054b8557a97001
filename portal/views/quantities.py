"""How each health quantity is shown: unit, range, limit, and from where on to watch it. Limits are the rules' own."""

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from rules.rule import rulebook
from telemetry.records import Quantity

Tone = Literal["good", "watch", "act", "unknown"]
TONES: Final[tuple[Tone, ...]] = ("unknown", "good", "watch", "act")  # from nothing to say to most pressing


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How a quantity is shown."""

    quantity: Quantity
    unit: str
    digits: int  # after the point
    falling: bool  # whether wear makes it smaller
    limit: float  # in the unit; the rules alert here
    watch: float  # in the unit: from here on worth a look
    lowest: float  # range of the chart
    highest: float
    forecast: bool  # whether a date is forecast

    def tone(self, value: float) -> Tone:
        """How a value is judged."""
        sign = 1 if self.falling else -1
        if sign * value <= sign * self.limit:
            return "act"
        return "watch" if sign * value <= sign * self.watch else "good"

    def fraction(self, value: float) -> float:
        """Where the value lies in the range, 0 to 1."""
        return (value - self.lowest) / (self.highest - self.lowest)


# Without a rule of that name the portal does not start: a limit shown must be the one that alerts.
_RULE_OF: Final = {
    Quantity.OIL_LIFE: "oil_life_low",
    Quantity.PAD_WEAR: "brake_pads_worn",
    Quantity.TRACTION_BATTERY_SOH: "traction_battery_soh_forecast",
    Quantity.LOW_VOLTAGE_BATTERY_HEALTH: "low_voltage_battery_weak",
}
_PRESSURE_LOSS_LIMIT: Final = 2.0  # kPa per day: stands in the condition of the rule tire_losing_pressure


@cache
def shown_quantities() -> dict[str, Shown]:
    """How each quantity is shown, in the order of the page."""
    limits = {rule.id: rule.limit for rule in rulebook()}

    def limit(quantity: Quantity) -> float:
        value = limits[_RULE_OF[quantity]]
        assert value is not None
        return value

    oil, pads = limit(Quantity.OIL_LIFE), limit(Quantity.PAD_WEAR)
    traction, low_voltage = limit(Quantity.TRACTION_BATTERY_SOH), limit(Quantity.LOW_VOLTAGE_BATTERY_HEALTH)
    entries = (
        Shown(
            quantity=Quantity.TRACTION_BATTERY_SOH,
            unit="%",
            digits=1,
            falling=True,
            limit=traction,
            watch=traction + 3,
            lowest=traction - 5,
            highest=100,
            forecast=True,
        ),
        Shown(
            quantity=Quantity.OIL_LIFE,
            unit="%",
            digits=0,
            falling=True,
            limit=oil,
            watch=oil + 15,
            lowest=0,
            highest=100,
            forecast=True,
        ),
        Shown(
            quantity=Quantity.PAD_WEAR,
            unit="%",
            digits=0,
            falling=False,
            limit=pads,
            watch=pads - 15,
            lowest=0,
            highest=100,
            forecast=True,
        ),
        Shown(
            quantity=Quantity.LOW_VOLTAGE_BATTERY_HEALTH,
            unit="%",
            digits=0,
            falling=True,
            limit=low_voltage,
            watch=low_voltage + 20,
            lowest=0,
            highest=100,
            forecast=True,
        ),
        Shown(
            quantity=Quantity.TIRE_PRESSURE_LOSS,
            unit="kPa/d",
            digits=1,
            falling=False,
            limit=_PRESSURE_LOSS_LIMIT,
            watch=_PRESSURE_LOSS_LIMIT / 2,
            lowest=0,
            highest=_PRESSURE_LOSS_LIMIT + 1,
            forecast=False,
        ),
    )
    return {str(entry.quantity): entry for entry in entries}


def worst(tones: list[Tone]) -> Tone:
    """The most pressing of several."""
    return max(tones, key=TONES.index, default="unknown")
