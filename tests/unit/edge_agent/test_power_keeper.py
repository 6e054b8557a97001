"""The keeper between governor and agent: what readings tell, what is kept, when the power is cut, what people see."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from edge_agent.config import load_config
from edge_agent.outbox import Outbox
from edge_agent.power.config import PowerConfig
from edge_agent.power.keeper import LOW_VOLTAGE, PowerKeeper
from edge_agent.power.memory import STATE_NAME
from edge_agent.power.records import PowerState, Seen
from edge_agent.power.report import power_report, read_memory
from edge_agent.power.settings import PowerSettings
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.testing import FakeClock
from wearcast.cli import app

SETTINGS = PowerSettings(off_when="asleep", awake_ma=165.0, idle_ma=1.0, off_ma=2.0)
RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
CURRENT = "Vehicle.Powertrain.TractionBattery.CurrentCurrent"
RUNNING = Reading(values={RPM: 800.0, LOW_VOLTAGE: 14.1})
SILENT = Reading(faults=(ReadFault(request="service 01 PID 0C", reason="no answer in 200 ms"),))


class FakeWatch:
    """Sees what it is told."""

    def __init__(self) -> None:
        self.seen = Seen(frames=0, voltage=12.65)
        self.closed = 0

    def glance(self) -> Seen:
        return Seen(ignition=self.seen.ignition)

    def look(self, timeout_s: float) -> Seen:
        assert timeout_s > 0
        return self.seen

    def close(self) -> None:
        self.closed += 1


class FakeController:
    """Cuts nothing, and says what it was told."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.cuts: list[float | None] = []

    def cut(self, wake_in_s: float | None) -> bool:
        self.cuts.append(wake_in_s)
        return self.works


