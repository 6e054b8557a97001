"""A virtual car behind a virtual ELM327, for tests and benchmarks that go through a real port and process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.disturb import Disturbances
from edge_agent.virtual_car.elm327 import PROTOCOLS, VirtualElm327
from edge_agent.virtual_car.elm327_port import AdapterPort
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.responder import Responder

VIN = "WVWZZZ1KZAW000001"


@dataclass(frozen=True, kw_only=True)
class Behind:
    """The car, its adapter and what goes wrong with its answers."""

    car: LiveCar
    adapter: VirtualElm327
    port: AdapterPort
    disturbances: Disturbances


@contextmanager
def car_behind_adapter(
    channel: str, *, baud: int | None = None, advance: bool = False, car: dict[str, Any] | None = None, **adapter: Any
) -> Iterator[Behind]:
    """A car whose adapter is served by a thread. It stands still unless it is to ``advance``: its values are known."""
    config = VirtualCarConfig.from_dict({"name": "test", "vin": VIN} | (car or {}))
    live = LiveCar(config, now=datetime.now(UTC))
    disturbances = Disturbances()
    virtual = VirtualElm327(
        responder=Responder(live, disturbances),
        protocol=PROTOCOLS[config.identifier_bits, 500_000],
        **adapter,
    )
    port = AdapterPort(virtual, channel, baud=baud)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            port.serve(0.05)
            if advance:
                live.advance(0.05)

    thread = threading.Thread(target=serve, name="virtual-elm327")
    thread.start()
    try:
        yield Behind(car=live, adapter=virtual, port=port, disturbances=disturbances)
    finally:
        stop.set()
        thread.join()
        port.unplug()
