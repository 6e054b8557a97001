"""The signals estimators read, by their VSS path, and how a value is taken from a sample.

A value outside the catalogue's range (NaN included) is a fault of reading, not of the car: it counts as absent.
"""

from typing import Final

from telemetry.catalogue import Signal, catalogue
from telemetry.records import Sample

WHEELS: Final = ("Row1.Left", "Row1.Right", "Row2.Left", "Row2.Right")


def _signal(column: str) -> Signal:
    return catalogue().by_column(column)


def _per_wheel(stem: str) -> dict[str, Signal]:
    return {wheel: _signal(f"{stem}_{wheel.lower().replace('.', '_')}") for wheel in WHEELS}


SPEED: Final = _signal("speed")  # km/h
TRAVELED_DISTANCE: Final = _signal("traveled_distance")  # m
ENGINE_SPEED: Final = _signal("engine_speed")  # rpm
ENGINE_LOAD: Final = _signal("engine_load")  # percent
COOLANT_TEMPERATURE: Final = _signal("coolant_temperature")  # celsius
OIL_TEMPERATURE: Final = _signal("oil_temperature")  # celsius
OIL_LIFE: Final = _signal("oil_life")  # percent
AMBIENT_TEMPERATURE: Final = _signal("ambient_temperature")  # celsius
INTAKE_TEMPERATURE: Final = _signal("intake_temperature")  # celsius
DISTANCE_SINCE_CODES_CLEARED: Final = _signal("distance_since_dtc_clear")  # km
DISTANCE_TO_SERVICE: Final = _signal("distance_to_service")  # km, negative = overdue
BRAKE_PEDAL_POSITION: Final = _signal("brake_pedal_position")  # percent
LOW_VOLTAGE_BATTERY_VOLTAGE: Final = _signal("low_voltage_battery_voltage")  # V
CONTROL_MODULE_VOLTAGE: Final = _signal("control_module_voltage")  # V
TRACTION_BATTERY_SOH: Final = _signal("traction_battery_soh")  # percent
TRACTION_BATTERY_SOC: Final = _signal("traction_battery_soc")  # percent
TRACTION_BATTERY_VOLTAGE: Final = _signal("traction_battery_voltage")  # V
TRACTION_BATTERY_CURRENT: Final = _signal("traction_battery_current")  # A, positive into the battery (VSS)
TRACTION_BATTERY_TEMPERATURE: Final = _signal("traction_battery_temperature")  # celsius
TRACTION_BATTERY_CHARGING: Final = _signal("traction_battery_charging")  # bool
TRACTION_BATTERY_NET_CAPACITY: Final = _signal("traction_battery_net_capacity")  # kWh
PAD_WEAR: Final = _per_wheel("pad_wear")  # percent, 100 = worn out
TIRE_PRESSURE: Final = _per_wheel("tire_pressure")  # kPa, gauge
TIRE_TEMPERATURE: Final = _per_wheel("tire_temperature")  # celsius


def read(sample: Sample, signal: Signal) -> float | None:
    """Value in the catalogue's unit; None where it was not read or cannot be true of a car."""
    value = sample.values.get(signal.path)
    return value if value is not None and signal.accepts(value) else None
