"""One adapter for several readers: filters, bounds, one end for all, and a car that is asked and heard through it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import can
import pytest

from edge_agent import build_broadcast
from edge_agent.build import build_source
from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.config import load_config
from edge_agent.shared_bus import share, view_of
from edge_agent.sources.broadcast import ListeningSource
from firmware_profiles.loader import load_vehicle_profile
from tests.unit.edge_agent.broadcast_support import SPEED, speed, write_dbc

CONFIG = CanBusConfig(interface="virtual", channel="shared")
BESIDE = """
device: car-1
vehicle_profile: generic
outbox: {path: state/outbox.sqlite}
source:
  kind: obd_can
  interface: virtual
  channel: shared
  broadcast: {dbc: car.dbc, period: 100ms, signals: [{message: SPEED, signal: SPEED, path: Vehicle.Speed}]}
"""


def message(identifier: int, data: bytes = b"\x01") -> can.Message:
    return can.Message(arbitration_id=identifier, data=data, is_extended_id=False)


@pytest.fixture
def car() -> Iterator[can.BusABC]:
    with can.Bus(interface="virtual", channel="shared") as bus:
        yield bus


def test_each_view_gets_what_its_filters_want_and_all_send_through_one(car: can.BusABC) -> None:
    first = share(CONFIG.name, open_can_bus(CONFIG))
    first.set_filters([{"can_id": 0x0B4, "can_mask": 0x7FF, "extended": False}])
    second = open_can_bus(CONFIG)
    assert second is not first
    second.set_filters([{"can_id": 0x7E8, "can_mask": 0x7FF}])
    for identifier in (0x0B4, 0x7E8, 0x123):
        car.send(message(identifier))
    heard = [bus.recv(5.0) for bus in (first, second)]
    assert [each.arbitration_id for each in heard if each is not None] == [0x0B4, 0x7E8]
    assert first.recv(0) is None
    second.send(message(0x7DF))
    asked = car.recv(5.0)
    assert asked is not None
    assert asked.arbitration_id == 0x7DF
    first.shutdown()
    first.shutdown()
    car.send(message(0x7E8))
    assert second.recv(60.0) is not None  # the adapter stays open for those that are left
    second.shutdown()
    assert view_of(CONFIG.name) is None


class Adapter(can.BusABC):
    """An adapter that gives what a test puts in, and breaks when told to."""

    def __init__(self) -> None:
        self.channel_info = "adapter"
        self.frames: list[can.Message] = []
        self.error: Exception | None = None
        self.waited = threading.Semaphore(0)
        self.closed = threading.Event()
        super().__init__(channel=0)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if self.frames:
            return self.frames.pop(0), False
        self.waited.release()
        if self.error is not None:
            raise self.error
        threading.Event().wait(min(0.001, timeout or 0.0))
        return None, False

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Goes nowhere."""

    def shutdown(self) -> None:
        super().shutdown()
        self.closed.set()


def test_an_inbox_that_nobody_empties_keeps_the_newest() -> None:
    adapter = Adapter()
    adapter.frames = [message(number % 0x7FF, number.to_bytes(2, "big")) for number in range(1500)]
    view = share("full", adapter)
    assert adapter.waited.acquire(timeout=30)
    oldest = view.recv(0)
    assert oldest is not None
    assert int.from_bytes(oldest.data, "big") == 500
    view.shutdown()
    assert adapter.closed.is_set()
    assert view_of("full") is None


@pytest.mark.parametrize("error", [can.CanOperationError("unplugged"), RuntimeError("a bug")])
def test_an_adapter_that_breaks_is_broken_for_all(error: Exception) -> None:
    adapter = Adapter()
    first = share("broken", adapter)
    second = view_of("broken")
    assert second is not None
    adapter.frames = [message(1)]
    adapter.error = error
    for view in (first, second):
        got = view.recv(60.0)
        assert got is not None  # what came before is not lost
        with pytest.raises(type(error), match=str(error)):
            view.recv(60.0)
        with pytest.raises(type(error), match=str(error)):
            view.recv(0)
        view.shutdown()
    assert adapter.closed.is_set()


def test_a_car_is_asked_and_heard_through_an_adapter_that_opens_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, car: can.BusABC
) -> None:
    """The virtual bus in the place of a serial adapter: how often it is opened is counted."""
    opened: list[str] = []
    really_open = can.Bus

    def count(*args: object, **options: object) -> can.BusABC:
        opened.append(str(options["channel"]))
        return really_open(*args, **options)  # type: ignore[arg-type]  # the interface's own options

    monkeypatch.setattr(build_broadcast, "_OPENED_BY_MANY", ())
    monkeypatch.setattr(can, "Bus", count)
    write_dbc(tmp_path)
    (tmp_path / "agent.yaml").write_text(BESIDE, encoding="utf-8")
    source = build_source(load_config(tmp_path / "agent.yaml", {}), load_vehicle_profile("generic"))
    assert isinstance(source, ListeningSource)
    asked = threading.Event()
    stop = threading.Event()

    def talk() -> None:
        while not stop.is_set():
            car.send(message(180, speed(72)))
            request = car.recv(0.005)
            if request is not None and request.arbitration_id == 0x7DF:
                asked.set()

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        for _ in range(2):  # and once more after it was closed
            source.open()
            values: dict[str, float] = {}
            for _ in range(3000):
                reading = source.poll()
                assert reading is not None
                values.update(reading.values)
                if SPEED in values:
                    break
            assert values == {SPEED: 72.0}
            source.close()
            assert view_of(CONFIG.name) is None
        assert asked.wait(60)  # the car hears it later than the source heard the car
    finally:
        stop.set()
        thread.join()
        source.close()
    assert opened == ["shared", "shared"]
