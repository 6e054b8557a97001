"""Parameters of SAE J1939-71 that the catalogue has: place, step, and what is no value. Pure.

Bytes are counted from 1, as the standard counts them; numbers have their least significant byte first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# The highest raw value that is a measurement, by length in bytes: above are codes for "error" and "not available".
_HIGHEST: Final = {1: 0xFA, 2: 0xFAFF, 4: 0xFAFF_FFFF}
_PAD: Final = "Vehicle.Chassis.Axle.Row{row}.Wheel.{side}.Brake.PadWear"
_ENGINE: Final = "Vehicle.Powertrain.CombustionEngine"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One suspect parameter: ``value = raw * step + offset`` in the catalogue's unit of ``path``.

    ``rank``: of two parameters with one path, the one of the lower rank is taken.
    """

    spn: int
    group: int
    first_byte: int
    length: int  # bytes
    step: float
    offset: float
    path: str
    rank: int = 0

    def value(self, data: bytes) -> float | None:
        """The value, or None where the control unit has none; the data must be long enough."""
        raw = int.from_bytes(data[self.first_byte - 1 : self.first_byte - 1 + self.length], "little")
        return None if raw > _HIGHEST[self.length] else raw * self.step + self.offset


def _parameters() -> Iterator[Parameter]:
    def one(
        spn: int, group: int, first_byte: int, length: int, step: float, offset: float, path: str, rank: int = 0
    ) -> Parameter:
        return Parameter(
            spn=spn,
            group=group,
            first_byte=first_byte,
            length=length,
            step=step,
            offset=offset,
            path=path,
            rank=rank,
        )

    yield one(190, 61444, 4, 2, 1 / 8, 0, f"{_ENGINE}.Speed")  # EEC1
    yield one(521, 61441, 2, 1, 0.4, 0, "Vehicle.Chassis.Brake.PedalPosition")  # EBC1
    # Lining remaining, 100 % is new; pad wear in VSS is the reverse. EBC4; the second rear axle has no row there.
    for spn, byte, row, side in (
        (1099, 1, 1, "Left"),
        (1100, 2, 1, "Right"),
        (1101, 3, 2, "Left"),
        (1102, 4, 2, "Right"),
    ):
        yield one(spn, 65196, byte, 1, -0.4, 100, _PAD.format(row=row, side=side))
    yield one(917, 65217, 1, 4, 5, 0, "Vehicle.TraveledDistance")  # VDHR, m
    yield one(245, 65248, 5, 4, 125, 0, "Vehicle.TraveledDistance", rank=1)  # VD, m
    yield one(110, 65262, 1, 1, 1, -40, f"{_ENGINE}.EngineCoolant.Temperature")  # ET1
    yield one(175, 65262, 3, 2, 1 / 32, -273, f"{_ENGINE}.EngineOil.Temperature")  # ET1
    yield one(84, 65265, 2, 2, 1 / 256, 0, "Vehicle.Speed")  # CCVS1, wheel-based
    yield one(108, 65269, 1, 1, 0.5, 0, "Vehicle.OBD.BarometricPressure")  # AMB
    yield one(171, 65269, 4, 2, 1 / 32, -273, "Vehicle.Exterior.AirTemperature")  # AMB
    yield one(168, 65271, 5, 2, 0.05, 0, "Vehicle.LowVoltageBattery.CurrentVoltage")  # VEP1
    yield one(158, 65271, 7, 2, 0.05, 0, "Vehicle.OBD.ControlModuleVoltage")  # VEP1
    yield one(96, 65276, 2, 1, 0.4, 0, "Vehicle.OBD.FuelLevel")  # DD1


PARAMETERS: Final = tuple(_parameters())
