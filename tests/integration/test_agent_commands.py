"""The engineer's commands on a virtual car: an adapter address and nothing else, no agent.yaml, no backend."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.diagnose.codes import read_report
from edge_agent.diagnose.report import reporting
from edge_agent.errors import OutboxError
from edge_agent.outbox import Outbox
from edge_agent.tester.testing import ScriptedTester
from edge_agent.virtual_car.live import LiveCar
from telemetry.records import EventKind, EventsBatch
from telemetry.topics import DeviceTopic
from telemetry.wire import decode_message
from tests.integration.test_uplink_broker import eventually
from tests.unit.edge_agent.obd_support import VIN
from tests.unit.edge_agent.test_diagnose import Engine
from tests.unit.edge_agent.timed_bus import TimedBus
from wearcast.cli import app

ENGINE_SPEED = "Vehicle.Powertrain.CombustionEngine.Speed"

Run = Callable[..., Result]


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> TimedBus:
    """Where all commands of a test find their car."""
    timed = TimedBus()
    timed.times_all(monkeypatch)
    return timed


@pytest.fixture
def run(bus: TimedBus) -> Iterator[Run]:
    """Runs `wearcast agent …` on a car that misfires."""

    def command(*arguments: str, given: str | None = None, adapter: bool = True) -> Result:
        at = ("--adapter", f"can:virtual:{bus.config.channel}") if adapter else ()
        return CliRunner().invoke(app, ["agent", *arguments, *at], input=given)

    with bus.car(faults=["misfire"], misfire_confirmed_after_s=0.1):
        yield command


def test_scan(run: Run) -> None:
    result = run("scan", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["vin"] == VIN
    assert [ecu["ecu"] for ecu in found["ecus"]] == ["7E8", "7E9"]
    assert VIN in run("scan").stdout


def test_codes_in_both_languages_with_their_freeze_frame(run: Run) -> None:
    def entry() -> dict[str, object] | None:
        codes = json.loads(run("dtc", "--json").stdout)["codes"]
        return codes[0] if codes and codes[0]["status"] == "confirmed" else None

    eventually(lambda: entry() is not None, "the misfire is confirmed")
    found = entry()
    assert found is not None
    assert (found["code"], found["ecu"], found["lamp"]) == ("P0301", "7E8", True)
    frame = found["freeze_frame"]
    assert isinstance(frame, dict)
    assert ENGINE_SPEED in frame["values"]
    assert "cylinder 1" in run("dtc").stdout
    assert "失火" in run("dtc", "--language", "zh").stdout
    assert run("dtc", "--language", "de").exit_code == 2


def test_clearing_a_car_that_runs_is_refused_before_anything_is_asked(run: Run) -> None:
    eventually(lambda: "P0301" in run("dtc").stdout, "the misfire is told")
    result = run("clear", given="clear\n")
    assert result.exit_code == 1
    assert "not cleared" in str(result.exception)
    assert "P0301" in run("dtc").stdout


def _speed(run: Run) -> int:
    return int(json.loads(run("raw", "7DF", "01", "0D", "--json").stdout)["answers"]["7E8"].split()[2], 16)


def test_vin_and_raw(run: Run) -> None:
    told = json.loads(run("vin", "--json").stdout)
    assert (told["vin"], told["maker"]) == (VIN, VIN[:3])
    assert json.loads(run("raw", "7DF", "01", "0D", "--json").stdout)["answers"].keys() == {"7E8", "7E9"}
    refused = run("raw", "7E0", "22", "F1", "99")
    assert (refused.exit_code, refused.stdout) == (1, "7E8: NRC 0x31 (request out of range)\n")
    for dangerous, word in (("04", "agent clear"), ("2EF19000", "--may-change-the-car")):
        result = run("raw", "7E0", dangerous)
        assert result.exit_code == 1
        assert word in str(result.exception)
    for word in ("04", "14FFFFFF"):
        result = run("raw", "7E0", word, "--may-change-the-car", given="send\n")
        assert "agent clear" in str(result.exception)
    assert run("raw", "7E0", "11", "01", "--may-change-the-car", given="no\n").exit_code == 1
    eventually(lambda: _speed(run) > 0, "it drives")
    result = run("raw", "7E0", "11", "01", "--may-change-the-car", given="send\n")
    assert "the car drives" in str(result.exception)


def test_live_record_and_replay_show_the_same_car(run: Run, tmp_path: Path) -> None:
    tape = tmp_path / "car.jsonl"
    live = run("live", "--json", "--seconds", "1.5", "--signal", "Speed")
    assert live.exit_code == 0, live.output
    values = [json.loads(line)["values"] for line in live.stdout.splitlines()]
    assert values
    assert all("Speed" in path for value in values for path in value)
    assert run("record", str(tape), "--seconds", "1").exit_code == 0
    again = run("record", str(tape), "--seconds", "1")
    assert "exists" in str(again.exception)
    shown = run("replay", str(tape), "--seconds", "1", adapter=False)
    assert "CombustionEngine.Speed" in shown.stdout


def test_the_doctor_finds_a_car_well_and_an_empty_bus_not(run: Run) -> None:
    checks = {check["name"]: check["verdict"] for check in json.loads(run("doctor", "--json").stdout)}
    assert (checks["adapter"], checks["ignition"], checks["bus"], checks["supply"]) == ("ok",) * 4
    nobody = CliRunner().invoke(app, ["agent", "doctor", "--adapter", "can:virtual:nobody-here"])
    assert nobody.exit_code == 1
    assert "switch the ignition on" in nobody.stdout


@pytest.mark.parametrize("command", [("scan",), ("dtc",), ("vin",), ("raw", "7DF", "01", "00")])
@pytest.mark.usefixtures("bus")
def test_where_nobody_answers_every_command_fails_and_says_so(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["agent", *command, "--adapter", "can:virtual:nobody-here"])
    assert result.exit_code == 1
    assert "answer" in result.stdout


def test_live_reads_a_car_of_29_bit_identifiers_without_being_told(bus: TimedBus) -> None:
    with bus.car(identifier_bits=29):
        result = CliRunner().invoke(
            app, ["agent", "live", "--json", "--seconds", "1", "--adapter", f"can:virtual:{bus.config.channel}"]
        )
    assert result.exit_code == 0, result.output
    assert ENGINE_SPEED in result.stdout


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_live_of_a_car_that_says_nothing_fails_with_the_reason(form: tuple[str, ...]) -> None:
    result = CliRunner().invoke(
        app, ["agent", "live", "--seconds", "0.5", "--adapter", "can:virtual:nobody-here", *form]
    )
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no answer" in result.stderr
    assert "Is the ignition on?" in result.stderr


def test_a_signal_that_is_not_there_is_told_with_those_that_are(run: Run) -> None:
    result = run("live", "--seconds", "0.5", "--signal", "Sped")
    assert result.exit_code == 1
    assert "No signal has sped in its path" in result.stderr
    assert ENGINE_SPEED in result.stderr


def test_a_recording_that_cannot_be_made_is_told_and_leaves_no_file(run: Run, tmp_path: Path) -> None:
    for name, word in (("car.txt", "end it in .jsonl"), ("no/car.jsonl", "cannot be"), ("no/car.log", "cannot be")):
        assert word in str(run("record", str(tmp_path / name), "--seconds", "0.5").exception)
    nowhere = CliRunner().invoke(
        app, ["agent", "record", str(tmp_path / "car.jsonl"), "--adapter", "can:slcan:/dev/nowhere"]
    )
    assert nowhere.exit_code == 1
    assert list(tmp_path.iterdir()) == []


class Standing:
    """A car that drives until its misfire is confirmed, and then stands with its ignition on."""

    def __init__(self) -> None:
        self.stands = threading.Event()  # set once, also when its code is cleared then
        self.drives_on = threading.Event()

    def __call__(self, car: LiveCar) -> None:
        if car.model.dtc.confirmed:
            self.stands.set()
        standing = self.stands.is_set() and not self.drives_on.is_set()
        car.activity = "ignition_on" if standing else "driving"


@pytest.fixture(params=[11, 29])
def standing(request: pytest.FixtureRequest, bus: TimedBus) -> Iterator[tuple[Run, Standing]]:
    car = Standing()

    def command(*arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(
            app, ["agent", *arguments, "--adapter", f"can:virtual:{bus.config.channel}"], input=given
        )

    with bus.car(
        control=car,
        identifier_bits=request.param,
        faults=["misfire"],
        misfire_confirmed_after_s=0.1,
    ):
        bus.live(10)
        assert car.stands.is_set()
        yield command, car


def test_a_standing_car_is_cleared_with_a_record_of_what_was_there(
    standing: tuple[Run, Standing], tmp_path: Path
) -> None:
    run, _ = standing
    file = tmp_path / "cleared.jsonl"
    for word in ("no", "Clear", ""):
        assert run("clear", "--record", str(file), given=f"{word}\n").exit_code == 1
    assert not file.exists()
    result = run("clear", "--record", str(file), given="clear\n")
    assert result.exit_code == 0, result.output
    assert "P0301" in result.stdout
    assert "Still there: P0301 (permanent)" in result.stdout
    begun, ended = (json.loads(line) for line in file.read_text().splitlines())
    (entry,) = begun["codes"]
    assert (entry["code"]["code"], entry["code"]["status"]) == ("P0301", "confirmed")
    assert ENGINE_SPEED in entry["frame"]["values"]
    assert begun["vin"] == VIN
    assert set(ended["answers"].values()) == {"cleared"}
    assert [code["status"] for code in ended["left"]] == ["permanent"]
    again = run("clear", "--record", str(file), given="clear\n")
    assert "only permanent codes" in str(again.exception)
    assert "Type 'clear'" not in again.stdout
    assert len(file.read_text().splitlines()) == 2


def test_a_car_that_drives_off_while_the_word_is_typed_keeps_its_codes(
    standing: tuple[Run, Standing], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, car = standing

    def prompt(_text: str) -> str:
        car.drives_on.set()
        eventually(lambda: not _stands(run), "it drives")
        return "clear"

    monkeypatch.setattr("typer.prompt", prompt)
    file = tmp_path / "cleared.jsonl"
    result = run("clear", "--record", str(file))
    assert "not cleared" in str(result.exception)
    assert not file.exists()
    assert "confirmed" in run("dtc").stdout


def _stands(run: Run) -> bool:
    """Whether the engine does not turn either."""
    answers = json.loads(run("raw", "7DF", "01", "0C", "--json").stdout)["answers"]
    answers |= json.loads(run("raw", "18DB33F1", "01", "0C", "--json").stdout)["answers"]
    return all(payload == "41 0C 00 00" for payload in answers.values())


def test_a_car_of_the_new_dialect_is_read_and_cleared(bus: TimedBus, tmp_path: Path) -> None:
    car = Standing()
    adapter = ("--adapter", f"can:virtual:{bus.config.channel}")
    with bus.car(control=car, diagnostics="obd_on_uds", faults=["misfire"], misfire_confirmed_after_s=0.1):
        bus.live(10)
        assert car.stands.is_set()
        read = CliRunner().invoke(app, ["agent", "dtc", "--json", *adapter])
        assert [code["code"] for code in json.loads(read.stdout)["codes"]] == ["P0301"]
        checks = json.loads(CliRunner().invoke(app, ["agent", "doctor", "--json", *adapter]).stdout)
        assert "OBDonUDS" in next(check["found"] for check in checks if check["name"] == "ignition")
        found = json.loads(CliRunner().invoke(app, ["agent", "scan", "--json", *adapter]).stdout)
        assert (found["speaks"], found["vin"]) == ("OBDonUDS (SAE J1979-2)", VIN)
        result = CliRunner().invoke(
            app, ["agent", "clear", "--record", str(tmp_path / "r.jsonl"), *adapter], input="clear\n"
        )
        assert result.exit_code == 0, result.output
        assert "Still there: P0301 (permanent)" in result.stdout


def test_the_backend_is_told_what_a_person_cleared(tmp_path: Path) -> None:
    config = AgentConfig(
        device="car-1", source=SourceConfig(kind="obd_can"), outbox_path=tmp_path / "outbox.sqlite", form="json"
    )
    report = read_report(ScriptedTester({"7E8": Engine()}))
    with reporting(config) as backend:
        backend.cleared(report, at=datetime(2026, 6, 1, tzinfo=UTC), by="anna")
    with Outbox.open(config.outbox_path, device="car-1", max_bytes=config.outbox_max_bytes) as outbox:
        with pytest.raises(OutboxError, match="Stop the agent first"), reporting(config):
            pass
        outbox.begin_boot(uuid4())
        (published,) = outbox.publish(outbox.waiting("events", 10))
    batch = decode_message(DeviceTopic(device="car-1", channel="events"), published.payload)
    assert isinstance(batch, EventsBatch)
    (event,) = batch.events
    assert event.kind is EventKind.CODES_CLEAR_COMMANDED
    assert event.data == {"by": "anna", "codes": [{"code": "P0301", "ecu": "7E8", "status": "confirmed"}]}
