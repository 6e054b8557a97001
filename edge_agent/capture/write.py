"""The two files of a capture: what was answered (JSON), and beside it the draft of a profile (YAML)."""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from edge_agent.capture.anonymous import require_anonymous
from edge_agent.capture.draft import base_of, draft, profile_name
from edge_agent.capture.take import Answer, Capture
from edge_agent.errors import EdgeAgentError
from edge_agent.recognition.fingerprint import drive_of
from firmware_profiles.loader import shipped_folder
from firmware_profiles.profile import VehicleProfile
from firmware_profiles.reading import read_yaml

FORMAT = "wearcast capture 1"


class CaptureError(EdgeAgentError):
    """A capture cannot be written; the text says what to change."""


def capture_files(out: Path) -> tuple[Path, Path]:
    """Where capture and draft go. CaptureError where one of them exists, or where ``out`` is no name for it."""
    if out.suffix not in {"", ".json"}:
        raise CaptureError(f"{out.name}: name a file ending in .json; the draft of a profile is written beside it")
    capture, profile = out.with_suffix(".json"), out.with_name(f"{profile_name(out.stem)}.yaml")
    for path in (capture, profile):
        if path.exists():
            raise CaptureError(f"{path} exists already; name another file, or remove it first")
    if not out.absolute().parent.is_dir():
        raise CaptureError(f"{out.parent}: there is no such folder; make it first")
    return capture, profile


def write_capture(
    capture: Capture, vins: Iterable[str], out: Path, profiles: Sequence[VehicleProfile], *, today: date
) -> tuple[Path, Path]:
    """Write both; nothing at all if a VIN stood in one of them. CaptureError where they cannot be written."""
    capture_path, profile_path = capture_files(out)
    pids, vins = _polled_by(base_of(capture)), frozenset(vins)
    texts = {
        capture_path: require_anonymous(capture_text(capture, today), vins),
        profile_path: require_anonymous(draft(capture, profile_path.stem, profiles, pids), vins),
    }
    try:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CaptureError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return capture_path, profile_path


def capture_text(capture: Capture, today: date) -> str:
    """The capture as JSON text. The day is enough: the time would say when somebody was where."""
    fingerprint = capture.fingerprint
    drive = drive_of(fingerprint)
    document = {
        "format": FORMAT,
        "taken": today.isoformat(),
        "vin_begins": capture.vin_begins,
        "model_years": capture.years,
        "check_digit_right": capture.check_digit_right,
        "drive": None if drive is None else drive[0],
        "parameters": {ecu: [f"{pid:02X}" for pid in sorted(pids)] for ecu, pids in fingerprint.pids.items()},
        "recognised_as": [
            {"profile": each.profile, "certainty": round(each.certainty, 3), "reasons": each.reasons}
            for each in capture.ranked[:3]
        ],
        "ecus": [
            {
                "request_id": f"{ecu.address.transmit_id:03X}",
                "response_id": ecu.address.ecu,
                "answers": [_answer(answer) for answer in ecu.answers],
            }
            for ecu in capture.ecus
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _polled_by(base: str) -> frozenset[int]:
    """Parameters that a profile of ours polls, or a family: what extends it must not say them again."""
    pids: set[int] = set()
    name: object = base
    while name is not None:
        document = read_yaml(shipped_folder("vehicles") / f"{name}.yaml")
        poll = document.get("poll", [])
        assert isinstance(poll, list)
        pids |= {int(item["pid"], 16) for item in poll}
        name = document.get("extends")
    return frozenset(pids)


def _answer(answer: Answer) -> dict[str, object]:
    told: dict[str, object] = {"request": answer.request.hex().upper()}
    if answer.payload is None:
        return told | {"reason": answer.reason}
    told["answer"] = answer.payload.hex().upper()
    data = answer.payload[len(answer.request) :].strip(b"\x00 ")
    if len(data) > 3 and data.isascii() and data.decode("ascii").isprintable():
        told["text"] = data.decode("ascii")
    return told | ({"masked": True} if answer.masked else {})
