"""How much a trouble code hurries: drive on, soon, or stop. Pure; it judges a code, and never clears or adds one.

The scale is the one of :data:`telemetry.trouble_codes.SEVERITIES` (info, soon, urgent, stop); an owner reads three
levels of it, because "urgent" and "soon" ask for the same thing by another day. Two steps:

1. **How grave the fault is**, if it is there. The catalogue says it of the code; the circumstances can only raise it: a
   flashing MIL (the regulator reserves it for misfire that destroys the catalyst: 13 CCR 1968.2 (e)(3.4.1), and so UN
   Regulation 83, annex 11, 3.5), a misfire under load, an engine that was overheated.
2. **How sure it is that it is there.** A pending code failed one drive cycle; the car confirms it in the next or drops
   it (SAE J1979, services 03 and 07; ISO 14229-1:2020, annex D.2, bits 2 and 3). A permanent code alone, or one whose
   test has not failed in this cycle, is what is left of a fault. Each is worth one step less, except where harm comes
   within minutes: there a needless stop costs a tow, and a missed one an engine or more.

So more days with the code, confirmed instead of pending, a lamp, or a worse freeze frame never lower the urgency.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, get_args

from health.signals import COOLANT_TEMPERATURE, ENGINE_LOAD, SPEED
from telemetry.catalogue import Signal
from telemetry.trouble_codes import SEVERITIES, J1939Code, J2012Code, Severity, describe, parse_code

Level = Literal["drive_on", "soon", "stop"]
Status = Literal["pending", "confirmed", "permanent"]
Lamp = Literal["off", "on", "flashing"]

STATUSES: Final[Mapping[str, Status]] = MappingProxyType({status: status for status in get_args(Status)})
RECURRENCE_DAYS: Final = 30  # days that are looked back for a code's returns
_REPEATED_DAYS: Final = 2  # two drive cycles are what SAE J1979 confirms a code by
_OFTEN_DAYS: Final = 3
# Our choice: thermostats hold 85 to 105 °C; half glycol boils at 108 °C (ASTM D3306), under a cap of 1 bar near 129 °C.
OVERHEATED_CELSIUS: Final = 115.0
# Our choice: steady cruising takes less calculated load; above is accelerating, climbing or towing, where few misfires
# suffice to destroy a catalyst (13 CCR 1968.2 (e)(3.2.1) has the harmful share set for each engine speed and load).
HIGH_LOAD_PERCENT: Final = 60.0
HIGH_SPEED_KMH: Final = 100.0
_INFO, _SOON, _URGENT, _STOP = range(len(SEVERITIES))
_DAYS: Final = {_INFO: None, _SOON: 14, _URGENT: 3, _STOP: 0}  # days to act, as the catalogue's advice gives them
_DAYS_OFTEN: Final = {_INFO: None, _SOON: 7, _URGENT: 1, _STOP: 0}

_MISFIRES: Final = frozenset({*(f"P03{number:02d}" for number in range(13)), "P0314", "P0316"})
# A coolant sensor that fails reads far too hot or too cold: its own code says nothing of the engine.
_COOLANT_SENSORS: Final = frozenset({*(f"P011{n}" for n in range(5, 10)), *(f"P218{n}" for n in range(2, 7))})
# Harm within minutes: no oil pressure, engine, gearbox or clutch overheating, burning fuel or battery, brakes.
_AT_ONCE: Final = frozenset({"P0217", "P0218", "P0524", "P0093", "P0A7E", "P2783", "P2787", "C0021", "C0049", "C0072"})


@dataclass(frozen=True, kw_only=True)
class CodeEvidence:
    """What is known of one code.

    ``lamp``: of this code, None where the car does not say; no service of SAE J1979 or ISO 14229 says that it flashes,
    so the backend never gives that: it is for whoever sees it. ``days_seen``: on how many of the last
    :data:`RECURRENCE_DAYS` days it came up, at least 1. ``frame``: its freeze frame, VSS path -> value in the
    catalogue's unit; what is not in it does not count. ``failed_this_cycle``: bit 1 of its ISO 14229-1 status, None
    where it is not known, as in the backend.
    """

    code: str
    status: Status
    lamp: Lamp | None = None
    days_seen: int = 1
    frame: Mapping[str, float] = field(default_factory=dict)
    failed_this_cycle: bool | None = None

    def __post_init__(self) -> None:
        if self.days_seen < 1:
            raise ValueError(
                f"{self.code}: seen on {self.days_seen} days; a code that is there was seen on one at least"
            )


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One of the words of :mod:`health.urgency_words`; ``value``: the number in it, in the unit that stands there."""

    word: str
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Urgency:
    """``severity``: the same on the scale of rules and alerts. ``days_to_act``: None where the next service will do.

    ``known``: False where the code is not listed, and the level is that of its group.
    """

    level: Level
    severity: Severity
    days_to_act: int | None
    reasons: tuple[Reason, ...]
    known: bool


