"""Virtual cars on their buses: one in a thread, or several in a process, each on a bus of its own."""

import heapq
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import can
import yaml

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.errors import ConfigurationError, EdgeAgentError
from edge_agent.isotp_link import IsoTpLink
from edge_agent.obd.answers import AnswerError, is_response_pending
from edge_agent.obd.fields import Fields
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.can import CanTester
from edge_agent.virtual_car.config import (
    VirtualCarConfig,
    WearAcceleration,
    acceleration_from,
    activity_from,
    fault_named,
)
from edge_agent.virtual_car.disturb import Disturbance, Disturbances, Reply
from edge_agent.virtual_car.elm327_port import ELM327, AdapterPort
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.responder import Responder

_log = logging.getLogger(__name__)

_STEP_S = 0.05  # between two steps of the model, at most
_CONTROL_PERIOD_S = 0.25
_READY_TIMEOUT_S = 15.0
_TESTER_PRESENT = b"\x3e\x00"  # every ECU answers it, whatever dialect the car speaks
# The engine ECU as a tester addresses it, by the length of identifiers.
ENGINE_ADDRESSES: Mapping[int, IsoTpAddress] = {
    11: IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8),
    29: IsoTpAddress(transmit_id=0x18DA10F1, receive_id=0x18DAF110),
}


@dataclass(frozen=True, kw_only=True)
class ParkedCar:
    """A car and the bus it stands on."""

    car: VirtualCarConfig
    bus: CanBusConfig


@dataclass(frozen=True, kw_only=True)
class GarageConfig:
    """Cars of one process; ``control`` is a JSON file that is read again when it changes, see :func:`apply_control`."""

    cars: tuple[ParkedCar, ...]
    control: Path | None = None

    @classmethod
    def from_file(cls, path: Path) -> "GarageConfig":
        """Read YAML; ConfigurationError names file, place and nearest key."""
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(
                f"{path}: cannot be read ({error.strerror}); give the path of a garage file"
            ) from error
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path}: this is no YAML ({error})") from error
        keys = Fields(document, str(path))
        control = keys.text("control", "")
        cars = tuple(_parked(item, place) for item, place in keys.items("cars"))
        keys.done()
        if not cars:
            raise ConfigurationError(f"{path}: 'cars' is empty; give at least one")
        _refuse_shared_buses(cars, path)
        return cls(cars=cars, control=path.parent / control if control else None)


