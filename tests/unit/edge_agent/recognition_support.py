"""Cars that answer as a profile says, by script, and profiles with matches that the tests fix."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from edge_agent.profile_dids import profile_dids
from edge_agent.recognition.fingerprint import Question
from edge_agent.tester.testing import Answer, ScriptedTester
from edge_agent.virtual_car.encode import bitmap, did_raw
from firmware_profiles.loader import load_vehicle_profile
from firmware_profiles.profile import Match, VehicleProfile

KONA_VIN = "KM8K33AG4LU000001"
ID4_VIN = "WVGZZZE2ZMP000001"
SILVERADO_VIN = "1GCUYDED0NZ000001"

PETROL = frozenset({0x01, 0x04, 0x05, 0x06, 0x07, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x11, 0x1F, 0x2F, 0x42})
DIESEL = PETROL - {0x06, 0x07, 0x0E}
ELECTRIC = frozenset({0x01, 0x0D, 0x42, 0x46, 0x5B, 0xA6})


def named(name: str, **match: object) -> VehicleProfile:
    """A profile that ships, with the match of the test and not the one it may have."""
    return replace(load_vehicle_profile(name), match=Match(**match))  # type: ignore[arg-type]  # fields of Match


def kona(**changes: object) -> VehicleProfile:
    return named("hyundai_kona_electric", **({"vin": ("KM8K",), "first_year": 2019, "last_year": 2024} | changes))


def id4(**changes: object) -> VehicleProfile:
    return named("volkswagen_id4", **({"vin": ("WVGZZZE2",), "first_year": 2021} | changes))


def silverado(**changes: object) -> VehicleProfile:
    return named("chevrolet_silverado_1500", **({"vin": ("1GC[PU]",), "first_year": 2022} | changes))


def own_answers(profile: VehicleProfile) -> dict[Question, bytes]:
    """The positive answers of a car to all of a profile's questions, by its examples."""
    answers = {}
    for declared, definition in zip(profile.dids, profile_dids(profile), strict=True):
        data = bytearray(definition.data_length)
        for signal, told in zip(definition.signals, declared.signals, strict=True):
            shift = len(data) * 8 - signal.bit_end
            raw = did_raw(signal, told.example.value) & ((1 << signal.bit_length) - 1)
            data = bytearray((int.from_bytes(data) | raw << shift).to_bytes(len(data)))
        answers[Question.of(definition)] = bytes((definition.service + 0x40,)) + definition.request[1:] + bytes(data)
    return answers


def ecu(script: Mapping[bytes, bytes]) -> Answer:
    """Answers by script; refuses what it does not know by NRC 0x31, as an ECU that is awake does."""

    def answer(request: bytes) -> bytes | None:
        return script.get(request, bytes((0x7F, request[0], 0x31)))

    return answer


def obd_script(pids: Iterable[int], vin: str | None) -> dict[bytes, bytes]:
    """What an ECU answers to service 01 bitmaps and 09 02."""
    pids = frozenset(pids)
    script = {
        bytes((0x01, base)): bytes((0x41, base)) + bitmap(pids, base)
        for base in range(0, 0x100, 0x20)
        if base == 0 or any(pid > base for pid in pids)
    }
    if vin is not None:
        script[b"\x09\x02"] = b"\x49\x02\x01" + vin.encode()
    return script


def car(
    profile: VehicleProfile | None = None,
    *,
    pids: frozenset[int] = ELECTRIC,
    vin: str | None = None,
    obd: str | None = "7E8",
    more: Mapping[str, Mapping[bytes, bytes]] | None = None,
) -> ScriptedTester:
    """A car with one OBD ECU that answers what the profile asks; ``obd`` None: nobody answers standard OBD."""
    scripts: dict[str, dict[bytes, bytes]] = {}
    if obd is not None:
        scripts[obd] = obd_script(pids, vin)
    for question, payload in own_answers(profile).items() if profile is not None else ():
        scripts.setdefault(question.address.ecu, {})[question.request] = payload
    for name, script in (more or {}).items():
        scripts.setdefault(name, {}).update(script)
    return ScriptedTester({name: _functional_aware(ecu(script), name == obd) for name, script in scripts.items()})


def _functional_aware(answer: Answer, takes_part: bool) -> Answer:
    """An ECU that takes no part in standard OBD is silent to its services."""

    def filtered(request: bytes) -> bytes | None:
        if not takes_part and request[0] in {0x01, 0x03, 0x07, 0x09, 0x0A}:
            return None
        return answer(request)

    return filtered


def connects(*testers: ScriptedTester) -> tuple[Callable[..., ScriptedTester], list[int]]:
    """A connector that gives the testers in turn, the last one for ever, and the identifier bits asked for."""
    waiting = list(testers)
    bits: list[int] = []

    def connect(_addresses: object, identifier_bits: int) -> ScriptedTester:
        bits.append(identifier_bits)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return connect, bits
