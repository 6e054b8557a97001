"""Every source against every disturbance: one cell is one source that reads a car well, is disturbed, and recovers.

The car stands still with known values, a stored trouble code and a VIN: whatever a reading says must be that. Used by
the test, and by the benchmark that prints the times of recovery.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edge_agent.agent import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.errors import SourceError
from edge_agent.obd.did import definitions_from
from edge_agent.sources.base import Reading
from edge_agent.sources.obd import DEFAULT_ECUS, ObdConfig, ObdSource
from edge_agent.tester.base import Tester
from edge_agent.tester.can import CanTester
from edge_agent.tester.elm327 import Elm327Tester
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.disturb import Disturbance, Disturbances
from edge_agent.virtual_car.elm327_port import AdapterFault, AdapterPort
from edge_agent.virtual_car.garage import CarOnBus
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.responder import Responder
from tests.integration.disturbance_listening import LISTENING, LISTENING_CELLS, UNPLUGGED, ListeningCell
from tests.integration.elm327_support import VIN, car_behind_adapter

CODE: Final = "P0301"
PAD: Final = "Vehicle.Chassis.Axle.Row1.Wheel.Left.Brake.PadWear"
OIL_LIFE: Final = "Vehicle.Powertrain.CombustionEngine.EngineOil.LifeRemainingPercent"
DIDS: Final = (
    {  # five frames, of an ECU beside OBD
        "did": 0x2B01,
        "request_id": 0x760,
        "response_id": 0x768,
        "period_s": 0.05,
        "length": 30,
        "signals": [{"path": PAD, "scale": "100/255"}],
    },
    {
        "did": 0x4DC0,
        "request_id": 0x7E0,
        "response_id": 0x7E8,
        "period_s": 0.05,
        "length": 1,
        "signals": [{"path": OIL_LIFE, "scale": "100/255"}],
    },
)
ASKING: Final = ("CAN", "ELM327, serial", "ELM327, TCP")
SOURCES: Final = (*ASKING, LISTENING)
_POLLS: Final = 200  # until a disturbance must have been noticed
_channels = itertools.count()

# What goes wrong with the car's answers, on any adapter.
OF_CAR: Final[dict[str, tuple[Disturbance, ...]]] = {
    "ignition off and on": (Disturbance(kind="silence"),),
    "one ECU silent": (Disturbance(kind="silence", ecu="768"),),
    "negative responses": (Disturbance(kind="negative", code=0x22),),
    "response pending for ever": (Disturbance(kind="pending", request=b"\x22\x2b", size=1000, delay_s=0.2),),
    "too short": (Disturbance(kind="shortened"),),
    "too long": (Disturbance(kind="padded"),),
    "truncated frames": (Disturbance(kind="breaks_off"),),
    "wrong ECU answers": (Disturbance(kind="wrong_ecu", as_ecu="7EF"),),
    "answers to the request before": (Disturbance(kind="stale"),),
    "garbage in the payload": (Disturbance(kind="garbage"),),
    "answers too late": (Disturbance(kind="slow", delay_s=0.6),),
}
# What goes wrong with an ELM327 itself.
OF_ADAPTER: Final[dict[str, AdapterFault]] = {
    "adapter silent": AdapterFault(kind="silence"),
    "garbage bytes": AdapterFault(kind="garbage"),
    "bytes without prompt, for ever": AdapterFault(kind="endless"),
    "no prompt after the answer": AdapterFault(kind="no_prompt"),
    "answer cut short": AdapterFault(kind="cut"),
    "reset within an answer": AdapterFault(kind="reset", times=1),
    "echo on": AdapterFault(kind="echo", times=1),
    **{
        f"says {text}": AdapterFault(kind="says", text=text)
        for text in (
            *("NO DATA", "UNABLE TO CONNECT", "CAN ERROR", "BUS ERROR", "BUS INIT: ...ERROR", "BUFFER FULL"),
            *("STOPPED", "DATA ERROR", "7E804410C1AF8 <RX ERROR", "?", "LV RESET", "ACT ALERT", "ERR94", ""),
        )
    },
}
CELLS: Final[tuple[tuple[str, str], ...]] = (
    *((source, name) for source in ASKING for name in (UNPLUGGED, *OF_CAR, *(OF_ADAPTER if source != "CAN" else ()))),
    *LISTENING_CELLS,
)


@dataclass(kw_only=True)
class Outcome:
    """What one cell came to. ``bogus``: everything a reading said that is not so; must be empty."""

    source: str
    disturbance: str
    noticed: str = ""  # the first reason given
    bogus: list[str] = field(default_factory=list)
    recovered: bool = False
    recovery_s: float = 0.0  # from the end of the disturbance until everything was read again
    longest_poll_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A source and the handles to disturb it with."""

    connect: Callable[[], Tester]
    disturbances: Disturbances
    port: AdapterPort | None
    testers: list[Tester]


