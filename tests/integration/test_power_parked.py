"""A whole agent beside a virtual car that is driven, parked and driven again: every frame on the bus is counted."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import can
import pytest
import yaml

from edge_agent.agent import run_agent
from edge_agent.build import build_profile, build_source
from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.config import AgentConfig, load_config
from edge_agent.power.records import PowerState
from edge_agent.power.report import power_report, read_memory
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.garage import run_car
from edge_agent.virtual_car.live import LiveCar
from telemetry.records import ReadingsBatch
from tests.integration.test_uplink_broker import Backend, backend_on, eventually
from wearcast.embedded.nats import Broker
from wearcast.embedded.ports import free_port

pytestmark = pytest.mark.broker

GROUP = "239.74.163.9"
BUS = CanBusConfig(interface="udp_multicast", channel=GROUP, options={"port": free_port(socket.SOCK_DGRAM)})
PARKED_S = 6.0  # watched while nothing may be said; the former agent asked every 10 s, but three times at first


class Car:
    """A virtual car with an ignition: with it on, ECUs answer and chatter; with it off, both are silent."""

    def __init__(self, volts: Path) -> None:
        self._volts = volts
        self._stop = threading.Event()
        self._on = threading.Event()
        self._ready = threading.Event()
        self._threads = [
            threading.Thread(target=self._answer, name="virtual car"),
            threading.Thread(target=self._chatter, name="chatter of its bus"),
        ]

    def turn(self, *, on: bool) -> None:
        """Turn the key."""
        self._volts.write_text("14.1" if on else "12.7", encoding="ascii")
        (self._on.set if on else self._on.clear)()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _answer(self) -> None:
        config = VirtualCarConfig(name="anna", vin="WVWZZZ1KZAW000001")

        def control(car: LiveCar) -> None:
            car.activity = "driving" if self._on.is_set() else "parked"

        run_car(replace(config, activity="parked"), BUS, self._stop, ready_event=self._ready, control=control)

    def _chatter(self) -> None:
        with open_can_bus(BUS) as bus:
            while not self._stop.wait(0.02):
                if self._on.is_set():
                    bus.send(can.Message(arbitration_id=0x3E9, data=b"\x01", is_extended_id=False))


class Witness:
    """Hears every frame on the bus."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self._silences = 0  # how often there was nothing more to hear
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="witness")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def catch_up(self) -> None:
        """Wait until it has heard all that was sent so far: the bus must be silent."""
        before = self._silences
        eventually(lambda: self._silences > before + 1, "the bus is silent")

    def asked(self) -> int:
        """Frames sent by whoever asks: functional and physical requests, flow control."""
        return sum(1 for identifier in self.frames if identifier == 0x7DF or 0x7E0 <= identifier <= 0x7E7)

    def _listen(self) -> None:
        with open_can_bus(BUS) as bus:
            while not self._stop.is_set():
                message = bus.recv(0.1)
                if message is not None:
                    self.frames.append(message.arbitration_id)
                else:
                    self._silences += 1


def configure(folder: Path, broker: Broker) -> AgentConfig:
    path = folder / "agent.yaml"
    document = {
        "device": "car-1",
        "vehicle_profile": "generic",
        "hardware_profile": "pi_zero_2w_mcp2515",
        "power": {
            "sleep_hold": "2s",
            "off_command": "touch " + str(folder / "power-was-cut"),
            "voltage": {"file": "volts", "scale": 1},
        },
        "source": {"kind": "obd_can", "interface": BUS.interface, "channel": BUS.channel, "options": dict(BUS.options)},
        "outbox": {"path": "outbox.sqlite"},
        "mqtt": {"host": broker.host, "port": broker.port},
        "trip_gap": "1s",
        "batch": "1s",
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    config = load_config(path, {})
    # Two minutes of sending and a minute's watch are too long for a test; that the power is cut is another one's.
    power = replace(config.power.settings, linger_s=2.0, send_s=10.0, watch_s=3600.0)
    return replace(config, power=replace(config.power, settings=power))


@contextmanager
def running(config: AgentConfig) -> Iterator[None]:
    stop = threading.Event()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            run_agent(config, build_source(config, build_profile(config)), [], stop)
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's thread
            failure.append(error)

    agent = threading.Thread(target=run, name="agent")
    agent.start()
    try:
        yield
    finally:
        stop.set()
        agent.join(60)
    assert not failure, failure
    assert not agent.is_alive()


def readings(backend: Backend) -> int:
    return sum(isinstance(batch, ReadingsBatch) for batch in tuple(backend.committed.values()))


def state_is(config: AgentConfig, state: PowerState) -> Callable[[], bool]:
    def is_it() -> bool:
        memory = read_memory(config.outbox_path) if config.outbox_path.is_file() else None
        return memory is not None and memory.state is state

    return is_it


def test_a_parked_car_hears_nothing_until_it_is_driven_again(tmp_path: Path, broker: Broker) -> None:
    config = configure(tmp_path, broker)
    with Witness() as witness, Car(tmp_path / "volts") as car, backend_on(broker) as backend:
        car.turn(on=True)
        with running(config):
            eventually(lambda: readings(backend) > 0, "the driven car is read")
            eventually(state_is(config, PowerState.DRIVING), "the agent knows that it is driven")

            car.turn(on=False)
            eventually(state_is(config, PowerState.PARKED), "it is taken for parked")
            witness.catch_up()
            silent_from, sent_before = witness.asked(), readings(backend)
            eventually(state_is(config, PowerState.ASLEEP), "all is sent")
            eventually(lambda: backend.statuses[-1].state == "offline", "the broker is left alone too")
            time.sleep(PARKED_S)  # nothing can announce that nothing happens
            assert witness.asked() == silent_from
            assert state_is(config, PowerState.ASLEEP)()

            car.turn(on=True)
            eventually(lambda: witness.asked() > silent_from, "the driven car is asked again")
            eventually(lambda: backend.statuses[-1].state == "online", "the broker is there again")
            eventually(lambda: readings(backend) > sent_before + 1, "the driven car is read again")
            eventually(state_is(config, PowerState.DRIVING), "it is known to be in use")
        memory = read_memory(config.outbox_path)
        assert memory is not None
        report = power_report(config.power, memory, memory.saved or pytest.fail("it was never saved"))
        assert (report.days[0].checks, report.sign_of_life) == (1, True)
        assert report.days[0].parked_mah > 0
        assert not (tmp_path / "power-was-cut").exists()
