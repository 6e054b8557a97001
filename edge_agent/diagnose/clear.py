"""Clearing trouble codes: only asked for by a person, never while the car drives, recorded with what was cleared.

Nothing else in the agent sends these requests. Policy is :func:`refusal`, pure; :func:`clear_codes` carries it out.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from edge_agent.diagnose.codes import CodesReport, read_report
from edge_agent.errors import EdgeAgentError
from edge_agent.obd import clear as requests
from edge_agent.obd import service01
from edge_agent.obd.answers import AnswerError
from edge_agent.recognition.take import address_of
from edge_agent.tester.base import Tester
from edge_agent.vehicle_watch import ENGINE_SPEED, SPEED

DONE = "cleared"
_SPEED_PID, _ENGINE_SPEED_PID = 0x0D, 0x0C


class ClearRefusedError(EdgeAgentError):
    """Codes are not cleared now; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Whether the car moves, as far as it tells. ``speed`` in km/h, ``engine_speed`` in rpm; None: not read."""

    speed: float | None
    engine_speed: float | None


@dataclass(frozen=True, kw_only=True)
class Cleared:
    """What was done: the codes before and after, and what each ECU said ("cleared", or why not)."""

    before: CodesReport
    after: CodesReport
    answers: Mapping[str, str]


def read_motion(tester: Tester) -> Motion:
    """Ask for speed and engine speed; of several ECUs' answers the highest counts."""
    values: dict[str, list[float]] = {}
    for pid in (_SPEED_PID, _ENGINE_SPEED_PID):
        for payload in tester.functional(service01.request(pid), expected=None).answers.values():
            try:
                for path, value in service01.decode(pid, payload).values.items():
                    values.setdefault(path, []).append(value)
            except AnswerError:
                continue
    return Motion(
        speed=max(values.get(SPEED, ()), default=None), engine_speed=max(values.get(ENGINE_SPEED, ()), default=None)
    )


def refusal(motion: Motion, *, stands: bool = False) -> str | None:
    """Why codes must not be cleared now; None if they may be. ``stands``: a person says so where the car cannot."""
    if motion.speed:
        return f"the car drives ({motion.speed:g} km/h): stop, switch the engine off and the ignition on"
    if motion.engine_speed:
        return f"the engine runs ({motion.engine_speed:g} rpm): switch it off and the ignition on, so that ECUs clear"
    if motion.speed is None and not stands:
        return "the car does not tell its speed: look that it stands, then say so with --it-stands"
    return None


def clear_codes(tester: Tester, *, stands: bool = False) -> Cleared:
    """Read, clear, read again. ClearRefusedError if it drives, if the codes cannot be read, or if there are none.

    What is cleared must be known first: with the codes go their freeze frames and the readiness of the monitors.
    """
    if reason := refusal(read_motion(tester), stands=stands):
        raise ClearRefusedError(f"not cleared: {reason}")
    before = read_report(tester)
    if before.entries is None:
        raise ClearRefusedError("not cleared: the codes could not be read first, so nobody would know what was lost")
    if not before.entries:
        raise ClearRefusedError("not cleared: there are no codes, and clearing would only reset the monitors")
    if reason := refusal(read_motion(tester), stands=stands):  # reading takes seconds
        raise ClearRefusedError(f"not cleared: {reason}")
    answers = _by_service_04(tester)
    for ecu in sorted({entry.code.ecu for entry in before.entries if entry.record is not None}):
        if answers.get(ecu) != DONE:
            answers[ecu] = _by_uds(tester, ecu)
    return Cleared(before=before, after=read_report(tester), answers=answers)


def append_record(path: Path, cleared: Cleared, *, at: datetime, by: str, vin: str | None) -> None:
    """Add what was cleared to a file of JSON lines."""
    entry = {
        "time": at.isoformat(),
        "by": by,
        "vin": vin,
        "cleared": [asdict(entry) for entry in cleared.before.entries or ()],
        "answers": dict(cleared.answers),
        "left": None if cleared.after.entries is None else [asdict(entry.code) for entry in cleared.after.entries],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(entry) + b"\n")


def _by_service_04(tester: Tester) -> dict[str, str]:
    said: dict[str, str] = {}
    for ecu, payload in tester.functional(requests.CLEAR_OBD, expected=None).answers.items():
        try:
            requests.require_cleared(requests.CLEAR_OBD, payload)
            said[ecu] = DONE
        except AnswerError as error:
            said[ecu] = str(error)
    return said


def _by_uds(tester: Tester, ecu: str) -> str:
    request = requests.uds_request()
    try:
        requests.require_cleared(request, tester.physical(address_of(ecu), request))
    except AnswerError as error:
        return str(error)
    return DONE
