"""What a profile says, as frozen records: how to read one kind of car, and what one kind of dongle is built from.

The YAML behind these records is described, key by key, in ``docs/profiles.md``; :mod:`firmware_profiles.loader`
makes the one from the other. Only facts about cars and boards belong here: no reading, no decoding, no defaults
of the agent. Periods and holds are in seconds, whatever unit the YAML gave.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

VehicleKind = Literal["petrol", "diesel", "hybrid", "electric", "generic"]
InterfaceKind = Literal["socketcan", "slcan", "gs_usb", "elm327"]
OffWhen = Literal["asleep", "protected"]
Scalar = str | int | float | bool

AUTOMATIC = "auto"  # in place of a vehicle profile's name: the agent finds out which one the car has
MAX_11_BIT_IDENTIFIER = 0x7FF  # ISO 11898-1: base format; anything above needs the extended (29 bit) format


@dataclass(frozen=True, kw_only=True)
class CanParameters:
    """The diagnostic bus: bit rate in bit/s, and whether standard OBD uses 11 or 29 bit identifiers (ISO 15765-4)."""

    bit_rate: int
    identifier_bits: int


@dataclass(frozen=True, kw_only=True)
class PollItem:
    """A standard parameter (SAE J1979) to ask for: service and PID as numbers, period in seconds."""

    service: int
    pid: int
    period_s: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """What a car answered (or would), and the value it means: the definition is tested with it.

    ``payload`` is what follows the echoed DID; ``value`` is in the unit of the signal in the catalogue.
    """

    payload: bytes
    value: float


@dataclass(frozen=True, kw_only=True)
class SignalDefinition:
    """Where one signal stands in the answer to a DID, and what it means: ``value = raw * scale + offset``.

    ``path`` is the VSS path, ``column`` the short name in the catalogue; the value is in the catalogue's unit.
    ``bit_offset`` counts from the most significant bit of the first byte after the echoed DID; ``bit_length`` bits are
    read, most significant first (the order of ISO 14229-1). ``signed``: two's complement. ``absent``: raw numbers by
    which the ECU says that it has no value (a tyre's sensor asleep, a figure not yet worked out).
    """

    path: str
    column: str
    bit_offset: int
    bit_length: int
    scale: Fraction
    offset: Fraction = Fraction(0)
    signed: bool = False
    absent: tuple[int, ...] = ()
    example: Example
    further_examples: tuple[Example, ...] = ()

    @property
    def examples(self) -> tuple[Example, ...]:
        """All examples of the definition, at least one."""
        return (self.example, *self.further_examples)

    @property
    def minimum_length(self) -> int:
        """Bytes an answer must have after the echoed DID to carry this signal."""
        return -(-(self.bit_offset + self.bit_length) // 8)


@dataclass(frozen=True, kw_only=True)
class DidDefinition:
    """One request by data identifier and the signals in its answer.

    ``service`` is 0x22 (ISO 14229-1, ReadDataByIdentifier) with a DID of two bytes, or 0x21 (ISO 14230-3,
    ReadDataByLocalIdentifier) with one of one byte. ``length``: bytes after the echoed DID, None where the source does
    not say. ``source`` says where the definition is published.
    """

    name: str
    request_id: int
    response_id: int
    service: int = 0x22
    did: int
    period_s: float
    source: str
    note: str = ""
    length: int | None = None
    signals: tuple[SignalDefinition, ...]

    @property
    def extended(self) -> bool:
        """Whether the identifiers are of the 29 bit format."""
        return max(self.request_id, self.response_id) > MAX_11_BIT_IDENTIFIER


@dataclass(frozen=True, kw_only=True)
class UdsTroubleCodes:
    """An ECU asked for trouble codes by service 0x19 (ISO 14229-1); ``status_mask`` chooses by status bits."""

    request_id: int
    response_id: int
    status_mask: int

    @property
    def extended(self) -> bool:
        """Whether the identifiers are of the 29 bit format."""
        return max(self.request_id, self.response_id) > MAX_11_BIT_IDENTIFIER


@dataclass(frozen=True, kw_only=True)
class TroubleCodePlan:
    """How trouble codes are read: OBD services (0x03, 0x07, 0x0A), ECUs asked by UDS, and the period in seconds."""

    services: tuple[int, ...]
    uds_19: tuple[UdsTroubleCodes, ...] = ()
    period_s: float


@dataclass(frozen=True, kw_only=True)
class Match:
    """How a car of a profile is recognised, beyond answering what the profile asks.

    ``vin``: patterns (:mod:`firmware_profiles.vin_pattern`), one of which its VIN has; ``first_year`` and
    ``last_year``: model years, None where open; ``ecus``: response identifiers (CAN) of ECUs it has.
    """

    vin: tuple[str, ...] = ()
    first_year: int | None = None
    last_year: int | None = None
    ecus: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VehicleProfile:
    """How to read one kind of car.

    ``category``: UNECE category, M1 (car) or N1 (van). ``match`` None: chosen by name only. ``health`` holds the
    parameters of the estimators by estimator name, checked by :mod:`health`. ``simulated``: the definitions are those
    of the virtual car, no real ECU answers them. ``files``: the file itself, then the files it extends, nearest first.
    """

    name: str
    title: str
    kind: VehicleKind
    category: Literal["M1", "N1"] = "M1"
    can: CanParameters
    poll: tuple[PollItem, ...] = ()
    dids: tuple[DidDefinition, ...] = ()
    trouble_codes: TroubleCodePlan | None = None
    health: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    match: Match | None = None
    simulated: bool = False
    notes: str = ""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Interface:
    """How the dongle reaches the bus.

    ``channel`` is a network interface ("can0"), a serial port ("/dev/ttyUSB0") or a USB device number; ``serial_baud``
    in baud, for serial adapters (an ELM327's is found where none is given); ``fd``: the controller can do CAN FD.
    """

    kind: InterfaceKind
    channel: str
    serial_baud: int | None = None
    fd: bool = False


@dataclass(frozen=True, kw_only=True)
class CanController:
    """The chip on a CAN HAT. Boards with one chip differ in crystal (Hz) and in interrupt pin (BCM GPIO number)."""

    chip: str
    oscillator_hz: int
    interrupt_gpio: int
    spi: str


@dataclass(frozen=True, kw_only=True)
class PowerPlan:
    """When to sleep and wake, by the voltage of the 12 V system in V, each held for a time in seconds.

    Two thresholds, as one would flap. ``controller`` is what cuts the power: a Pi has no useful suspend of its own.
    ``off_command`` makes it do so, ``off_when`` says at what moment: "asleep" where the controller gives the power back
    (at the wake time, or when the car wakes), "protected" where only a person can, so that it is the last resort.
    Currents in mA at 12 V: reading and sending, parked with the power on, with the power cut. Those of a profile
    that says nothing are those of the hungriest board here.
    """

    controller: str
    sleep_below_v: float
    sleep_hold_s: float
    wake_above_v: float
    wake_hold_s: float
    off_command: tuple[str, ...] = ()
    off_when: OffWhen = "protected"
    awake_ma: float = 285.0
    idle_ma: float = 285.0
    off_ma: float = 30.0


@dataclass(frozen=True, kw_only=True)
class HardwareProfile:
    """What one kind of dongle is built from.

    ``config_txt`` are lines for the Raspberry Pi's ``config.txt``; ``device_allow`` and ``groups`` are what the agent's
    systemd unit needs; ``memory_mb`` is the board's RAM in MB; ``gnss`` and ``rtc`` name the part or say "none".
    """

    name: str
    title: str
    board: str
    arch: str
    memory_mb: int
    interface: Interface
    controller: CanController | None = None
    power: PowerPlan
    gnss: str = "none"
    rtc: str = "none"
    config_txt: tuple[str, ...] = ()
    device_allow: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    notes: str = ""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProfileList:
    """All profiles that ship with this version, families left out."""

    vehicles: tuple[VehicleProfile, ...]
    hardware: tuple[HardwareProfile, ...]
