"""A car that stands still and its ELM327 on the bench, without a process between and without waiting."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.elm327 import Elm327Tester
from edge_agent.tester.elm327_process import AdapterProcess, LateReplyError
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.disturb import Disturbances
from edge_agent.virtual_car.elm327 import VirtualElm327
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.responder import Responder
from tests.unit.edge_agent.obd_support import VIN

ENGINE = IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8)
ENGINE_29 = IsoTpAddress(transmit_id=0x18DA10F1, receive_id=0x18DAF110)
BRAKES = IsoTpAddress(transmit_id=0x760, receive_id=0x768)
PADS = {
    "did": 0x2B01,
    "request_id": BRAKES.transmit_id,
    "response_id": BRAKES.receive_id,
    "period_s": 1,
    "length": 30,  # five frames
    "signals": [{"path": "Vehicle.Chassis.Axle.Row1.Wheel.Left.Brake.PadWear", "scale": "100/255"}],
}
SPEED, ENGINE_SPEED = b"\x01\x0d", b"\x01\x0c"
ALL = frozenset({"7E8", "7E9"})


class Direct(AdapterProcess):
    """An adapter without a process and without waiting: time passes as it says."""

    def __init__(self, adapter: VirtualElm327) -> None:
        super().__init__("direct", None)
        self.adapter = adapter
        self.now = 100.0
        self.running = False
        self.starts = 0
        self.spoil: Callable[[str, str], str] = lambda _command, text: text

    @property
    def pid(self) -> int | None:
        return 1 if self.running else None

    def start(self, connect_s: float = 0.0) -> None:  # noqa: ARG002 - nothing here takes time
        self.running = True
        self.starts += 1
        for line in ("ATZ", "ATE0", "ATH1", "ATL0", "ATSP0"):  # python-OBD's way
            self.adapter.command(line)
        self.protocol = "" if "UNABLE" in self.adapter.command("0100").text else self.adapter.protocol

    def ask(self, command: str, silence_s: float, within_s: float) -> str:  # noqa: ARG002 - a reply comes at once
        written = self.adapter.command(command)
        if written.after_s > within_s:
            self.now += within_s
            raise LateReplyError("the adapter did not end its reply in time")
        self.now += written.after_s
        return self.spoil(command, written.text)

    def stop(self, *, at_once: bool = False) -> None:  # noqa: ARG002 - there is no process to wait for
        self.running = False


class Bench:
    """A car that stands still, its adapter and the tester."""

    def __init__(self, *, car: dict[str, Any] | None = None, timeout_s: float = 0.2, **adapter: Any) -> None:
        config = VirtualCarConfig.from_dict({"name": "test", "vin": VIN, "dids": [PADS]} | (car or {}))
        self.car = LiveCar(config, now=datetime(2026, 1, 31, tzinfo=UTC))
        self.disturbances = Disturbances()
        protocol = "6" if config.identifier_bits == 11 else "7"
        responder = Responder(self.car, self.disturbances)
        self.adapter = VirtualElm327(responder=responder, protocol=protocol, **adapter)
        self.direct = Direct(self.adapter)
        self.direct.start()
        self.tester = Elm327Tester(self.direct, timeout_s=timeout_s, clock=lambda: self.direct.now)
        self.adapter.commands.clear()

    def told(self) -> list[str]:
        """What the adapter was told since the last look."""
        told = list(self.adapter.commands)
        self.adapter.commands.clear()
        return told
