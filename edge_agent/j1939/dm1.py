"""DM1 of SAE J1939-73: the trouble codes that are active, and the lamps they light. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.sources.base import TroubleCode

GROUP: Final = 65226  # FECA
LampState = Literal["off", "on", "unknown"]
_BYTES_A_CODE: Final = 4
_NONE: Final = (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff")  # "no code", as the standard has it and as some send it
_OLDER_FORM: Final = 0x80  # conversion method: set where the number is in one of the three older byte orders


class Dm1Error(Exception):
    """A message that cannot be read as DM1; the text says why. It says nothing about the codes of its sender."""


@dataclass(frozen=True, kw_only=True)
class ActiveCode:
    """One active code: which parameter (SPN) fails how (FMI), and how often (None: not counted)."""

    spn: int
    fmi: int
    occurrences: int | None

    @property
    def text(self) -> str:
        """As people write it."""
        return f"SPN {self.spn} FMI {self.fmi}"


@dataclass(frozen=True, kw_only=True)
class ActiveCodes:
    """What one control unit says. The lamps are those of all its codes together, not of each."""

    malfunction: LampState  # of emissions: the MIL
    stop: LampState  # red: stop the vehicle
    warning: LampState  # amber
    protect: LampState  # a system that protects itself, mostly not electronic
    codes: tuple[ActiveCode, ...]

    def trouble_codes(self, ecu: str) -> tuple[TroubleCode, ...]:
        """The codes in the agent's terms.

        Whether a code asks for the MIL is known where the lamp is off, or where there is no other code to ask for it.
        """
        lamp: bool | None = None
        if self.malfunction == "off" or (self.malfunction == "on" and len(self.codes) == 1):
            lamp = self.malfunction == "on"
        return tuple(
            TroubleCode(code=text, ecu=ecu, status="confirmed", warning_lamp=lamp)
            for text in dict.fromkeys(code.text for code in self.codes)
        )


def decode(data: bytes) -> ActiveCodes:
    """The message's meaning; Dm1Error where it cannot be known."""
    if len(data) < 2 + _BYTES_A_CODE:
        raise Dm1Error(f"{len(data)} bytes where DM1 has at least {2 + _BYTES_A_CODE}")
    # A single frame ends with two bytes of padding; a transfer has the length of its codes.
    records = [data[at : at + _BYTES_A_CODE] for at in range(2, len(data) - _BYTES_A_CODE + 1, _BYTES_A_CODE)]
    return ActiveCodes(
        malfunction=_lamp(data[0] >> 6),
        stop=_lamp(data[0] >> 4),
        warning=_lamp(data[0] >> 2),
        protect=_lamp(data[0]),
        codes=tuple(_code(record) for record in records if record not in _NONE),
    )


def _lamp(bits: int) -> LampState:
    states: tuple[LampState, ...] = ("off", "on", "unknown", "unknown")
    return states[bits & 3]


def _code(record: bytes) -> ActiveCode:
    if record[3] & _OLDER_FORM:
        # Three older byte orders share this mark, and nothing in the message tells them apart (SAE J1939-73, 5.7.1.7).
        raise Dm1Error("its codes are in an older form (conversion method 1 to 3) that cannot be told apart")
    spn = record[0] | record[1] << 8 | record[2] >> 5 << 16
    count = record[3] & 0x7F
    return ActiveCode(spn=spn, fmi=record[2] & 0x1F, occurrences=None if count == 0x7F else count)
