"""``wearcast agent recognise`` and ``capture`` on virtual cars, with nothing but an adapter's address."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from edge_agent.can_bus import CanBusConfig
from edge_agent.profile_dids import did_documents
from firmware_profiles.loader import load_vehicle_profile
from tests.unit.edge_agent.obd_support import car_on, virtual_bus
from tests.unit.edge_agent.vin_support import vin_of
from wearcast.cli import app

KONA = load_vehicle_profile("hyundai_kona_electric")


def agent(bus: CanBusConfig, *arguments: str | Path) -> Result:
    adapter = ("--adapter", f"can:{bus.interface}:{bus.channel}")
    return CliRunner().invoke(app, ["agent", *map(str, arguments), *adapter])


def test_a_known_car_is_named_with_the_reasons() -> None:
    bus = virtual_bus()
    with car_on(bus, vin=vin_of(KONA), kind="electric", dids=did_documents(KONA)):
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


def test_an_unknown_car_is_generic_and_what_to_do_is_said() -> None:
    bus = virtual_bus()
    with car_on(bus, vin="ZFA31200000123456"):
        told = agent(bus, "recognise")
    assert told.exit_code == 0, told.output
    assert "(generic), certainty 100%" in told.stdout
    assert "wearcast agent capture" in told.stdout


def test_nobody_there_says_what_to_look_at() -> None:
    bus = virtual_bus()
    told = agent(bus, "recognise")
    assert told.exit_code == 1
    assert "Nobody answered" in told.stdout


def test_a_capture_names_no_car_and_its_draft_is_a_profile_the_agent_takes(tmp_path: Path) -> None:
    bus = virtual_bus()
    vin = vin_of(KONA)
    out = tmp_path / "my_car.json"
    with car_on(bus, vin=vin, kind="electric", dids=did_documents(KONA)):
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
        f"device: car-1\nvehicle_profile: my_car.yaml\nsource: {{kind: obd_can, interface: {bus.interface}, "
        f"channel: {bus.channel}}}\noutbox: {{path: {tmp_path / 'outbox.sqlite'}}}\n",
        encoding="utf-8",
    )
    checked = CliRunner().invoke(app, ["agent", "check", str(config)])
    assert checked.exit_code == 0, checked.output
    assert "with profile my_car" in checked.stdout


def test_nothing_is_asked_when_the_file_cannot_be_written(tmp_path: Path) -> None:
    told = agent(virtual_bus(), "capture", tmp_path / "absent" / "car.json")
    assert "there is no such folder" in str(told.exception)


def test_auto_is_a_configuration_that_checks(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "device: car-1\nvehicle_profile: auto\nsource: {kind: obd_can, interface: virtual, channel: none}\n"
        f"outbox: {{path: {tmp_path / 'outbox.sqlite'}}}\n",
        encoding="utf-8",
    )
    checked = CliRunner().invoke(app, ["agent", "check", str(config)])
    assert checked.exit_code == 0, checked.output
    assert "with profile auto" in checked.stdout


def test_auto_needs_a_car_to_ask(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "device: car-1\nvehicle_profile: auto\nsource: {kind: replay_csv, path: x.csv}\n", encoding="utf-8"
    )
    checked = CliRunner().invoke(app, ["agent", "check", str(config)])
    assert "source.kind: replay_csv asks no car" in str(checked.exception)
