"""The engineer's commands on a virtual car: an adapter address and nothing else, no agent.yaml, no backend."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.diagnose.codes import read_report
from edge_agent.diagnose.report import queue_cleared
from edge_agent.errors import OutboxError
from edge_agent.outbox import Outbox
from edge_agent.tester.testing import ScriptedTester
from telemetry.records import EventKind, EventsBatch
from telemetry.topics import DeviceTopic
from telemetry.wire import decode_message
from tests.integration.test_uplink_broker import eventually
from tests.unit.edge_agent.obd_support import VIN, car_on, virtual_bus
from tests.unit.edge_agent.test_diagnose import Engine
from wearcast.cli import app

ENGINE_SPEED = "Vehicle.Powertrain.CombustionEngine.Speed"

Run = Callable[..., Result]


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs `wearcast agent …` on a car that misfires."""
    bus = virtual_bus()

    def command(*arguments: str, given: str | None = None, adapter: bool = True) -> Result:
        at = ("--adapter", f"can:virtual:{bus.channel}") if adapter else ()
        return CliRunner().invoke(app, ["agent", *arguments, *at], input=given)

    with car_on(bus, faults=["misfire"], misfire_confirmed_after_s=0.1):
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
    assert run("raw", "7E0", "11", "01", "--may-change-the-car", given="no\n").exit_code == 1


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
def test_where_nobody_answers_every_command_fails_and_says_so(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["agent", *command, "--adapter", "can:virtual:nobody-here"])
    assert result.exit_code == 1
    assert "answer" in result.stdout


def test_the_backend_is_told_what_a_person_cleared(tmp_path: Path) -> None:
    config = AgentConfig(
        device="car-1", source=SourceConfig(kind="obd_can"), outbox_path=tmp_path / "outbox.sqlite", form="json"
    )
    report = read_report(ScriptedTester({"7E8": Engine()}))
    queue_cleared(config, report, at=datetime(2026, 6, 1, tzinfo=UTC), by="anna")
    with Outbox.open(config.outbox_path, device="car-1", max_bytes=config.outbox_max_bytes) as outbox:
        with pytest.raises(OutboxError):
            queue_cleared(config, report, at=datetime(2026, 6, 1, tzinfo=UTC), by="anna")
        outbox.begin_boot(uuid4())
        (published,) = outbox.publish(outbox.waiting("events", 10))
    batch = decode_message(DeviceTopic(device="car-1", channel="events"), published.payload)
    assert isinstance(batch, EventsBatch)
    (event,) = batch.events
    assert event.kind is EventKind.CODES_CLEAR_COMMANDED
    assert event.data == {"by": "anna", "codes": [{"code": "P0301", "ecu": "7E8", "status": "confirmed"}]}
