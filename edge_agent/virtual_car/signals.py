"""All signals of a car by VSS path, in the units of the catalogue, as they truly are: nothing is rounded here."""

from edge_agent.virtual_car.model import CarModel

_OBD = "Vehicle.OBD."
_ENGINE = "Vehicle.Powertrain.CombustionEngine."
_TRACTION = "Vehicle.Powertrain.TractionBattery."
_PADS = tuple(
    f"Vehicle.Chassis.Axle.{w}.Brake.PadWear"
    for w in ("Row1.Wheel.Left", "Row1.Wheel.Right", "Row2.Wheel.Left", "Row2.Wheel.Right")
)
_TIRES = tuple(path.replace("Brake.PadWear", "Tire.Pressure") for path in _PADS)
_TIRE_TEMPERATURES = tuple(path.replace("Brake.PadWear", "Tire.Temperature") for path in _PADS)


def signals(car: CarModel) -> dict[str, float]:
    """Everything that could be measured on this car now."""
    voltage = car.low_voltage_v()
    values = {
        "Vehicle.Speed": car.motion.speed_kmh,
        "Vehicle.TraveledDistance": car.odometer_km * 1000,
        "Vehicle.Chassis.Brake.PedalPosition": _brake_pedal(car.motion.acceleration_kmh_per_s),
        "Vehicle.Exterior.AirTemperature": car.ambient_c,
        "Vehicle.LowVoltageBattery.CurrentVoltage": voltage,
        _OBD + "ControlModuleVoltage": max(0.0, voltage - 0.08),  # less the drop in the wiring
        _OBD + "BarometricPressure": 101.0,
        _OBD + "Status.IsMILOn": float(car.dtc.mil_on),
        "Vehicle.Diagnostics.DTCCount": float(car.dtc.confirmed),
        _OBD + "DistanceWithMIL": min(65535.0, car.dtc.distance_with_mil_km),
        _OBD + "RunTimeMIL": min(65535.0, car.dtc.run_time_mil_min),
        _OBD + "DistanceSinceDTCClear": min(65535.0, car.dtc.distance_since_clear_km),
        _OBD + "TimeSinceDTCCleared": min(65535.0, car.dtc.time_since_clear_min),
        _OBD + "WarmupsSinceDTCClear": float(car.dtc.warmups_since_clear),
    }
    wear = car.wear
    for wheel in range(4):
        values[_PADS[wheel]] = wear.pad_wear_percent[wheel]
        values[_TIRES[wheel]] = wear.pressure_kpa(wheel)
        values[_TIRE_TEMPERATURES[wheel]] = wear.tire_c
    if car.electric:
        _add_electric(car, values)
    else:
        _add_combustion(car, values)
    return values


def _brake_pedal(acceleration_kmh_per_s: float) -> float:
    """Percent of the way at which the wheels lock, about 35 km/h per second; the first km/h/s is drag, not brakes."""
    return min(100.0, max(0.0, (-acceleration_kmh_per_s - 1.0) / 35.0 * 100.0))


def _add_electric(car: CarModel, values: dict[str, float]) -> None:
    battery = car.traction
    values[_TRACTION + "StateOfHealth"] = battery.soh_percent
    values[_TRACTION + "StateOfCharge.Current"] = battery.soc_percent
    values[_TRACTION + "StateOfCharge.Displayed"] = min(100.0, max(0.0, (battery.soc_percent - 4) / 0.92))
    values[_TRACTION + "CurrentVoltage"] = battery.voltage
    values[_TRACTION + "CurrentCurrent"] = battery.current if car.phase in {"running", "charging"} else 0.0
    values[_TRACTION + "Temperature.Average"] = battery.temperature_c
    values[_TRACTION + "Charging.IsCharging"] = float(car.phase == "charging")


def _add_combustion(car: CarModel, values: dict[str, float]) -> None:
    engine = car.engine
    running = car.phase == "running"
    load = engine.load
    pedal = max(0.0, (load - 0.14) * 100)
    accelerating = car.motion.acceleration_kmh_per_s
    values[_ENGINE + "Speed"] = engine.rpm if car.phase != "cranking" else 210.0
    values[_ENGINE + "EngineCoolant.Temperature"] = engine.coolant_c
    values[_ENGINE + "EngineOil.Temperature"] = engine.oil_c
    values[_ENGINE + "EngineOil.LifeRemainingPercent"] = car.wear.oil_life_percent
    values[_OBD + "EngineLoad"] = load * 100
    values[_OBD + "ThrottlePosition"] = 12 + pedal * 0.7
    values[_OBD + "RelativeThrottlePosition"] = pedal * 0.7
    values[_OBD + "ThrottlePositionB"] = 40 + pedal * 0.35
    values[_OBD + "ThrottleActuator"] = 12 + pedal * 0.7
    values[_OBD + "AcceleratorPositionD"] = 15 + pedal * 0.6
    values[_OBD + "AcceleratorPositionE"] = 30 + pedal * 0.6
    values[_OBD + "ShortTermFuelTrim1"] = 1.2 * accelerating + (8.0 if car.dtc.failing else 0.0)
    values[_OBD + "LongTermFuelTrim1"] = -3.1
    values[_OBD + "MAP"] = 25 + 75 * load if running else 101.0
    values[_OBD + "MAF"] = engine.air_flow_g_per_s
    values[_OBD + "EngineFuelRate"] = engine.air_flow_g_per_s / (14.6 if not engine.diesel else 24.0)
    values[_OBD + "FuelLevel"] = car.fuel_level_percent
    values[_OBD + "CommandedEquivalenceRatio"] = 1.0
    values[_OBD + "CommandedEVAP"] = 20.0 if engine.coolant_c > 60 and running else 0.0
    values[_OBD + "TimingAdvance"] = 8 + 24 * (1 - load) if running else 0.0
    values[_OBD + "IntakeTemp"] = car.ambient_c + 9
    values[_OBD + "Catalyst.Bank1.Temperature1"] = engine.catalyst_c
    values[_OBD + "Catalyst.Bank1.Temperature2"] = engine.catalyst_c * 0.8
    values[_OBD + "RunTime"] = min(65535.0, engine.running_s)
