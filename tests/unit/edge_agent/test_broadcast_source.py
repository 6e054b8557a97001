"""The listening source alone and beside one that asks, on python-can's virtual bus, and from a configuration."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import can
import pytest

from edge_agent.build import build_source
from edge_agent.can_bus import CanBusConfig
from edge_agent.config import AgentConfig, load_config
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.sources import broadcast_cache
from edge_agent.sources.base import Reading, ReadsCodesOnDemand
from edge_agent.sources.broadcast import BroadcastSource, ListeningSource, open_frames, open_shared_frames
from edge_agent.sources.broadcast_dbc import compile_layouts
from edge_agent.sources.broadcast_frames import BusActivity, FrameFilter, Heard
from edge_agent.sources.broadcast_layout import EXTENDED
from edge_agent.sources.broadcast_listener import SignalListener
from edge_agent.testing import ScriptedSource
from firmware_profiles.loader import load_vehicle_profile
from tests.unit.edge_agent.broadcast_support import MAPPINGS, RPM, SPEED, engine, speed, write_dbc

BUS = CanBusConfig(interface="virtual", channel="broadcast")
TEXT = """
device: car-1
vehicle_profile: generic
outbox: {path: state/outbox.sqlite}
source:
  kind: broadcast
  interface: virtual
  channel: broadcast
  dbc: car.dbc
  period: 100ms
  signals:
    - {message: SPEED, signal: SPEED, path: Vehicle.Speed}
"""
TRUCK = """
device: truck-1
outbox: {path: state/outbox.sqlite}
source: {kind: broadcast, interface: slcan, channel: /dev/ttyUSB0, j1939: true}
"""
BESIDE = """
device: car-1
vehicle_profile: generic
outbox: {path: state/outbox.sqlite}
source:
  kind: obd_can
  interface: virtual
  channel: broadcast
  broadcast: {dbc: car.dbc, signals: [{message: SPEED, signal: SPEED, path: Vehicle.Speed}]}
"""


def source(folder: Path) -> BroadcastSource:
    return BroadcastSource(BUS, (SignalListener(compile_layouts(write_dbc(folder), MAPPINGS), period_s=0.1),))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be within 30 s"


@contextmanager
def talking_car() -> Iterator[can.BusABC]:
    """A car that says its speed again and again."""
    stop = threading.Event()
    with can.Bus(interface="virtual", channel="broadcast") as car:

        def talk() -> None:
            while not stop.wait(0.005):
                car.send(can.Message(arbitration_id=180, data=speed(72), is_extended_id=False))
                car.send(can.Message(arbitration_id=256, data=engine(900, 90), is_extended_id=False))

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield car
        finally:
            stop.set()
            thread.join()


def test_a_car_is_read_by_listening_and_nothing_is_sent(tmp_path: Path) -> None:
    heard = source(tmp_path)
    with talking_car() as car:
        heard.open()
        found: dict[str, float] = {}

        def poll() -> bool:
            reading = heard.poll()
            assert reading is not None
            assert reading.faults == ()
            found.update(reading.values)
            return {SPEED, RPM} <= found.keys()

        until(poll)
        assert found[SPEED] == 72.0
        assert found[RPM] == 900.0
        assert heard.activity().frames > 0
        assert heard.activity().last_s is not None
        heard.close()
        heard.close()
        assert car.recv(0) is None
    assert heard.activity() == BusActivity()
    with pytest.raises(SourceError, match="is not open"):
        heard.poll()


def test_beside_a_source_that_asks_both_are_one_reading(tmp_path: Path) -> None:
    asked = ScriptedSource(Reading(values={RPM: 1500.0}) for _ in range(10_000))
    both = ListeningSource(asked, source(tmp_path))
    with talking_car():
        both.open()
        assert asked.is_open
        found: dict[str, float] = {}

        def poll() -> bool:
            threading.Event().wait(0.01)  # as a source that asks does
            reading = both.poll()
            assert reading is not None
            assert reading.values[RPM] == 1500.0  # what is read goes before what is heard
            found.update(reading.values)
            return SPEED in found

        until(poll)
        assert found[SPEED] == 72.0
        assert both.activity().frames > 0
    both.close()
    both.close()
    assert not asked.is_open


class QuietFrames:
    """A bus on which others speak, or nobody."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.waiting: Heard = []

    def read(self, seconds: float) -> Heard:
        del seconds
        waiting, self.waiting = self.waiting, []
        return waiting

    def activity(self) -> BusActivity:
        return BusActivity(frames=self.frames)

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize(
    ("frames", "reason"), [(0, "is the ignition on, is the bit rate right"), (70, "70 frames .* DBC that of this car")]
)
def test_a_bus_without_anything_wanted_is_told_once_until_something_comes(
    tmp_path: Path, frames: int, reason: str
) -> None:
    quiet = QuietFrames(frames)
    now = [100.0]
    source = BroadcastSource(
        BUS,
        (SignalListener(compile_layouts(write_dbc(tmp_path), MAPPINGS), period_s=0.1),),
        open_frames=lambda _bus, _filters: quiet,
        clock=lambda: now[0],
    )
    source.open()

    def faults_at(seconds: float) -> list[str]:
        now[0] = seconds
        source.listen(0.001)
        return [f"{fault.request}: {fault.reason}" for fault in source.take().faults]

    assert faults_at(114.9) == []
    (told,) = faults_at(115.0)
    assert re.search(f"^listening to CAN bus virtual:broadcast: .*{reason}", told)
    assert faults_at(300.0) == []
    quiet.waiting = [(180, speed(50))]
    assert faults_at(400.0) == []
    assert faults_at(414.9) == []
    assert len(faults_at(415.0)) == 1
    source.close()


