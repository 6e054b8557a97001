"""The process that holds the adapter stays small, and the virtual adapter says what is wrong with its garage."""

import io
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_agent.can_bus import CanBusConfig
from edge_agent.errors import EdgeAgentError
from edge_agent.tester import elm327_child
from edge_agent.tester.elm327_process import AdapterProcess
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.elm327 import VirtualElm327, identifier_of_request
from edge_agent.virtual_car.garage import run_car
from tests.unit.edge_agent.elm327_bench import Bench
from tests.unit.edge_agent.obd_support import VIN

LOADED = """
import json, sys
from edge_agent.tester import elm327_child
library = elm327_child._connection_of_python_obd()
print(json.dumps([library.ELM327.__module__, sorted(sys.modules)]))
"""


def test_neither_decoders_nor_numpy_nor_anything_of_ours_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    where, modules = json.loads(done.stdout)
    assert where == "obd.elm327"
    assert not {"pint", "numpy", "obd.decoders", "obd.commands", "can", "msgspec", "yaml"} & set(modules)
    ours = {name for name in modules if name.startswith(("edge_agent", "telemetry", "health"))}
    assert ours == {"edge_agent", "edge_agent.tester", "edge_agent.tester.elm327_child"}


@pytest.mark.parametrize(
    ("bus", "reason"),
    [
        (CanBusConfig(interface="elm327", channel="tcp://localhost"), "at a path or at socket://"),
        (CanBusConfig(interface="elm327", channel="/nowhere/elm327"), "cannot be linked there"),
        (CanBusConfig(interface="elm327", channel="x", bitrate=125_000), "does not speak CAN with 125000 bit/s"),
        (CanBusConfig(interface="elm327", channel="x", options={"boud": 9600}), "did you mean 'baud'"),
    ],
)
def test_a_garage_with_a_wrong_adapter_says_what_is_wrong(bus: CanBusConfig, reason: str) -> None:
    config = VirtualCarConfig.from_dict({"name": "test", "vin": VIN})
    with pytest.raises(EdgeAgentError, match=reason):
        run_car(config, bus, threading.Event())


def test_what_stands_where_the_adapter_would_be_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ttyUSB0"
    file.write_text("somebody's")
    config = VirtualCarConfig.from_dict({"name": "test", "vin": VIN})
    with pytest.raises(EdgeAgentError, match="cannot be linked there"):
        run_car(config, CanBusConfig(interface="elm327", channel=str(file)), threading.Event())
    assert file.read_text() == "somebody's"


def dialect(**changes: object) -> VirtualElm327:
    adapter = Bench(**changes).adapter  # type: ignore[arg-type]  # fields of the adapter
    adapter.banner()
    return adapter


def test_the_virtual_adapter_speaks_as_one_fresh_from_its_box() -> None:
    adapter = dialect()
    assert adapter.command("AT Z").text == "AT Z\r\r\rELM327 v2.1\r\r>"
    assert adapter.command("ATE0").text == "ATE0\r\nOK\r\n\r\n>"  # echo and line feeds are on at first
    assert adapter.command("ATL0").text == "OK\r\r>"
    assert adapter.command("010D").text.endswith("41 0D 00 \r41 0D 00 \r\r>")
    assert adapter.command("ATH1").text == "OK\r\r>"
    assert adapter.command("010D1").text == "7E8 03 41 0D 00 AA AA AA AA \r\r>"
    assert adapter.command("").text == "7E8 03 41 0D 00 AA AA AA AA \r\r>"  # the last command once more
    assert adapter.command("ATDPN").text == "A6\r\r>"
    assert adapter.command("AT@1").text.startswith("OBDII")
    assert adapter.command("ATFCSM1").text == "?\r\r>"  # header and data come first
    assert adapter.command("hello").text == "?\r\r>"


def test_flow_control_goes_where_the_standard_says() -> None:
    assert identifier_of_request(0x7EC) == 0x7E4
    assert identifier_of_request(0x18DAF110) == 0x18DA10F1
    assert identifier_of_request(0x768) is None


class Unkillable:
    """A process that a driver keeps in the kernel: SIGKILL waits until the driver is done."""

    def __init__(self) -> None:
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO()
        self.killed = False

    def kill(self) -> None:
        self.killed = True

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "this would never return"
        raise subprocess.TimeoutExpired("adapter", timeout)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_process_stuck_in_its_driver_does_not_hold_the_agent(
    at_once: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process, stuck = AdapterProcess("/dev/ttyUSB0", None), Unkillable()
    monkeypatch.setattr(process, "_process", stuck)
    process.stop(at_once=at_once)
    assert stuck.killed
    assert process.pid is None
    assert "stuck in its driver" in caplog.text


def test_a_reply_that_lay_ready_while_the_agent_stood_still_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a small computer that is busy: the process that holds the adapter is not ended for it."""
    process, (reading, writing) = AdapterProcess("/dev/ttyUSB0", None), os.pipe()
    with os.fdopen(reading, "rb") as far, os.fdopen(writing, "wb", buffering=0) as near:
        monkeypatch.setattr(process, "_process", SimpleNamespace(stdout=far, pid=1))
        process._ready.register(far, select.POLLIN)
        near.write(elm327_child.MESSAGE.pack(elm327_child.REPLY, 2) + b"OK")
        assert process._message(time.monotonic() - 1.0) == (elm327_child.REPLY, "OK")