@contextmanager
def scene(source: str, folder: Path) -> Iterator[Scene]:
    """The car of the matrix on that source."""
    testers: list[Tester] = []
    number = next(_channels)
    car: dict[str, Any] = {"dids": DIDS}
    if source == "CAN":
        bus = CanBusConfig(interface="virtual", channel=f"matrix-{number}")
        with _car_on_bus(bus, car) as disturbances:

            def connect() -> Tester:
                addresses = matrix_config(1.0).addresses
                testers.append(CanTester.open(bus, addresses))
                return testers[-1]

            yield Scene(connect=connect, disturbances=disturbances, port=None, testers=testers)
        return
    channel = str(folder / f"elm327-{number}") if source.endswith("serial") else "socket://127.0.0.1:0"
    with car_behind_adapter(channel, car=car) as behind:
        _fail(behind.car)

        def connect_elm() -> Tester:
            testers.append(Elm327Tester.open(behind.port.url))
            return testers[-1]

        yield Scene(connect=connect_elm, disturbances=behind.disturbances, port=behind.port, testers=testers)


def matrix_config(discovery_period_s: float) -> ObdConfig:
    """Everything is read as fast as it goes."""
    return ObdConfig(
        pids={0x05: 0.05, 0x0C: 0.05, 0x0D: 0.05},
        dids=definitions_from([dict(item) for item in DIDS]),
        dtc_period_s=0.1,
        uds_dtc_ecus=(DEFAULT_ECUS[0],),
        discovery_period_s=discovery_period_s,
        idle_wait_s=0.02,
    )


def run_cell(
    source: str, disturbance: str, folder: Path, *, discovery_period_s: float = 0.3, as_agent: bool = False
) -> Outcome:
    """Read, disturb, watch, end the disturbance, read again. A silent car is asked every ``discovery_period_s``.

    ``as_agent``: a source that is gone is opened again with the agent's pauses, otherwise nearly at once.
    """
    outcome = Outcome(source=source, disturbance=disturbance)
    if source == LISTENING:
        cell = ListeningCell(folder)
        outcome.recovery_s = cell.run(disturbance)
        outcome.recovered = True
        outcome.noticed, outcome.bogus, outcome.longest_poll_s = cell.noticed, cell.bogus, cell.longest_poll_s
        return outcome
    with scene(source, folder) as stage:
        reader = ObdSource(matrix_config(discovery_period_s), stage.connect)
        watch = _Watch(reader, outcome, as_agent=as_agent)
        try:
            watch.until_whole()
            _disturb(stage, disturbance)
            watch.until_noticed()
            _calm(stage, disturbance)
            began = time.monotonic()
            watch.until_whole()
            outcome.recovery_s = time.monotonic() - began
            outcome.recovered = True
        finally:
            reader.close()
    return outcome


