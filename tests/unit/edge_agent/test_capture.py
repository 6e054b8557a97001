"""A capture of a scripted car that names itself wherever it can: what is written, and what must not be in it."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.build_obd import obd_config
from edge_agent.capture.draft import draft, profile_name
from edge_agent.capture.take import take_capture
from edge_agent.capture.write import CaptureError, capture_files, capture_text, write_capture
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.pids import PIDS
from edge_agent.tester.base import Exchange, IsoTpAddress
from edge_agent.tester.testing import ScriptedTester
from firmware_profiles.loader import load_vehicle_profile
from firmware_profiles.profile import VehicleProfile
from tests.unit.edge_agent.recognition_support import (
    DIESEL,
    ELECTRIC,
    KONA_VIN,
    PETROL,
    car,
    connects,
    id4,
    kona,
    named,
    own_answers,
    silverado,
)

VIN = "KM8K33AG4LU048123"
TODAY = date(2026, 5, 1)
PROFILES = (kona(), id4(), silverado())
NAMING = {
    b"\x22\xf1\x90": b"\x62\xf1\x90" + VIN.encode(),
    b"\x22\xf1\x8c": b"\x62\xf1\x8c" + b"SN-0481230001",
    b"\x22\xf1\x87": b"\x62\xf1\x87" + b"37501-K4000",
    b"\x22\xf1\x97": b"\x62\xf1\x97" + VIN.encode("utf-16-be"),
    b"\x19\x02\xff": b"\x59\x02\xff" + VIN[-8:].encode(),
    b"\x03": b"\x43\x01\x03\x01",
}


def kona_that_names_itself() -> ScriptedTester:
    return car(kona(), pids=ELECTRIC, vin=VIN, more=dict.fromkeys(("7E8", "7EC"), NAMING))


def written(
    tester: ScriptedTester, folder: Path, profiles: Sequence[VehicleProfile] = PROFILES
) -> tuple[dict[str, Any], Path]:
    connect, _ = connects(tester)
    capture, vins = take_capture(connect, profiles)
    raw, profile = write_capture(capture, vins, folder / "car.json", profiles, today=TODAY)
    document = json.loads(raw.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document, profile


def answers_of(document: dict[str, Any], ecu: str) -> dict[str, str]:
    (found,) = [each for each in document["ecus"] if each["response_id"] == ecu]
    return {answer["request"]: answer["answer"] for answer in found["answers"] if "answer" in answer}


def test_the_vin_is_nowhere_in_what_is_written(tmp_path: Path) -> None:
    """Neither whole nor its last eight characters, as text, as bytes, or as hexadecimal digits."""
    written(kona_that_names_itself(), tmp_path)
    files = list(tmp_path.iterdir())
    assert sorted(file.name for file in files) == ["car.json", "car.yaml"]
    for file in files:
        content = file.read_bytes()
        folded = content.upper()
        digits = "".join(c for c in content.decode().upper() if c in "0123456789ABCDEF")
        for part in (VIN, VIN[-8:], VIN[-6:]):
            assert part.encode() not in folded, file.name
            assert part.encode().hex().upper() not in digits, file.name
            assert part.encode("utf-16-be").hex().upper() not in digits, file.name


class Truncating(ScriptedTester):
    """Gives the reasons an ELM327 gives, which quote the frames that came."""

    def physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        if request == b"\x22\xf1\x87":
            raise AnswerError(f"truncated frame: 22{VIN[-7:].encode().hex().upper()} of 7EC is number 2")
        if request == b"\x22\xf1\x88":
            raise AnswerError(Exchange(foreign=b"\x62\xf1\x8c".hex() + VIN[-5:].encode().hex().upper()).reason(0.2))
        return super().physical(address, request)


def test_half_a_vin_is_not_in_the_reasons_either(tmp_path: Path) -> None:
    written(Truncating(kona_that_names_itself().ecus), tmp_path)
    for file in tmp_path.iterdir():
        digits = "".join(c for c in file.read_text(encoding="utf-8").upper() if c in "0123456789ABCDEF")
        assert VIN[-5:].encode().hex() not in digits, file.name


def test_a_vin_that_only_one_ecu_tells_is_masked_in_what_the_others_said(tmp_path: Path) -> None:
    """Standard OBD tells none, the ECUs asked for it first neither; its parts come before the whole."""
    parts = {
        b"\x22\xf1\x87": b"\x62\xf1\x87" + VIN[9:14].encode(),
        b"\x22\xf1\x88": b"\x62\xf1\x88" + VIN[14:].encode(),
    }
    whole = {b"\x22\xf1\x90": b"\x62\xf1\x90" + VIN.encode()}
    ids = {f"7E{n}": {b"\x01\x00": bytes.fromhex("410000180000")} for n in "9AB"}
    tester = car(kona(), pids=ELECTRIC, more={"7E8": parts, **ids, "7EC": whole})
    tester.ecus |= {name: car(more={name: script}, obd=name).ecus[name] for name, script in ids.items()}
    document, _ = written(tester, tmp_path)
    assert answers_of(document, "7E8")["22F187"] == "62F187" + b"*****".hex().upper()
    assert answers_of(document, "7E8")["22F188"] == "62F188" + b"***".hex().upper()


@settings(max_examples=40, deadline=None)
@given(
    st.text(alphabet="ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=17, max_size=17).filter(lambda v: v[-8:] != v[:8]),
    st.sampled_from(["ascii", "utf-16-be", "utf-16-le"]),
    st.integers(0xF180, 0xF19E),
    st.binary(max_size=30),
    st.booleans(),
)
def test_no_vin_gets_through_wherever_an_ecu_puts_it(
    vin: str, encoding: str, did: int, noise: bytes, known: bool
) -> None:
    """Also of another car, as in an ECU from a scrapyard; there the whole VIN is what shows it."""
    request = b"\x22" + did.to_bytes(2)
    spelled = b"\x62" + did.to_bytes(2) + noise + b"\0\0" + vin.encode(encoding) + b"\0\0" + noise
    tester = car(pids=ELECTRIC, vin=vin if known else VIN, more={"7E8": {request: spelled}})
    connect, _ = connects(tester)
    capture, read = take_capture(connect, (kona(),))
    texts = [capture_text(capture, TODAY), draft(capture, "car", (kona(),), frozenset())]
    assert (vin if known else VIN) in read
    for text in texts:
        digits = "".join(c for c in text.upper() if c in "0123456789ABCDEF")
        for part in {vin, vin[-8:], VIN if not known else vin}:
            assert part not in text.upper()
            assert part.encode(encoding).hex().upper() not in digits


def test_what_a_profile_needs_is_there(tmp_path: Path) -> None:
    document, _ = written(kona_that_names_itself(), tmp_path)
    assert document["format"] == "wearcast capture 1"
    assert document["taken"] == "2026-05-01"
    assert document["vin_begins"] == "KM8K33AG*L*******"
    assert document["drive"] == "electric"
    assert document["recognised_as"][0]["profile"] == "hyundai_kona_electric"
    assert document["parameters"]["7E8"] == [f"{pid:02X}" for pid in sorted(ELECTRIC)]
    engine = answers_of(document, "7E8")
    assert engine["0100"].startswith("4100")
    assert engine["0902"] == "490201" + (b"KM8K33AG" + b"*" * 9).hex().upper()
    assert engine["03"] == "43010301"
    battery = answers_of(document, "7EC")
    assert bytes.fromhex(battery["22F187"])[3:] == b"37501-K4000"
    assert bytes.fromhex(battery["22F18C"])[3:] == b"*" * 13
    for question, payload in own_answers(kona()).items():
        assert answers_of(document, question.address.ecu)[question.request.hex().upper()] == payload.hex().upper()


def test_only_questions_that_change_nothing_are_asked(tmp_path: Path) -> None:
    tester = kona_that_names_itself()
    written(tester, tmp_path)
    assert {request[0] for _, request in tester.asked} <= {0x01, 0x03, 0x07, 0x09, 0x0A, 0x19, 0x21, 0x22, 0x3E}
    assert tester.closed


def test_the_draft_loads_and_reads_what_the_car_answered(tmp_path: Path) -> None:
    _, path = written(kona_that_names_itself(), tmp_path)
    loaded = load_vehicle_profile(path)
    assert (loaded.name, loaded.kind) == ("car", "electric")
    assert "KM8K33AG" in loaded.title
    assert loaded.match is not None
    assert loaded.match.vin == ("KM8K33AG",)
    assert 0x7EC in loaded.match.ecus
    expected = {signal.column: signal.example.value for did in kona().dids for signal in did.signals}
    drafted = {signal.column: signal.example.value for did in loaded.dids for signal in did.signals}
    assert drafted.keys() == expected.keys()
    assert drafted["traction_battery_soh"] == pytest.approx(expected["traction_battery_soh"])
    assert {item.pid for item in loaded.poll} >= {pid for pid in ELECTRIC if pid in PIDS}
    assert obd_config(loaded).dids
    text = path.read_text(encoding="utf-8")
    assert 'request_id: "7E4"' in text, "in quotes: other readers of YAML take 7E4 for a number"
    assert text.startswith("# A draft made by `wearcast agent capture`")
    assert "#   7EC  22 F1 87  ->" in text, "what has no meaning yet is shown"


def test_the_draft_of_a_car_that_nobody_knows_is_standard_obd(tmp_path: Path) -> None:
    document, path = written(car(pids=PETROL, vin="KNDC3DLC5N5048123"), tmp_path)
    assert document["recognised_as"] == []
    loaded = load_vehicle_profile(path)
    assert (loaded.kind, loaded.dids) == ("petrol", ())
    assert loaded.match is not None
    assert loaded.match.vin == ("KNDC3DLC",)
    periods = {item.pid: item.period_s for item in loaded.poll}
    assert periods[0x0C] == 1.0, "what the base polls keeps its period"


@pytest.mark.parametrize(
    ("pids", "kind"),
    [
        (PETROL | {0x5B}, "hybrid"),
        (DIESEL, "diesel"),
        (frozenset({0x0C, 0x0D}), "generic"),
        (frozenset({0x05, 0x0D}), "generic"),
        (frozenset({0x0D}), "electric"),
    ],
)
def test_every_kind_of_car_is_drafted_as_a_profile_that_loads(tmp_path: Path, pids: frozenset[int], kind: str) -> None:
    _, path = written(car(pids=pids), tmp_path)
    loaded = load_vehicle_profile(path)
    assert (loaded.kind, loaded.title) == (kind, "Unknown car without a VIN")
    assert obd_config(loaded).pids.keys() >= {pid for pid in pids if pid in PIDS}


def test_a_car_of_29_bit_identifiers_is_drafted_as_one(tmp_path: Path) -> None:
    connect, _ = connects(car(obd=None), car(obd="18DAF110", pids=PETROL, vin=KONA_VIN))
    capture, vin = take_capture(connect, PROFILES)
    _, path = write_capture(capture, vin, tmp_path / "wide.json", PROFILES, today=TODAY)
    loaded = load_vehicle_profile(path)
    assert loaded.can.identifier_bits == 29
    assert loaded.match is not None
    assert loaded.match.ecus == (0x18DAF110,)


def test_definitions_of_several_models_are_drafted_once_each(tmp_path: Path) -> None:
    """Two models that share definitions: no name, signal or question stands twice."""
    twin = named("ford_f150", vin=("1FT",))
    other = named("ford_f250_power_stroke", vin=("1FT",))
    _, path = written(car(twin, pids=PETROL, vin="1FTFW1E50MFA48123"), tmp_path, (twin, other))
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = [did["name"] for did in document["dids"]]
    assert len(names) == len(set(names)) == len(own_answers(twin))
    load_vehicle_profile(path)


def test_answers_with_something_masked_are_no_examples(tmp_path: Path) -> None:
    """A value in which the car's serial number stood would be drafted with asterisks for digits."""
    question = next(question for question in own_answers(kona()) if question.address.ecu == "7EC")
    spoilt = {question.request: own_answers(kona())[question][:20] + VIN.encode() + bytes(20)}
    tester = car(kona(), vin=VIN, more={"7EC": spoilt})
    _, path = written(tester, tmp_path)
    asked = {(did.response_id, did.did) for did in load_vehicle_profile(path).dids}
    assert (0x7EC, int.from_bytes(question.request[1:])) not in asked
    assert asked


def test_a_silent_car_gives_nothing() -> None:
    connect, _ = connects(car(obd=None))
    capture, vins = take_capture(connect, PROFILES)
    assert (capture.ecus, vins) == ((), frozenset())


@pytest.mark.parametrize(
    ("text", "name"), [("My Car-2", "my_car_2"), ("2021 Kona", "car_2021_kona"), ("ID.4", "id_4"), ("---", "car")]
)
def test_a_name_is_made_of_any_file_s(text: str, name: str) -> None:
    assert profile_name(text) == name


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my_car.yaml").touch()
    with pytest.raises(CaptureError, match=r"my_car\.yaml exists already"):
        capture_files(tmp_path / "My Car.json")
    with pytest.raises(CaptureError, match=r"name a file ending in \.json"):
        capture_files(tmp_path / "car.yaml")
    with pytest.raises(CaptureError, match="there is no such folder"):
        capture_files(tmp_path / "absent" / "car.json")
    assert capture_files(tmp_path / "car") == (tmp_path / "car.json", tmp_path / "car.yaml")
