"""A source that finds out by itself which profile the car has, and then reads it by that one.

``vehicle_profile: auto`` makes one (:mod:`edge_agent.build`). What it has found out survives restarts
(:mod:`edge_agent.recognition.memory`): a car that is known costs no question. Another VIN makes it look anew.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from edge_agent.errors import SourceError
from edge_agent.profile_dids import profile_dids
from edge_agent.recognition.fingerprint import Fingerprint, Question
from edge_agent.recognition.judge import Recognition, choose
from edge_agent.recognition.memory import Known, Memory
from edge_agent.recognition.port import Change
from edge_agent.recognition.profiles import Profiles
from edge_agent.recognition.take import recognise, take_fingerprint, vin_by_identifier
from edge_agent.sources.base import Identified, Reading, ReadsCodesOnDemand, Source
from edge_agent.sources.obd import DEFAULT_ECUS, ECUS_29_BIT
from edge_agent.tester.base import Connect, IsoTpAddress, Tester
from firmware_profiles.errors import FirmwareProfilesError
from firmware_profiles.profile import VehicleProfile
from health.estimator import Estimator

log = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 60.0
LONGEST_RETRY_S: Final = 3600.0
OBD_ECUS: Final = {11: DEFAULT_ECUS, 29: ECUS_29_BIT}  # by identifier bits


class RecognisingSource:
    """Opens the source of the profile it has found; see the module."""

    def __init__(
        self,
        *,
        connect: Connect,
        build: Callable[[VehicleProfile], Source],
        build_estimators: Callable[[VehicleProfile], list[Estimator]],
        profiles: Profiles,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``connect`` opens the adapter for the questions, ``build`` makes the source of a profile."""
        self._connect = connect
        self._build = build
        self._build_estimators = build_estimators
        self._profiles = profiles
        self._clock = clock
        self._memory = Memory()
        self._profile = profiles.generic
        self._inner: Source | None = None
        self._change: Change | None = None
        self._told = False  # whether this start has said what the car is
        self._verified = False  # whether the VIN of this start is that of the memory
        self._retry_s = FIRST_RETRY_S
        self._next_try = float("-inf")

    @property
    def profile(self) -> VehicleProfile:
        """The profile by which the car is read now."""
        return self._profile

    def restore(self, state: object) -> None:
        """See :class:`edge_agent.recognition.port.Recognising`."""
        self._memory = Memory.from_state(state)
        known = self._memory.last_car
        if known is not None and (profile := self._loaded(known)) is not None:
            self._profile = profile

    def state(self) -> object:
        """See :class:`edge_agent.recognition.port.Recognising`."""
        return self._memory.to_state()

    def estimators(self) -> list[Estimator]:
        """See :class:`edge_agent.recognition.port.Recognising`."""
        return self._build_estimators(self._profile)

    def take_change(self) -> Change | None:
        """See :class:`edge_agent.recognition.port.Recognising`."""
        change, self._change = self._change, None
        return change

    def open(self) -> None:
        """Open by the profile of the last car, or find out which it is."""
        self.close()
        known = self._memory.last_car
        asked_lately = self._clock() < self._next_try  # an adapter that comes and goes is no reason to ask again
        good = known is not None and (asked_lately or self._still_good(known))
        profile = self._loaded(known) if known is not None and good else None
        if known is None or profile is None:
            self._look(expected_vin=None)
            return
        vin = self._vin_of(known)
        if vin is not None and vin != self._memory.last_vin:
            self._enter(vin)
        else:
            self._verified = self._verified or vin is not None
            self._read_by(profile)

    def poll(self) -> Reading | None:
        """Read; look anew when the VIN is another one, or when an ECU that slept may be awake."""
        if self._inner is None:
            raise SourceError("the source is not open; call open() first")
        reading = self._inner.poll()
        if reading is None:
            return None
        if reading.vin is not None and reading.vin != self._memory.last_vin:
            self._enter(reading.vin)
            return self._with_identity(Reading(vin=reading.vin))  # its values were read by another car's definitions
        if reading.vin is not None:
            self._verified = True
        known = self._memory.last_car
        awake = bool(reading.values) or reading.vin is not None
        if known is not None and not known.settled and awake and self._clock() >= self._next_try:
            self._close_inner()
            self._look(expected_vin=self._memory.last_vin)
        return self._with_identity(reading)

    def read_codes_soon(self) -> None:
        """See :class:`edge_agent.sources.base.ReadsCodesOnDemand`."""
        inner = self._inner
        if inner is not None and isinstance(inner, ReadsCodesOnDemand):
            inner.read_codes_soon()

    def close(self) -> None:
        """Let go of the adapter; may be called twice."""
        self._close_inner()

    def _enter(self, vin: str) -> None:
        """It is another car than before: read it by what is known of it, or find out."""
        log.info("this is another car than before")
        self._close_inner()
        self._told, self._retry_s = False, FIRST_RETRY_S
        known = self._memory.of(vin)
        profile = None if known is None or not self._still_good(known) else self._loaded(known)
        if known is None or profile is None:
            self._look(expected_vin=vin)
        else:
            self._remember(vin, known)
            self._read_by(profile)
        self._verified = True

    def _vin_of(self, known: Known) -> str | None:
        """The VIN of the car there is, asked where the source itself does not: of the ECU that gave it before."""
        if known.vin_at is None:
            return None
        address = IsoTpAddress(transmit_id=known.vin_at[0], receive_id=known.vin_at[1])
        tester = open_for(self._connect, (address,), known.identifier_bits or 11)
        try:
            return vin_by_identifier(tester, (address,), known=self._memory.last_vin)[0]
        finally:
            tester.close()

    def _look(self, *, expected_vin: str | None) -> None:
        """Ask the car, choose, remember, and open the source of what was chosen."""
        self._next_try = self._clock() + self._retry_s
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        profiles = self._profiles.candidates()
        fingerprint, ranked = ask_car(self._connect, profiles, vin=expected_vin)
        found = choose(ranked, self._profiles.generic)
        chosen = found.profile != self._profiles.generic.name
        known = Known.of(
            found,
            fingerprint,
            settled=chosen or not (fingerprint.silent or any(probe.silent for probe in fingerprint.probes.values())),
            profiles=self._profiles.digest(),
        )
        self._verified = fingerprint.vin is not None
        log.info(
            "this car is read by the profile %s (%s), certainty %.0f %%: %s",
            found.profile,
            found.title,
            100 * found.certainty,
            " ".join(found.reasons),
        )  # fmt: skip - one message
        self._remember(fingerprint.vin, known)
        profile = next((each for each in profiles if each.name == found.profile), self._profiles.generic)
        self._read_by(_with_bits(profile, known))

    def _remember(self, vin: str | None, known: Known) -> None:
        former, before = self._memory.last_vin, self._memory.last_car
        self._memory = self._memory.with_car(vin, known)
        other_car = former is not None and vin is not None and former != vin
        pending = self._change is not None and self._change.other_car
        self._change = Change(other_car=other_car or pending)
        if before is None or other_car or before.profile != known.profile:
            self._told = False

    def _read_by(self, profile: VehicleProfile) -> None:
        self._profile = profile
        self._inner = self._build(profile)
        self._inner.open()

    def _close_inner(self) -> None:
        if self._inner is not None:
            self._inner.close()
        self._inner = None

    def _loaded(self, known: Known) -> VehicleProfile | None:
        if known.profile == self._profiles.generic.name:
            return _with_bits(self._profiles.generic, known)
        try:
            return _with_bits(self._profiles.load(known.profile), known)
        except FirmwareProfilesError as error:
            log.warning("the profile this car was read by cannot be loaded, finding another: %s", error)
            return None

    def _still_good(self, known: Known) -> bool:
        """A chosen profile stays; the generic one only while there are no new profiles, and nobody slept."""
        if known.profile != self._profiles.generic.name:
            return True
        return known.settled and known.profiles == self._profiles.digest()

    def _with_identity(self, reading: Reading) -> Reading:
        """Say once a start what the car is: with its VIN, or with its first values where it tells none."""
        known = self._memory.last_car
        if self._told or known is None:
            return reading
        tells_no_vin = self._memory.last_vin is None or known.vin_at is not None
        if not self._verified and not (tells_no_vin and reading.values):
            return reading
        self._told = True
        identified = Identified(profile=known.profile, certainty=round(known.certainty, 3), reasons=known.reasons)
        return replace(reading, vin=reading.vin or self._memory.last_vin, identified=identified)


