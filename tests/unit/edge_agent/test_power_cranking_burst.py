"""The voltage while cranking: caught at 100 Hz, thinned, in time order before later readings, and of use to health."""

import logging
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.outbox import Outbox
from edge_agent.power.cranking_burst import BurstAllowance, BurstDetector, BurstSample, CrankingBurst
from edge_agent.power.keeper import LOW_VOLTAGE, PowerKeeper
from edge_agent.power.records import Seen
from edge_agent.power.settings import PowerSettings
from edge_agent.power.watch import FileVoltmeter
from edge_agent.recorder import Recorder
from edge_agent.sources.base import Reading
from edge_agent.testing import FakeClock
from health import signals
from health.low_voltage_battery import LowVoltageBattery


def cranking(hertz: float = 100.0, held: float = 10.2, seconds: float = 4.0) -> list[BurstSample]:
    """At rest for half a second, inrush, 0.7 s of cranking with the ripple of the pistons, the alternator."""
    samples = []
    for index in range(int(seconds * hertz)):
        at = index / hertz
        ripple = 0.2 * ((index * 7) % 13 / 13 - 0.5)
        volts = 12.6 if at < 0.5 else 8.4 if at < 0.54 else held + ripple if at < 1.2 else 12.4 + 0.3 * at
        samples.append(BurstSample(seconds=at, volts=volts))
    return samples


def caught(samples: list[BurstSample]) -> list[tuple[BurstSample, ...]]:
    detector = BurstDetector()
    return [burst for sample in samples if (burst := detector.add(sample)) is not None]


def test_a_burst_holds_what_was_before_the_dip_and_what_came_after() -> None:
    (burst,) = caught(cranking())
    assert len(burst) <= 110
    assert burst[0].volts == 12.6
    assert burst[-1].volts > 13
    dense = [later.seconds - earlier.seconds for earlier, later in pairwise(burst) if later.seconds < 1.6]
    assert max(dense) <= 0.0201  # 50 Hz
    assert min(entry.volts for entry in burst) == 8.4


def test_small_loads_and_a_battery_at_rest_give_none() -> None:
    doors = [BurstSample(seconds=index / 100, volts=12.6 if index % 300 < 150 else 12.2) for index in range(3000)]
    assert caught(doors) == []


def test_two_tries_give_two_bursts() -> None:
    first = cranking()
    second = [BurstSample(seconds=entry.seconds + 5, volts=entry.volts) for entry in cranking()]
    assert len(caught([*first, *second])) == 2


class Adc:
    """A converter's file, as the industrial I/O subsystem has it, and the time that passes between its readings."""

    def __init__(self, path: Path, samples: list[BurstSample]) -> None:
        self._path = path
        self._samples = iter(samples)
        self._meter = FileVoltmeter(path=path, scale=0.001)
        self.seconds = 0.0
        self.over = threading.Event()

    def read(self) -> float | None:
        sample = next(self._samples, None)
        if sample is None:
            self.over.set()
            return None
        self.seconds = sample.seconds
        self._path.write_text(f"{round(sample.volts * 1000)}\n", encoding="ascii")
        return self._meter.read()


def run(adc: Adc) -> tuple[tuple[float, float], ...]:
    """Arm, let the thread read all there is, take what was caught."""
    watch = CrankingBurst(adc.read, monotonic=lambda: adc.seconds, wait=lambda _: None)
    watch.arm()
    try:
        assert adc.over.wait(30)
        return watch.take()
    finally:
        watch.close()


def test_a_converter_s_file_is_read_while_armed(tmp_path: Path) -> None:
    burst = run(Adc(tmp_path / "in_voltage0_raw", cranking()))
    ages = [age for age, _ in burst]
    assert ages == sorted(ages, reverse=True)
    assert 3.0 < ages[0] < 4.0
    assert min(volts for _, volts in burst) == pytest.approx(8.4)


