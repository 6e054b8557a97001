"""Virtual cars in one process, the dongle's agent in another, the backend in two more: a misfire becomes an alert."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.profile_dids import did_documents
from firmware_profiles.loader import load_vehicle_profile
from tests.acceptance.acceptance_support import Site, count, ended_in_order, wait_until
from wearcast.embedded.ports import free_port

CARS = ("wc-live-healthy", "wc-live-misfire")
VINS = dict(zip(CARS, ("WVWZZZ1KZ6W900001", "WVWZZZ1KZ6W900002"), strict=True))
GROUP = "239.74.163.9"  # a multicast group of the host, not forwarded
MISFIRE_AFTER_S = 4
READ = {"Vehicle.Speed", "Vehicle.OBD.ControlModuleVoltage"}

pytestmark = [pytest.mark.acceptance, pytest.mark.database, pytest.mark.broker, pytest.mark.timeout(300)]

PROFILE = """
name: quick_petrol
title: A petrol car read for its codes every second
extends: virtual_petrol
kind: petrol
simulated: true
trouble_codes: {services: ["03", "07", "0A"], period: 1s}
"""


@pytest.fixture
def buses() -> dict[str, dict[str, object]]:
    """A bus per car; udp_multicast shares a port with whoever listens there, so one of its own for each."""
    return {car: {"interface": "udp_multicast", "channel": GROUP, "port": free_port(socket.SOCK_DGRAM)} for car in CARS}


def write_garage(path: Path, buses: dict[str, dict[str, object]]) -> Path:
    cars: list[dict[str, object]] = [
        {
            "name": car,
            "vin": VINS[car],
            "seed": 1,
            "bus": buses[car],
            "dids": did_documents(load_vehicle_profile("virtual_petrol")),
        }
        for car in CARS
    ]
    cars[1] |= {"schedule": [{"at_s": MISFIRE_AFTER_S, "fault": "misfire"}], "misfire_confirmed_after_s": 2}
    path.write_text(yaml.safe_dump({"cars": cars}), encoding="utf-8")
    return path


def write_agent(site: Site, car: str, bus: dict[str, object]) -> Path:
    source = {
        "kind": "obd_can",
        "interface": bus["interface"],
        "channel": bus["channel"],
        "options": {"port": bus["port"]},
        "timeout": "500ms",
    }
    config = site.write_agent(car, source, vehicle_profile="quick_petrol.yaml", batch="1s", estimates="5s")
    config.with_name("quick_petrol.yaml").write_text(PROFILE, encoding="utf-8")
    return config


def read_car(site: Site, config: Path) -> dict[str, Any]:
    """What an installer is shown, once the car has answered everything in time: on a busy machine not all at once."""
    shown: list[dict[str, Any]] = []

    def is_complete() -> bool:
        shown.append(site.run_json("agent", "read", config, "--seconds", "5", device=CARS[0]))
        return shown[-1]["vin"] is not None and shown[-1]["values"].keys() >= READ

    wait_until(is_complete, "the car is read")
    return shown[-1]


def test_a_misfire_of_a_live_car_becomes_an_alert_and_the_other_car_stays_silent(
    site_of: Callable[..., Site], buses: dict[str, dict[str, object]]
) -> None:
    site = site_of(*CARS)
    for car in CARS:
        site.register(car)
    site.start_ready("garage", "agent", "garage", write_garage(site.folder / "garage.yaml", buses), line="garage ready")
    configs = {car: write_agent(site, car, buses[car]) for car in CARS}

    # before anything runs, as an installer would look
    assert f"Device {CARS[0]} reads obd_can" in site.run("agent", "check", configs[CARS[0]], device=CARS[0])
    read = read_car(site, configs[CARS[0]])
    assert read["vin"] == VINS[CARS[0]]
    assert read["trouble_codes"] == []
    assert 0 <= read["values"]["Vehicle.Speed"] < 200
    assert 11 < read["values"]["Vehicle.OBD.ControlModuleVoltage"] < 15

    site.start_ingest()
    site.start_ready("rules", "rules", "run", line="rules engine ready")
    agents = {car: site.start(f"agent-{car}", "agent", "run", config, device=car) for car, config in configs.items()}

    with site.connect() as connection:
        wait_until(
            lambda: count(connection, "SELECT count(*) FROM alert WHERE rule_id = 'trouble_code_confirmed'") > 0,
            "the alert opens",
        )
        driving = "SELECT count(DISTINCT vehicle_id) FROM reading WHERE speed IS NOT NULL"
        wait_until(lambda: count(connection, driving) == len(CARS), "both cars send how fast they are")
        codes = connection.execute(
            "SELECT vehicle.label, kind, data->>'code', data->>'status' FROM vehicle_event"
            " JOIN vehicle ON vehicle.id = vehicle_id WHERE kind LIKE 'dtc.%' ORDER BY vehicle_event.id"
        ).fetchall()
    assert {(label, code) for label, _, code, _ in codes} == {(CARS[1], "P0301")}
    assert codes[-1][3] == "confirmed"

    (alert,) = site.run_json("rules", "alerts", "--open")
    assert (alert["vehicle"], alert["rule"]) == (CARS[1], "trouble_code_confirmed")
    assert "P0301" in alert["title"]
    assert "P0301" in site.run("why", alert["id"])
    assert all(agent.alive for agent in agents.values())
    for agent in agents.values():
        assert ended_in_order(agent), agent.output()
