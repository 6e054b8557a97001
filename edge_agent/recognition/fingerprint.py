"""What a car shows of itself when it is plugged in. Records only; :mod:`edge_agent.recognition.take` fills them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edge_agent.obd.did import DidDefinition
from edge_agent.tester.base import IsoTpAddress

Drive = Literal["petrol", "diesel", "hybrid", "electric", "combustion"]

_ENGINE_SPEED, _COOLANT = 0x0C, 0x05
_FUEL_TRIMS_AND_SPARK = frozenset({0x06, 0x07, 0x08, 0x09, 0x0E})  # a diesel has neither
_TRACTION_BATTERY = frozenset({0x5B, 0x9A, 0xB2, 0xD2})  # charge, hybrid data, health
# SAE J1979-DA, PID 51; flexible and gaseous fuels burn by spark as petrol does.
_FUEL_TYPES: Mapping[Drive, frozenset[int]] = {
    "petrol": frozenset({1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 14}),
    "diesel": frozenset({4, 23}),
    "hybrid": frozenset({15, 16, 17, 18, 19, 20, 21, 22}),
    "electric": frozenset({8}),
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A maker's identifier asked of one ECU."""

    address: IsoTpAddress
    request: bytes

    @classmethod
    def of(cls, definition: DidDefinition) -> "Question":
        """The question a definition asks."""
        address = IsoTpAddress(transmit_id=definition.request_id, receive_id=definition.response_id)
        return cls(address=address, request=definition.request)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What came of a question: the whole positive answer, or the reason why there is none.

    ``silent``: nothing came; ``nrc``: the code of a negative response.
    """

    payload: bytes | None = None
    reason: str = ""
    silent: bool = False
    nrc: int | None = None


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A car as it showed itself.

    ``vin`` None: not read; it may be masked behind its beginning. ``vin_at``: the ECU that gave it by identifier, None
    where standard OBD did. ``pids``: response identifier of each ECU that
    answers 01 00 ("7E8", "18DAF110") -> the parameters of service 01 it says it has. ``fuel_type``: PID 51.
    ``probes``: makers' identifiers asked so far.
    """

    vin: str | None = None
    vin_at: IsoTpAddress | None = None
    pids: Mapping[str, frozenset[int]] = field(default_factory=dict)
    fuel_type: int | None = None
    probes: Mapping[Question, Probe] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether nobody answered anything: the car sleeps, or the adapter does not reach it."""
        return self.vin is None and not self.pids and all(probe.silent for probe in self.probes.values())

    @property
    def identifier_bits(self) -> int | None:
        """11 or 29: the identifiers by which ECUs answer standard OBD; None where none did."""
        return max((29 if len(ecu) > 3 else 11 for ecu in self.pids), default=None)

    @property
    def ecus(self) -> frozenset[str]:
        """Response identifiers of all ECUs that answered anything, a refusal included."""
        asked = {question.address.ecu for question, probe in self.probes.items() if not probe.silent}
        return frozenset(self.pids) | asked

    @property
    def supported(self) -> frozenset[int]:
        """Parameters of service 01 that any ECU has."""
        return frozenset().union(*self.pids.values())


def drive_of(fingerprint: Fingerprint) -> tuple[Drive, str] | None:
    """What the car runs on and the sentence that says why; None where it shows nothing of it."""
    supported = fingerprint.supported
    for drive, types in _FUEL_TYPES.items():
        if fingerprint.fuel_type in types:
            return drive, f"it names its fuel itself (parameter 51 is {fingerprint.fuel_type})"
    if not supported:
        return None
    if _ENGINE_SPEED not in supported:
        if supported & _TRACTION_BATTERY:
            return "electric", "it tells a traction battery's state and has no engine speed"
        return None if _COOLANT in supported else ("electric", "it has neither engine speed nor coolant temperature")
    if supported & _TRACTION_BATTERY:
        return "hybrid", "it has an engine speed and tells a traction battery's state"
    if supported & _FUEL_TRIMS_AND_SPARK:
        return "petrol", "it has an engine speed and fuel trims or ignition timing"
    if len(supported) >= 10:  # a sparse answer leaves out what it likes
        return "diesel", "it has an engine speed, but neither fuel trims nor ignition timing"
    return "combustion", "it has an engine speed"