class CarOnBus:
    """Answers on one bus for one car. Owned by one thread."""

    def __init__(self, bus: can.BusABC, responder: Responder, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._responder = responder
        self._clock = clock
        self._addresses = {address.transmit_id: address for address in responder.addresses}
        functional = responder.functional_id
        self._functional = IsoTpAddress(transmit_id=min(self._addresses), receive_id=functional)
        self._link = IsoTpLink(bus, (*self._addresses.values(), self._functional))
        self._later: list[tuple[float, int, Reply]] = []  # a heap: when, in which order, what
        self._scheduled = 0

    def serve(self, timeout_s: float) -> None:
        """Answer what arrives within that time, and send what is due."""
        if self._later:
            timeout_s = min(timeout_s, max(0.0, self._later[0][0] - self._clock()))
        for address, request in self._link.pump(timeout_s):
            self._later = [
                item for item in self._later if not is_response_pending(item[2].payload[1:2], item[2].payload)
            ]
            heapq.heapify(self._later)
            for reply in self._responder.asked(address.receive_id, request):
                self._scheduled += 1
                heapq.heappush(self._later, (self._clock() + reply.delay_s, self._scheduled, reply))
        while self._later and self._later[0][0] <= self._clock():
            self._send(heapq.heappop(self._later)[2])

    def _send(self, reply: Reply) -> None:
        if reply.frames is None:
            self._link.send(self._addresses[reply.identifier], reply.payload)
            return
        for frame in reply.frames:
            extended = reply.identifier > 0x7FF
            self._bus.send(can.Message(arbitration_id=reply.identifier, data=frame, is_extended_id=extended))


def run_car(
    config: VirtualCarConfig,
    bus_config: CanBusConfig,
    stop_event: threading.Event,
    *,
    ready_event: threading.Event | None = None,
    control: Callable[[LiveCar], None] | None = None,
    disturbances: Disturbances | None = None,
    open_bus: Callable[[CanBusConfig], can.BusABC] = open_can_bus,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Let one car live on its bus until ``stop_event``; ``control`` is called now and then and may change the car.

    The interface ``elm327`` is no bus but a virtual adapter: its channel is a path for a pseudo-terminal, or
    ``socket://127.0.0.1:35000``.

    ``disturbances``: what goes wrong with its answers; may be set from another thread meanwhile.

    Raises SourceError if the bus cannot be opened, can.CanError if it goes away.
    """
    car = LiveCar(config, now=datetime.now(UTC))
    with _reached_by(bus_config, car, disturbances, open_bus) as serve:
        last = controlled = clock()
        if ready_event is not None:
            ready_event.set()
        while not stop_event.is_set():
            serve(_STEP_S)
            now = clock()
            if now - last >= _STEP_S:
                car.advance(now - last)
                last = now
            if control is not None and now - controlled >= _CONTROL_PERIOD_S:
                control(car)
                controlled = now


@contextmanager
def _reached_by(
    bus_config: CanBusConfig,
    car: LiveCar,
    disturbances: Disturbances | None,
    open_bus: Callable[[CanBusConfig], can.BusABC],
) -> Iterator[Callable[[float], None]]:
    """What answers for a car within some seconds: on a bus, or behind an adapter of its own."""
    responder = Responder(car, disturbances)
    if bus_config.interface == ELM327:
        with AdapterPort.open(responder, car, bus_config) as port:
            yield port.serve
        return
    with open_bus(bus_config) as bus:
        ids = [address.receive_id for address in responder.addresses]
        bus.set_filters(
            [{"can_id": i, "can_mask": 0x1FFFFFFF if i > 0x7FF else 0x7FF} for i in (*ids, responder.functional_id)]
        )
        yield CarOnBus(bus, responder).serve


def run_garage(path_to_yaml: Path | str, *, stop_event: threading.Event | None = None) -> None:
    """Host the cars of a garage file until SIGTERM or SIGINT (or ``stop_event``).

    Prints "garage ready: N cars" when each car that is awake has answered a request on its bus. Raises
    ConfigurationError or SourceError; a car whose thread ends is an EdgeAgentError.
    """
    config = GarageConfig.from_file(Path(path_to_yaml))
    stop = stop_event if stop_event is not None else threading.Event()
    before = {} if stop_event is not None else _stop_on_signal(stop)
    failures: list[Exception] = []
    control = _Control(config.control) if config.control is not None else None

    ready = {parked.car.name: threading.Event() for parked in config.cars}

    def live(parked: ParkedCar) -> None:
        try:
            run_car(parked.car, parked.bus, stop, ready_event=ready[parked.car.name], control=control)
        except (EdgeAgentError, can.CanError) as error:
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=live, args=(p,), name=f"car-{p.car.name}") for p in config.cars]
    for thread in threads:
        thread.start()
    try:
        answering = [
            ready[parked.car.name].wait(_READY_TIMEOUT_S)  # it answers whoever is connected, and takes one connection
            if parked.bus.interface == ELM327
            else _wait_until_it_answers(parked, stop)
            for parked in config.cars
            if parked.car.activity != "parked"
        ]
        if all(answering) and not stop.is_set():
            print(f"garage ready: {len(config.cars)} cars", flush=True)  # noqa: T201 - what starts the process waits for it
        stop.wait()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    if failures:
        raise EdgeAgentError(f"a virtual car stopped: {failures[0]}") from failures[0]


def apply_control(car: LiveCar, document: Mapping[str, object], where: str = "control") -> None:
    """Change a live car as a control document says.

    ``{"<car's name>": {"faults": ["misfire"], "acceleration": {"pad_percent_per_s": 0.5}, "activity": "ignition_on",
    "disturb": [{"kind": "silence"}]}}``; faults are switched on, what else is given replaces the former. Other cars'
    names are left alone.
    """
    own = document.get(car.config.name)
    if own is None:
        return
    keys = Fields(own, f"{where}.{car.config.name}")
    faults = keys.raw("faults")
    if faults is not None and not isinstance(faults, list):
        raise ConfigurationError(f"{keys.where}.faults: expected a list")
    acceleration: WearAcceleration | None = None
    if "acceleration" in keys:
        acceleration = acceleration_from(keys.mapping("acceleration"))
    activity = activity_from(keys) if "activity" in keys else car.activity
    disturb = [Disturbance.from_dict(item, place) for item, place in keys.items("disturb")]
    keys.done()
    car.activity = activity
    car.switch_on([fault_named(item, f"{keys.where}.faults") for item in faults or ()])
    if acceleration is not None:
        car.acceleration = acceleration
    if "disturb" in keys:
        car.disturbances.set(*disturb)


class _Control:
    """The control file, read by every car's thread; a half-written or wrong one is reported and tried again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, int] = {}

    def __call__(self, car: LiveCar) -> None:
        try:
            changed = self._path.stat().st_mtime_ns
            if self._seen.get(car.config.name) == changed:
                return
            document = json.loads(self._path.read_text(encoding="utf-8"))
            if not isinstance(document, dict):
                raise ConfigurationError(f"{self._path}: expected keys and values")
            apply_control(car, document, str(self._path))
            self._seen[car.config.name] = changed
        except FileNotFoundError:
            return
        except (OSError, json.JSONDecodeError, EdgeAgentError) as error:
            _log.warning("Control file is not used: %s", error)


def _parked(item: Mapping[str, object], place: str) -> ParkedCar:
    document = dict(item)
    keys = Fields(document.pop("bus", None), f"{place}.bus")
    interface, channel = keys.text("interface"), keys.text("channel")
    bitrate = keys.optional_integer("bitrate")
    options = {key: value for key, value in keys.rest().items() if value is not None}
    bus = CanBusConfig(interface=interface, channel=channel, bitrate=bitrate, options=options)
    return ParkedCar(car=VirtualCarConfig.from_dict(document, place), bus=bus)


def _refuse_shared_buses(cars: tuple[ParkedCar, ...], path: Path) -> None:
    seen: dict[tuple[str, str, object], str] = {}
    for parked in cars:
        key = (parked.bus.interface, parked.bus.channel, parked.bus.options.get("port"))
        if key in seen:
            raise ConfigurationError(
                f"{path}: {parked.car.name} and {seen[key]} are on one bus; give each a channel or port of its own"
            )
        seen[key] = parked.car.name
    names = [parked.car.name for parked in cars]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{path}: a car's name stands twice; give each one of its own")


def _wait_until_it_answers(parked: ParkedCar, stop: threading.Event) -> bool:
    engine = ENGINE_ADDRESSES[parked.car.identifier_bits]
    deadline = time.monotonic() + _READY_TIMEOUT_S
    tester = CanTester.open(parked.bus, (engine,), timeout_s=0.3)
    try:
        while not stop.is_set():
            try:
                tester.physical(engine, _TESTER_PRESENT)
            except AnswerError:
                if time.monotonic() <= deadline:
                    continue
                bus_name = f"{parked.bus.interface}:{parked.bus.channel}"
                raise EdgeAgentError(
                    f"car {parked.car.name} does not answer on {bus_name}; does the bus carry frames?"
                ) from None
            return True
    finally:
        tester.close()
    return False


def _stop_on_signal(stop: threading.Event) -> dict[signal.Signals, Any]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    return {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