def test_codes_wanted_out_of_turn_are_wanted_of_the_source_that_asks(tmp_path: Path) -> None:
    class OnDemand(ScriptedSource):
        wanted = 0

        def read_codes_soon(self) -> None:
            self.wanted += 1

    asked = OnDemand(())
    both = ListeningSource(asked, source(tmp_path))
    assert isinstance(both, ReadsCodesOnDemand)
    both.read_codes_soon()
    assert asked.wanted == 1
    ListeningSource(ScriptedSource(()), source(tmp_path)).read_codes_soon()


def test_the_end_of_the_source_that_asks_is_the_end_of_both(tmp_path: Path) -> None:
    both = ListeningSource(ScriptedSource(()), source(tmp_path))
    both.open()
    assert both.poll() is None
    both.close()


class BrokenFrames:
    """A bus that is gone at the first look."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, _seconds: float) -> Heard:
        raise self._error

    def activity(self) -> BusActivity:
        return BusActivity()

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize("error", [SourceError("the bus is gone"), RuntimeError("a bug")])
def test_what_goes_wrong_while_listening_is_raised_where_the_agent_polls(tmp_path: Path, error: Exception) -> None:
    frames = BrokenFrames(error)

    def opener(_bus: CanBusConfig, _filters: tuple[FrameFilter, ...]) -> BrokenFrames:
        return frames

    listeners = (SignalListener(compile_layouts(write_dbc(tmp_path), MAPPINGS), period_s=1.0),)
    heard = BroadcastSource(BUS, listeners, open_frames=opener)
    both = ListeningSource(ScriptedSource(Reading() for _ in range(10)), heard)
    both.open()
    assert both._thread is not None
    both._thread.join(60)
    with pytest.raises(type(error), match=str(error)):
        both.poll()
    both.close()


def load(folder: Path, text: str) -> AgentConfig:
    write_dbc(folder)
    (folder / "agent.yaml").write_text(text, encoding="utf-8")
    return load_config(folder / "agent.yaml", {})


def test_a_configuration_makes_the_source_and_keeps_the_compiled_dbc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(tmp_path, TEXT)
    made = build_source(config, None)
    assert isinstance(made, BroadcastSource)
    (kept,) = (tmp_path / "state").glob("broadcast-*.json")

    def never(_request: bytes) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(broadcast_cache, "_compile", never)
    with talking_car():
        again = build_source(config, None)
        again.open()
        until(lambda: bool((reading := again.poll()) and reading.values.get(SPEED) == 72.0))
        again.close()
    kept.write_text("{", encoding="ascii")
    with pytest.raises(AssertionError, match="compiled again"):
        build_source(config, None)


def test_another_dbc_replaces_what_was_kept(tmp_path: Path) -> None:
    config = load(tmp_path, TEXT)
    build_source(config, None)
    (before,) = (tmp_path / "state").glob("broadcast-*.json")
    text = (tmp_path / "car.dbc").read_text(encoding="ascii").replace("0.01", "0.02")
    (tmp_path / "car.dbc").write_text(text, encoding="ascii")
    build_source(config, None)
    (after,) = (tmp_path / "state").glob("broadcast-*.json")
    assert before != after


def test_beside_obd_a_configuration_makes_one_source_of_both(tmp_path: Path) -> None:
    made = build_source(load(tmp_path, BESIDE), load_vehicle_profile("generic"))
    assert isinstance(made, ListeningSource)


@pytest.mark.parametrize("text", [TRUCK, TEXT.replace("period: 100ms", "j1939: true")])
def test_a_heavy_vehicle_is_heard_with_a_dbc_or_without(tmp_path: Path, text: str) -> None:
    made = build_source(load(tmp_path, text), None)
    assert isinstance(made, BroadcastSource)
    assert (made._bus.bitrate, made._bus.listen_only) == ((250_000, True) if text is TRUCK else (None, False))
    assert made._open_frames is (open_shared_frames if text is TRUCK else open_frames)
    eec1 = 0x0CF00400 | EXTENDED
    assert any(each.lets_through(eec1) for each in made._filters)
    assert any(each.lets_through(180) for each in made._filters) == ("dbc" in text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("signal: SPEED,", "signal: SPED,"), "source.dbc: .*has no signal 'SPED'; did you mean 'SPEED'?"),
        (TEXT.replace("message: SPEED", "message: SPED"), "source.dbc: .*has no message 'SPED'; did you mean 'SPEED'?"),
        (TEXT.replace("Vehicle.Speed", "Vehicle.Sped"), "source.dbc: .*did you mean 'Vehicle.Speed'?"),
        (TEXT.replace("car.dbc", "bus.dbc"), "source.dbc: DBC .*bus.dbc cannot be read: No such file"),
        (TEXT.replace("100ms", "0s"), "source.period: is zero"),
        (TEXT.replace("  dbc: car.dbc\n", "").split("  signals")[0], "source.dbc: is missing"),
        (TEXT.replace("period: 100ms", "perod: 100ms"), "source.perod: unknown key; did you mean 'period'?"),
        (TEXT + "  j1939: yes please\n", "source.j1939: 'yes please' is neither true nor false"),
        (TRUCK.replace("slcan,", "slcan, bitrate: auto,"), "source.bitrate: is found by asking, and nobody is asked"),
        (
            BESIDE.replace(": virtual", ": slcan\n  bitrate: auto"),
            "source.bitrate: cannot be looked for while somebody",
        ),
        (BESIDE.replace("{dbc:", "{dcb: x, dbc:"), "source.broadcast.dcb: unknown key; did you mean 'dbc'?"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
        build_source(load(tmp_path, text), load_vehicle_profile("generic"))
