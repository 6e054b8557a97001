"""How an ECU puts values into bytes: written from SAE J1979-DA, not from the decoder, so that each tests the other."""

from collections.abc import Callable, Iterable, Mapping

from edge_agent.obd.did import DidDefinition, DidSignal
from edge_agent.virtual_car.config import Kind

Signals = Mapping[str, float]
Encoder = Callable[[Signals], bytes]

_OBD = "Vehicle.OBD."
_ENGINE = "Vehicle.Powertrain.CombustionEngine."
_TRACTION = "Vehicle.Powertrain.TractionBattery."


def _u8(value: float) -> bytes:
    return bytes((min(0xFF, max(0, round(value))),))


def _u16(value: float) -> bytes:
    return min(0xFFFF, max(0, round(value))).to_bytes(2)


def _percent(path: str) -> Encoder:
    return lambda signals: _u8(signals[path] * 2.55)


def _trim(path: str) -> Encoder:
    return lambda signals: _u8((signals[path] + 100) * 1.28)


def _temperature(path: str) -> Encoder:
    return lambda signals: _u8(signals[path] + 40)


def _catalyst(path: str) -> Encoder:
    return lambda signals: _u16((signals[path] + 40) * 10)


def _word(path: str, factor: float = 1.0) -> Encoder:
    return lambda signals: _u16(signals[path] * factor)


def _byte(path: str) -> Encoder:
    return lambda signals: _u8(signals[path])


def _monitor_status(signals: Signals) -> bytes:
    lamp = 0x80 if signals[_OBD + "Status.IsMILOn"] else 0
    # B to D: misfire, fuel system and components are monitored and complete; spark ignition.
    return bytes((lamp | int(signals["Vehicle.Diagnostics.DTCCount"]), 0x07, 0x00, 0x00))


def _fuel_rate(signals: Signals) -> bytes:
    word = _u16(signals[_OBD + "EngineFuelRate"] * 50)
    return word + word  # of the engine, of the vehicle


ENCODERS: Mapping[int, Encoder] = {
    0x01: _monitor_status,
    0x04: _percent(_OBD + "EngineLoad"),
    0x05: _temperature(_ENGINE + "EngineCoolant.Temperature"),
    0x06: _trim(_OBD + "ShortTermFuelTrim1"),
    0x07: _trim(_OBD + "LongTermFuelTrim1"),
    0x0B: _byte(_OBD + "MAP"),
    0x0C: _word(_ENGINE + "Speed", 4),
    0x0D: _byte("Vehicle.Speed"),
    0x0E: lambda signals: _u8((signals[_OBD + "TimingAdvance"] + 64) * 2),
    0x0F: _temperature(_OBD + "IntakeTemp"),
    0x10: _word(_OBD + "MAF", 100),
    0x11: _percent(_OBD + "ThrottlePosition"),
    0x1F: _word(_OBD + "RunTime"),
    0x21: _word(_OBD + "DistanceWithMIL"),
    0x2E: _percent(_OBD + "CommandedEVAP"),
    0x2F: _percent(_OBD + "FuelLevel"),
    0x30: _byte(_OBD + "WarmupsSinceDTCClear"),
    0x31: _word(_OBD + "DistanceSinceDTCClear"),
    0x33: _byte(_OBD + "BarometricPressure"),
    0x3C: _catalyst(_OBD + "Catalyst.Bank1.Temperature1"),
    0x3E: _catalyst(_OBD + "Catalyst.Bank1.Temperature2"),
    0x42: _word(_OBD + "ControlModuleVoltage", 1000),
    0x44: _word(_OBD + "CommandedEquivalenceRatio", 32768),
    0x45: _percent(_OBD + "RelativeThrottlePosition"),
    0x46: _temperature("Vehicle.Exterior.AirTemperature"),
    0x47: _percent(_OBD + "ThrottlePositionB"),
    0x49: _percent(_OBD + "AcceleratorPositionD"),
    0x4A: _percent(_OBD + "AcceleratorPositionE"),
    0x4C: _percent(_OBD + "ThrottleActuator"),
    0x4D: _word(_OBD + "RunTimeMIL"),
    0x4E: _word(_OBD + "TimeSinceDTCCleared"),
    0x5B: _percent(_TRACTION + "StateOfCharge.Current"),
    0x5C: _temperature(_ENGINE + "EngineOil.Temperature"),
    0x9D: _fuel_rate,
    0xA6: lambda signals: (round(signals["Vehicle.TraveledDistance"] / 100) & 0xFFFFFFFF).to_bytes(4),
    0xB2: _percent(_TRACTION + "StateOfHealth"),
    0xD2: lambda signals: b"\x01" + _percent(_TRACTION + "StateOfHealth")(signals) + b"\x00",
}

_ELECTRIC = frozenset({0x01, 0x0D, 0x21, 0x30, 0x31, 0x33, 0x42, 0x46, 0x4D, 0x4E, 0x5B, 0xA6, 0xB2})
_COMBUSTION = frozenset(ENCODERS) - {0x5B, 0xB2, 0xD2}
# A diesel has no fuel trims, no spark and no tank ventilation.
SUPPORTED_PIDS: Mapping[Kind, frozenset[int]] = {
    "petrol": _COMBUSTION,
    "diesel": _COMBUSTION - {0x06, 0x07, 0x0E, 0x2E, 0x3C, 0x3E, 0x44},
    "electric": _ELECTRIC,
}
TRANSMISSION_PIDS = frozenset({0x01, 0x0D})


def bitmap(supported: Iterable[int], base: int) -> bytes:
    """Four bytes of PIDs ``base`` + 1 to + 32; the last bit says that a further bitmap follows."""
    pids = set(supported)
    bits = 0
    for n in range(32):
        pid = base + 1 + n
        further = n == 31 and any(other > pid for other in pids)
        bits = bits << 1 | (pid in pids or further)
    return bits.to_bytes(4)


def did_data(definition: DidDefinition, signals: Signals) -> bytes:
    """Data bytes of a DID; KeyError if this car has no such signal."""
    data = bytearray(definition.data_length)
    for signal in definition.signals:
        _put(data, signal, signals[signal.path])
    return bytes(data)


def did_raw(signal: DidSignal, value: float) -> int:
    """Raw number nearest to the value, within what the bits can hold."""
    raw = round((value - float(signal.offset)) / float(signal.scale))
    if signal.signed:
        half = 1 << (signal.bit_length - 1)
        return min(half - 1, max(-half, raw))
    return min((1 << signal.bit_length) - 1, max(0, raw))


def _put(data: bytearray, signal: DidSignal, value: float) -> None:
    raw = did_raw(signal, value)
    for bit in range(signal.bit_length):
        position = signal.bit_offset + signal.bit_length - 1 - bit
        if raw >> bit & 1:
            data[position // 8] |= 0x80 >> position % 8
