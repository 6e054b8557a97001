"""A capture -> a profile to go on from: it loads as it is, and says in comments what is still to be found out. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import yaml

from edge_agent.capture.take import Capture, answers_by_question
from edge_agent.obd import did
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.pids import PIDS
from edge_agent.profile_dids import protocol_did
from edge_agent.recognition.fingerprint import Drive, Question, drive_of
from edge_agent.recognition.vin import MODEL_ENDS
from firmware_profiles.profile import DidDefinition, SignalDefinition, VehicleProfile

_BASES: Final[dict[Drive | None, tuple[str, str]]] = {
    "electric": ("electric_drive", "electric"),
    "petrol": ("combustion_engine", "petrol"),
    "diesel": ("combustion_engine", "diesel"),
    "hybrid": ("combustion_engine", "hybrid"),
    "combustion": ("combustion_engine", "generic"),
    None: ("generic", "generic"),
}
_POLL_PERIOD: Final = "30s"
_UNKNOWN_SHOWN: Final = 120  # lines of answers without a meaning


class _Hex(str):
    """Hexadecimal digits: in quotes, as some readers of YAML take 7E8 for a number."""

    __slots__ = ()


class _Line(list[object]):
    """A list on one line."""


class _Record(dict[str, object]):
    """A mapping on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes a profile as people do."""


_Dumper.add_representer(_Hex, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
_Dumper.add_representer(
    _Line, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)
_Dumper.add_representer(
    _Record, lambda dumper, items: dumper.represent_mapping("tag:yaml.org,2002:map", items, flow_style=True)
)


def profile_name(text: str) -> str:
    """A name a profile may have, made of any text: ``My Car-2`` is my_car_2."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"car_{name}".rstrip("_")


def draft(capture: Capture, name: str, profiles: Sequence[VehicleProfile], base_pids: frozenset[int]) -> str:
    """The profile as YAML text. ``base_pids``: what the profile it extends polls already, see :func:`base_of`."""
    base, kind = _base(capture)
    document: dict[str, object] = {
        "name": name,
        "title": _title(capture),
        "extends": base,
        "kind": kind,
        "match": _match(capture),
    }
    if capture.fingerprint.identifier_bits == 29:
        document["can"] = {"identifier_bits": 29}
    more = sorted(pid for pid in capture.fingerprint.supported if pid in PIDS and pid not in base_pids)
    if more:
        document["poll"] = [_Record(pid=_Hex(f"{pid:02X}"), period=_POLL_PERIOD) for pid in more]
    definitions = list(_answering(capture, profiles))
    if definitions:
        document["dids"] = [_did(*each) for each in definitions]
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    explained = {Question.of(protocol_did(definition)) for definition, _ in definitions}
    return f"{_HEAD}{body}{_unknown(capture, explained)}"


def base_of(capture: Capture) -> str:
    """Name of the profile that the draft extends."""
    return _base(capture)[0]


_HEAD: Final = """\
# A draft made by `wearcast agent capture` from what one car answered. It loads as it is. Before you use it:
# - Say in `title` what car this is, and in `match` what the VINs of such cars begin with (`?` is any character) and
#   which model years there are: one car shows neither.
# - Each entry of `dids` is a definition of another model that this car answered plausibly. Compare with the instrument
#   cluster; strike out what does not fit, and name in `source` where a definition for this car is published.
# - `docs/profiles.md` explains every key; `wearcast flash check` with this file's path checks it.
"""


def _base(capture: Capture) -> tuple[str, str]:
    found = drive_of(capture.fingerprint)
    return _BASES[None if found is None else found[0]]


def _title(capture: Capture) -> str:
    if capture.vin_begins is None:
        return "Unknown car without a VIN"
    year = f", model year {' or '.join(map(str, capture.years))}" if capture.years else ""
    return f"Unknown car, VIN beginning {capture.vin_begins[:MODEL_ENDS]}{year}"


def _match(capture: Capture) -> dict[str, object]:
    match: dict[str, object] = {}
    if capture.vin_begins is not None:
        match["vin"] = _Line([_Hex(capture.vin_begins[:MODEL_ENDS])])
    if len(capture.years) == 1:
        match["years"] = _Record(first=capture.years[0], last=capture.years[0])
    giving = [ecu.address.ecu for ecu in capture.ecus if any(answer.payload for answer in ecu.answers)]
    match["ecus"] = _Line(map(_Hex, giving))
    return match


