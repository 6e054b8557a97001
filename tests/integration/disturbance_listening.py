"""The listening source's cells of the matrix: what can go wrong with frames nobody asked for."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import can

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.errors import SourceError
from edge_agent.sources.base import Reading
from edge_agent.sources.broadcast import BroadcastSource
from edge_agent.sources.broadcast_dbc import compile_layouts
from edge_agent.sources.broadcast_frames import FrameFilter, Frames, PythonCanFrames
from edge_agent.sources.broadcast_listener import SignalListener
from edge_agent.sources.broadcast_mapping import CanMapping
from tests.unit.edge_agent.broadcast_support import COOLANT, RPM, SPEED, engine, speed, write_dbc

LISTENING: Final = "CAN, listening"
TRUTH: Final = {SPEED: 42.0, RPM: 1500.0, COOLANT: 90.0}
UNPLUGGED: Final = "unplugged and plugged in"
_FRAMES: Final = ((0x0B4, speed(42.0)), (0x100, engine(1500, 90)))
_PERIOD_S: Final = 0.02  # of the frames
_NOTICED_AFTER: Final = 5  # polls without one value of the car
_POLLS: Final = 100
_channels = itertools.count()

Spoil = Callable[[int, bytes], can.Message | None]


def _frame(identifier: int, data: bytes) -> can.Message:
    return can.Message(arbitration_id=identifier, data=data, is_extended_id=False)


SPOILT: Final[dict[str, Spoil]] = {
    "ignition off and on": lambda _identifier, _data: None,
    "truncated frames": lambda identifier, data: _frame(identifier, data[:1]),
    "empty frames": lambda identifier, _data: _frame(identifier, b""),
    "wrong ECU speaks": lambda identifier, data: _frame(identifier + 1, data[::-1]),
    "the same number as an extended identifier": lambda identifier, data: can.Message(
        arbitration_id=identifier, data=data[::-1], is_extended_id=True
    ),
    "remote frames": lambda identifier, _data: can.Message(
        arbitration_id=identifier, is_remote_frame=True, dlc=8, is_extended_id=False
    ),
    "error frames": lambda identifier, data: can.Message(arbitration_id=identifier, data=data, is_error_frame=True),
    "no value yet: all ones": lambda identifier, data: _frame(identifier, b"\xff\xff" + data[2:]),
}
LISTENING_CELLS: Final = tuple((LISTENING, name) for name in (UNPLUGGED, *SPOILT))


class ListeningCell:
    """One source and a car that broadcasts; see :func:`tests.integration.disturbance_matrix.run_cell`."""

    def __init__(self, folder: Path) -> None:
        self.bogus: list[str] = []
        self.noticed = ""
        self.longest_poll_s = 0.0
        number = next(_channels)
        (folder / f"listening-{number}").mkdir()
        self._bus = CanBusConfig(interface="virtual", channel=f"listening-{number}")
        self._opened: list[can.BusABC] = []
        mappings = [
            CanMapping(message="SPEED", signal="SPEED", path=SPEED),
            CanMapping(message="ENGINE", signal="RPM", path=RPM),
            CanMapping(message="ENGINE", signal="COOLANT", path=COOLANT),
        ]
        layouts = compile_layouts(write_dbc(folder / f"listening-{number}"), mappings)
        listener = SignalListener(layouts, period_s=0.1)
        self._source = BroadcastSource(self._bus, (listener,), open_frames=self._open)
        self._spoil: Spoil = _frame
        self._is_open = False

    def run(self, disturbance: str) -> float:
        """Listen, disturb, watch, end it, listen again; seconds it took to hear everything again."""
        with self._car():
            self._until_whole()
            if disturbance == UNPLUGGED:
                self._opened[-1].shutdown()
            else:
                self._spoil = SPOILT[disturbance]
            self._until_noticed()
            self._spoil = _frame
            began = time.monotonic()
            self._until_whole()
            took_s = time.monotonic() - began
        self._source.close()
        return took_s

    def _open(self, config: CanBusConfig, filters: tuple[FrameFilter, ...]) -> Frames:
        self._opened.append(open_can_bus(config))
        return PythonCanFrames(self._opened[-1], filters, name=config.name)

    @contextmanager
    def _car(self) -> Iterator[None]:
        stop = threading.Event()

        def drive() -> None:
            with open_can_bus(self._bus) as bus:
                while not stop.wait(_PERIOD_S):
                    for identifier, data in _FRAMES:
                        message = self._spoil(identifier, data)
                        if message is not None:
                            bus.send(message)

        thread = threading.Thread(target=drive, name="broadcasting-car")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _until_whole(self) -> None:
        heard: set[str] = set()
        while heard != TRUTH.keys():
            heard |= self._poll().values.keys()

    def _until_noticed(self) -> None:
        without = 0
        for _ in range(_POLLS):
            reading = self._poll()
            without = 0 if reading.values else without + 1
            if self.noticed or reading.faults or without >= _NOTICED_AFTER:
                self.noticed = self.noticed or next((f.reason for f in reading.faults), "nothing of it is heard")
                return

    def _poll(self) -> Reading:
        began = time.monotonic()
        reading: Reading | None = Reading()
        try:
            if not self._is_open:
                self._source.open()
                self._is_open = True
            reading = self._source.poll()
        except SourceError as error:
            self._source.close()
            self._is_open = False
            self.noticed = self.noticed or str(error)
        self.longest_poll_s = max(self.longest_poll_s, time.monotonic() - began)
        assert reading is not None
        self.bogus += [f"{path} = {value}" for path, value in reading.values.items() if value != TRUTH[path]]
        return reading
