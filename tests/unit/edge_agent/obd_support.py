"""ECUs on python-can's virtual bus, by script or as a virtual car, for the tests of the source."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import can

from edge_agent.can_bus import CanBusConfig
from edge_agent.isotp_link import IsoTpLink
from edge_agent.sources.base import Reading
from edge_agent.sources.obd import ObdConfig, ObdSource
from edge_agent.tester.base import IsoTpAddress, Tester
from edge_agent.tester.can import CanTester
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.disturb import Disturbances
from edge_agent.virtual_car.garage import run_car
from edge_agent.virtual_car.live import LiveCar

VIN = "WVWZZZ1KZAW000001"
_channels = count()

Answer = Callable[[bytes], bytes | None]


def virtual_bus() -> CanBusConfig:
    return CanBusConfig(interface="virtual", channel=f"test-{next(_channels)}")


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def car_on(
    bus: CanBusConfig,
    *,
    disturbances: Disturbances | None = None,
    control: Callable[[LiveCar], None] | None = None,
    **changes: object,
) -> Iterator[None]:
    config = VirtualCarConfig.from_dict({"name": "test", "vin": VIN} | changes)
    stop, ready = threading.Event(), threading.Event()
    how = {"ready_event": ready, "disturbances": disturbances, "control": control}
    thread = threading.Thread(target=run_car, args=(config, bus, stop), kwargs=how)
    thread.start()
    try:
        assert ready.wait(5)
        yield
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


@contextmanager
def scripted_ecus(bus: CanBusConfig, answers: dict[int, Answer]) -> Iterator[None]:
    """ECUs by response identifier that answer every request with what the script says."""
    stop, ready = threading.Event(), threading.Event()

    def serve() -> None:
        with can.Bus(interface=bus.interface, channel=bus.channel) as own:
            addresses = {rx: IsoTpAddress(transmit_id=rx, receive_id=rx - 8) for rx in answers}
            functional = IsoTpAddress(transmit_id=min(answers), receive_id=0x7DF)
            link = IsoTpLink(own, (*addresses.values(), functional))
            ready.set()
            while not stop.is_set():
                for address, request in link.pump(0.02):
                    for rx, answer in answers.items():
                        payload = answer(request) if address in {functional, addresses[rx]} else None
                        if payload is not None:
                            link.send(addresses[rx], payload)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(5)
        yield
    finally:
        stop.set()
        thread.join(5)


@dataclass(frozen=True, kw_only=True)
class Reader:
    config: ObdConfig
    connect: Callable[[], Tester]


def reads(bus: CanBusConfig, *, timeout_s: float = 0.2, **changes: Any) -> Reader:
    """How a car on that bus is read; ``changes`` are fields of ObdConfig."""
    config = ObdConfig(**changes)
    return Reader(config=config, connect=lambda: CanTester.open(bus, config.addresses, timeout_s=timeout_s))


@contextmanager
def opened(reader: Reader, clock: Callable[[], float] = time.monotonic) -> Iterator[ObdSource]:
    source = ObdSource(reader.config, reader.connect, clock=clock)
    source.open()
    try:
        yield source
    finally:
        source.close()
        source.close()


def polled(source: ObdSource) -> Reading:
    reading = source.poll()
    assert reading is not None
    return reading


def bitmap_then(script: dict[bytes, bytes | None], bitmap: str = "00180000") -> Answer:
    """Answer 01 00 with these PIDs (0C and 0D), everything else by the script."""
    return lambda request: script.get(request, bytes.fromhex("4100" + bitmap) if request == b"\x01\x00" else None)
