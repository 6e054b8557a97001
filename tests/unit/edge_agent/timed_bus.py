"""A CAN bus with a time of its own, which passes only while the tester waits and no ECU has anything to say.

ECUs take their turn whenever the tester looks for frames, in its thread: no answer is late because the machine is busy,
and silence takes no time.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

import can
import pytest
from can.interfaces.virtual import VirtualBus

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.isotp_link import IsoTpLink
from edge_agent.sources.obd import ObdConfig
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.can import FUNCTIONAL_11_BIT, CanTester
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.disturb import Disturbances
from edge_agent.virtual_car.garage import CarOnBus
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.responder import Responder
from edge_agent.virtual_car.wire import Wire
from tests.unit.edge_agent.obd_support import VIN, Answer, Clock, Reader

_STEP_S = 0.005  # of time that passes between two turns of the ECUs
_channels = count()


class TimedBus:
    """``clock``: its time in seconds; a test that moves it on moves the ECUs on too.

    ``wire``: where frames travel; None for one of python-can's virtual buses.
    """

    def __init__(self, clock: Clock | None = None, *, wire: Wire | None = None) -> None:
        self.config = CanBusConfig(interface="virtual", channel=f"timed-{next(_channels)}")
        self.clock = clock if clock is not None else Clock()
        self._wire = wire
        self._turns: list[Callable[[], None]] = []
        self._later: list[tuple[float, can.Message]] = []

    def sleep(self, seconds: float) -> None:
        """Let that much of its time pass."""
        self.clock.now += seconds

    def live(self, seconds: float) -> None:
        """Let so much time pass for the ECUs while nobody asks them anything."""
        ends = self.clock.now + seconds
        while self.clock.now < ends:
            self.clock.now = min(ends, self.clock.now + _STEP_S)
            self.turn()

    def node(self) -> can.BusABC:
        """Somebody who hears and speaks beside tester and ECUs."""
        return VirtualBus(channel=self.config.channel) if self._wire is None else self._wire.open(self.config)

    def open(self, config: CanBusConfig) -> can.BusABC:
        """The node of a tester, as that configuration has it: waiting there lets the ECUs take their turn."""
        return self.timed(self.node() if self._wire is None else self._wire.open(config))

    def timed(self, node: can.BusABC) -> can.BusABC:
        """That node, however it is connected, with the time of this bus."""
        return _TesterNode(self, node)

    def tester(
        self,
        addresses: Iterable[IsoTpAddress],
        *,
        timeout_s: float = 0.2,
        functional_id: int | None = FUNCTIONAL_11_BIT,
    ) -> CanTester:
        """A tester that lives by the time of this bus."""
        return CanTester.open(
            self.config,
            addresses,
            functional_id=functional_id,
            timeout_s=timeout_s,
            stmin_ms=0,  # this pause would be one of the machine's time
            open_bus=self.open,
            clock=self.clock,
        )

    def send_later(self, after_s: float, message: can.Message) -> None:
        """Let a frame come by itself."""
        self._later.append((self.clock.now + after_s, message))

    def turn(self) -> None:
        """Let the ECUs do what there is to do now."""
        due = [item for item in self._later if item[0] <= self.clock.now]
        for item in due:
            self._later.remove(item)
            with self.node() as node:
                node.send(item[1])
        for turn in tuple(self._turns):
            turn()

    def times_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every tester on any bus, whoever opens it, live by this time."""
        opened = partial(CanTester.open, stmin_ms=0, open_bus=self.really_opened, clock=self.clock)
        monkeypatch.setattr(CanTester, "open", opened)

    def really_opened(self, config: CanBusConfig) -> can.BusABC:
        """The bus or adapter of any configuration, with the time of this bus."""
        return self.timed(open_can_bus(config))

    @contextmanager
    def car(
        self,
        *,
        disturbances: Disturbances | None = None,
        control: Callable[[LiveCar], None] = lambda _car: None,
        **changes: object,
    ) -> Iterator[None]:
        """A virtual car on the bus; ``control`` may change it at each of its turns."""
        config = VirtualCarConfig.from_dict({"name": "test", "vin": VIN} | changes)
        car = LiveCar(config, now=datetime(2026, 6, 1, tzinfo=UTC))
        lived_until = self.clock.now
        with self.node() as node:
            on_bus = CarOnBus(node, Responder(car, disturbances), clock=self.clock)

            def turn() -> None:
                nonlocal lived_until
                car.advance(self.clock.now - lived_until)
                lived_until = self.clock.now
                control(car)
                on_bus.serve(0)

            with self.taking_turns(turn):
                yield

    @contextmanager
    def ecus(self, answers: dict[int, Answer]) -> Iterator[None]:
        """ECUs by response identifier that answer every request with what the script says."""
        addresses = {rx: IsoTpAddress(transmit_id=rx, receive_id=rx - 8) for rx in answers}
        functional = IsoTpAddress(transmit_id=min(answers), receive_id=FUNCTIONAL_11_BIT)
        with self.node() as node:
            link = IsoTpLink(node, (*addresses.values(), functional))

            def turn() -> None:
                for address, request in link.pump(0):
                    for rx, answer in answers.items():
                        payload = answer(request) if address in {functional, addresses[rx]} else None
                        if payload is not None:
                            link.send(addresses[rx], payload)

            with self.taking_turns(turn):
                yield

    @contextmanager
    def chatter(self) -> Iterator[None]:
        """A frame of the car itself every few milliseconds, as in cars without a gateway."""
        said_at = self.clock.now
        with self.node() as node:

            def turn() -> None:
                nonlocal said_at
                if self.clock.now > said_at:
                    said_at = self.clock.now
                    node.send(can.Message(arbitration_id=0x0B4, data=bytes(8), is_extended_id=False))

            with self.taking_turns(turn):
                yield

    @contextmanager
    def taking_turns(self, turn: Callable[[], None]) -> Iterator[None]:
        """Let somebody else take turns with the ECUs."""
        self._turns.append(turn)
        try:
            yield
        finally:
            self._turns.remove(turn)


class _TesterNode(can.BusABC):
    """Whoever looks for frames here lets the ECUs take their turn, and then time pass."""

    def __init__(self, timed: TimedBus, node: can.BusABC) -> None:
        self._timed = timed
        self._node = node
        super().__init__(channel=timed.config.channel)

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Say it to all others."""
        self._node.send(msg, timeout)

    def recv(self, timeout: float | None = None) -> can.Message | None:
        """A frame that passes the filters; None once that much of the bus's time is over."""
        assert timeout is not None, "this would never return"
        clock = self._timed.clock
        ends = clock.now + timeout
        while True:
            self._timed.turn()
            while (message := self._node.recv(0)) is not None:
                if message.is_error_frame or self._matches_filters(message):
                    return message
            if clock.now >= ends:
                return None
            clock.now = min(ends, clock.now + _STEP_S)

    def _apply_filters(self, filters: Any) -> None:
        """They are looked at above."""

    def shutdown(self) -> None:
        """Leave the bus."""
        super().shutdown()
        self._node.shutdown()


def reads(
    bus: TimedBus, *, timeout_s: float = 0.2, functional_id: int | None = FUNCTIONAL_11_BIT, **changes: Any
) -> Reader:
    """How a car on that bus is read; ``changes`` are fields of ObdConfig."""
    config = ObdConfig(**changes)
    return Reader(
        config=config,
        connect=lambda: bus.tester(config.addresses, timeout_s=timeout_s, functional_id=functional_id),
    )
