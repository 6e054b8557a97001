"""Who and what appears in the demo: six cars with a past and a fate, their owners, three workshops. Only data."""

from dataclasses import dataclass, field
from datetime import time
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Story:
    """One car, what it has behind it, and what is to become of it.

    ``past`` is how the car's history begins, ``live`` what is added when it goes live, both as keys of a garage file.
    ``wears_out``: the part whose wear is accelerated when live, so that it crosses its limit within seconds.
    ``rule`` is the rule that must raise the alert, "" for the car that must stay silent. ``fate`` is said aloud.
    """

    device: str
    label: str
    owner: str
    language: str
    kind: str  # of the virtual car and of its profile, virtual_<kind>
    rule: str
    fate: str
    past: dict[str, Any] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    wears_out: Literal["", "oil", "pads"] = ""
    position: tuple[float, float] = (48.7758, 9.1829)  # degrees WGS 84

    @property
    def profile(self) -> str:
        """Vehicle profile it is read by."""
        return f"virtual_{self.kind}"


@dataclass(frozen=True, kw_only=True)
class DemoWorkshop:
    """A workshop with its bays; prices in EUR."""

    key: str
    name: str
    position: tuple[float, float]
    rating: float
    opens: time
    closes: time
    price_factor: float
    bays: tuple[tuple[str, tuple[str, ...]], ...]
    time_zone: str = "Europe/Berlin"


HISTORY_DAYS = 150
HISTORY_SAMPLE_PERIOD_S = 120.0

STORIES = (
    Story(
        device="wc-demo-oil",
        label="Anna's hatchback",
        owner="Anna Berger",
        language="en",
        kind="petrol",
        rule="oil_life_low",
        fate="oil life runs out",
        past={"condition": {"oil_life_percent": 69.0, "odometer_km": 48_200}, "aging": {"oil_life_km": 15_000}},
        wears_out="oil",
    ),
    Story(
        device="wc-demo-pads",
        label="Delivery van 7",
        owner="李伟",
        language="zh",
        kind="diesel",
        rule="brake_pads_worn",
        fate="a brake pad reaches its limit",
        past={
            "condition": {"pad_wear_percent": [68.0, 62.0, 48.0, 47.0], "oil_life_percent": 92.0, "odometer_km": 91_000}
        },
        wears_out="pads",
        position=(48.7480, 9.1050),
    ),
    Story(
        device="wc-demo-soh",
        label="陈家的电动车",
        owner="陈静",
        language="zh",
        kind="electric",
        rule="traction_battery_soh_forecast",
        fate="the traction battery is forecast to cross its limit",
        past={"condition": {"soh_percent": 83.4, "odometer_km": 132_000}, "aging": {"soh_percent_per_day": 0.02}},
        position=(48.8000, 9.2200),
    ),
    Story(
        device="wc-demo-12v",
        label="Marta's estate",
        owner="Marta Keller",
        language="en",
        kind="petrol",
        rule="low_voltage_battery_weak",
        fate="the 12 V battery weakens",
        past={
            "condition": {"low_voltage_health_percent": 62.0, "oil_life_percent": 90.0},
            "aging": {"low_voltage_health_percent_per_day": 0.30},
        },
        position=(48.8300, 9.3100),
    ),
    Story(
        device="wc-demo-misfire",
        label="Jonas's coupé",
        owner="Jonas Roth",
        language="en",
        kind="petrol",
        rule="trouble_code_confirmed",
        fate="a misfire code appears (P0301)",
        past={"condition": {"oil_life_percent": 95.0}},
        live={"schedule": [{"at_s": 6, "fault": "misfire"}], "misfire_confirmed_after_s": 5},
        position=(48.7000, 9.2000),
    ),
    Story(
        device="wc-demo-healthy",
        label="Sofia's city car",
        owner="Sofia Lang",
        language="en",
        kind="electric",
        rule="",
        fate="nothing: it is healthy",
        past={"condition": {"soh_percent": 96.0, "odometer_km": 21_000}},
        position=(48.7600, 9.1600),
    ),
)

WORKSHOPS = (
    DemoWorkshop(
        key="nord",
        name="Werkstatt Nord",
        position=(48.8120, 9.1800),
        rating=4.7,
        opens=time(8),
        closes=time(18),
        price_factor=1.10,
        bays=(("Bay 1", ("mechanical", "diagnostics")), ("Bay 2", ("mechanical", "high_voltage", "electrical"))),
    ),
    DemoWorkshop(
        key="mitte",
        name="Garage Mitte",
        position=(48.7770, 9.1750),
        rating=4.1,
        opens=time(7, 30),
        closes=time(17),
        price_factor=0.95,
        bays=(("Lift A", ("mechanical", "electrical", "diagnostics")), ("Lift B", ("mechanical",))),
    ),
    DemoWorkshop(
        key="sued",
        name="Autohaus Süd",
        position=(48.7200, 9.1300),
        rating=4.4,
        opens=time(8),
        closes=time(17, 30),
        price_factor=1.0,
        bays=(
            ("Platz 1", ("mechanical", "electrical")),
            ("Platz 2", ("mechanical", "diagnostics", "high_voltage")),
        ),
    ),
)
