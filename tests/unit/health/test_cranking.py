"""Starts found and dips measured; the car's own line of cranking against temperature."""

import math
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.starter_battery.cranking import Start, Starts, watch
from health.starter_battery.cranking_line import CrankingLine, begin_anew, held_voltage, learn

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


def starts_in(samples: Iterable[tuple[float, float | None, float | None]], fast_s: float = 0.025) -> list[Start]:
    """Of seconds, volts, rpm."""
    state, found = Starts(), []
    for seconds, volts, rpm in samples:
        start = watch(
            state,
            START + timedelta(seconds=seconds),
            voltage=volts,
            engine_speed=rpm,
            charging=volts is not None and volts > 13.2,
            rested=True,
            fast_s=fast_s,
        )
        if start is not None:
            found.append(start)
    assert state.starts == len(found)
    return found


def burst(
    held: float = 10.4, lowest: float = 8.9, seconds: float = 0.8, hertz: float = 100
) -> list[tuple[float, float | None, float | None]]:
    """From rest through inrush and cranking; the engine speed comes after."""
    samples: list[tuple[float, float | None, float | None]] = []
    for index in range(int((seconds + 0.4) * hertz)):
        at = index / hertz
        volts = 12.6 if at < 0.2 else lowest if at < 0.24 else held if at < 0.2 + seconds else 12.3
        samples.append((at, volts, None))
    return [(-1.0, 12.6, 0.0), *samples, (seconds + 1.5, 13.9, 850.0)]


@pytest.mark.parametrize("hertz", [50, 100])
def test_a_burst_shows_inrush_and_what_is_held(hertz: float) -> None:
    (start,) = starts_in(burst(hertz=hertz))
    assert start.before_v == 12.6
    assert start.lowest_v == 8.9
    assert start.cranking_v == pytest.approx(10.4, abs=0.02)


@pytest.mark.parametrize("hertz", [2, 10, 30])
def test_seen_slowly_nothing_is_said_of_the_dip_but_a_bound(hertz: float) -> None:
    (start,) = starts_in(burst(hertz=hertz))
    assert start.cranking_v is None
    assert start.lowest_v is None or start.lowest_v >= 8.9


@pytest.mark.parametrize("step", [0.5, 1.0, 5.0, 10.0])
def test_starts_are_found_at_any_rate_and_a_sagging_idle_is_none(step: float) -> None:
    samples = []
    for index in range(int(600 / step)):
        at = index * step
        rpm = 0.0 if at < 60 or 300 <= at < 360 else 430.0 if at % 50 < step else 900.0
        samples.append((at, 12.5 if rpm == 0 else 14.1, rpm))
    assert len(starts_in(samples)) == 2


def test_an_engine_already_running_has_not_started() -> None:
    assert starts_in([(0, 14.1, 800), (1, 14.1, 900)]) == []


def test_an_engine_not_heard_of_for_long_has_not_started_before_our_eyes() -> None:
    assert starts_in([(0, 14.1, 800), (40_000, 14.1, 900)]) == []


def test_a_load_that_lasts_is_no_starter() -> None:
    """Glow plugs and a rear window heater: down by 0.8 V for a minute, then the start."""
    samples: list[tuple[float, float | None, float | None]] = [(0, 12.6, 0), (1, 12.6, 0)]
    samples += [(2 + index, 11.8, 0) for index in range(60)]
    (start,) = starts_in([*samples, (63, 11.8, 0), (64, 13.9, 900)])
    assert start.before_v == 11.8
    assert start.lowest_v is None


def test_the_second_try_is_the_one_that_counts() -> None:
    first = [(seconds, volts, rpm) for seconds, volts, rpm in burst(held=9.0) if rpm is None or rpm == 0]
    second = [(seconds + 10, volts, rpm) for seconds, volts, rpm in burst(held=9.8)]
    (start,) = starts_in([*first, *second])
    assert start.cranking_v == pytest.approx(9.8, abs=0.02)


def test_without_an_engine_speed_dip_and_charging_tell_the_start() -> None:
    silent = [(seconds, volts, None) for seconds, volts, _ in burst()]
    assert len(starts_in(silent)) == 1
    assert starts_in([(0, 12.6, None), (10, 13.9, None), (20, 14.1, None)]) == []  # a converter switched on


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(5, 16), st.sampled_from([None, 0.0, 250.0, 900.0])), max_size=80))
def test_what_is_measured_lies_between_what_was_seen(steps: list[tuple[float, float, float | None]]) -> None:
    seconds, samples = 0.0, []
    for step, volts, rpm in steps:
        seconds += step
        samples.append((seconds, volts, rpm))
    for start in starts_in(samples):
        seen = [volts for _, volts, _ in samples]
        for value in (start.before_v, start.lowest_v, start.cranking_v):
            assert value is None or min(seen) - 1e-9 <= value <= max(seen) + 1e-9


def learned(level: float, slope: float, starts: int, seed: int = 1) -> CrankingLine:
    line, rng = CrankingLine(), random.Random(seed)
    for day in range(starts):
        celsius = 10 + 15 * math.sin(day / 20)
        ratio = math.exp(level + slope * (celsius - 21) + rng.gauss(0, 0.1))
        learn(line, before_v=12.6, cranking_v=12.6 / (1 + ratio), temperature=celsius, day=day)
    return line


@pytest.mark.parametrize(("level", "slope"), [(-1.9, -0.006), (-1.5, -0.010), (-1.2, -0.016)])
def test_level_and_slope_are_learned_on_the_car(level: float, slope: float) -> None:
    line = learned(level, slope, 150)
    assert line.level == pytest.approx(level, abs=0.08)
    assert line.slope == pytest.approx(slope, abs=0.003)


def test_one_odd_start_moves_nothing_three_move_all() -> None:
    line = learned(-1.8, -0.01, 60)
    before = line.level
    odd = held_voltage(-1.0) / 12.65 * 12.6
    assert learn(line, before_v=12.6, cranking_v=odd, temperature=21, day=60) is None
    assert line.level == before
    assert learn(line, before_v=12.6, cranking_v=odd, temperature=21, day=61) is None
    changed = learn(line, before_v=12.6, cranking_v=odd, temperature=21, day=62)
    assert changed is not None
    assert changed.now == pytest.approx(-1.0, abs=0.02)
    assert line.level == changed.now


def test_a_new_battery_s_level_is_this_car_s_measure() -> None:
    line = begin_anew(learned(-1.3, -0.01, 60), new=True)
    for day in range(100, 110):
        learn(line, before_v=12.6, cranking_v=11.3, temperature=21, day=day)
    assert line.new_level is not None
    assert held_voltage(line.new_level) == pytest.approx(11.3, abs=0.1)


def test_a_start_that_gains_voltage_is_none() -> None:
    line = CrankingLine()
    assert learn(line, before_v=12.0, cranking_v=12.1, temperature=21, day=0) is None
    assert line.starts == 0
