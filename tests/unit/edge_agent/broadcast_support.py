"""A small DBC, its mapping, and frames of it as a socket has them."""

import struct
from pathlib import Path

from edge_agent.sources.broadcast_layout import EXTENDED
from edge_agent.sources.broadcast_mapping import CanMapping

SPEED = "Vehicle.Speed"
RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
COOLANT = "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"
DBC = """VERSION ""
BU_: ECU
BO_ 180 SPEED: 8 ECU
 SG_ SPEED : 7|16@0+ (0.01,0) [0|250] "km/h" ECU
BO_ 256 ENGINE: 4 ECU
 SG_ RPM : 7|16@0+ (1,0) [0|16000] "rpm" ECU
 SG_ COOLANT : 23|8@0+ (1,-40) [-40|215] "degC" ECU
"""
MAPPINGS = (
    CanMapping(message="SPEED", signal="SPEED", path=SPEED),
    CanMapping(message="ENGINE", signal="RPM", path=RPM),
    CanMapping(message="ENGINE", signal="COOLANT", path=COOLANT, period_s=10.0),
)


def speed(kmh: float) -> bytes:
    """The data of a frame 0B4."""
    return struct.pack(">H6x", round(kmh * 100))


def engine(rpm: int, coolant: int) -> bytes:
    """The data of a frame 100."""
    return struct.pack(">HBx", rpm, coolant + 40)


def can_frame(identifier: int, data: bytes, *, extended: bool = False, flags: int = 0) -> bytes:
    """``struct can_frame``, as SocketCAN gives it."""
    return struct.pack("=IB3x8s", identifier | (EXTENDED if extended else 0) | flags, len(data), data)


def write_dbc(folder: Path) -> Path:
    """The DBC as a file."""
    path = folder / "car.dbc"
    path.write_text(DBC, encoding="ascii")
    return path
