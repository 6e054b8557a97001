"""Fingerprint x profiles -> which one it is, how certainly, and why. Pure: nothing is asked here.

Evidence is weighed in log odds and added up, as in a naive Bayes classifier; the alternatives are the other profiles
and "a car we have no profile of". The weights are judgement, not statistics: they are set so that

* a maker's code alone, or one shared identifier alone, never chooses a profile;
* a VIN that fits in all it tells of the model does, where the car contradicts nothing;
* a VIN that fits in part needs the profile's own identifiers to answer, and their refusal outweighs it;
* without a VIN several answers of one ECU count as one: models nobody here knows of share it with all it tells;
* an answer that is one byte over and over says nothing: simulators and empty memories give it to any question;
* two profiles that explain the car alike take the certainty from each other, and neither is chosen.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.obd import did
from edge_agent.obd.answers import AnswerError
from edge_agent.profile_dids import profile_dids
from edge_agent.recognition.fingerprint import Drive, Fingerprint, Probe, Question, drive_of
from edge_agent.recognition.vin import check_digit_is_right, has_check_digit, model_years, year_is_certain
from firmware_profiles.profile import Match, VehicleProfile
from firmware_profiles.vin_pattern import matches, positions
from telemetry.catalogue import catalogue

CHOOSE_FROM: Final = 0.7  # certainty below which the generic profile is the honest one

_MOST: Final = 0.99  # nothing here is certain: a variant nobody knows of may answer alike
_ALIKE: Final = 0.5  # a second profile at least half as certain as the first is too near to it
_PRIOR: Final = -2.5  # most cars on the road have no profile here
_MAKER, _VEHICLE_POSITION = 1.5, 0.6  # a fitting VIN: its maker, and each character of the model looked at
_MISREAD: Final = 0.5  # what a VIN counts whose check digit is wrong
_YEAR_FITS, _YEAR_MISSES, _YEAR_MISSES_MAYBE = 0.4, -4.0, -1.0
_ECU_THERE: Final = 0.7  # one that is not there shows by its silence to the probes
_DRIVE_FITS, _DRIVE_NEAR, _DRIVE_MISSES = 0.5, -0.5, -4.0
_FIRST_ANSWER, _FURTHER_ANSWER = 2.0, 1.2
_ANSWER_OF_ANOTHER_ECU = 1.8  # without a VIN, where a further one of the same ECU counts nothing
_REFUSED, _IMPLAUSIBLE, _BUSY = -1.2, -1.5, -0.2
_NOTHING_FITS: Final = -2.0  # all that was answered was a refusal or could not be: a VIN alone must not outweigh that
_SILENT_ECU, _SILENT_BESIDE_OTHERS = -1.0, -0.2  # an ECU may sleep while others answer
_VALUES_TOLD: Final = 4  # of one answer: a reason is a sentence and no table
# ISO 14229-1: the ECU lacks the service or the identifier. Other codes (busy, conditions, session) say less.
_LACKS: Final = frozenset({0x11, 0x12, 0x31})
_NEAR: Final = frozenset(
    {("petrol", "hybrid"), ("hybrid", "petrol"), ("diesel", "hybrid"), ("hybrid", "diesel"), ("hybrid", "electric")}
)


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """A profile, how certain it is that it fits (0 to 1), and why, in sentences for people."""

    profile: str
    title: str
    certainty: float
    reasons: tuple[str, ...]


@dataclass(kw_only=True)
class _Case:
    """What speaks for and against one profile."""

    profile: VehicleProfile
    weight: float = _PRIOR
    reasons: list[str]

    def add(self, weight: float, reason: str) -> None:
        self.weight += weight
        self.reasons.append(reason)


def rank(fingerprint: Fingerprint, profiles: Iterable[VehicleProfile]) -> tuple[Recognition, ...]:
    """The profiles the car may have, the most certain first; those that its VIN rules out are left out.

    A profile without ``match`` (generic, simulated) is never among them.
    """
    cases = [case for profile in profiles if (case := _case(fingerprint, profile)) is not None]
    unknown = 1.0  # odds of "no profile of ours", to which the weights are relative
    total = unknown + sum(math.exp(case.weight) for case in cases)
    ranked = [
        Recognition(
            profile=case.profile.name,
            title=case.profile.title,
            certainty=min(math.exp(case.weight) / total, _MOST),
            reasons=tuple(case.reasons),
        )
        for case in cases
    ]
    return tuple(sorted(ranked, key=lambda found: (-found.certainty, found.profile)))


def choose(ranked: Sequence[Recognition], generic: VehicleProfile) -> Recognition:
    """The first of the ranked if it is certain enough, else the generic profile with the reason why."""
    if ranked and ranked[0].certainty >= CHOOSE_FROM:
        return ranked[0]
    if not ranked:
        why = ("No profile fits what this car shows of itself.",)
        return Recognition(profile=generic.name, title=generic.title, certainty=1.0, reasons=why)
    best = ranked[0]
    second = ranked[1] if len(ranked) > 1 else None
    if second is not None and second.certainty >= best.certainty * _ALIKE:
        first = f"{_named(best)} and {_named(second)} explain this car too nearly alike to choose one of them."
    else:
        first = f"The nearest profile is {_named(best)}, which is not certain enough."
    return Recognition(
        profile=generic.name,
        title=generic.title,
        certainty=1.0 - best.certainty,
        reasons=(first, *(f"{best.title}: {reason}" for reason in best.reasons)),
    )


def _named(found: Recognition) -> str:
    return f"{found.title} ({found.certainty:.0%})"


def _case(fingerprint: Fingerprint, profile: VehicleProfile) -> _Case | None:
    if profile.match is None:
        return None
    case = _Case(profile=profile, reasons=[])
    if fingerprint.vin is not None and profile.match.vin and not _weigh_vin(case, fingerprint.vin, profile.match):
        return None
    if fingerprint.vin is None:
        case.reasons.append("The VIN could not be read.")
    else:
        _weigh_year(case, fingerprint.vin, profile.match)
    _weigh_drive(case, fingerprint)
    _weigh_probes(case, fingerprint)
    _weigh_ecus(case, fingerprint, profile.match)
    return case


def _weigh_vin(case: _Case, vin: str, match: Match) -> bool:
    """False: no pattern fits, so it is another car."""
    fitting = [pattern for pattern in match.vin if matches(pattern, vin)]
    if not fitting:
        return False
    best = max(fitting, key=lambda pattern: len(positions(pattern)))
    weight = _MAKER + _VEHICLE_POSITION * max(0, len(positions(best)) - 3)
    if has_check_digit(vin) and not check_digit_is_right(vin):
        case.add(weight * _MISREAD, f"The VIN begins with {best}, but its check digit is wrong: it may be misread.")
    else:
        case.add(weight, f"The VIN begins with {best}.")
    return True


def _weigh_year(case: _Case, vin: str, match: Match) -> None:
    years = model_years(vin)
    if not years or (match.first_year is None and match.last_year is None):
        return
    first, last = match.first_year or 0, match.last_year or 9999
    span = f"{match.first_year or '…'} to {match.last_year or 'now'}"
    fitting = [year for year in years if first <= year <= last]
    if fitting:
        case.add(_YEAR_FITS, f"Its model year, {fitting[0]}, is within {span}.")
    elif year_is_certain(vin):
        case.add(_YEAR_MISSES, f"Its model year, {years[0]}, is outside {span}.")
    else:
        told = " or ".join(map(str, years))
        case.add(_YEAR_MISSES_MAYBE, f"Its model year may be {told}, which is outside {span}.")


def _weigh_drive(case: _Case, fingerprint: Fingerprint) -> None:
    found = drive_of(fingerprint)
    kind = case.profile.kind
    if found is None or kind == "generic":
        return
    drive, why = found
    if _same(drive, kind):
        case.add(_DRIVE_FITS, f"It is {_article(drive)} car, as expected: {why}.")
    elif (drive, kind) in _NEAR:
        case.add(_DRIVE_NEAR, f"It looks like {_article(drive)} car, expected was {_article(kind)} one: {why}.")
    else:
        case.add(_DRIVE_MISSES, f"It is {_article(drive)} car, not {_article(kind)} one: {why}.")


def _same(drive: Drive, kind: str) -> bool:
    return drive == kind or (drive == "combustion" and kind in {"petrol", "diesel", "hybrid"})


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _weigh_ecus(case: _Case, fingerprint: Fingerprint, match: Match) -> None:
    """A refusal tells of an ECU at that address, of whatever car."""
    giving = {question.address.ecu for question, probe in fingerprint.probes.items() if probe.payload is not None}
    for ecu in (f"{identifier:03X}" for identifier in match.ecus):
        if ecu in fingerprint.pids or ecu in giving:
            case.add(_ECU_THERE, f"ECU {ecu} answers.")


def _weigh_probes(case: _Case, fingerprint: Fingerprint) -> None:
    """The profile's own identifiers: plausible answers of the right length raise, refusals lower."""
    definitions = [
        (name, definition, fingerprint.probes[question])
        for name, definition in zip([each.name for each in case.profile.dids], profile_dids(case.profile), strict=True)
        if (question := Question.of(definition)) in fingerprint.probes
    ]
    answering: list[str] = []  # ECU of each answer as expected
    contradicted = 0
    for name, definition, probe in definitions:
        if probe.payload is None:
            continue
        asked = f"{name} ({definition.request_name})"
        try:
            decoded = did.decode(definition, probe.payload)
        except AnswerError as error:
            case.add(_IMPLAUSIBLE, f"{asked} answered, but not as expected: {error}.")
            contradicted += 1
            continue
        if decoded.faults:
            case.add(_IMPLAUSIBLE, f"{asked} answered what cannot be: {decoded.faults[0].reason}.")
            contradicted += 1
            continue
        if _is_filling(probe.payload[len(definition.request) :]):
            case.add(0.0, f"{asked} answered with one byte over and over, which says nothing.")
            continue
        told = ", ".join(_told(path, value) for path, value in list(decoded.values.items())[:_VALUES_TOLD])
        said = f"plausibly: {told}" if told else "that it has no value now"
        ecu = Question.of(definition).address.ecu
        weight = _FURTHER_ANSWER if answering else _FIRST_ANSWER
        if fingerprint.vin is None and answering:
            weight = 0.0 if ecu in answering else _ANSWER_OF_ANOTHER_ECU
        case.add(weight, f"{asked} answered {said}.")
        answering.append(ecu)
    for name, definition, probe in definitions:
        if probe.payload is None and not probe.silent:
            weight = _refusal(probe)
            case.add(weight, f"{name} ({definition.request_name}) was refused: {probe.reason}.")
            contradicted += weight == _REFUSED
    if contradicted and not answering:
        case.add(_NOTHING_FITS, "Nothing that only this car has was answered as expected.")
    silent = sorted(
        {
            question.ecu
            for question in (Question.of(definition).address for _, definition, probe in definitions if probe.silent)
        }
    )
    for ecu in silent:
        case.add(_SILENT_BESIDE_OTHERS if answering else _SILENT_ECU, f"ECU {ecu} gave no answer; it may sleep.")


def _is_filling(data: bytes) -> bool:
    return len(set(data)) == 1 and (len(data) > 1 or data in {b"\x00", b"\xff"})


def _refusal(probe: Probe) -> float:
    return _REFUSED if probe.nrc is None or probe.nrc in _LACKS else _BUSY


def _told(path: str, value: float) -> str:
    signal = catalogue().by_path(path)
    number = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{signal.column} {number} {signal.unit.sign}".rstrip()
