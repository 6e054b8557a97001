"""Charges for the tests of the traction battery."""

from datetime import UTC, datetime, timedelta

from health import signals
from health.traction_battery import TractionBattery, TractionBatteryParameters
from telemetry.records import Sample

START = datetime(2026, 3, 1, 20, tzinfo=UTC)
PARAMETERS = TractionBatteryParameters(nominal_capacity_ah=150)


def charge(
    battery: TractionBattery,
    day: float,
    *,
    capacity: float,
    low: float = 30.0,
    high: float = 80.0,
    current: float = 30.0,
    step_s: float = 60.0,
    soc_error: float = 0.0,
    sign: int = 1,
) -> None:
    """One charge at constant current, SOC in whole percent; then two hours of rest."""
    begin = START + timedelta(days=day)
    steps = int((high - low) / 100 * capacity / current * 3600 / step_s) + 1
    for index in range(steps):
        soc = low + index * step_s / 3600 * current / capacity * 100
        values = {
            signals.TRACTION_BATTERY_CURRENT.path: sign * current,
            signals.TRACTION_BATTERY_CHARGING.path: 1.0,
            signals.TRACTION_BATTERY_SOC.path: float(round(min(100.0, soc + (soc_error if index == 0 else 0)))),
        }
        battery.update(Sample(time=begin + timedelta(seconds=index * step_s), monotonic_ms=0, values=values))
    values = {signals.TRACTION_BATTERY_CURRENT.path: 0.0, signals.TRACTION_BATTERY_CHARGING.path: 0.0}
    battery.update(Sample(time=begin + timedelta(seconds=steps * step_s), monotonic_ms=0, values=values))


def soh(battery: TractionBattery, day: float) -> float:
    return battery.estimates(START + timedelta(days=day))[0].value