class _Watch:
    """Polls as the agent does: a source that is gone is closed and opened again. Checks every reading."""

    def __init__(self, source: ObdSource, outcome: Outcome, *, as_agent: bool) -> None:
        self._source = source
        self._as_agent = as_agent
        self._pause_s = FIRST_PAUSE_SECONDS
        self._outcome = outcome
        self._open = False
        self._truth: dict[str, float] = {}

    def until_whole(self) -> None:
        """Until all values and the codes of all ECUs were read."""
        values: dict[str, float] = {}
        ecus: set[str] = set()
        while len(values) < 5 or not {"7E8", "7E9"} <= ecus:
            reading = self._poll()
            if reading is None:
                continue
            values.update(reading.values)
            ecus |= reading.ecus_read or set()
        self._truth = self._truth or values

    def until_noticed(self) -> None:
        """Until a reading or an error says that something is wrong."""
        for _ in range(_POLLS):
            self._poll()
            if self._outcome.noticed:
                return

    def _poll(self) -> Reading | None:
        began = time.monotonic()
        reading: Reading | None = None
        gone: SourceError | None = None
        try:
            if not self._open:
                self._source.open()
                self._open = True
            reading = self._source.poll()
        except SourceError as error:
            self._source.close()
            self._open = False
            self._outcome.noticed = self._outcome.noticed or str(error)
            gone = error
        finally:
            self._outcome.longest_poll_s = max(self._outcome.longest_poll_s, time.monotonic() - began)
        if gone is not None:
            self._back_off(gone)
            return None
        assert reading is not None
        self._pause_s = FIRST_PAUSE_SECONDS
        self._check(reading)
        if self._truth and reading.faults:
            self._outcome.noticed = self._outcome.noticed or reading.faults[0].reason
        return reading

    def _back_off(self, gone: SourceError) -> None:
        if not self._as_agent:
            time.sleep(0.1)
            return
        until = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_SECONDS)
        while (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, 1.0))
            if gone.returned is not None and gone.returned():
                return

    def _check(self, reading: Reading) -> None:
        bogus = self._outcome.bogus
        if self._truth:
            bogus += [f"{path} = {value}" for path, value in reading.values.items() if value != self._truth.get(path)]
        if reading.vin not in {None, VIN}:
            bogus.append(f"VIN {reading.vin}")
        codes = {(code.code, code.ecu) for code in reading.trouble_codes or ()}
        bogus += [f"code {code} of {ecu}" for code, ecu in codes if code != CODE]
        if reading.trouble_codes is not None and "7E8" in (reading.ecus_read or {"7E8"}) and (CODE, "7E8") not in codes:
            bogus.append("no codes, though there is one")


def _disturb(stage: Scene, name: str) -> None:
    if name in OF_CAR:
        stage.disturbances.set(*OF_CAR[name])
    elif name != UNPLUGGED:
        assert stage.port is not None
        stage.port.fault = OF_ADAPTER[name]
    elif stage.port is not None:
        stage.port.unplug()
    else:
        tester = stage.testers[-1]
        assert isinstance(tester, CanTester)
        assert tester._bus is not None
        tester._bus.shutdown()


def _calm(stage: Scene, name: str) -> None:
    stage.disturbances.set()
    if stage.port is not None:
        stage.port.fault = None
        if name == UNPLUGGED:
            stage.port.plug()


def _fail(car: LiveCar) -> None:
    """A confirmed misfire, lamp on."""
    car.model.dtc.confirmed = car.model.dtc.pending = car.model.dtc.permanent = True


@contextmanager
def _car_on_bus(bus: CanBusConfig, changes: dict[str, Any]) -> Iterator[Disturbances]:
    """A car that stands still on a CAN bus."""
    config = VirtualCarConfig.from_dict({"name": "test", "vin": VIN} | changes)
    car = LiveCar(config, now=datetime.now(UTC))
    _fail(car)
    disturbances = Disturbances()
    stop, ready = threading.Event(), threading.Event()

    def serve() -> None:
        with open_can_bus(bus) as own:
            on_bus = CarOnBus(own, Responder(car, disturbances))
            ready.set()
            while not stop.is_set():
                on_bus.serve(0.05)

    thread = threading.Thread(target=serve, name="car-on-bus")
    thread.start()
    try:
        assert ready.wait(60)
        yield disturbances
    finally:
        stop.set()
        thread.join()
