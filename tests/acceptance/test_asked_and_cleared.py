"""A car asked from afar by real processes, then cleared at the car, which the backend is told."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from edge_agent.profile_dids import did_documents
from firmware_profiles.loader import load_vehicle_profile
from tests.acceptance.acceptance_support import ROOT, START_SECONDS, Site, ended_in_order, wait_until
from wearcast.embedded.ports import free_port
from wearcast.embedded.processes import ManagedProcess

DEVICE, VIN = "wc-asked", "WVWZZZ1KZ6W900003"
GROUP = "239.74.163.10"  # a multicast group of the host, not forwarded

pytestmark = [pytest.mark.acceptance, pytest.mark.database, pytest.mark.broker, pytest.mark.timeout(300)]


@pytest.fixture
def site(site_of: Callable[..., Site]) -> Site:
    """A registered device, whose car misfires, and an operator with a token."""
    site = site_of(DEVICE)
    site.register(DEVICE)
    token = site.folder / "token"
    token.write_text(site.run("operators", "allow", "anna", "--device", DEVICE).strip(), encoding="utf-8")
    return site


def write_car(site: Site) -> tuple[dict[str, object], Path]:
    """A garage of one car; its bus, and the file by which the car is told what to do."""
    bus: dict[str, object] = {
        "interface": "udp_multicast",
        "channel": GROUP,
        "port": free_port(socket.SOCK_DGRAM),  # a port is shared with whoever listens there
    }
    car = {
        "name": "asked",
        "vin": VIN,
        "bus": bus,
        "faults": ["misfire"],
        "misfire_confirmed_after_s": 0.5,
        "dids": did_documents(load_vehicle_profile("virtual_petrol")),
    }
    (site.folder / "garage.yaml").write_text(yaml.safe_dump({"cars": [car], "control": "control.json"}))
    return bus, site.folder / "control.json"


def start_agent(site: Site, config: Path) -> ManagedProcess:
    """The agent as its service runs it."""
    process = ManagedProcess.start(
        [sys.executable, "-m", "edge_agent", str(config)],
        name="agent",
        log_path=site.folder / "agent.log",
        env=site.environment(DEVICE),
        cwd=ROOT,
    )
    site.processes.append(process)
    return process


def wearcast(site: Site, *arguments: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wearcast.cli", *map(str, arguments)],
        cwd=ROOT,
        env=site.environment() | {"WEARCAST_OPERATOR_TOKEN_FILE": str(site.folder / "token"), "HOME": str(site.folder)},
        input=given,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def test_a_car_is_asked_from_afar_and_cleared_where_it_stands(site: Site) -> None:
    bus, control = write_car(site)
    site.start_ready("garage", "agent", "garage", site.folder / "garage.yaml", line="garage ready")
    source = {
        "kind": "obd_can",
        "interface": bus["interface"],
        "channel": bus["channel"],
        "options": {"port": bus["port"]},
        "timeout": "500ms",
    }
    config = site.write_agent(DEVICE, source, vehicle_profile="virtual_petrol", batch="1s")
    site.start_ingest()
    agent = start_agent(site, config)
    agent.wait_for_line("connected to", START_SECONDS)

    def asked() -> list[str]:
        answer = wearcast(site, "remote", DEVICE, "dtc", "--json")
        codes = json.loads(answer.stdout)["trouble_codes"] if answer.returncode == 0 else []
        return [code["status"] for code in codes]

    wait_until(lambda: asked() == ["confirmed"], "the misfire is told from afar")

    control.write_text(json.dumps({"asked": {"activity": "ignition_on"}}), encoding="utf-8")

    def clear() -> subprocess.CompletedProcess[str]:
        return wearcast(site, "agent", "clear", "--config", config, given="clear\n")

    refused = clear()
    assert "Stop the agent first" in refused.stderr
    assert ended_in_order(agent), agent.output()

    done: list[str] = []

    def cleared() -> bool:
        result = clear()
        done.append(result.stdout + result.stderr)
        assert result.returncode == 0 or "engine runs" in result.stderr or "drives" in result.stderr, done[-1]
        return result.returncode == 0

    wait_until(cleared, "it stands, and is cleared")
    (record,) = site.folder.rglob("cleared.jsonl")
    begun, ended = (json.loads(line) for line in record.read_text(encoding="utf-8").splitlines())
    assert (begun["vin"], begun["codes"][0]["code"]["code"]) == (VIN, "P0301")
    assert set(ended["answers"].values()) == {"cleared"}

    start_agent(site, config)
    with site.connect() as connection:
        query = "SELECT data FROM vehicle_event WHERE kind = 'codes.clear_commanded'"
        wait_until(lambda: connection.execute(query.encode()).fetchone() is not None, "the backend is told")
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    assert row[0]["codes"] == [{"code": "P0301", "ecu": "7E8", "status": "confirmed"}]
    assert row[0]["by"] == begun["by"]
    log = json.loads(wearcast(site, "operators", "log", "--json").stdout)
    assert {entry["operator"] for entry in log} == {"anna"}
    assert log[0]["answer"]["trouble_codes"][0]["code"] == "P0301"
