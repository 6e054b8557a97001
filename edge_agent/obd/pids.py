"""The parameters of SAE J1979 service 01 that are signals of the catalogue, as data.

Formulas are those of SAE J1979-DA, written as raw * scale + offset in the unit of the catalogue (so the odometer,
given in 0.1 km, has a scale of 100 m). A6, B2 and D2 (battery state of health) are checked against OBDb/SAEJ1979.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

Combine = Literal["first", "sum", "any"]

PERCENT_OF_BYTE = Fraction(100, 255)
OBD = "Vehicle.OBD"
ENGINE = "Vehicle.Powertrain.CombustionEngine"
TRACTION_BATTERY = "Vehicle.Powertrain.TractionBattery"


@dataclass(frozen=True, kw_only=True)
class PidSignal:
    """One value within the data of a PID: big-endian bits, counted from the first bit of byte A.

    ``supported_bit``: the bit that says whether the ECU has this value, None if it always has.
    ``combine``: what several ECUs that give it mean together (the MIL is on if one asks for it; trouble codes add up).
    """

    path: str
    bit_offset: int = 0
    bit_length: int = 8
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    combine: Combine = "first"
    supported_bit: int | None = None

    def value(self, data: bytes) -> float | None:
        """Value in the catalogue's unit, None where the ECU says that it has none."""
        if self.supported_bit is not None and not data[self.supported_bit // 8] & 0x80 >> self.supported_bit % 8:
            return None
        shift = len(data) * 8 - self.bit_offset - self.bit_length
        raw = (int.from_bytes(data) >> shift) & ((1 << self.bit_length) - 1)
        factor, offset, divisor = self._whole_numbers
        return (raw * factor + offset) / divisor

    @cached_property
    def _whole_numbers(self) -> tuple[int, int, int]:
        """Scale and offset over one divisor: rounded once, as fractions are, and many times as fast."""
        divisor = math.lcm(self.scale.denominator, self.offset.denominator)
        return int(self.scale * divisor), int(self.offset * divisor), divisor


@dataclass(frozen=True, kw_only=True)
class Pid:
    """A parameter: its number, how many data bytes it has, and the signals in them."""

    pid: int
    length: int  # bytes
    signals: tuple[PidSignal, ...]


def _one(
    pid: int,
    length: int,
    path: str,
    scale: Fraction | int = 1,
    offset: Fraction | int = 0,
    *,
    bit_length: int | None = None,
) -> Pid:
    bits = length * 8 if bit_length is None else bit_length
    return Pid(
        pid=pid,
        length=length,
        signals=(PidSignal(path=path, bit_length=bits, scale=Fraction(scale), offset=Fraction(offset)),),
    )


_STATUS = Pid(
    pid=0x01,
    length=4,
    signals=(
        PidSignal(path=f"{OBD}.Status.IsMILOn", bit_offset=0, bit_length=1, combine="any"),
        PidSignal(path="Vehicle.Diagnostics.DTCCount", bit_offset=1, bit_length=7, combine="sum"),
    ),
)

# The state of certified energy of UN GTR 22: what the battery still holds of what was certified. The state of certified
# range beside it is of the car, not of its battery, and left out.
_CERTIFIED = Pid(
    pid=0xD2,
    length=3,
    signals=(
        PidSignal(path=f"{TRACTION_BATTERY}.StateOfHealth", bit_offset=8, scale=PERCENT_OF_BYTE, supported_bit=7),
    ),
)

PIDS: Mapping[int, Pid] = {
    pid.pid: pid
    for pid in (
        _STATUS,
        _one(0x04, 1, f"{OBD}.EngineLoad", PERCENT_OF_BYTE),
        _one(0x05, 1, f"{ENGINE}.EngineCoolant.Temperature", 1, -40),
        _one(0x06, 1, f"{OBD}.ShortTermFuelTrim1", Fraction(100, 128), -100),
        _one(0x07, 1, f"{OBD}.LongTermFuelTrim1", Fraction(100, 128), -100),
        _one(0x0B, 1, f"{OBD}.MAP"),
        _one(0x0C, 2, f"{ENGINE}.Speed", Fraction(1, 4)),
        _one(0x0D, 1, "Vehicle.Speed"),
        _one(0x0E, 1, f"{OBD}.TimingAdvance", Fraction(1, 2), -64),
        _one(0x0F, 1, f"{OBD}.IntakeTemp", 1, -40),
        _one(0x10, 2, f"{OBD}.MAF", Fraction(1, 100)),
        _one(0x11, 1, f"{OBD}.ThrottlePosition", PERCENT_OF_BYTE),
        _one(0x1F, 2, f"{OBD}.RunTime"),
        _one(0x21, 2, f"{OBD}.DistanceWithMIL"),
        _one(0x2E, 1, f"{OBD}.CommandedEVAP", PERCENT_OF_BYTE),
        _one(0x2F, 1, f"{OBD}.FuelLevel", PERCENT_OF_BYTE),
        _one(0x30, 1, f"{OBD}.WarmupsSinceDTCClear"),
        _one(0x31, 2, f"{OBD}.DistanceSinceDTCClear"),
        _one(0x33, 1, f"{OBD}.BarometricPressure"),
        _one(0x3C, 2, f"{OBD}.Catalyst.Bank1.Temperature1", Fraction(1, 10), -40),
        _one(0x3E, 2, f"{OBD}.Catalyst.Bank1.Temperature2", Fraction(1, 10), -40),
        _one(0x42, 2, f"{OBD}.ControlModuleVoltage", Fraction(1, 1000)),
        _one(0x44, 2, f"{OBD}.CommandedEquivalenceRatio", Fraction(2, 65536)),
        _one(0x45, 1, f"{OBD}.RelativeThrottlePosition", PERCENT_OF_BYTE),
        _one(0x46, 1, "Vehicle.Exterior.AirTemperature", 1, -40),
        _one(0x47, 1, f"{OBD}.ThrottlePositionB", PERCENT_OF_BYTE),
        _one(0x49, 1, f"{OBD}.AcceleratorPositionD", PERCENT_OF_BYTE),
        _one(0x4A, 1, f"{OBD}.AcceleratorPositionE", PERCENT_OF_BYTE),
        _one(0x4C, 1, f"{OBD}.ThrottleActuator", PERCENT_OF_BYTE),
        _one(0x4D, 2, f"{OBD}.RunTimeMIL"),
        _one(0x4E, 2, f"{OBD}.TimeSinceDTCCleared"),
        _one(0x5B, 1, f"{TRACTION_BATTERY}.StateOfCharge.Current", PERCENT_OF_BYTE),
        _one(0x5C, 1, f"{ENGINE}.EngineOil.Temperature", 1, -40),
        _one(0x9D, 4, f"{OBD}.EngineFuelRate", Fraction(1, 50), bit_length=16),
        _one(0xA6, 4, "Vehicle.TraveledDistance", 100),
        _one(0xB2, 1, f"{TRACTION_BATTERY}.StateOfHealth", PERCENT_OF_BYTE),
        _CERTIFIED,
    )
}