def test_a_file_that_holds_its_value_is_not_fast(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stale = [
        BurstSample(seconds=entry.seconds, volts=12.6 if entry.seconds < 1 else 9.9 if entry.seconds < 2 else 13.9)
        for entry in cranking(seconds=6)
    ]
    with caplog.at_level(logging.WARNING):
        assert run(Adc(tmp_path / "in_voltage0_raw", stale)) == ()
    assert "too slow to show how the engine is cranked" in caplog.text


def test_loads_without_an_engine_after_them_are_caught_a_few_times_and_then_hourly() -> None:
    allowance = BurstAllowance()
    found = []
    for second in range(0, 86_400, 5):
        if allowance.left(second):
            allowance.spend()
            found.append(second)
    assert found[:4] == [0, 5, 10, 15]
    assert 4 + 22 <= len(found) <= 4 + 24
    assert not allowance.left(86_400)
    allowance.renew()
    assert allowance.left(86_400)


def test_a_car_s_pump_is_not_watched_for_ever(tmp_path: Path) -> None:
    again = [
        BurstSample(seconds=entry.seconds + 4 * turn, volts=entry.volts) for turn in range(20) for entry in cranking()
    ]
    adc = Adc(tmp_path / "in_voltage0_raw", again)

    def wait(seconds: float) -> None:
        if seconds >= 1:
            adc.over.set()

    watch = CrankingBurst(adc.read, monotonic=lambda: adc.seconds, wait=wait)
    watch.arm()
    assert adc.over.wait(30)
    watch.close()
    assert 3 * 4 < adc.seconds < 5 * 4  # four bursts, and then nothing is read for long


def test_nothing_is_read_while_the_engine_runs() -> None:
    reads: list[float] = []

    def read() -> float:
        reads.append(0.0)
        return 14.1

    watch = CrankingBurst(read, wait=lambda _: None)
    watch.disarm()
    assert watch.take() == ()
    watch.close()
    assert reads == []


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with Outbox.open(":memory:", device="car-1", max_bytes=10_000_000) as opened:
        yield opened


class Caught:
    """A burst watch in the test's hands."""

    def __init__(self) -> None:
        self.armed = False
        self.closed = False
        self.burst: tuple[tuple[float, float], ...] = ()

    def arm(self) -> None:
        self.armed = True

    def disarm(self) -> None:
        self.armed = False

    def take(self) -> tuple[tuple[float, float], ...]:
        burst, self.burst = self.burst, ()
        return burst

    def close(self) -> None:
        self.closed = True


class Still:
    """A watch that sees a quiet car."""

    def glance(self) -> Seen:
        return Seen(voltage=12.6)

    def look(self, timeout_s: float) -> Seen:
        assert timeout_s > 0
        return Seen(frames=0, voltage=12.6)

    def close(self) -> None:
        pass


class Never:
    def cut(self, wake_in_s: float | None) -> bool:
        raise AssertionError(wake_in_s)


def test_the_keeper_watches_while_the_engine_stands(outbox: Outbox) -> None:
    burst = Caught()
    keeper = PowerKeeper(
        settings=PowerSettings(governed=False),
        watch=Still(),
        controller=Never(),
        outbox=outbox,
        clock=FakeClock(),
        cranking=burst,
    )
    rpm = signals.ENGINE_SPEED.path
    for speed, armed in ((0.0, True), (900.0, False), (0.0, True)):
        keeper.heard(Reading(values={rpm: speed}))
        assert burst.armed is armed
    keeper.heard(Reading(values={signals.SPEED.path: 50.0}))
    assert not burst.armed  # an electric car tells no engine speed
    keeper.heard(Reading(values={rpm: 0.0}))
    burst.burst = ((1.5, 12.6), (1.48, 9.1))
    assert [(reading.age_s, reading.values) for reading in keeper.burst()] == [
        (1.5, {LOW_VOLTAGE: 12.6}),
        (1.48, {LOW_VOLTAGE: 9.1}),
    ]
    assert keeper.burst() == ()
    keeper.close()
    assert burst.closed


def test_a_burst_becomes_health_by_the_way_of_the_outbox(outbox: Outbox) -> None:
    clock, battery = FakeClock(), LowVoltageBattery()
    config = AgentConfig(device="car-1", source=SourceConfig(kind="obd_can"), outbox_path=Path("unused"))
    recorder = Recorder(config=config, estimators=[battery], outbox=outbox, clock=clock)
    rpm = signals.ENGINE_SPEED.path
    recorder.accept(Reading(values={rpm: 0.0, LOW_VOLTAGE: 12.62}))
    clock.advance(5)
    (burst,) = caught(cranking())
    for entry in burst:
        recorder.accept(Reading(values={LOW_VOLTAGE: entry.volts}, age_s=burst[-1].seconds - entry.seconds))
    clock.advance(1)
    recorder.accept(Reading(values={rpm: 850.0, LOW_VOLTAGE: 13.9}))
    assert battery.last_start is not None
    assert battery.last_start.cranking_v == pytest.approx(10.2, abs=0.1)
    (estimate,) = battery.estimates(clock.now())
    assert estimate.method == "low_voltage_battery_rest+cranking/2"
    times = [entry.sample.time for entry in outbox.pending_samples()]
    assert times == sorted(set(times))


def test_a_burst_never_overtakes_what_was_read_before(outbox: Outbox) -> None:
    clock = FakeClock()
    config = AgentConfig(device="car-1", source=SourceConfig(kind="obd_can"), outbox_path=Path("unused"))
    recorder = Recorder(config=config, estimators=[], outbox=outbox, clock=clock)
    recorder.accept(Reading(values={LOW_VOLTAGE: 12.6}))
    for age in (2.0, 1.98, 1.96):
        recorder.accept(Reading(values={LOW_VOLTAGE: 10.0}, age_s=age))
    recorder.flush()
    samples = [entry.sample for entry in outbox.pending_samples()]
    assert [sample.time for sample in samples] == sorted({sample.time for sample in samples})
    assert [sample.monotonic_ms for sample in samples] == sorted({sample.monotonic_ms for sample in samples})


def test_a_converter_that_fails_in_the_middle_keeps_nobody_waiting(tmp_path: Path) -> None:
    assert run(Adc(tmp_path / "in_voltage0_raw", cranking(seconds=1.0))) == ()
