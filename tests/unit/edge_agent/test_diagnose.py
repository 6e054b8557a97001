"""What an engineer is shown, from ECUs by script: scan, codes with freeze frames, clearing, raw requests."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import edge_agent
from edge_agent.diagnose.clear import (
    ClearRefusedError,
    Motion,
    Record,
    clear_codes,
    read_motion,
    refusal,
)
from edge_agent.diagnose.codes import CodesReport, read_report
from edge_agent.diagnose.scan import scan
from edge_agent.diagnose.session import diagnosing
from edge_agent.errors import SourceError
from edge_agent.tester.testing import ScriptedTester

SPEED = "Vehicle.Speed"
COOLANT = "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"
NO = bytes.fromhex


class Engine:
    """An engine ECU with P0301 and its freeze frame, until it is cleared."""

    def __init__(self, *, speed: int | None = 0, engine_speed: int = 0, refuses: int | None = None) -> None:
        self.speed = speed
        self.engine_speed = engine_speed
        self.refuses = refuses
        self.codes = 1
        self.chassis = 0  # codes that do not concern emissions
        self.cleared: list[bytes] = []

    def __call__(self, request: bytes) -> bytes | None:
        fixed = {
            "0100": "4100" + "08180000",  # 05, 0C, 0D
            "0902": "490201" + b"WVWZZZ1KZAW000001".hex(),
            "090a": "490a01" + b"ECM\x00-EngineControl\x00\x00".hex(),
            "0700": "",
            "07": "4700",
            "0a": "4a00",
            "020200": "420200" + ("0301" if self.codes else "0000"),
            "020000": "420000" + "08000000",  # 05
            "020500": "420500" + "7b",
            "1902ff": "5902ff" + ("0301008c" if self.codes else "") + ("40310008" if self.chassis else ""),
            "03": "43" + ("010301" if self.codes else "00"),
            "010c": "410c" + (self.engine_speed * 4).to_bytes(2).hex(),
        }
        if request == NO("010d"):
            return None if self.speed is None else NO("410d") + bytes((self.speed,))
        if request[0] in {0x04, 0x14}:
            if self.refuses is not None:
                return bytes((0x7F, request[0], self.refuses))
            self.cleared.append(request)
            self.codes = 0
            self.chassis = 0 if request[0] == 0x14 else self.chassis
            return bytes((request[0] + 0x40,))
        answer = fixed.get(request.hex())
        return bytes((0x7F, request[0], 0x12)) if answer is None else NO(answer) if answer else None


def test_scan_names_every_ecu_and_what_it_has() -> None:
    found = scan(ScriptedTester({"7E8": Engine()}))
    assert found.vin == "WVWZZZ1KZAW000001"
    (ecu,) = found.ecus
    assert (ecu.ecu, ecu.name) == ("7E8", "ECM - EngineControl")
    assert ecu.pids == {0x05, 0x0C, 0x0D}
    assert ecu.services == {0x01, 0x03, 0x07, 0x0A}
    assert ecu.calibrations == ()
    assert found.faults == ()


def test_scan_of_silence_is_empty() -> None:
    assert scan(ScriptedTester({})).ecus == ()


def test_codes_come_with_lamp_and_freeze_frame() -> None:
    report = read_report(ScriptedTester({"7E8": Engine()}))
    assert report.entries is not None
    (entry,) = report.entries
    assert (entry.code.code, entry.code.status, entry.code.warning_lamp) == ("P0301", "confirmed", True)
    assert entry.record is not None
    assert entry.record.pending
    assert entry.frame is not None
    assert entry.frame.values == {COOLANT: 83.0}


@pytest.mark.parametrize(
    "answer",
    [None, NO("7F0322"), NO("4302"), NO("43020301"), b"\x41\x0c\x11\x22"],
    ids=["silence", "refused", "truncated", "announces two, gives one", "to something else"],
)
def test_codes_that_could_not_be_read_are_not_no_codes(answer: bytes | None) -> None:
    engine = Engine()
    tester = ScriptedTester({"7E8": lambda request: answer if request == b"\x03" else engine(request)})
    report = read_report(tester)
    if report.entries is not None:
        assert [entry.code.code for entry in report.entries] == ["P0301"], "what UDS told is no less true"
    assert report.ecus_read == frozenset()
    assert report.faults


@pytest.mark.parametrize(
    ("motion", "stands", "word"),
    [
        (Motion(speed=1.0, engine_speed=0.0), False, "drives"),
        (Motion(speed=1.0, engine_speed=None), True, "drives"),
        (Motion(speed=0.0, engine_speed=780.0), True, "engine runs"),
        (Motion(speed=None, engine_speed=0.0), False, "--it-stands"),
        (Motion(speed=None, engine_speed=None), False, "--it-stands"),
        (Motion(speed=0.0, engine_speed=0.0, unclear="7E9: no answer"), False, "7E9: no answer"),
        (Motion(speed=3.0, engine_speed=0.0, unclear="7E9: no answer"), True, "drives"),
    ],
)
def test_codes_are_not_cleared_while_it_may_drive(motion: Motion, *, stands: bool, word: str) -> None:
    assert word in (refusal(motion, stands=stands) or "")


@pytest.mark.parametrize(
    ("motion", "stands"),
    [
        (Motion(speed=0.0, engine_speed=0.0), False),
        (Motion(speed=0.0, engine_speed=None), False),
        (Motion(speed=None, engine_speed=0.0), True),
        (Motion(speed=0.0, engine_speed=0.0, unclear="7E9: no answer"), True),
    ],
)
def test_a_standing_car_may_be_cleared(motion: Motion, *, stands: bool) -> None:
    assert refusal(motion, stands=stands) is None


@pytest.mark.parametrize(
    ("speed", "engine_speed", "word"),
    [
        (NO("7F0112"), NO("410C0000"), "NRC 0x12"),
        (NO("410D"), NO("410C0000"), "0 data bytes"),
        (NO("410DFF00"), NO("410C0000"), "2 data bytes"),
        (None, NO("410C0000"), "no answer"),
        (NO("410C0000"), NO("410C0000"), "only an answer to something else"),
        (NO("410D00"), NO("410CFF"), "1 data bytes"),
        (NO("410D00"), None, "no answer"),
    ],
)
def test_of_two_ecus_each_must_tell_that_the_car_stands(
    speed: bytes | None, engine_speed: bytes | None, word: str
) -> None:
    gearbox = {b"\x01\x00": NO("410000080000"), b"\x01\x0d": NO("410D00")}  # has the speed too
    engine = Engine()
    answers = {b"\x01\x0d": speed, b"\x01\x0c": engine_speed}
    tester = ScriptedTester(
        {"7E8": lambda request: answers[request] if request in answers else engine(request), "7E9": gearbox.get}
    )
    assert word in (refusal(read_motion(tester)) or "")
    with pytest.raises(ClearRefusedError, match="--it-stands"):
        clear_codes(tester)
    assert engine.cleared == []


def test_the_highest_speed_of_all_ecus_counts() -> None:
    gearbox = {b"\x01\x00": NO("410000080000"), b"\x01\x0d": NO("410D07")}
    motion = read_motion(ScriptedTester({"7E8": Engine(), "7E9": gearbox.get}))
    assert (motion.speed, motion.unclear) == (7.0, None)


def test_clearing_says_what_was_cleared_and_what_is_left(tmp_path: Path) -> None:
    engine = Engine()
    record = Record(path=tmp_path / "state" / "cleared.jsonl", by="anna", vin="WVWZZZ1KZAW000001")
    at = datetime(2026, 6, 1, tzinfo=UTC)

    def keep(before: CodesReport) -> None:
        assert engine.cleared == [], "what is cleared is on file before"
        record.begin(before, at=at)

    cleared = clear_codes(ScriptedTester({"7E8": engine}), before_clearing=keep)
    record.end(cleared, at=at)
    assert engine.cleared == [b"\x04"], "an ECU that cleared by service 04 is not cleared again by 14"
    assert cleared.answers == {"7E8": "cleared"}
    assert cleared.before.entries is not None
    assert cleared.after.entries == ()
    begun, ended = (json.loads(line) for line in record.path.read_text().splitlines())
    assert (begun["what"], begun["by"], begun["vin"]) == ("clearing", "anna", "WVWZZZ1KZAW000001")
    (entry,) = begun["codes"]
    assert entry["code"]["code"] == "P0301"
    assert entry["frame"]["values"] == {COOLANT: 83.0}
    assert (ended["what"], ended["answers"], ended["left"]) == ("cleared", {"7E8": "cleared"}, [])


def test_what_cannot_be_recorded_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    engine = Engine()
    record = Record(path=tmp_path / "file" / "cleared.jsonl", by="anna", vin=None)
    with pytest.raises(ClearRefusedError, match="--record"):
        clear_codes(
            ScriptedTester({"7E8": engine}),
            before_clearing=lambda before: record.begin(before, at=datetime(2026, 6, 1, tzinfo=UTC)),
        )
    assert engine.cleared == []


@pytest.mark.parametrize(
    ("refuses", "lost", "outcome"),
    [(None, False, "cleared"), (None, True, "cleared"), (0x22, False, "not cleared"), (0x10, False, "not cleared")],
)
def test_what_came_of_it_is_told_by_what_is_left_where_the_answer_is_lost(
    refuses: int | None, *, lost: bool, outcome: str
) -> None:
    engine = Engine(refuses=refuses)

    def answer(request: bytes) -> bytes | None:
        said = engine(request)
        return None if lost and request == b"\x04" else said

    assert clear_codes(ScriptedTester({"7E8": answer})).outcome == outcome


def test_an_adapter_pulled_out_before_an_answer_leaves_it_open() -> None:
    engine = Engine()
    tester = ScriptedTester({"7E8": engine})

    def pulled(request: bytes) -> bytes | None:
        if request == b"\x04":
            tester.gone = True
            raise SourceError("pulled out")
        return engine(request)

    tester.ecus["7E8"] = pulled
    cleared = clear_codes(tester)
    assert (cleared.outcome, cleared.answers) == ("not known", {"7E8": "pulled out"})


def test_an_adapter_pulled_out_while_clearing_is_part_of_the_record() -> None:
    engine = Engine()
    tester = ScriptedTester({"7E8": engine})

    def pulled(request: bytes) -> bytes | None:
        answer = engine(request)
        tester.gone = tester.gone or request == b"\x04"
        return answer

    tester.ecus["7E8"] = pulled
    cleared = clear_codes(tester)
    assert cleared.answers == {"7E8": "cleared"}
    assert cleared.after.entries is None


def test_codes_that_only_uds_tells_are_cleared_by_uds() -> None:
    engine = Engine()
    engine.chassis = 1
    cleared = clear_codes(ScriptedTester({"7E8": engine}))
    assert engine.cleared == [b"\x04", NO("14FFFFFF")]
    assert cleared.after.entries == ()


@pytest.mark.parametrize(
    "engine", [Engine(speed=30), Engine(speed=None), Engine(engine_speed=800)], ids=["drives", "untold", "runs"]
)
def test_a_refusal_sends_nothing_that_clears(engine: Engine) -> None:
    with pytest.raises(ClearRefusedError):
        clear_codes(ScriptedTester({"7E8": engine}))
    assert engine.cleared == []


def test_a_car_that_starts_to_drive_meanwhile_keeps_its_codes() -> None:
    engine = Engine()

    def drives_off(request: bytes) -> bytes | None:
        if request == b"\x03":
            engine.speed = 10
        return engine(request)

    with pytest.raises(ClearRefusedError, match="drives"):
        clear_codes(ScriptedTester({"7E8": drives_off}))
    assert engine.cleared == []


def test_nothing_else_knows_how_to_clear() -> None:
    """What the service, a profile or a command from afar can reach must not send these requests."""
    package = Path(edge_agent.__file__).parent
    users = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if re.search(
            r"edge_agent\.obd\.clear|from edge_agent\.obd import .*\bclear\b", file.read_text(encoding="utf-8")
        )
    }
    assert users == {"diagnose/clear.py"}
    importers = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if "diagnose.clear" in file.read_text(encoding="utf-8")
    }
    assert importers == set()


def test_codes_that_cannot_be_read_are_not_cleared_blindly() -> None:
    engine = Engine()

    def mute(request: bytes) -> bytes | None:
        return None if request[0] in {0x03, 0x07, 0x0A, 0x19} else engine(request)

    with pytest.raises(ClearRefusedError, match="could not be read"):
        clear_codes(ScriptedTester({"7E8": mute}))
    assert engine.cleared == []


def test_without_codes_the_monitors_are_left_alone() -> None:
    engine = Engine()
    engine.codes = 0
    with pytest.raises(ClearRefusedError, match="no codes"):
        clear_codes(ScriptedTester({"7E8": engine}))
    assert engine.cleared == []


def test_permanent_codes_alone_are_no_reason_to_reset_the_monitors() -> None:
    engine = Engine()
    engine.codes = 0
    tester = ScriptedTester({"7E8": lambda request: NO("4A010301") if request == b"\x0a" else engine(request)})
    with pytest.raises(ClearRefusedError, match="permanent"):
        clear_codes(tester)
    assert engine.cleared == []


def test_an_ecu_that_will_not_clear_is_named() -> None:
    tester = ScriptedTester({"7E8": Engine(refuses=0x22)})
    cleared = clear_codes(tester)
    assert "NRC 0x22" in cleared.answers["7E8"]
    assert not [request for _, request in tester.asked if request[0] == 0x14], "its no is not got round"
    assert cleared.after.entries, "it is still there, and told so"


def test_29_bit_identifiers_are_tried_after_11_bit_ones() -> None:
    opened: list[tuple[int, ScriptedTester]] = []

    def connect(_addresses: object, bits: int) -> ScriptedTester:
        opened.append((bits, ScriptedTester({"18DAF110": Engine()} if bits == 29 else {})))
        return opened[-1][1]

    with diagnosing(connect) as session:
        assert session.identifier_bits == 29
    assert [bits for bits, _ in opened] == [11, 29]
    assert all(tester.closed for _, tester in opened)


def test_a_car_where_nobody_answers_leaves_a_tester_to_try_on() -> None:
    testers: list[ScriptedTester] = []

    def connect(_addresses: object, _bits: int) -> ScriptedTester:
        testers.append(ScriptedTester({}))
        return testers[-1]

    with diagnosing(connect) as session:
        assert session.identifier_bits is None
        assert not testers[-1].closed
    assert all(tester.closed for tester in testers)
