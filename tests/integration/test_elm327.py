"""An ELM327 on a real port, its process real: plugged in and out, mute, deaf, and at another baud rate."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edge_agent.build import build_source
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.obd.answers import AnswerError
from edge_agent.sources.base import Reading
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.elm327 import Elm327Tester
from edge_agent.virtual_car.elm327_port import AdapterFault
from edge_agent.virtual_car.garage import run_garage
from firmware_profiles.loader import load_vehicle_profile
from tests.integration.elm327_support import VIN, Behind, car_behind_adapter

ENGINE = IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8)
SPEED = b"\x01\x0d"
ALL = frozenset({"7E8", "7E9"})


@pytest.fixture(params=["pseudo-terminal", "tcp"])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    channel = str(tmp_path / "elm327") if request.param == "pseudo-terminal" else "socket://127.0.0.1:0"
    with car_behind_adapter(channel) as there:
        yield there


@contextlib.contextmanager
def opened(behind: Behind, **options: int) -> Iterator[Elm327Tester]:
    tester = Elm327Tester.open(behind.port.url, **options)
    try:
        yield tester
    finally:
        tester.close()


def gone(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the latter: gone between opening and reading
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    return True


def test_a_car_is_read_through_it_and_read_again_when_it_was_pulled_out(behind: Behind) -> None:
    with opened(behind) as tester:
        assert tester.functional(SPEED, expected=ALL).answers.keys() == ALL
        assert tester.functional(b"\x09\x02", expected=None).answers["7E8"][3:] == VIN.encode()
        assert tester.supply_voltage() == 12.6
        pid = tester.pid
        assert pid is not None
        behind.port.unplug()
        with pytest.raises(SourceError, match=r"ELM327 adapter at .*: (it was unplugged|Connection reset)") as caught:
            tester.functional(SPEED, expected=ALL)
        assert gone(pid)
        assert caught.value.returned is not None
        if not behind.port.url.startswith("socket"):
            assert not caught.value.returned()
        with pytest.raises(SourceError):
            Elm327Tester.open(behind.port.url)
        behind.port.plug()
        if not behind.port.url.startswith("socket"):
            assert caught.value.returned()
    with opened(behind) as tester:
        assert tester.functional(SPEED, expected=ALL).answers.keys() == ALL


def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    with car_behind_adapter(str(tmp_path / "elm327")) as behind, opened(behind) as tester:
        assert tester.functional(SPEED, expected=ALL).answers
        assert tester.pid is not None
        os.kill(tester.pid, signal.SIGKILL)
        exchange = tester.functional(SPEED, expected=ALL)
        assert exchange.answers == {}
        assert exchange.trouble == "the process that holds the adapter has ended"
        assert tester.functional(SPEED, expected=ALL).answers.keys() == ALL


def test_an_adapter_that_hangs_costs_no_more_than_its_deadline(tmp_path: Path) -> None:
    with car_behind_adapter(str(tmp_path / "elm327")) as behind, opened(behind) as tester:
        assert tester.functional(SPEED, expected=ALL).answers
        behind.port.fault = AdapterFault(kind="endless")
        with pytest.raises(AnswerError, match="the adapter gave no prompt in time and is not to be interrupted"):
            tester.physical(ENGINE, b"\x19\x02\xff")
        assert tester.pid is None
        behind.port.fault = None
        behind.port.unplug()
        behind.port.plug()
        assert tester.functional(SPEED, expected=ALL).answers.keys() == ALL


def test_a_port_without_an_adapter_is_said_in_seconds(tmp_path: Path) -> None:
    with car_behind_adapter(str(tmp_path / "elm327")) as behind:
        behind.port.fault = AdapterFault(kind="silence")
        with pytest.raises(
            SourceError, match="does not answer; the process that holds it was ended; the last step was ATZ"
        ):
            Elm327Tester.open(behind.port.url, baud=38_400)
    with pytest.raises(SourceError, match=r"cannot be set up .*No such file"):
        Elm327Tester.open(str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match=r"cannot be set up .*refused"):
        Elm327Tester.open("socket://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="timeout is 2 s"):
        Elm327Tester.open(str(tmp_path / "nowhere"), timeout_s=2)


def test_a_second_program_is_kept_off(tmp_path: Path) -> None:
    with car_behind_adapter(str(tmp_path / "elm327")) as behind, opened(behind) as tester:
        assert tester.functional(SPEED, expected=ALL).answers.keys() == ALL
        with pytest.raises(SourceError, match="another program uses it"):
            Elm327Tester.open(behind.port.url)
        assert tester.functional(SPEED, expected=ALL).answers.keys() == ALL


def test_the_baud_rate_is_found_and_a_wrong_one_is_said(tmp_path: Path) -> None:
    with car_behind_adapter(str(tmp_path / "elm327"), baud=115_200) as behind:
        with opened(behind) as tester:
            assert tester.functional(SPEED, expected=ALL).answers.keys() == ALL
        with pytest.raises(SourceError, match="the last step was ATZ: another baud rate"):
            Elm327Tester.open(behind.port.url, baud=9600)


def test_an_ignition_that_is_off_is_no_error_and_the_car_is_found_when_it_is_on(tmp_path: Path) -> None:
    with car_behind_adapter(str(tmp_path / "elm327"), car={"activity": "parked"}) as behind, opened(behind) as tester:
        assert tester.protocol == ""
        exchange = tester.functional(SPEED, expected=None)
        assert exchange.trouble is not None
        assert "is the ignition on" in exchange.trouble
        assert tester.supply_voltage() == 12.6


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time; from edge_agent.tester.elm327 import Elm327Tester\n"
        "tester = Elm327Tester.open(sys.argv[1]); print(tester.pid, flush=True); time.sleep(60)"
    )
    with car_behind_adapter(str(tmp_path / "elm327")) as behind:
        parent = subprocess.Popen(
            [sys.executable, "-c", program, behind.port.url], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert parent.stdout is not None
        with parent.stdout:
            pid = int(parent.stdout.readline())
            assert not gone(pid)
            parent.kill()
            parent.wait()
        deadline = time.monotonic() + 60
        while not gone(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert gone(pid)


def test_by_configuration_with_a_garage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = tmp_path / "elm327"
    (tmp_path / "garage.yaml").write_text(
        yaml.safe_dump({"cars": [{"name": "one", "vin": VIN, "bus": {"interface": "elm327", "channel": str(adapter)}}]})
    )
    stop = threading.Event()
    thread = threading.Thread(target=run_garage, args=(tmp_path / "garage.yaml",), kwargs={"stop_event": stop})
    thread.start()
    try:
        config = AgentConfig(
            device="car-1",
            source=SourceConfig(kind="obd_elm327", options={"port": str(adapter)}),
            outbox_path=tmp_path / "outbox.sqlite",
        )
        while not adapter.exists():
            time.sleep(0.01)
        source = build_source(config, load_vehicle_profile("generic"))
        source.open()
        try:
            reading = source.poll()
        finally:
            source.close()
    finally:
        stop.set()
        thread.join()
    assert isinstance(reading, Reading)
    assert reading.vin == VIN
    assert reading.trouble_codes == ()
    assert "Vehicle.Speed" in reading.values
    assert capsys.readouterr().out == "garage ready: 1 cars\n"
    assert not adapter.exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "port: is missing"),
        ({"port": "/dev/ttyUSB0", "timeout": "3s"}, "timeout: 3 s is not what an ELM327 waits"),
        ({"port": "/dev/ttyUSB0", "boud": 38400}, "boud: unknown key; did you mean 'baud'"),
    ],
)
def test_configuration_errors(options: dict[str, object], reason: str, tmp_path: Path) -> None:
    config = AgentConfig(
        device="car-1", source=SourceConfig(kind="obd_elm327", options=options), outbox_path=tmp_path / "outbox.sqlite"
    )
    with pytest.raises(ConfigurationError, match=reason):
        build_source(config, load_vehicle_profile("generic"))
    with pytest.raises(ConfigurationError, match="needs a vehicle profile"):
        build_source(config, None)
