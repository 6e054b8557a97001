"""Asks the ECUs of a car what a profile is written from: standard OBD, identification, codes, and what profiles ask.

Only questions that change nothing: services 01, 03, 07, 09, 0A of SAE J1979, and 19, 21, 22, 3E of UDS. Answers are
made anonymous here, before anybody sees them: no other module has the raw ones.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.capture.anonymous import Anonymiser, anonymous_reason, vin_in
from edge_agent.obd import obd_on_uds, service01, vehicle_information
from edge_agent.obd.answers import NEGATIVE_RESPONSE, AnswerError
from edge_agent.obd.trouble_codes import STATUS_OF_SERVICE, by_status_request
from edge_agent.profile_dids import profile_dids
from edge_agent.recognition.fingerprint import Fingerprint, Question
from edge_agent.recognition.judge import Recognition
from edge_agent.recognition.source import ask_car, open_for
from edge_agent.recognition.vin import beginning, check_digit_is_right, model_years
from edge_agent.tester.base import Connect, IsoTpAddress, Tester, address_of
from firmware_profiles.profile import VehicleProfile

# ISO 14229-1, annex C.1: software, hardware and part numbers, supplier, system name.
IDENTIFICATION: Final = (*range(0xF180, 0xF19F),)
_USUAL_ITEMS: Final = (  # asked where no ECU says which it has
    vehicle_information.VIN,
    vehicle_information.CALIBRATION_ID,
    vehicle_information.CALIBRATION_NUMBER,
    vehicle_information.ECU_NAME,
)
_ANY_STATUS: Final = 0xFF
_TESTER_PRESENT: Final = b"\x3e\x00"
_MOST_QUESTIONS: Final = 300  # of makers' identifiers: under a minute and a half if every one is slow
_NO_POSITION: Final = "Vehicle.CurrentLocation"

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question and what came of it: the anonymous answer, or why there is none. ``masked``: part of it is."""

    request: bytes
    payload: bytes | None = None
    masked: bool = False
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class CapturedEcu:
    """All that one ECU was asked."""

    address: IsoTpAddress
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class Capture:
    """A car without what names it. ``vin_begins`` is masked behind the model; ``fingerprint`` has it so too."""

    vin_begins: str | None
    years: tuple[int, ...]
    check_digit_right: bool | None
    fingerprint: Fingerprint
    ranked: tuple[Recognition, ...]
    ecus: tuple[CapturedEcu, ...]


def take_capture(
    connect: Connect, profiles: Sequence[VehicleProfile], *, progress: Progress = lambda _text: None
) -> tuple[Capture, frozenset[str]]:
    """The capture, and the VINs met, for the last look at what is written (never to be written themselves).

    SourceError when the adapter is gone.
    """
    progress("finding out who answers")
    fingerprint, ranked = ask_car(connect, profiles)
    questions = tuple(dict.fromkeys(_questions(profiles)))[:_MOST_QUESTIONS]
    addresses = tuple(dict.fromkeys(question.address for question in questions))
    tester = open_for(connect, addresses, fingerprint.identifier_bits or 11)
    try:
        found = _Found()
        _ask_standard(tester, fingerprint, found, progress)
        present = _present(tester, (*map(address_of, sorted(fingerprint.pids)), *addresses), progress)
        for number, address in enumerate(present, start=1):
            progress(f"asking ECU {address.ecu}, {number} of {len(present)}")
            own = [question.request for question in questions if question.address == address]
            identification = [b"\x22" + did.to_bytes(2) for did in IDENTIFICATION]
            for request in (*identification, *own, by_status_request(_ANY_STATUS)):
                found.physical(tester, address, request)
    finally:
        tester.close()
    vin = fingerprint.vin
    vins = found.vins | ({vin} if vin is not None else frozenset())
    capture = Capture(
        vin_begins=None if vin is None else beginning(vin),
        years=() if vin is None else model_years(vin),
        check_digit_right=None if vin is None else check_digit_is_right(vin),
        fingerprint=Fingerprint(pids=fingerprint.pids, fuel_type=fingerprint.fuel_type),
        ranked=tuple(replace(each, reasons=tuple(map(anonymous_reason, each.reasons))) for each in ranked),
        ecus=found.ecus(Anonymiser(*sorted(vins))),
    )
    return capture, vins


