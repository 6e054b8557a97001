"""``wearcast agent recognise`` and ``capture`` on virtual cars, with nothing but an adapter's address."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge_agent.profile_dids import did_documents
from firmware_profiles.loader import load_vehicle_profile
from tests.unit.edge_agent.timed_bus import TimedBus
from tests.unit.edge_agent.vin_support import vin_of
from wearcast.cli import app

KONA = load_vehicle_profile("hyundai_kona_electric")


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> TimedBus:
    """Where all commands of a test look for a car."""
    timed = TimedBus()
    timed.times_all(monkeypatch)
    return timed


def agent(bus: TimedBus, *arguments: str | Path) -> Result:
    adapter = ("--adapter", f"can:virtual:{bus.config.channel}")
    return CliRunner().invoke(app, ["agent", *map(str, arguments), *adapter])


def test_a_known_car_is_named_with_the_reasons(bus: TimedBus) -> None:
    with bus.car(vin=vin_of(KONA), kind="electric", dids=did_documents(KONA)):
        told = agent(bus, "recognise")
        as_json = json.loads(agent(bus, "recognise", "--json").stdout)
    assert told.exit_code == 0, told.output
    assert "Hyundai Kona Electric" in told.stdout
    assert "- The VIN begins with KM8K" in told.stdout
    assert "answered plausibly" in told.stdout
    assert as_json["profile"] == KONA.name
    assert as_json["certainty"] > 0.9
    assert set(as_json["ecus"]) >= {"7E8", "7EC"}
    assert vin_of(KONA) not in told.output + str(as_json)


def test_an_unknown_car_is_generic_and_what_to_do_is_said(bus: TimedBus) -> None:
    with bus.car(vin="ZFA31200000123456"):
        told = agent(bus, "recognise")
    assert told.exit_code == 0, told.output
    assert "(generic), certainty 100%" in told.stdout
    assert "wearcast agent capture" in told.stdout


def test_nobody_there_says_what_to_look_at(bus: TimedBus) -> None:
    told = agent(bus, "recognise")
    assert told.exit_code == 1
    assert "Nobody answered" in told.stdout


def test_a_capture_names_no_car_and_its_draft_is_a_profile_the_agent_takes(bus: TimedBus, tmp_path: Path) -> None:
    vin = vin_of(KONA)
    out = tmp_path / "my_car.json"
    with bus.car(vin=vin, kind="electric", dids=did_documents(KONA)):
        told = agent(bus, "capture", out)
        again = agent(bus, "capture", out)
    assert told.exit_code == 0, told.output
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(written) == {"my_car.json", "my_car.yaml"}
    for content in (*written.values(), told.output.encode()):
        for part in (vin, vin[-8:]):
            assert part.encode() not in content
            assert part.encode().hex().encode() not in content.lower()
    draft = load_vehicle_profile(tmp_path / "my_car.yaml")
    assert {signal.column for did in draft.dids for signal in did.signals} >= {"traction_battery_soh"}
    assert "exists already" in str(again.exception)
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"device: car-1\nvehicle_profile: my_car.yaml\nsource: {{kind: obd_can, interface: virtual, "
        f"channel: {bus.config.channel}}}\noutbox: {{path: {tmp_path / 'outbox.sqlite'}}}\n",
        encoding="utf-8",
    )
    checked = CliRunner().invoke(app, ["agent", "check", str(config)])
    assert checked.exit_code == 0, checked.output
    assert "with profile my_car" in checked.stdout


def test_nothing_is_asked_when_the_file_cannot_be_written(bus: TimedBus, tmp_path: Path) -> None:
    told = agent(bus, "capture", tmp_path / "absent" / "car.json")
    assert "there is no such folder" in str(told.exception)


def test_auto_is_a_configuration_that_checks(bus: TimedBus, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "device: car-1\nvehicle_profile: auto\nsource: {kind: obd_can, interface: virtual, channel: none}\n"
        f"outbox: {{path: {tmp_path / 'outbox.sqlite'}}}\n",
        encoding="utf-8",
    )
    checked = CliRunner().invoke(app, ["agent", "check", str(config)])
    assert checked.exit_code == 0, checked.output
    assert "with profile auto" in checked.stdout


def test_auto_needs_a_car_to_ask(bus: TimedBus, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "device: car-1\nvehicle_profile: auto\nsource: {kind: replay_csv, path: x.csv}\n", encoding="utf-8"
    )
    checked = CliRunner().invoke(app, ["agent", "check", str(config)])
    assert "source.kind: replay_csv asks no car" in str(checked.exception)