class Bench:
    def __init__(self, outbox: Outbox, settings: PowerSettings = SETTINGS, *, controller_works: bool = True) -> None:
        self.outbox = outbox
        self.clock = FakeClock()
        self.watch = FakeWatch()
        self.controller = FakeController(works=controller_works)
        self.settings = settings
        self.keeper = self.start()

    def state(self) -> PowerState:
        return self.keeper._decision.state

    def start(self) -> PowerKeeper:
        return PowerKeeper(
            settings=self.settings,
            watch=self.watch,
            controller=self.controller,
            outbox=self.outbox,
            clock=self.clock,
        )

    def hear(self, reading: Reading | None, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.keeper.heard(reading)

    def rest(self, seconds: int, step: float = 1.0) -> list[Reading]:
        readings = []
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            readings.append(self.keeper.rest(step))
        return [reading for reading in readings if reading is not None]


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with Outbox.open(":memory:", device="car-1", max_bytes=10_000_000) as opened:
        yield opened


def asleep(bench: Bench) -> Bench:
    bench.hear(RUNNING, 1200)
    bench.hear(SILENT, 7)
    assert not bench.keeper.talks
    bench.rest(200)
    assert not bench.keeper.sends
    return bench


def test_readings_tell_that_the_car_is_driven_charged_or_silent(outbox: Outbox) -> None:
    bench = Bench(outbox)
    bench.hear(RUNNING)
    assert bench.state() is PowerState.DRIVING
    bench.hear(Reading(values={CURRENT: 20.0, "Vehicle.Speed": 0.0}))
    assert bench.state() is PowerState.CHARGING
    bench.hear(Reading(values={CURRENT: 60.0, "Vehicle.Speed": 50.0}))  # braking charges too
    assert bench.state() is PowerState.DRIVING
    bench.hear(Reading(), 5)  # nothing was due: that says nothing
    assert bench.state() is PowerState.DRIVING
    bench.hear(SILENT, 7)
    assert bench.state() is PowerState.PARKED


def test_a_source_that_is_gone_is_no_car_that_drives(outbox: Outbox) -> None:
    bench = Bench(outbox)
    bench.hear(RUNNING, 60)
    bench.hear(None, 200)  # the last voltage counts for two minutes
    assert not bench.keeper.talks


def test_states_survive_a_restart_and_the_watch_lets_go_before_a_source_opens(outbox: Outbox) -> None:
    bench = asleep(Bench(outbox))
    closed = bench.watch.closed
    bench.watch.seen = Seen(frames=0, voltage=14.0)
    bench.rest(4)
    assert bench.keeper.talks
    assert bench.watch.closed == closed + 1
    bench.hear(RUNNING)
    again = bench.start()
    assert again._decision.state is PowerState.CHECKING  # and not just plugged in


def test_a_state_that_cannot_be_understood_is_told_and_begins_anew(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put_state(STATE_NAME, {"state": "hovering"})
    with caplog.at_level(logging.ERROR):
        assert Bench(outbox).state() is PowerState.SETTLING
    assert "cannot be taken up" in caplog.text


def test_the_power_is_cut_once_and_what_is_known_is_kept_before(outbox: Outbox) -> None:
    bench = asleep(Bench(outbox))
    bench.rest(60)
    assert len(bench.controller.cuts) == 1
    assert bench.controller.cuts[0] == pytest.approx(86_400, rel=0.01)
    kept = outbox.state(STATE_NAME)
    assert isinstance(kept, dict)
    assert kept["cut"] is True


def test_a_command_that_fails_is_tried_again_later_and_no_cut_is_pretended(outbox: Outbox) -> None:
    bench = asleep(Bench(outbox, controller_works=False))
    bench.rest(1300)
    assert 2 <= len(bench.controller.cuts) <= 4
    kept = outbox.state(STATE_NAME)
    assert isinstance(kept, dict)
    assert kept["cut"] is False


def test_a_planned_wake_gives_a_reading_of_the_rested_battery(outbox: Outbox) -> None:
    bench = asleep(Bench(outbox, replace(SETTINGS, off_when="protected")))
    (reading,) = bench.rest(90_000, step=60.0)
    assert reading.values == {LOW_VOLTAGE: 12.65}


def test_the_ledger_is_shown_beside_a_running_agent(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    document = {
        "device": "car-1",
        "hardware_profile": "pi_zero_2w_mcp2515",
        "source": {"kind": "obd_can"},
        "outbox": {"path": "outbox.sqlite"},
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    run = CliRunner().invoke
    with Outbox.open(tmp_path / "outbox.sqlite", device="car-1", max_bytes=10_000_000) as outbox:
        assert "has not run with this power plan yet" in run(app, ["agent", "power", str(path)]).output
        bench = asleep(Bench(outbox))
        bench.keeper.close()
        config = load_config(path, {}).power
        memory = read_memory(tmp_path / "outbox.sqlite")
        assert memory is not None
        report = power_report(config, memory, bench.clock.now())
        assert (report.state, report.mode, report.voltage) == ("asleep", "governed", 12.65)
        assert report.next_wake == pytest.approx(bench.clock.now() + timedelta(days=1), abs=timedelta(minutes=10))
        assert report.days[0].in_use_mah == pytest.approx(165 / 3, rel=0.05)  # 1200 s
        assert report.days[0].parked_mah == pytest.approx(165 * 190 / 3600, rel=0.2)  # sent for three minutes
        shown = run(app, ["agent", "power", str(path)], env={"COLUMNS": "200"}).output
        assert "asleep: all is sent" in shown
        assert "12.65 V" in shown
        assert json.loads(run(app, ["agent", "power", str(path), "--json"]).output)["thresholds"]["off_below_v"] == 12.4


def test_a_car_that_shows_no_sign_of_life_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        "device: car-1\nhardware_profile: pi_4_mcp251xfd\nsource: {kind: obd_can}\noutbox: {path: outbox.sqlite}\n",
        encoding="utf-8",
    )
    with Outbox.open(tmp_path / "outbox.sqlite", device="car-1", max_bytes=10_000_000) as outbox:
        bench = Bench(outbox)
        bench.watch.seen = Seen(frames=0)
        asleep(bench).keeper.close()
    assert "no sign of life" in CliRunner().invoke(app, ["agent", "power", str(path)]).output


def test_without_a_plan_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("device: car-1\nsource: {kind: obd_can}\n", encoding="utf-8")
    assert "No power plan" in CliRunner().invoke(app, ["agent", "power", str(path)]).output
    assert PowerConfig().mode == "off"