class _Found:
    """Answers as they come, by ECU. The VIN may be in the last of them, so all are made anonymous at the end."""

    def __init__(self) -> None:
        self._answers: dict[IsoTpAddress, list[Answer]] = {}
        self.vins: frozenset[str] = frozenset()

    def functional(self, tester: Tester, request: bytes, expected: Iterable[str]) -> None:
        """Ask all; keep each ECU's answer, refusals too."""
        exchange = tester.functional(request, expected=set(expected) or None)
        for ecu, payload in sorted(exchange.answers.items()):
            if payload[0] == NEGATIVE_RESPONSE:
                self._keep(address_of(ecu), Answer(request=request, reason=f"refused: {payload[:3].hex().upper()}"))
            else:
                self._keep(address_of(ecu), Answer(request=request, payload=payload))

    def physical(self, tester: Tester, address: IsoTpAddress, request: bytes) -> None:
        """Ask one."""
        try:
            payload = tester.physical(address, request)
        except AnswerError as error:
            self._keep(address, Answer(request=request, reason=anonymous_reason(str(error))))
        else:
            self._keep(address, Answer(request=request, payload=payload))

    def ecus(self, anonymiser: Anonymiser) -> tuple[CapturedEcu, ...]:
        """All of them, anonymous."""
        return tuple(
            CapturedEcu(address=address, answers=tuple(_anonymous(answer, anonymiser) for answer in answers))
            for address, answers in self._answers.items()
        )

    def _keep(self, address: IsoTpAddress, answer: Answer) -> None:
        if answer.payload is not None and (vin := vin_in(answer.request, answer.payload)) is not None:
            self.vins |= {vin}
        self._answers.setdefault(address, []).append(answer)


def _anonymous(answer: Answer, anonymiser: Anonymiser) -> Answer:
    if answer.payload is None:
        return answer
    clean = anonymiser.answer(answer.request, answer.payload)
    return replace(answer, payload=clean, masked=clean != answer.payload)


def _ask_standard(tester: Tester, fingerprint: Fingerprint, found: _Found, progress: Progress) -> None:
    pids = fingerprint.pids
    if not pids:
        return
    dialect = service01 if tester.functional(service01.request(0), expected=set(pids)).answers else obd_on_uds
    bitmaps = [base for base in service01.BITMAP_PIDS if base == 0 or any(pid > base for pid in fingerprint.supported)]
    progress(f"asking {len(fingerprint.supported)} standard parameters")
    for pid in (*bitmaps, *sorted(fingerprint.supported)):
        having = [ecu for ecu, own in pids.items() if pid in own or pid in service01.BITMAP_PIDS]
        found.functional(tester, dialect.request(pid), having)
    for item in _items(tester):
        found.functional(tester, vehicle_information.request(item), pids if item == 0 else ())
    for service in STATUS_OF_SERVICE:
        found.functional(tester, bytes((service,)), pids)


def _items(tester: Tester) -> tuple[int, ...]:
    """Items of service 09 that the ECUs say they have, the bitmap first."""
    items: set[int] = set()
    for payload in tester.functional(vehicle_information.request(0), expected=None).answers.values():
        try:
            items |= vehicle_information.decode_supported(payload)
        except AnswerError:
            continue
    return (0, *sorted(items)) if items else _USUAL_ITEMS


def _present(tester: Tester, addresses: Iterable[IsoTpAddress], progress: Progress) -> tuple[IsoTpAddress, ...]:
    """Those that answer anything to the question whether they are there, a refusal included."""
    wanted = tuple(dict.fromkeys(addresses))
    progress(f"looking for {len(wanted)} ECUs that profiles know")
    present = []
    for address in wanted:
        before = tester.unanswered
        try:
            tester.physical(address, _TESTER_PRESENT)
        except AnswerError:
            if tester.unanswered > before:
                continue
        present.append(address)
    return tuple(present)


def _questions(profiles: Iterable[VehicleProfile]) -> Iterable[Question]:
    """What the profiles ask, without positions."""
    for profile in profiles:
        if profile.match is None:
            continue
        for definition in profile_dids(profile):
            if not any(signal.path.startswith(_NO_POSITION) for signal in definition.signals):
                yield Question.of(definition)


def answers_by_question(capture: Capture, *, whole: bool = False) -> Mapping[Question, bytes]:
    """The anonymous positive answers by what was asked; ``whole``: only those of which nothing is masked."""
    return {
        Question(address=ecu.address, request=answer.request): answer.payload
        for ecu in capture.ecus
        for answer in ecu.answers
        if answer.payload is not None and not (whole and answer.masked)
    }
