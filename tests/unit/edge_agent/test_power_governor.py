"""The governor step by step: what each sign leads to, and what a restart finds. Time is counted, nothing waits."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.power.governor import Governor
from edge_agent.power.memory import Memory
from edge_agent.power.records import Decision, Moment, PowerState, Seen
from edge_agent.power.settings import PowerSettings
from edge_agent.power.simulation import START

SETTINGS = PowerSettings(off_when="asleep", awake_ma=165.0, idle_ma=165.0, off_ma=2.0)
RUNNING = Seen(engine_speed=850.0, speed=0.0, answered=True, voltage=14.2)
STANDING = Seen(engine_speed=0.0, speed=0.0, answered=True, voltage=12.6)
SILENT = Seen(answered=False)
STILL = Seen(frames=0, voltage=12.65)


class Bench:
    """A governor and its clock."""

    def __init__(self, settings: PowerSettings = SETTINGS, memory: Memory | None = None) -> None:
        self.settings = settings
        self.seconds = 0.0
        self.wall = START
        self.governor = Governor(settings, self.moment(), memory)

    def moment(self) -> Moment:
        return Moment(seconds=self.seconds, wall=self.wall + timedelta(seconds=self.seconds))

    def see(self, seen: Seen, seconds: float = 1.0, *, steps: int = 1) -> Decision:
        decisions = []
        for _ in range(steps):
            self.seconds += seconds
            decisions.append(self.governor.step(self.moment(), seen))
        return decisions[-1]

    @property
    def state(self) -> PowerState:
        return self.governor.memory.state

    def again(self, *, after_s: float = 5.0, wall_jump_s: float = 0.0) -> "Bench":
        """Started again from what was kept, as after a crash or a cut."""
        kept = self.governor.memory.to_json(self.moment().wall)
        fresh = Bench.__new__(Bench)
        fresh.settings, fresh.seconds = self.settings, 0.0
        fresh.wall = self.moment().wall + timedelta(seconds=after_s + wall_jump_s)
        fresh.governor = Governor(self.settings, fresh.moment(), Memory.from_json(kept))
        return fresh


def driven(settings: PowerSettings = SETTINGS, seconds: int = 1200) -> Bench:
    bench = Bench(settings)
    assert bench.see(RUNNING, steps=seconds).state is PowerState.DRIVING
    return bench


def parked(settings: PowerSettings = SETTINGS) -> Bench:
    bench = driven(settings)
    assert bench.see(SILENT, steps=7).state is PowerState.PARKED
    return bench


def asleep(settings: PowerSettings = SETTINGS) -> Bench:
    bench = parked(settings)
    assert bench.see(STILL, steps=200).state is PowerState.ASLEEP
    return bench


# Parking


def test_a_car_that_no_longer_answers_is_parked_within_seconds() -> None:
    bench = driven()
    assert bench.see(SILENT, steps=5).talk
    decision = bench.see(SILENT, steps=2)
    assert (decision.state, decision.talk, decision.send) == (PowerState.PARKED, False, True)


def test_an_engine_that_is_off_at_a_traffic_light_is_not_parked_and_one_that_stays_off_is() -> None:
    bench = driven()
    assert bench.see(STANDING, steps=50).talk
    assert bench.see(RUNNING).state is PowerState.DRIVING
    assert bench.see(STANDING, steps=80).state is PowerState.PARKED


def test_an_ignition_line_that_goes_off_ends_the_talk_at_once() -> None:
    bench = driven()
    assert bench.see(replace(STANDING, ignition=False)).state is PowerState.PARKED


def test_an_electric_car_in_a_traffic_jam_is_read_for_ten_minutes_and_one_that_charges_all_night() -> None:
    ready = Seen(speed=0.0, answered=True, voltage=14.1)
    bench = Bench()
    bench.see(replace(ready, speed=30.0), steps=60)
    assert bench.see(ready, steps=500).talk
    assert bench.see(ready, steps=200).state is PowerState.PARKED
    night = Bench()
    assert night.see(replace(ready, charging=True), seconds=10, steps=3000).state is PowerState.CHARGING
    assert night.see(ready, steps=700).state is PowerState.PARKED


def test_an_electric_car_whose_voltage_nobody_tells_is_not_left_at_a_traffic_light() -> None:
    ready = Seen(speed=0.0, answered=True)
    bench = Bench()
    bench.see(replace(ready, speed=30.0), steps=60)
    assert bench.see(ready, steps=180).talk
    assert bench.see(replace(ready, speed=30.0)).state is PowerState.DRIVING
    assert bench.see(SILENT, steps=7).state is PowerState.PARKED  # its ECUs sleep: it is no traffic light


def test_just_plugged_in_the_car_is_asked_for_ten_minutes_even_if_it_sleeps() -> None:
    bench = Bench()
    assert bench.see(SILENT, steps=590).talk
    assert not bench.see(SILENT, steps=20).talk


def test_parked_it_sends_for_a_while_then_leaves_the_broker_too_and_has_the_power_cut() -> None:
    bench = parked()
    assert bench.see(STILL, steps=170).send
    decision = bench.see(STILL, steps=20)
    assert (decision.state, decision.send, decision.off) == (PowerState.ASLEEP, False, True)
    assert decision.wake_in_s == pytest.approx(86_400, rel=0.01)  # the middle tier: a drive's surface charge looks full


def test_what_waits_in_the_outbox_holds_it_up_but_not_for_ever() -> None:
    bench = parked()
    full = replace(STILL, outbox_empty=False)
    assert bench.see(full, steps=500).state is PowerState.PARKED
    assert bench.see(full, steps=150).state is PowerState.ASLEEP


# Waking


def test_a_voltage_that_comes_with_an_alternator_is_looked_into_after_its_hold() -> None:
    bench = asleep()
    assert not bench.see(replace(STILL, voltage=13.9), steps=3).talk
    assert bench.see(replace(STILL, voltage=13.9)).state is PowerState.CHECKING
    assert bench.see(RUNNING).state is PowerState.DRIVING


def test_a_voltage_that_was_never_low_since_the_drive_is_its_surface_charge() -> None:
    bench = parked()
    high = replace(STILL, voltage=13.35)
    assert bench.see(high, steps=400).state is PowerState.ASLEEP
    assert bench.governor.memory.accounts.day(bench.moment().wall).checks == 0


def test_a_voltage_between_the_thresholds_neither_wakes_nor_flaps() -> None:
    bench = asleep()
    changes = [bench.see(replace(STILL, voltage=13.0 + 0.2 * (n % 2))).changed for n in range(600)]
    assert sum(changes) <= 2  # one rise was looked into, in vain


def test_a_smart_alternator_is_told_by_the_rise() -> None:
    bench = asleep()
    bench.see(replace(STILL, voltage=12.3), steps=10)
    assert bench.see(replace(STILL, voltage=12.75), steps=5).state is PowerState.CHECKING


def test_a_bus_that_talks_is_looked_into_once_until_it_has_been_silent() -> None:
    bench = asleep(replace(SETTINGS, car_awake_ma=100.0))
    talking = replace(STILL, frames=40)
    assert bench.see(talking, steps=3).state is PowerState.CHECKING
    assert bench.see(STANDING, steps=16).state is PowerState.ASLEEP
    assert bench.see(talking, steps=60).state is PowerState.ASLEEP
    bench.see(STILL, steps=10)
    assert bench.see(talking, steps=3).state is PowerState.CHECKING


def test_a_bus_that_talks_on_after_a_check_is_counted_as_woken_by_it() -> None:
    bench = asleep()
    talking = replace(STILL, frames=40)
    bench.see(talking, steps=3)
    bench.see(STANDING, steps=16)
    before = bench.governor.memory.accounts.purse_mah
    bench.see(talking, steps=60)
    assert before - bench.governor.memory.accounts.purse_mah == pytest.approx(3000 / 60, rel=0.1)


def test_an_adapter_that_takes_its_time_to_find_the_car_does_not_miss_the_drive() -> None:
    bench = asleep()
    bench.see(replace(STILL, voltage=13.9), steps=4)
    assert bench.see(Seen(), seconds=30).state is PowerState.CHECKING  # opening it blocked
    assert bench.see(RUNNING).state is PowerState.DRIVING
    gone = asleep()
    gone.see(replace(STILL, voltage=13.9), steps=4)
    assert gone.see(Seen(), steps=50).state is PowerState.ASLEEP  # no adapter at all


def test_a_voltage_that_stays_high_is_looked_into_again_after_ten_minutes() -> None:
    bench = asleep()
    high = replace(STILL, voltage=13.9)
    bench.see(high, steps=4)
    assert bench.see(STANDING, steps=16).state is PowerState.ASLEEP
    assert bench.see(high, steps=590).state is PowerState.ASLEEP
    assert bench.see(high, steps=20).state is PowerState.CHECKING


def test_a_stray_frame_wakes_nobody() -> None:
    bench = asleep()
    assert bench.see(replace(STILL, frames=1), steps=30).state is PowerState.ASLEEP


def test_the_ignition_line_needs_no_check_and_one_that_is_stuck_is_not_believed() -> None:
    bench = asleep()
    on = replace(STILL, ignition=True)
    assert bench.see(on).state is PowerState.DRIVING
    assert bench.see(replace(STANDING, ignition=True), steps=700).state is PowerState.PARKED
    assert bench.see(on, steps=300).state is PowerState.ASLEEP
    bench.see(replace(STILL, ignition=False))
    assert bench.see(on).state is PowerState.DRIVING


@pytest.mark.parametrize("cut", [False, True], ids=["powered", "cut"])
@pytest.mark.parametrize("hours", [12, 80], ids=["allowance", "blind"])
def test_a_drive_that_only_the_ignition_line_tells_of_is_read_after_a_long_parking(hours: int, cut: bool) -> None:
    plan = replace(SETTINGS, off_when="protected", idle_ma=285.0 if hours == 12 else 1.0)
    bench = driven(plan)
    bench.see(Seen(answered=False, ignition=False), steps=7)
    assert bench.see(Seen(ignition=False), seconds=60, steps=hours * 60).state is PowerState.PROTECTED
    if cut:
        bench.governor.was_cut()
        bench = bench.again(after_s=3600)
    assert bench.see(Seen(ignition=True)).talk
    assert bench.see(replace(RUNNING, voltage=None, ignition=True), steps=60).state is PowerState.DRIVING


def test_a_line_that_flaps_in_a_car_long_parked_is_believed_three_times_and_an_empty_battery_never() -> None:
    bench = driven(replace(SETTINGS, off_when="protected", idle_ma=285.0))
    bench.see(Seen(answered=False, ignition=False), steps=7)
    bench.see(Seen(ignition=False), seconds=60, steps=12 * 60)
    talks = 0
    for _ in range(20):
        talks += bench.see(Seen(ignition=True)).talk
        bench = bench.again()
        bench.see(Seen(ignition=False, answered=False), steps=60)
    assert talks == 3
    empty = asleep()
    empty.see(replace(STILL, voltage=12.0), steps=200)
    assert not empty.see(replace(STILL, voltage=12.0, ignition=True), steps=60).talk


# The budget


def test_below_the_threshold_it_stays_off_until_the_battery_is_charged() -> None:
    bench = asleep()
    low = replace(STILL, voltage=SETTINGS.off_below_v - 0.01)
    assert bench.see(low, steps=100).state is PowerState.ASLEEP  # a starter's dip, a light left on for a moment
    decision = bench.see(low, steps=30)
    assert (decision.state, decision.wake_in_s, decision.off) == (PowerState.PROTECTED, None, True)
    assert bench.see(replace(STILL, voltage=12.9, frames=50), steps=3000).state is PowerState.PROTECTED
    assert bench.see(replace(STILL, voltage=13.6), steps=5).state is PowerState.CHECKING
    assert bench.see(RUNNING).state is PowerState.DRIVING


def test_a_battery_nobody_measures_is_believed_to_be_well_for_three_days() -> None:
    bench = asleep(replace(SETTINGS, off_when="protected", idle_ma=1.0))
    blind = Seen(frames=0)
    assert bench.see(blind, seconds=60, steps=2 * 1440).state is not PowerState.PROTECTED
    bench.see(blind, seconds=60, steps=2 * 1440)
    assert bench.state is PowerState.PROTECTED


def test_in_the_cold_the_same_voltage_gives_less() -> None:
    plenty, little = asleep(), asleep()
    plenty.see(replace(STILL, voltage=12.55, temperature=20.0), seconds=60, steps=180)
    little.see(replace(STILL, voltage=12.55, temperature=-25.0), seconds=60, steps=180)
    assert plenty.governor.memory.rested_percent == pytest.approx(60, abs=5)
    assert little.state is PowerState.PROTECTED


def test_a_planned_wake_measures_sends_and_is_written_down() -> None:
    bench = asleep(replace(SETTINGS, off_when="protected", idle_ma=1.0))
    decisions = [bench.see(STILL, seconds=60) for _ in range(1500)]
    wakes = [decision for decision in decisions if decision.measure]
    assert len(wakes) == 1
    assert wakes[0].state is PowerState.PARKED
    assert wakes[0].send
    assert not wakes[0].talk
    assert sum(day.wakes for day in bench.governor.memory.accounts.days.values()) == 1


def test_a_supply_of_its_own_spares_the_car_but_not_the_board() -> None:
    bench = asleep(replace(SETTINGS, governed=False))
    decision = bench.see(replace(STILL, voltage=11.5), steps=3000)
    assert (decision.talk, decision.send, decision.off) == (False, True, False)


# Started again


@pytest.mark.parametrize("state", list(PowerState))
def test_a_crash_loop_in_any_state_does_not_keep_asking_a_parked_car(state: PowerState) -> None:
    bench = asleep()
    bench.governor.memory.state = state
    words = 0
    for _ in range(200):
        bench = bench.again()
        words += sum(bench.see(SILENT if bench.state is PowerState.CHECKING else STILL).talk for _ in range(5))
    assert words <= 5 * (SETTINGS.tiers[0].mah_per_day / SETTINGS.check_mah + 2)
    assert bench.state in {PowerState.ASLEEP, PowerState.PROTECTED}


def test_a_controller_that_wakes_the_board_in_vain_again_and_again_wakes_no_check_each_time() -> None:
    bench = asleep()
    bench.see(replace(STILL, voltage=12.0), steps=200)
    assert bench.state is PowerState.PROTECTED
    checks = 0
    for _ in range(100):  # every ten minutes something charges the battery for a moment
        bench.governor.was_cut()
        bench = bench.again(after_s=600.0)
        bench.see(replace(STILL, voltage=12.0), steps=3)
        checks += bench.see(replace(STILL, voltage=13.8), steps=5).state is PowerState.CHECKING
        bench.see(Seen(answered=False), steps=7)
        bench.see(replace(STILL, voltage=12.0), steps=200)
    assert checks <= 30


def test_a_crash_while_driving_goes_on_reading_at_once() -> None:
    bench = driven().again()
    assert bench.see(RUNNING).state is PowerState.DRIVING


def test_protected_it_stays_protected_over_a_restart() -> None:
    bench = asleep()
    bench.see(replace(STILL, voltage=12.0), steps=200)
    bench = bench.again()
    assert bench.see(replace(STILL, voltage=12.5), steps=60).state is PowerState.PROTECTED


@pytest.mark.parametrize("clock_runs", [True, False], ids=["clock", "no clock"])
def test_woken_by_the_plan_after_a_cut_it_sends_even_without_a_clock(clock_runs: bool) -> None:
    bench = asleep()
    bench.governor.was_cut()
    bench = bench.again(after_s=86_400 if clock_runs else 0.0)
    decision = bench.see(STILL, steps=2)
    assert decision.state is PowerState.PARKED
    assert bench.governor.memory.accounts.day(bench.moment().wall).wakes == 1


def test_woken_by_the_car_after_a_cut_it_looks_and_is_cut_again() -> None:
    bench = asleep()
    bench.governor.was_cut()
    bench = bench.again(after_s=3600.0)
    assert not bench.see(STILL, steps=30).off
    decision = bench.see(STILL, steps=40)
    assert (decision.state, decision.off) == (PowerState.ASLEEP, True)
    assert decision.wake_in_s == pytest.approx(86_400 - 3600, rel=0.01)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.floats(-400 * 86_400.0, 400 * 86_400.0), max_size=8))
def test_a_clock_that_jumps_gives_no_charge_away(jumps: list[float]) -> None:
    bench = asleep(replace(SETTINGS, off_when="protected", idle_ma=1.0))
    for jump in jumps:
        bench.wall += timedelta(seconds=jump)
        bench.see(STILL, seconds=60, steps=30)
    assert bench.governor.memory.accounts.parking_mah < 60
    assert sum(day.wakes for day in bench.governor.memory.accounts.days.values()) == 0
