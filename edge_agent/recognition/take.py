"""Asks a car what it shows of itself: standard OBD first, then the identifiers of the profiles that may fit.

Everything here is one question at a time over :class:`edge_agent.tester.base.Tester`, and bounded: a car that answers
nothing of it is left alone after the first question.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from edge_agent.obd import obd_on_uds, service01
from edge_agent.obd.answers import AnswerError, answer_data
from edge_agent.obd.dialect import OBD
from edge_agent.profile_dids import profile_dids
from edge_agent.recognition.fingerprint import Fingerprint, Probe, Question
from edge_agent.recognition.judge import Recognition, rank
from edge_agent.sources.vin_reader import read_vin
from edge_agent.tester.base import IsoTpAddress, Tester, address_of
from firmware_profiles.profile import VehicleProfile

log = logging.getLogger(__name__)

QUESTIONS_OF_A_PROFILE: Final = 4
QUESTIONS_OF_A_ROUND: Final = 40  # a silent ECU takes 0.2 s and is asked once, an answer far less
_FUEL_TYPE: Final = 0x51
_VIN_ECUS: Final = 3  # asked for it one by one where service 09 is nobody's, as in many electric cars
_ROUNDS: Final = 3  # the first answers tell which profiles to ask further questions of, and those may tell the VIN


class _Dialect(Protocol):
    """How standard parameters are asked for: a module of :mod:`edge_agent.obd`."""

    def request(self, pid: int) -> bytes: ...
    def request_name(self, pid: int) -> str: ...
    def decode_supported(self, bitmap_pid: int, payload: bytes) -> frozenset[int]: ...


def take_fingerprint(tester: Tester) -> Fingerprint:
    """What standard OBD shows: ECUs, their parameters, VIN, fuel. An empty fingerprint: nobody answered.

    Asked by SAE J1979 first, and by J1979-2 (OBDonUDS) where that is nobody's.
    """
    for dialect in (service01, obd_on_uds):
        pids = _supported(tester, dialect)
        if pids:
            having = any(_FUEL_TYPE in each for each in pids.values())
            fuel_type = _fuel_type(tester, dialect.request(_FUEL_TYPE)) if having else None
            vin, vin_at = _vin(tester, pids)
            return Fingerprint(vin=vin, vin_at=vin_at, pids=pids, fuel_type=fuel_type)
    return Fingerprint()


def recognise(
    tester: Tester, fingerprint: Fingerprint, profiles: Sequence[VehicleProfile]
) -> tuple[Fingerprint, tuple[Recognition, ...]]:
    """Ask what tells the profiles apart that may fit; the fuller fingerprint, and the profiles ranked by it."""
    for _ in range(_ROUNDS):
        questions = questions_for(fingerprint, profiles)
        if not questions:
            break
        probes = {**fingerprint.probes, **ask(tester, questions, fingerprint.probes)}
        fingerprint = replace(fingerprint, probes=probes)
        if fingerprint.vin is None:
            answering = dict.fromkeys(question.address for question, probe in probes.items() if probe.payload)
            vin, vin_at = vin_by_identifier(tester, answering)
            fingerprint = replace(fingerprint, vin=vin, vin_at=vin_at)
    return fingerprint, rank(fingerprint, profiles)


def questions_for(fingerprint: Fingerprint, profiles: Sequence[VehicleProfile]) -> tuple[Question, ...]:
    """A few identifiers of each profile that may fit, the likelier first, that were not asked yet.

    Of a profile one of each of its ECUs comes before a second one. Without a VIN every profile may fit: then one
    question to each ECU comes first, and further ones are asked of the profiles that have an ECU which is there.
    """
    by_name = {profile.name: profile for profile in profiles}
    lists = [_spread(by_name[found.profile]) for found in rank(fingerprint, profiles)]
    if fingerprint.vin is None and not fingerprint.probes:
        return _one_of_each_ecu(lists)
    if fingerprint.vin is None:
        there = {question.address for question, probe in fingerprint.probes.items() if not probe.silent}
        lists = [own for own in lists if any(question.address in there for question in own)]
    wanted = dict.fromkeys(own[turn] for turn in range(QUESTIONS_OF_A_PROFILE) for own in lists if turn < len(own))
    unasked = [question for question in wanted if question not in fingerprint.probes]
    return tuple(unasked[:QUESTIONS_OF_A_ROUND])


def _one_of_each_ecu(lists: Sequence[Sequence[Question]]) -> tuple[Question, ...]:
    """To each ECU the question that most profiles ask it."""
    asked = Counter(question for own in lists for question in own)
    commonest: dict[IsoTpAddress, Question] = {}
    for question, _ in asked.most_common():
        commonest.setdefault(question.address, question)
    return tuple(commonest.values())[:QUESTIONS_OF_A_ROUND]


def ask(
    tester: Tester, questions: Iterable[Question], before: Mapping[Question, Probe] | None = None
) -> Mapping[Question, Probe]:
    """Ask each; an ECU that was silent once, also ``before``, is not asked again.

    SourceError when the adapter is gone.
    """
    probes: dict[Question, Probe] = {}
    silent = {question.address for question, probe in (before or {}).items() if probe.silent}
    for question in questions:
        if question.address in silent:
            probes[question] = Probe(reason="not asked: this ECU is silent", silent=True)
            continue
        probe = _probe(tester, question)
        if probe.silent:
            silent.add(question.address)
        probes[question] = probe
    return probes


def _probe(tester: Tester, question: Question) -> Probe:
    before = tester.unanswered
    try:
        return Probe(payload=tester.physical(question.address, question.request))
    except AnswerError as error:
        return Probe(reason=str(error), silent=tester.unanswered > before, nrc=error.nrc)


def _spread(profile: VehicleProfile) -> list[Question]:
    """Its questions, in turn from each of its ECUs."""
    by_ecu: dict[IsoTpAddress, list[Question]] = {}
    for definition in profile_dids(profile):
        question = Question.of(definition)
        by_ecu.setdefault(question.address, []).append(question)
    found: list[Question] = []
    for turn in range(max(map(len, by_ecu.values()), default=0)):
        found.extend(own[turn] for own in by_ecu.values() if turn < len(own))
    return found


def _supported(tester: Tester, dialect: _Dialect) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    wanted: dict[int, set[str]] = {0: set()}
    for bitmap in service01.BITMAP_PIDS:
        if bitmap not in wanted:
            continue
        exchange = tester.functional(dialect.request(bitmap), expected=wanted[bitmap] or None)
        for ecu, payload in exchange.answers.items():
            try:
                supported = dialect.decode_supported(bitmap, payload)
            except AnswerError as error:
                log.info("%s at %s: %s", dialect.request_name(bitmap), ecu, error)
                continue
            found.setdefault(ecu, set()).update(supported)
            for pid in supported:
                if pid in service01.BITMAP_PIDS:
                    wanted.setdefault(pid, set()).add(ecu)
    return {ecu: frozenset(pids - set(service01.BITMAP_PIDS)) for ecu, pids in found.items()}


def _fuel_type(tester: Tester, request: bytes) -> int | None:
    for payload in tester.functional(request, expected=None, enough=1).answers.values():
        try:
            data = answer_data(request, payload, echo=len(request) - 1)
        except AnswerError:
            continue
        if len(data) == 1:
            return data[0]
    return None


def _vin(tester: Tester, pids: Iterable[str]) -> tuple[str | None, IsoTpAddress | None]:
    vin, faults = read_vin(tester, OBD.vin)
    if vin is not None:
        return vin, None
    for fault in faults:
        log.info("the VIN cannot be read: %s: %s", fault.request, fault.reason)
    return vin_by_identifier(tester, map(address_of, sorted(pids)))


def vin_by_identifier(
    tester: Tester, addresses: Iterable[IsoTpAddress], *, known: str | None = None
) -> tuple[str | None, IsoTpAddress | None]:
    """The VIN and the ECU that gave it by identifier; the first few of the addresses are asked.

    One that is not ``known`` must be given twice: a misread one would be another car.
    """
    for address in tuple(addresses)[:_VIN_ECUS]:
        for request in (obd_on_uds.VIN_REQUEST_OF_MAKER, obd_on_uds.VIN_REQUEST):
            try:
                vin = obd_on_uds.decode_vin(request, tester.physical(address, request))
                if vin == known or vin == obd_on_uds.decode_vin(request, tester.physical(address, request)):
                    return vin, address
            except AnswerError:
                continue
    return None, None