def ask_car(
    connect: Connect, profiles: Sequence[VehicleProfile], *, vin: str | None = None
) -> tuple[Fingerprint, tuple[Recognition, ...]]:
    """The fingerprint of the car behind the adapter, and the profiles ranked by it. SourceError: the adapter is gone.

    ``vin``: what is known of it already.
    """
    questions = dict.fromkeys(
        Question.of(definition).address
        for profile in profiles
        if profile.match is not None
        for definition in profile_dids(profile)
    )
    fingerprint = Fingerprint()
    for bits in OBD_ECUS:
        tester = open_for(connect, tuple(questions), bits)
        try:
            fingerprint = take_fingerprint(tester)
            if vin is not None:
                fingerprint = replace(fingerprint, vin=vin)
            if fingerprint.pids or bits == max(OBD_ECUS):
                return recognise(tester, fingerprint, profiles)
        finally:
            tester.close()
    raise AssertionError("unreachable: the last turn returns")


def open_for(connect: Connect, addresses: Sequence[IsoTpAddress], identifier_bits: int) -> Tester:
    """A tester for the ECUs of standard OBD and for these; functional requests have 11 or 29 bit identifiers."""
    return connect(tuple(dict.fromkeys((*OBD_ECUS[identifier_bits], *addresses))), identifier_bits)


def _with_bits(profile: VehicleProfile, known: Known) -> VehicleProfile:
    """The generic profile reads by the identifiers the car answers with; a chosen one knows its own."""
    if profile.match is not None or known.identifier_bits in {None, profile.can.identifier_bits}:
        return profile
    return replace(profile, can=replace(profile.can, identifier_bits=known.identifier_bits))
