"""The closed list of units, with the quantity each measures. Keys are those of COVESA VSS 6.0 ``units.yaml``."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit of the catalogue: its VSS key, the sign shown to people, and the quantity it measures."""

    key: str
    sign: str
    quantity: str


UNITS: dict[str, Unit] = {
    unit.key: unit
    for unit in (
        Unit(key="km/h", sign="km/h", quantity="speed"),
        Unit(key="rpm", sign="rpm", quantity="angular-speed"),
        Unit(key="percent", sign="%", quantity="relation"),
        Unit(key="ratio", sign="", quantity="relation"),
        Unit(key="celsius", sign="°C", quantity="temperature"),
        Unit(key="kPa", sign="kPa", quantity="pressure"),
        Unit(key="V", sign="V", quantity="voltage"),
        Unit(key="A", sign="A", quantity="electric-current"),
        Unit(key="kWh", sign="kWh", quantity="energy"),
        Unit(key="m", sign="m", quantity="distance"),
        Unit(key="km", sign="km", quantity="distance"),
        Unit(key="s", sign="s", quantity="duration"),
        Unit(key="min", sign="min", quantity="duration"),
        Unit(key="degrees", sign="°", quantity="angle"),
        Unit(key="g/s", sign="g/s", quantity="mass-flow"),
        Unit(key="count", sign="", quantity="number"),
        Unit(key="bool", sign="", quantity="state"),
    )
}
