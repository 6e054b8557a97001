"""What the power governor is told and what it decides. Records only: no rule and no input or output."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PowerState(StrEnum):
    """What the agent takes the car to be doing, and with it what the agent does."""

    DRIVING = "driving"  # engine turns, car moves, or the ignition line is on: read and send
    CHARGING = "charging"  # the traction battery is being charged: read and send
    SETTLING = "settling"  # stands with its engine off, perhaps at a traffic light: still read, for a short while
    CHECKING = "checking"  # something stirred in a parked car: ask it for some seconds whether it is in use
    PARKED = "parked"  # no word to the car; what is left is sent, the 12 V voltage measured
    ASLEEP = "asleep"  # no word to the car and none to the broker until the plan or the car wakes the agent
    PROTECTED = "protected"  # nothing at all until the 12 V battery has been charged


TALKING = frozenset({PowerState.DRIVING, PowerState.CHARGING, PowerState.SETTLING, PowerState.CHECKING})
IN_USE = frozenset({PowerState.DRIVING, PowerState.CHARGING})
ALONE = frozenset({PowerState.ASLEEP, PowerState.PROTECTED})


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Now, twice: seconds that never jump (CLOCK_BOOTTIME), which decide; wall time, which names days for people."""

    seconds: float
    wall: datetime


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen since the last look; None wherever nothing can be said.

    ``voltage``: of the 12 V system, V. ``frames``: heard on the bus while this end was silent. ``ignition``: the line,
    where the dongle has one. ``engine_speed`` in rpm, ``speed`` in km/h, ``charging``: the traction battery is being
    charged: all three from the car's ECUs. ``answered``: whether the car answered what it was asked. ``temperature``:
    outside, celsius. ``outbox_empty``: nothing is left to send.
    """

    voltage: float | None = None
    frames: int | None = None
    ignition: bool | None = None
    engine_speed: float | None = None
    speed: float | None = None
    charging: bool | None = None
    answered: bool | None = None
    temperature: float | None = None
    outbox_empty: bool = True


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the agent may do until the next look, and why.

    ``talk``: ask the car. ``send``: be connected to the broker. ``measure``: a planned wake begins, note the voltage.
    ``off``: cut the board's power now; ``wake_in_s``: when it is wanted back, None: not before the car wakes.
    ``changed``: this look changed the state.
    """

    state: PowerState
    why: str
    talk: bool
    send: bool
    measure: bool = False
    off: bool = False
    wake_in_s: float | None = None
    changed: bool = False
