"""A virtual car that lives by itself on python-can's virtual bus, and the source that reads a car, for its tests."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from edge_agent.can_bus import CanBusConfig
from edge_agent.sources.base import Reading
from edge_agent.sources.obd import ObdConfig, ObdSource
from edge_agent.tester.base import Tester
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
        assert ready.wait(60)
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


@dataclass(frozen=True, kw_only=True)
class Reader:
    config: ObdConfig
    connect: Callable[[], Tester]


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
