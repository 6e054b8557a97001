"""A car in one process, its reader in another, frames over UDP multicast on this host."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.can_bus import CanBusConfig
from edge_agent.errors import ConfigurationError, EdgeAgentError
from edge_agent.obd.did import definitions_from
from edge_agent.obd.pids import PIDS
from edge_agent.sources.base import Reading, TroubleCode
from edge_agent.sources.obd import DEFAULT_ECUS, ObdConfig, ObdSource
from edge_agent.tester.can import CanTester
from edge_agent.virtual_car.garage import GarageConfig, run_garage
from wearcast.embedded.ports import free_port

GROUP = "239.74.163.2"
OIL_LIFE = "Vehicle.Powertrain.CombustionEngine.EngineOil.LifeRemainingPercent"
PAD = "Vehicle.Chassis.Axle.Row1.Wheel.Left.Brake.PadWear"
SOH = "Vehicle.Powertrain.TractionBattery.StateOfHealth"
OIL_DID = {
    "did": 0x4DC0,
    "request_id": 0x7E0,
    "response_id": 0x7E8,
    "period_s": 0.2,
    "length": 1,
    "signals": [{"path": OIL_LIFE, "scale": "100/255"}],
}
PAD_DID = {
    "did": 0x2B01,
    "request_id": 0x760,
    "response_id": 0x768,
    "period_s": 0.2,
    "signals": [{"path": PAD, "scale": "100/255"}],
}
SOH_DID = {
    "did": 0x0105,
    "request_id": 0x7E4,
    "response_id": 0x7EC,
    "period_s": 0.2,
    "length": 43,
    "signals": [{"path": SOH, "bit_offset": 200, "bit_length": 16, "scale": "1/10"}],
}
TIMEOUT_S = 1.0  # the car is another process, on a machine that does much else
WITHIN_S = 60.0  # the deadline only ends a test that has failed
RUN = "import sys; from edge_agent.virtual_car.garage import run_garage; run_garage(sys.argv[1])"


def bus(port: int) -> dict[str, object]:
    return {"interface": "udp_multicast", "channel": GROUP, "port": port}


def reader(port: int, *, timeout_s: float = TIMEOUT_S, **changes: Any) -> ObdSource:
    config = CanBusConfig(interface="udp_multicast", channel=GROUP, options={"port": port})
    plan = ObdConfig(longest_poll_s=WITHIN_S, **changes)
    return ObdSource(plan, lambda: CanTester.open(config, plan.addresses, timeout_s=timeout_s))


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)


@contextmanager
def garage(path: Path, document: dict[str, object]) -> Iterator[subprocess.Popen[str]]:
    path.write_text(yaml.safe_dump(document))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    try:
        cars = document["cars"]
        assert isinstance(cars, list)
        assert process.stdout.readline() == f"garage ready: {len(cars)} cars\n"
        yield process
    finally:
        process.terminate()
        process.wait(WITHIN_S)
        process.stdout.close()


def read_until(source: ObdSource) -> Iterator[Reading]:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        reading = source.poll()
        assert reading is not None
        yield reading
    pytest.fail(f"not seen in {WITHIN_S:g} s")


def test_two_cars_in_a_process_of_their_own(tmp_path: Path, ports: tuple[int, int]) -> None:
    document: dict[str, object] = {
        "cars": [
            {
                "name": "petrol",
                "vin": "WVWZZZ1KZAW000001",
                "bus": bus(ports[0]),
                "dids": [OIL_DID, PAD_DID],
                "condition": {"oil_life_percent": 20, "pad_wear_percent": [60, 58, 40, 40]},
                "acceleration": {"pad_percent_per_s": 20},
            },
            {
                "name": "electric",
                "vin": "KMHK381GFLU000002",
                "kind": "electric",
                "bus": bus(ports[1]),
                "dids": [SOH_DID],
                "condition": {"soh_percent": 71.5},
            },
        ]
    }
    with garage(tmp_path / "garage.yaml", document) as process:
        petrol = reader(ports[0], pids=dict.fromkeys(PIDS, 0.2), dids=definitions_from([OIL_DID, PAD_DID]))
        electric = reader(ports[1], pids=dict.fromkeys(PIDS, 0.2), dids=definitions_from([SOH_DID]))
        petrol.open()
        electric.open()
        try:
            first, second = petrol.poll(), electric.poll()
            assert first is not None
            assert second is not None
            assert (first.vin, second.vin) == ("WVWZZZ1KZAW000001", "KMHK381GFLU000002")
            assert first.values[OIL_LIFE] == pytest.approx(20, abs=0.3)
            assert second.values[SOH] == pytest.approx(71.5, abs=0.06)
            assert OIL_LIFE not in second.values
            worn = next(r for r in read_until(petrol) if r.values.get(PAD, 0) >= 95)  # worn out before our eyes
            assert worn.trouble_codes in {(), None}
            process.terminate()
            process.wait(WITHIN_S)
            silent = next(r for r in read_until(petrol) if r.faults)
            assert dict(silent.values) == {}
        finally:
            petrol.close()
            electric.close()
        assert process.returncode == 0


def test_fault_switched_on_by_the_control_file(tmp_path: Path, ports: tuple[int, int]) -> None:
    control = tmp_path / "control.json"
    document: dict[str, object] = {
        "control": "control.json",
        "cars": [
            {"name": "one", "vin": "WVWZZZ1KZAW000001", "bus": bus(ports[0]), "misfire_confirmed_after_s": 4.0},
            {"name": "two", "vin": "WVWZZZ1KZAW000002", "bus": bus(ports[1])},
        ],
    }
    with garage(tmp_path / "garage.yaml", document):
        one, two = (reader(port, dtc_period_s=0.2, uds_dtc_ecus=(DEFAULT_ECUS[0],)) for port in ports)
        one.open()
        two.open()
        try:
            before = one.poll()
            assert before is not None
            assert before.trouble_codes == ()
            control.write_text("{ half")
            control.write_text(json.dumps({"one": {"faults": ["misfire"]}}))
            expected = TroubleCode(code="P0301", ecu="7E8", status="confirmed", warning_lamp=True)
            seen = [r.trouble_codes for r in _until(one, expected) if r.trouble_codes]
            assert any(code.status == "pending" for codes in seen for code in codes)
            healthy = next(r for r in read_until(two) if r.trouble_codes is not None)
            assert healthy.trouble_codes == ()
        finally:
            one.close()
            two.close()


def _until(source: ObdSource, code: TroubleCode) -> Iterator[Reading]:
    for reading in read_until(source):
        yield reading
        if reading.trouble_codes is not None and code in reading.trouble_codes:
            return


def test_killed_car_comes_back(tmp_path: Path, ports: tuple[int, int]) -> None:
    document: dict[str, object] = {"cars": [{"name": "one", "vin": "WVWZZZ1KZAW000001", "bus": bus(ports[0])}]}
    source = reader(ports[0], pids={0x0D: 0.1}, dtc_period_s=None, discovery_period_s=0.2)
    source.open()  # before there is any car
    try:
        nobody = source.poll()
        assert nobody is not None
        assert nobody.faults
        with garage(tmp_path / "garage.yaml", document) as process:
            next(r for r in read_until(source) if "Vehicle.Speed" in r.values)
            os.kill(process.pid, signal.SIGKILL)
            next(r for r in read_until(source) if r.faults)
        with garage(tmp_path / "garage.yaml", document):
            next(r for r in read_until(source) if "Vehicle.Speed" in r.values)
    finally:
        source.close()


def test_no_frame_is_lost_when_paced(tmp_path: Path, ports: tuple[int, int]) -> None:
    document: dict[str, object] = {
        "cars": [{"name": "e", "vin": "KMHK381GFLU000002", "kind": "electric", "bus": bus(ports[0]), "dids": [SOH_DID]}]
    }
    dids = definitions_from([SOH_DID | {"period_s": 0.0001}])
    with garage(tmp_path / "garage.yaml", document):
        source = reader(ports[0], dids=dids, dtc_period_s=None, read_vin=False, timeout_s=5.0)
        source.open()
        try:
            readings = [source.poll() for _ in range(150)]  # of seven frames each
        finally:
            source.close()
    assert [r.faults for r in readings if r is not None and r.faults] == []
    assert sum(SOH in r.values for r in readings if r is not None) == 150


@pytest.mark.parametrize("diagnostics", ["obd", "obd_on_uds"])
def test_a_car_with_29_bit_identifiers_and_an_awkward_engine(
    tmp_path: Path, ports: tuple[int, int], diagnostics: str
) -> None:
    car = {"name": "one", "vin": "WVWZZZ1KZAW000001", "identifier_bits": 29, "diagnostics": diagnostics}
    document: dict[str, object] = {"control": "control.json", "cars": [car | {"bus": bus(ports[0])}]}
    config = CanBusConfig(interface="udp_multicast", channel=GROUP, options={"port": ports[0]})
    plan = ObdConfig(pids={0x0C: 0.1, 0x0D: 0.1}, dtc_period_s=None, longest_poll_s=WITHIN_S)
    source = ObdSource(plan, lambda: CanTester.open(config, plan.addresses, functional_id=None, timeout_s=TIMEOUT_S))
    rpm = "Vehicle.Powertrain.CombustionEngine.Speed"
    with garage(tmp_path / "garage.yaml", document):
        source.open()
        try:
            first = next(r for r in read_until(source) if rpm in r.values)
            assert first.vin == "WVWZZZ1KZAW000001"
            asked = "010C" if diagnostics == "obd" else "22F40C"
            disturb = {"kind": "negative", "code": "0x31", "request": asked}
            (tmp_path / "control.json").write_text(json.dumps({"one": {"disturb": [disturb]}}))
            refused = next(r for r in read_until(source) if r.faults)
            assert rpm not in refused.values
            assert "NRC 0x31 (request out of range)" in refused.faults[0].reason
            assert "18DAF110" in refused.faults[0].request
        finally:
            source.close()


def test_garage_file_errors_name_the_place(tmp_path: Path) -> None:
    path = tmp_path / "garage.yaml"
    car = {"name": "a", "vin": "WVWZZZ1KZAW000001", "bus": bus(44_000)}
    with pytest.raises(ConfigurationError, match="cannot be read"):
        GarageConfig.from_file(path)
    for text, reason in [
        ("cars: [", "no YAML"),
        ("cars: []", "give at least one"),
        (yaml.safe_dump({"cars": [car, car | {"name": "b"}]}), "give each a channel or port of its own"),
        (yaml.safe_dump({"cars": [car, car | {"bus": bus(44_001)}]}), "name stands twice"),
        (yaml.safe_dump({"cars": [car | {"kynd": "petrol"}]}), r"cars\[0\]: unknown key 'kynd'; did you mean 'kind'"),
        (yaml.safe_dump({"cars": [{**car, "bus": {"interface": "virtual"}}]}), r"cars\[0\].bus: 'channel' is missing"),
        (yaml.safe_dump({"cars": [car], "contrl": "x"}), "did you mean 'control'"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=reason):
            GarageConfig.from_file(path)


def test_a_bus_that_cannot_be_opened_ends_the_garage(tmp_path: Path) -> None:
    path = tmp_path / "garage.yaml"
    car = {"name": "a", "vin": "WVWZZZ1KZAW000001", "bus": {"interface": "socketcan", "channel": "nocan7"}}
    path.write_text(yaml.safe_dump({"cars": [car]}))
    with pytest.raises(EdgeAgentError, match="nocan7 cannot be opened"):
        run_garage(path)
