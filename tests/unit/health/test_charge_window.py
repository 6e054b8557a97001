"""One charge counted against the gauge: slope, doubts, flat voltage."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health.capacity.charge_window import Counting, low_shape

NOMINAL_AH = 150.0


def counted(socs: list[float], ah_per_reading: float) -> Counting:
    counting = Counting()
    for index, soc in enumerate(socs):
        counting.counted_ah += ah_per_reading if index else 0.0
        counting.read(soc, NOMINAL_AH)
    return counting


@settings(max_examples=60, deadline=None)
@given(start=st.floats(0, 50), points=st.floats(10, 45), readings=st.integers(2, 300), capacity=st.floats(80, 160))
def test_the_slope_of_a_true_gauge_is_one_over_the_capacity(
    start: float, points: float, readings: int, capacity: float
) -> None:
    socs = [1 + start + points * index / (readings - 1) for index in range(readings)]
    counting = counted(socs, points / 100 * capacity / (readings - 1))
    assert counting.slope == pytest.approx(1 / capacity, rel=1e-6)
    assert counting.charge_ah == pytest.approx(points / 100 * capacity)


def test_rounding_and_jitter_are_averaged() -> None:
    rng = random.Random(1)
    rounded = counted([float(round(30 + 40 * index / 200)) for index in range(201)], 0.2 * 1.5)
    jittering = counted([round(30 + 40 * index / 200 + rng.gauss(0, 2.8)) for index in range(201)], 0.2 * 1.5)
    assert rounded.slope == pytest.approx(1 / 150, rel=0.005)
    assert jittering.slope == pytest.approx(1 / 150, rel=0.06)


def test_a_gauge_clipped_at_full_is_left_out_there() -> None:
    clipped = counted([min(100.0, 80.0 + index) for index in range(40)], 1.5)
    assert clipped.slope == pytest.approx(1 / 150, rel=0.01)


def test_discharging_gives_the_same_slope() -> None:
    assert counted([90.0 - index for index in range(50)], -1.5).slope == pytest.approx(1 / 150)


def test_the_low_end_s_share_is_that_of_the_window() -> None:
    low = counted([float(index) for index in range(40)], 1.5)
    high = counted([50.0 + index for index in range(40)], 1.5)
    assert low.low_slope == pytest.approx(-1 / 60, rel=0.01)  # from 1 to 0 over 60 Ah
    assert high.low_slope == 0
    assert (low_shape(0), low_shape(40), low_shape(90)) == (1, 0, 0)


@pytest.mark.parametrize(
    ("socs", "ah", "doubt"),
    [
        ([50.0] * 40, 1.5, "stuck"),
        ([30.0 + index for index in range(20)] + [90.0 + index / 4 for index in range(20)], 1.5, "jump"),
        ([30.0 + index for index in range(40)], -1.5, "sign"),
        ([30.0 + index for index in range(40)], 1.5, ""),
        ([80.0 + min(18, index) for index in range(40)], 1.5, ""),  # balancing its cells near full
    ],
)
def test_doubts(socs: list[float], ah: float, doubt: str) -> None:
    assert counted(socs, ah).judged() == doubt


def test_the_rise_of_the_voltage_needs_points_in_the_middle() -> None:
    counting = Counting()
    for soc in range(20, 90):
        counting.counted_ah += 1.5
        counting.read(float(soc), NOMINAL_AH)
        counting.see_voltage(330 + soc)
    assert counting.voltage_rise == pytest.approx((415 / 355 - 1) / 60)
    assert counted([float(soc) for soc in range(20, 90)], 1.5).voltage_rise is None
