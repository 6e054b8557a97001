import random
from datetime import timedelta

import pytest

from health import signals
from health.errors import HealthError
from health.traction_battery import TractionBattery, TractionBatteryParameters
from telemetry.records import Sample
from tests.unit.health.traction_support import PARAMETERS, START, charge, soh


def test_clean_charges_give_the_capacity() -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(5):
        charge(battery, day, capacity=135)
    assert soh(battery, 5) == pytest.approx(90, abs=1.5)


def test_nothing_is_said_before_three_charges_or_without_the_nominal_capacity() -> None:
    battery, unknown = TractionBattery(PARAMETERS), TractionBattery()
    for day in range(2):
        charge(battery, day, capacity=135)
    assert battery.estimates(START) == ()
    for day in range(5):
        charge(unknown, day, capacity=135)
    assert unknown.estimates(START) == ()


def test_short_windows_do_not_count() -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(10):
        charge(battery, day, capacity=135, low=60, high=75)
    assert battery.charges == 0


def test_noisy_socs_are_pooled_without_bias_and_the_interval_holds_the_truth() -> None:
    rng = random.Random(4)
    errors, covered = [], 0
    for _ in range(40):
        battery = TractionBattery(PARAMETERS)
        truth = rng.uniform(100, 150)
        for day in range(20):
            low = rng.uniform(20, 50)
            high = low + rng.uniform(25, 50)
            charge(battery, day, capacity=truth, low=low, high=high, soc_error=rng.gauss(0, 4), step_s=110)
        estimate = battery.estimates(START + timedelta(days=20))[0]
        errors.append(estimate.value - truth / 1.5)
        covered += estimate.low <= truth / 1.5 <= estimate.high
    assert abs(sum(errors) / 40) < 1.0
    assert max(abs(error) for error in errors) < 6
    assert covered >= 34


@pytest.mark.parametrize("capacity", [148.0, 153.0, 160.0])
def test_a_pack_may_hold_more_than_its_nominal_capacity(capacity: float) -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(30):
        charge(battery, day, capacity=capacity)
    (estimate,) = battery.estimates(START + timedelta(days=30))
    assert estimate.value == pytest.approx(100 * capacity / 150, abs=1.5)
    assert estimate.low < 100 * capacity / 150 < estimate.high


def test_fading_is_followed() -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(0, 400, 4):
        charge(battery, day, capacity=150 - 0.03 * day, step_s=110)
    assert soh(battery, 400) == pytest.approx(92, abs=1.8)


def test_one_absurd_charge_is_rejected_and_a_new_battery_recognised() -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(6):
        charge(battery, day, capacity=110)
    charge(battery, 6, capacity=250)
    assert battery.rejected_charges == 1
    assert soh(battery, 7) == pytest.approx(110 / 1.5, abs=1.5)
    for day in range(7, 14):
        charge(battery, day, capacity=150)
    assert soh(battery, 14) == pytest.approx(100, abs=1.5)


def test_a_current_of_the_wrong_sign_is_no_measurement() -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(6):
        charge(battery, day, capacity=135, sign=-1)
    assert battery.charges == 0


def test_a_gap_ends_the_counting() -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(6):
        charge(battery, day, capacity=135, step_s=300)
    assert battery.charges == 0


def test_silence_widens_the_interval() -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(20):
        charge(battery, day, capacity=135)
    soon, late = (battery.estimates(START + timedelta(days=day))[0] for day in (20, 300))
    assert late.value == soon.value
    assert late.high - late.low > 2 * (soon.high - soon.low)


def test_the_ecu_stands_beside_ours_and_a_reset_forgets() -> None:
    battery = TractionBattery(PARAMETERS)
    for day in range(4):
        charge(battery, day, capacity=135)
    battery.update(
        Sample(time=START + timedelta(days=5), monotonic_ms=0, values={signals.TRACTION_BATTERY_SOH.path: 93.5})
    )
    ours, ecu = battery.estimates(START + timedelta(days=5))
    assert (ours.source, ecu.source, ecu.value) == ("estimated", "ecu", 93.5)
    battery.reset(START + timedelta(days=6), "pack replaced")
    assert battery.estimates(START + timedelta(days=6)) == ()
    with pytest.raises(HealthError, match="needs a reason"):
        battery.reset(START, "")


def test_a_capacity_told_in_kwh_is_a_share_of_what_the_pack_told_when_new() -> None:
    told = Sample(time=START, monotonic_ms=0, values={signals.TRACTION_BATTERY_NET_CAPACITY.path: 72.0})
    unknown = TractionBattery(PARAMETERS)
    unknown.update(told)
    assert unknown.estimates(START) == ()
    battery = TractionBattery(TractionBatteryParameters(nominal_net_capacity_kwh=80))
    battery.update(told)
    (ecu,) = battery.estimates(START)
    assert (ecu.source, ecu.value) == ("ecu", 90.0)


def test_the_ecus_own_state_of_health_goes_before_a_share_of_its_capacity() -> None:
    battery = TractionBattery(TractionBatteryParameters(nominal_net_capacity_kwh=80))
    values = {signals.TRACTION_BATTERY_NET_CAPACITY.path: 72.0, signals.TRACTION_BATTERY_SOH.path: 93.5}
    battery.update(Sample(time=START, monotonic_ms=0, values=values))
    assert [estimate.value for estimate in battery.estimates(START)] == [93.5]


def test_a_pack_without_capacity_is_refused() -> None:
    with pytest.raises(HealthError, match="nominal_net_capacity_kwh: 0 must be above zero"):
        TractionBatteryParameters(nominal_net_capacity_kwh=0)
