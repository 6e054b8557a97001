"""The structure of a trouble code: what its letters and digits say without knowing the fault. Pure, no texts.

SAE J2012 / ISO 15031-6 (two bytes, "P0301"), with the failure type of SAE J2012-DA as a third byte ("C0035-1C"), and
the pair SPN and FMI of SAE J1939-73 ("SPN 110 FMI 0").
"""

import re
from dataclasses import dataclass
from typing import Literal

System = Literal["P", "C", "B", "U"]
Authority = Literal["standard", "maker", "reserved"]
_SYSTEMS = "PCBU"  # powertrain, chassis, body, network: the two highest bits (SAE J2012)
_J2012 = re.compile(r"([PCBU])([0-3])([0-9A-F])([0-9A-F]{2})(?:-([0-9A-F]{2}))?")
_J1939 = re.compile(r"SPN (\d{1,6}) FMI (\d{1,2})")
_LARGEST_SPN, _LARGEST_FMI = (1 << 19) - 1, (1 << 5) - 1  # 19 and 5 bits (SAE J1939-73, DM1)


@dataclass(frozen=True, kw_only=True)
class J2012Code:
    """A code by SAE J2012. ``failure_type`` is the third byte of UDS; None where none was given, 0 says nothing."""

    system: System
    digit: int  # 0 to 3: together with ``group`` it says who gave the number its meaning
    group: int  # 0 to 15: the third character; in powertrain codes the subsystem
    fault: int  # 0 to 255: the last two characters
    failure_type: int | None = None

    @property
    def code(self) -> str:
        """The code without its failure type: "C0035"."""
        return f"{self.system}{self.digit}{self.group:X}{self.fault:02X}"

    @property
    def authority(self) -> Authority:
        """Who gave the number its meaning (SAE J2012, table 1).

        Powertrain: P0, P2 and P34 to P39 the standard, P1 and P30 to P33 the maker, the rest of P3 nobody yet. Chassis
        and body: 0 the standard, 1 and 2 the maker, 3 nobody yet. Network: 0 and 3 the standard, 1 and 2 the maker.
        """
        if self.digit == 0:
            return "standard"
        if self.system == "P":
            if self.digit == 2 or (self.digit == 3 and 4 <= self.group <= 9):
                return "standard"
            return "maker" if self.digit == 1 or self.group <= 3 else "reserved"
        if self.digit < 3:
            return "maker"
        return "standard" if self.system == "U" else "reserved"

    def __str__(self) -> str:
        return self.code if self.failure_type is None else f"{self.code}-{self.failure_type:02X}"


@dataclass(frozen=True, kw_only=True)
class J1939Code:
    """A code by SAE J1939-73: which parameter (suspect parameter number) fails how (failure mode identifier)."""

    spn: int
    fmi: int

    def __str__(self) -> str:
        return f"SPN {self.spn} FMI {self.fmi}"


def parse_code(text: str) -> J2012Code | J1939Code | None:
    """Structure of "P0301", "C0035-1C" or "SPN 110 FMI 0" in any case and spacing; None for anything else."""
    tidy = " ".join(text.upper().split())
    if (match := _J2012.fullmatch(tidy)) is not None:
        letter, digit, group, fault, failure = match.groups()
        return J2012Code(
            system=_system(_SYSTEMS.index(letter)),
            digit=int(digit),
            group=int(group, 16),
            fault=int(fault, 16),
            failure_type=None if failure is None else int(failure, 16),
        )
    if (match := _J1939.fullmatch(tidy)) is not None:
        spn, fmi = (int(part) for part in match.groups())
        return J1939Code(spn=spn, fmi=fmi) if spn <= _LARGEST_SPN and fmi <= _LARGEST_FMI else None
    return None


def code_from_bytes(raw: bytes) -> J2012Code:
    """Code of two bytes (OBD: 03 01 is P0301) or three (UDS: 40 35 1C is C0035-1C); ValueError for another length."""
    if len(raw) not in {2, 3}:
        raise ValueError(f"a trouble code has two or three bytes, not {len(raw)}: cut the answer at its records")
    return J2012Code(
        system=_system(raw[0] >> 6),
        digit=raw[0] >> 4 & 0x3,
        group=raw[0] & 0xF,
        fault=raw[1],
        failure_type=raw[2] if len(raw) == 3 else None,
    )


def code_to_bytes(code: J2012Code) -> bytes:
    """The two or three bytes of a code."""
    number = _SYSTEMS.index(code.system) << 14 | code.digit << 12 | code.group << 8 | code.fault
    return number.to_bytes(2) + (b"" if code.failure_type is None else bytes((code.failure_type,)))


def _system(index: int) -> System:
    systems: tuple[System, ...] = ("P", "C", "B", "U")
    return systems[index]
