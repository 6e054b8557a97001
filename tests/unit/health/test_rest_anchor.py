"""Curves of rested cells, the charge between two rests, and the charge between two voltages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.capacity.open_circuit_voltage import (
    CHEMISTRIES,
    Chemistry,
    charge_at_rest,
    has_curve,
    is_possible,
    open_circuit_voltage,
)
from health.capacity.rest_anchor import REST_S, VOLTAGE_ERROR_V, Rests, voltage_error
from health.capacity.voltage_window import FROM_SOC, TO_SOC, VoltageCounting

START = datetime(2026, 3, 1, tzinfo=UTC)
CURVES: tuple[Chemistry, ...] = ("nmc811", "nmc532")


@given(chemistry=st.sampled_from(CURVES), soc=st.floats(0, 100))
def test_the_curve_and_its_inverse_agree(chemistry: Chemistry, soc: float) -> None:
    found = charge_at_rest(chemistry, open_circuit_voltage(chemistry, soc))
    assert found is not None
    assert found[0] == pytest.approx(soc, abs=1e-6)
    assert found[1] > 0.002  # V per point


def test_a_voltage_beyond_the_curve_tells_nothing_and_lfp_has_no_curve() -> None:
    assert charge_at_rest("nmc811", 4.5) is None
    assert [is_possible("nmc811", volts) for volts in (2.4, 2.49, 3.7, 4.2, 4.3)] == [False, True, True, True, False]
    assert charge_at_rest("nmc532", 2.0) is None
    assert [has_curve(chemistry) for chemistry in (*CURVES, "lfp", None)] == [True, True, False, False]
    assert set(CURVES) < set(CHEMISTRIES)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def rested(rests: Rests, since: float, soc: float) -> bool:
    rests.quiet(at(since), soc, current_flows=False)
    return rests.quiet(at(since + REST_S), soc, current_flows=False)


def test_the_charge_between_two_rests_is_one_window_and_told_once() -> None:
    rests = Rests()
    assert rested(rests, 0, 30)
    assert rests.fix(30.0, 0.5, 30.0) is None
    rests.quiet(at(8000), 30, current_flows=True)
    rests.flow(75.0, counted=True)
    assert rested(rests, 20_000, 80)
    window = rests.fix(80.0, 0.5, 80.0)
    assert window == pytest.approx((0.5, 0.005 * 2**0.5, 75.0))
    assert rests.fix(80.1, 0.5, 80.0) is None


def test_a_drive_between_makes_the_counting_worthless() -> None:
    rests = Rests()
    rested(rests, 0, 30)
    rests.fix(30.0, 0.5, 30.0)
    rests.quiet(at(8000), 30, current_flows=True)
    rests.flow(75.0, counted=True)
    rests.flow(0.0, counted=False)
    rested(rests, 20_000, 80)
    assert rests.fix(80.0, 0.5, 80.0) is None


def test_a_rest_over_which_the_gauge_moved_was_none() -> None:
    rests = Rests()
    rests.quiet(at(0), 80, current_flows=False)
    assert not rests.quiet(at(REST_S + 1), 70, current_flows=False)
    assert rests.quiet(at(2 * REST_S + 2), 70, current_flows=False)


def test_a_drive_that_only_the_gauge_saw_makes_the_counting_worthless() -> None:
    rests = Rests()
    rested(rests, 0, 30)
    rests.fix(30.0, 0.5, 30.0)
    rests.quiet(at(90_000), 20, current_flows=False)
    rests.quiet(at(90_100), 20, current_flows=True)
    rests.flow(90.0, counted=True)
    rested(rests, 100_000, 80)
    assert rests.fix(80.0, 0.5, 80.0) is None


def test_a_curve_has_to_prove_that_it_fits_first() -> None:
    rests = Rests()
    for index in range(5):
        assert (rests.trusted, rests.refuted) == (False, False)
        rested(rests, index * 50_000.0, 30)
        rests.fix(31.0, 0.5, 30.0)
        rests.quiet(at(index * 50_000.0 + 20_000), 30, current_flows=True)
    assert (rests.trusted, rests.refuted) == (True, False)


def test_a_cold_pack_tells_less_and_a_frozen_one_nothing() -> None:
    mild, cool = voltage_error(25.0), voltage_error(5.0)
    assert mild == voltage_error(None) == VOLTAGE_ERROR_V
    assert cool == pytest.approx(0.005)
    assert voltage_error(-20.0) is None


def test_where_gauge_and_curve_differ_more_than_gauges_do_the_anchor_is_worth_less() -> None:
    def windows(difference: float) -> list[float]:
        rests, errors = Rests(), []
        for index, soc in enumerate((30.0, 80.0) * 4):
            rested(rests, index * 50_000.0, soc)
            window = rests.fix(soc + difference, 0.5, soc)
            errors += [] if window is None else [window[1]]
            rests.quiet(at(index * 50_000.0 + 20_000), soc, current_flows=True)
            rests.flow(75.0, counted=True)
        return errors

    assert windows(4.0) == pytest.approx([0.005 * 2**0.5] * 7)
    assert windows(6.0)[-1] > 0.05


def test_voltages_that_the_curve_does_not_have_refute_it_once_a_rest() -> None:
    rests = Rests()
    for index in range(5):
        assert not rests.refuted
        rested(rests, index * 50_000.0, 30)
        rests.misfit()
        rests.misfit()
        rests.quiet(at(index * 50_000.0 + 20_000), 30, current_flows=True)
    assert rests.refuted
    assert rests.judged == 5


def test_a_curve_far_off_the_gauge_is_of_another_cell() -> None:
    rests = Rests()
    for index in range(6):
        rested(rests, index * 50_000.0, 30)
        rests.fix(42.0, 0.5, 30.0)
        rests.quiet(at(index * 50_000.0 + 20_000), 30, current_flows=True)
    assert not rests.trusted


def passed(currents: list[float], capacity_ah: float, offset_v: float = 0.0) -> list[float]:
    counting, soc, found = VoltageCounting(), 20.0, []
    index = 0
    while soc < 95:
        current = currents[index % len(currents)]
        gained = current * 60 / 3600
        soc += 100 * gained / capacity_ah
        voltage = open_circuit_voltage("nmc811", soc) + offset_v
        between = counting.step("nmc811", 150.0, voltage, current, gained)
        if between:
            found.append(between)
        index += 1
    return found


def test_the_charge_between_two_voltages_shrinks_with_the_capacity() -> None:
    share = (TO_SOC - FROM_SOC) / 100
    assert passed([40.0], 150) == pytest.approx([150 * share], rel=0.01)
    assert passed([40.0], 120) == pytest.approx([120 * share], rel=0.01)
    assert passed([40.0], 120, 0.02) == pytest.approx([120 * share], rel=0.08)


def test_fast_and_unsteady_charges_do_not_count() -> None:
    assert passed([100.0], 150) == []
    assert passed([20.0, 45.0], 150) == []
