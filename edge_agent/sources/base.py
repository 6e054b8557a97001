"""What every source is: something that is opened, polled for readings, and closed. No decoding lives here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

DtcStatus = Literal["pending", "confirmed", "permanent"]


@dataclass(frozen=True, kw_only=True)
class TroubleCode:
    """A diagnostic trouble code as one ECU reports it.

    ``code`` in SAE J2012 form ("P0301"); ``ecu`` is the answering CAN identifier in hex ("7E8");
    ``warning_lamp`` is whether this code asks for the MIL, None where the service does not say.
    """

    code: str
    ecu: str
    status: DtcStatus
    warning_lamp: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ReadFault:
    """A read that failed: what was asked ("service 01 PID 0C") and why ("NRC 0x12", "no answer in 200 ms")."""

    request: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Identified:
    """By which profile the car is read, how certain it is that it fits (0 to 1), and why, in sentences."""

    profile: str
    certainty: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one poll gave.

    ``values``: VSS path -> value in the catalogue's unit; what could not be read is absent and named in ``faults``.
    ``trouble_codes``: None when not read in this poll, which is not the same as an empty tuple (read, none there).
    ``ecus_read``: the ECUs that gave all their codes in this poll; of any other ECU a code that is absent here is not
    gone. None: all there are.
    ``freeze_frames``: by ECU and code, of codes that came up or changed: VSS path -> value of that moment.
    ``time``: the recorded time of a replay; None for a live source, the agent takes its own clock.
    ``age_s``: how long ago a live source read this, where that was not just now.
    ``identified``: given once by a source that chooses the profile itself, and again when it chooses another.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    trouble_codes: tuple[TroubleCode, ...] | None = None
    ecus_read: frozenset[str] | None = None
    vin: str | None = None
    time: datetime | None = None
    age_s: float = 0.0
    faults: tuple[ReadFault, ...] = ()
    identified: Identified | None = None
    freeze_frames: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)


class Source(Protocol):
    """A source of readings. Blocking; used by one thread."""

    def open(self) -> None:
        """Get ready; SourceError says what is wrong and what to do."""
        ...

    def poll(self) -> Reading | None:
        """Read what is due now. None: the source has ended (a recording is over). SourceError: it is gone."""
        ...

    def close(self) -> None:
        """Let go of the bus or file; may be called twice."""
        ...


@runtime_checkable
class ReadsCodesOnDemand(Protocol):
    """A source that can read the trouble codes out of turn."""

    def read_codes_soon(self) -> None:
        """Let the codes be read in the next poll."""
        ...
