"""The words a rule may use: its dotted variables, each with its kind. No input or output here.

``signal.<column>``       a catalogue signal (its unit: the catalogue)
``estimate.<quantity>.*`` value, low, high (quantity's unit), source, age_s
``wheel.*``               the same for one wheel: name, tire_pressure (kPa), pad_wear.value, …
``forecast.<quantity>.*`` probability_30d, days, days_early, days_late until the limit is crossed
``code.*``                one trouble code: code, status, ecu, mil, severity, system; with its circumstances: urgency
                          (drive_on, soon, stop), days_to_act, days_seen (of the last 30), job (to book, "" none), why
``vehicle.*``             profile, age_years
``limit``                 the rule's limit
"""

from rules.expression import Kind
from telemetry.catalogue import catalogue
from telemetry.records import Quantity

WHEEL_QUANTITIES = (Quantity.PAD_WEAR, Quantity.TIRE_PRESSURE_LOSS)
WHEEL_SIGNALS = ("tire_pressure", "tire_temperature")
_ESTIMATE_FIELDS: dict[str, Kind] = {
    "value": "double", "low": "double", "high": "double", "source": "string", "age_s": "double",
}  # fmt: skip
_FORECAST_FIELDS: dict[str, Kind] = {
    "probability_30d": "double", "days": "double", "days_early": "double", "days_late": "double",
}  # fmt: skip
_CODE_FIELDS: dict[str, Kind] = {
    "code": "string", "status": "string", "ecu": "string", "mil": "bool", "severity": "string", "system": "string",
    "urgency": "string", "days_to_act": "double", "days_seen": "double", "job": "string", "why": "string",
}  # fmt: skip
_VEHICLE_FIELDS: dict[str, Kind] = {"profile": "string", "age_years": "double"}


def vocabulary(for_each: str, *, limit: bool) -> dict[str, Kind]:
    """Each dotted variable a rule of that kind may name, with its kind."""
    names: dict[str, Kind] = {f"vehicle.{name}": kind for name, kind in _VEHICLE_FIELDS.items()}
    if limit:
        names["limit"] = "double"
    for signal in catalogue():
        names[f"signal.{signal.column}"] = "bool" if signal.datatype == "boolean" else "double"
    for quantity in Quantity:
        root = f"wheel.{quantity}" if quantity in WHEEL_QUANTITIES else f"estimate.{quantity}"
        if not root.startswith("wheel.") or for_each == "wheel":
            names |= {f"{root}.{name}": kind for name, kind in _ESTIMATE_FIELDS.items()}
            names |= {f"forecast.{quantity}.{name}": kind for name, kind in _FORECAST_FIELDS.items()}
    if for_each == "wheel":
        names["wheel.name"] = "string"
        names |= {f"wheel.{name}": "double" for name in WHEEL_SIGNALS}
    if for_each == "trouble_code":
        names |= {f"code.{name}": kind for name, kind in _CODE_FIELDS.items()}
    return names


def input_of(path: str) -> str | None:
    """The input a variable belongs to, as `needs` names it; None for what never grows old."""
    root, *names = path.split(".")
    if root in {"vehicle", "limit"} or path == "wheel.name":
        return None
    return "code" if root == "code" else f"{root}.{names[0]}"