def urgency(evidence: CodeEvidence) -> Urgency:
    """How much this code hurries, and why."""
    told = describe(evidence.code, "en")
    rank, reasons = SEVERITIES.index(told.severity), [Reason(word=f"kind_{told.severity}")]
    raised, certain = _circumstances(evidence)
    for to, reason in raised:
        rank = max(rank, to)
        reasons.append(reason)
    doubt = None if certain or _harms_at_once(evidence) else _doubt(evidence)
    if doubt is not None:
        floor = _INFO if evidence.status == "pending" else min(rank, _SOON)  # what was confirmed is worth a look
        rank = max(rank - 1, floor)
        reasons.append(doubt)
    often = evidence.days_seen >= _OFTEN_DAYS
    if evidence.days_seen >= _REPEATED_DAYS:
        reasons.append(Reason(word="repeated", value=evidence.days_seen))
    if not told.known:
        reasons.append(Reason(word="unlisted"))
    return Urgency(
        level="stop" if rank == _STOP else "drive_on" if rank == _INFO else "soon",
        severity=SEVERITIES[rank],
        days_to_act=(_DAYS_OFTEN if often else _DAYS)[rank],
        reasons=tuple(reasons),
        known=told.known,
    )


def _circumstances(evidence: CodeEvidence) -> tuple[list[tuple[int, Reason]], bool]:
    """To which rank the circumstances raise the fault, and why; and whether they prove it by themselves."""
    code = parse_code(evidence.code)
    raised: list[tuple[int, Reason]] = []
    certain = False
    if evidence.lamp == "flashing" and isinstance(code, J1939Code):
        raised.append((_URGENT, Reason(word="lamp_flashing")))
    if not isinstance(code, J2012Code) or code.system != "P":
        return raised, certain
    if evidence.lamp == "flashing":
        raised.append((_STOP, Reason(word="lamp_flashing")))
        certain = True
    coolant = _frozen(evidence, COOLANT_TEMPERATURE)
    if coolant is not None and coolant > OVERHEATED_CELSIUS and code.code not in _COOLANT_SENSORS:
        raised.append((_STOP, Reason(word="overheated", value=coolant)))
        certain = True
    if code.code in _MISFIRES:
        load, speed = _frozen(evidence, ENGINE_LOAD), _frozen(evidence, SPEED)
        if load is not None and load >= HIGH_LOAD_PERCENT:
            raised.append((_STOP, Reason(word="under_load", value=load)))
        elif speed is not None and speed >= HIGH_SPEED_KMH:
            raised.append((_STOP, Reason(word="at_speed", value=speed)))
    return raised, certain


def _doubt(evidence: CodeEvidence) -> Reason | None:
    """Why the fault may not be there (any more); None where the car is sure of it."""
    if evidence.status == "permanent":
        return Reason(word="permanent")
    if evidence.failed_this_cycle is False:
        return Reason(word="not_this_time")
    unsure = evidence.status == "pending" and evidence.lamp not in {"on", "flashing"}
    return Reason(word="pending") if unsure and evidence.days_seen < _REPEATED_DAYS else None


def _harms_at_once(evidence: CodeEvidence) -> bool:
    code = parse_code(evidence.code)
    return evidence.status != "permanent" and isinstance(code, J2012Code) and code.code in _AT_ONCE


def _frozen(evidence: CodeEvidence, signal: Signal) -> float | None:
    value = evidence.frame.get(signal.path)
    return value if value is not None and signal.accepts(value) else None