def _answering(
    capture: Capture, profiles: Sequence[VehicleProfile]
) -> Iterator[tuple[DidDefinition, dict[str, tuple[bytes, float]]]]:
    """Definitions this car answered plausibly, of the likeliest profile first; a signal and a question each once."""
    answers = answers_by_question(capture, whole=True)
    order = {found.profile: place for place, found in enumerate(capture.ranked)}
    signals: set[str] = set()
    asked: set[Question] = set()
    names: set[str] = set()
    for profile in sorted(profiles, key=lambda each: (order.get(each.name, len(order)), each.name)):
        if profile.match is None:
            continue
        for declared in profile.dids:
            definition = protocol_did(declared)
            question = Question.of(definition)
            payload = answers.get(question)
            if payload is None or question in asked:
                continue
            values = _plausible(definition, payload)
            new = {s.column: values[s.path] for s in declared.signals if s.path in values and s.column not in signals}
            if not new:
                continue
            data = payload[1 + definition.identifier_bytes :]
            asked.add(question)
            signals |= new.keys()
            name = declared.name if declared.name not in names else f"{declared.name}_of_{profile.name}"
            names.add(name)
            yield replace(declared, name=name), {column: (data, value) for column, value in new.items()}


def _plausible(definition: did.DidDefinition, payload: bytes) -> dict[str, float]:
    try:
        decoded = did.decode(definition, payload)
    except AnswerError:
        return {}
    return {} if decoded.faults else dict(decoded.values)


def _did(definition: DidDefinition, values: dict[str, tuple[bytes, float]]) -> dict[str, object]:
    digits = 3 if not definition.extended else 8
    did_digits = 2 if definition.service == did.READ_LOCAL_DATA else 4
    return {
        "name": definition.name,
        "request_id": _Hex(f"{definition.request_id:0{digits}X}"),
        "response_id": _Hex(f"{definition.response_id:0{digits}X}"),
        **({"service": _Hex(f"{definition.service:02X}")} if definition.service != did.READ_DATA else {}),
        "did": _Hex(f"{definition.did:0{did_digits}X}"),
        "period": _duration(definition.period_s),
        "source": f"answered by this car; meaning from {definition.source}",
        "signals": [
            _signal(signal, *values[signal.column]) for signal in definition.signals if signal.column in values
        ],
    }


def _signal(signal: SignalDefinition, data: bytes, value: float) -> dict[str, object]:
    shown = data[: signal.minimum_length]
    return {
        "signal": signal.column,
        "byte_offset": signal.bit_offset // 8,
        **({"bit_in_byte": signal.bit_offset % 8} if signal.bit_offset % 8 else {}),
        "bit_length": signal.bit_length,
        "scale": _ratio(signal.scale),
        **({"offset": _ratio(signal.offset)} if signal.offset else {}),
        **({"signed": True} if signal.signed else {}),
        **({"absent": _Line(signal.absent)} if signal.absent else {}),
        "example": _Record(payload=_Hex(shown.hex(" ").upper()), value=value),
    }


def _ratio(number: object) -> int | str:
    text = str(number)
    return int(text) if text.lstrip("-").isdecimal() else text


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{round(seconds / size)}{unit}"
    return f"{round(seconds * 1000)}ms"


def _unknown(capture: Capture, explained: set[Question]) -> str:
    """What else was answered, as comments: the place where a definition is looked for."""
    lines = [
        f"#   {question.address.ecu}  {question.request.hex(' ').upper()}  ->  {payload.hex(' ').upper()}"
        for question, payload in answers_by_question(capture).items()
        if question not in explained and question.request[0] in {did.READ_DATA, did.READ_LOCAL_DATA}
    ]
    if not lines:
        return ""
    more = [f"#   and {len(lines) - _UNKNOWN_SHOWN} more, in the capture"] if len(lines) > _UNKNOWN_SHOWN else []
    head = "# Answered by identifier, without a meaning that is known here (2A stands for what named the car):"
    return "\n".join([head, *lines[:_UNKNOWN_SHOWN], *more]) + "\n"
