"""Clearing trouble codes: only asked for by a person, never while the car drives, recorded with what was cleared.

Nothing else in the agent sends these requests. Policy is :func:`refusal`, pure; :func:`clear_codes` carries it out.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from edge_agent.diagnose.codes import CodesReport, read_report
from edge_agent.errors import EdgeAgentError, SourceError
from edge_agent.obd import clear as requests
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.dialect import OBD, Dialect
from edge_agent.sources.parameters import Parameters, Several
from edge_agent.tester.base import Tester, address_of
from edge_agent.vehicle_watch import ENGINE_SPEED, SPEED

DONE: Final = "cleared"
_SPEED_PID, _ENGINE_SPEED_PID = 0x0D, 0x0C
_CONDITIONS_NOT_CORRECT = 0x22  # what an ECU says that wants the engine off: its word is not got round
_LOOK: Final = "look that it stands with its engine off, then say so with --it-stands"


class ClearRefusedError(EdgeAgentError):
    """Codes are not cleared now; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Whether the car moves, as far as it tells. ``speed`` in km/h, ``engine_speed`` in rpm; None: not told.

    ``unclear``: why an ECU that has one of them did not tell it now.
    """

    speed: float | None
    engine_speed: float | None
    unclear: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cleared:
    """What was done: the codes before and after, and what each ECU said ("cleared", or why not)."""

    before: CodesReport
    after: CodesReport
    answers: Mapping[str, str]

    @property
    def outcome(self) -> Literal["cleared", "not cleared", "not known"]:
        """By what an ECU said or what is left; not known where neither tells: an answer may be lost on its way."""
        if DONE in self.answers.values():
            return "cleared"
        if self.after.entries is None:
            return "not known"
        left = {(entry.code.ecu, entry.code.code, entry.code.status) for entry in self.after.entries}
        gone = any((e.code.ecu, e.code.code, e.code.status) not in left for e in self.before.entries or ())
        return "cleared" if gone else "not cleared"


def read_motion(tester: Tester) -> Motion:
    """Ask every ECU that has them for speed and engine speed; the highest counts, and what is missing is told."""
    parameters = Parameters(tester, Several())
    parameters.discover()
    values: dict[str, float] = {}
    unclear: str | None = None
    for pid in (_SPEED_PID, _ENGINE_SPEED_PID):
        having = set(parameters.ecus.get(pid, ()))
        exchange = tester.functional(parameters.dialect.request(pid), expected=having or None)
        told: set[str] = set()
        for ecu, payload in exchange.answers.items():
            try:
                decoded = parameters.dialect.decode(pid, payload)
            except AnswerError as error:
                if ecu in having:
                    unclear = f"{ecu}: {error}"
                continue
            for path, value in decoded.values.items():
                values[path] = max(value, values.get(path, value))
            if decoded.values:
                told.add(ecu)
            elif decoded.faults:
                unclear = f"{ecu}: {decoded.faults[0].reason}"
        if unclear is None and (missing := having - told):
            unclear = f"{min(missing)}: {exchange.reason(tester.timeout_s)}"
    return Motion(speed=values.get(SPEED), engine_speed=values.get(ENGINE_SPEED), unclear=unclear)


def refusal(motion: Motion, *, stands: bool = False) -> str | None:
    """Why codes must not be cleared now; None if they may be. ``stands``: a person says so where the car cannot."""
    if motion.speed:
        return f"the car drives ({motion.speed:g} km/h): stop, switch the engine off and the ignition on"
    if motion.engine_speed:
        return f"the engine runs ({motion.engine_speed:g} rpm): switch it off and the ignition on, so that ECUs clear"
    if stands:
        return None
    if motion.unclear is not None:
        return f"the car does not tell clearly whether it moves ({motion.unclear}): {_LOOK}"
    if motion.speed is None:
        return f"the car does not tell its speed: {_LOOK}"
    return None


def require_clearable(report: CodesReport) -> None:
    """ClearRefusedError unless there is something to clear, and it is known what."""
    if report.entries is None:
        raise ClearRefusedError("not cleared: the codes could not be read first, so nobody would know what was lost")
    if not report.entries:
        raise ClearRefusedError("not cleared: there are no codes, and clearing would only reset the monitors")
    if all(entry.code.status == "permanent" for entry in report.entries):
        raise ClearRefusedError(
            "not cleared: only permanent codes are left; the car ends them once their fault is gone"
        )


def clear_codes(
    tester: Tester, *, stands: bool = False, before_clearing: Callable[[CodesReport], None] = lambda _: None
) -> Cleared:
    """Read, clear, read again. ClearRefusedError if it drives, if the codes cannot be read, or if there are none.

    What is cleared must be known first: with the codes go their freeze frames and the readiness of the monitors.
    ``before_clearing`` is given it and may refuse by an error. From then on an adapter that goes away is no error but
    part of what is told: the codes may be gone.
    """
    if reason := refusal(read_motion(tester), stands=stands):
        raise ClearRefusedError(f"not cleared: {reason}")
    before = read_report(tester)
    if before.entries is None:
        raise ClearRefusedError("not cleared: the codes could not be read first, so nobody would know what was lost")
    if not before.entries:
        raise ClearRefusedError("not cleared: there are no codes, and clearing would only reset the monitors")
    if all(entry.code.status == "permanent" for entry in before.entries):
        raise ClearRefusedError(
            "not cleared: only permanent codes are left; the car ends them once their fault is gone"
        )
    if reason := refusal(read_motion(tester), stands=stands):  # reading takes seconds
        raise ClearRefusedError(f"not cleared: {reason}")
    before_clearing(before)
    answers = {entry.code.ecu: "no answer" for entry in before.entries or ()}
    after = CodesReport(entries=None)
    try:
        said, unwilling = _all_at_once(tester, before.dialect)
        answers |= said
        after = read_report(tester)
        if left := _with_uds_codes(after) - unwilling:
            answers |= {ecu: _by_uds(tester, ecu) for ecu in sorted(left)}
            after = read_report(tester)
    except SourceError as error:
        answers = {ecu: said if said == DONE else str(error) for ecu, said in answers.items()}
    return Cleared(before=before, after=after, answers=answers)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A file of JSON lines: for each clearing what is about to be cleared, and what came of it."""

    path: Path
    by: str
    vin: str | None

    def begin(self, before: CodesReport, *, at: datetime) -> None:
        """Note what is about to be cleared; EdgeAgentError if that cannot be kept: then nothing may be cleared."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append("clearing", at, {"codes": [asdict(entry) for entry in before.entries or ()]})
        except OSError as error:
            raise ClearRefusedError(
                f"not cleared: {self.path} cannot be written ({error.strerror}), and a clearing is recorded; "
                "name another file with --record"
            ) from error

    def end(self, cleared: Cleared, *, at: datetime) -> None:
        """Note what the ECUs said and what is left; OSError where the disk refuses."""
        left = cleared.after.entries
        self._append(
            cleared.outcome,
            at,
            {
                "answers": dict(cleared.answers),
                "left": None if left is None else [asdict(entry.code) for entry in left],
            },
        )

    def _append(self, what: str, at: datetime, content: Mapping[str, object]) -> None:
        entry = {"time": at.isoformat(), "what": what, "by": self.by, "vin": self.vin, **content}
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _all_at_once(tester: Tester, dialect: Dialect) -> tuple[dict[str, str], set[str]]:
    """What each ECU said, and those that do not want to clear now."""
    request = requests.CLEAR_OBD if dialect is OBD else requests.uds_request(requests.EMISSIONS_GROUP)
    said: dict[str, str] = {}
    unwilling: set[str] = set()
    for ecu, payload in tester.functional(request, expected=None).answers.items():
        try:
            requests.require_cleared(request, payload)
            said[ecu] = DONE
        except AnswerError as error:
            said[ecu] = str(error)
            if error.nrc == _CONDITIONS_NOT_CORRECT:
                unwilling.add(ecu)
    return said, unwilling


def _with_uds_codes(report: CodesReport) -> set[str]:
    """ECUs with codes that UDS tells: those that no emissions service clears are among them. Permanent ones stay."""
    return {entry.code.ecu for entry in report.entries or () if entry.record and entry.code.status != "permanent"}


def _by_uds(tester: Tester, ecu: str) -> str:
    request = requests.uds_request()
    try:
        requests.require_cleared(request, tester.physical(address_of(ecu), request))
    except AnswerError as error:
        return str(error)
    return DONE
