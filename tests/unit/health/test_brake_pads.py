from datetime import UTC, datetime, timedelta

import pytest

from health import signals
from health.brake_pads import BrakePads, BrakePadsParameters
from health.errors import HealthError
from health.pads.friction_energy import Deceleration
from telemetry.records import Estimate, Quantity, Sample

START = datetime(2026, 3, 1, 6, tzinfo=UTC)
NEW = BrakePadsParameters(wear_at_start_row1=0, wear_at_start_row2=0)


def sample(seconds: float, **values: float) -> Sample:
    table = {
        "speed": signals.SPEED,
        "rpm": signals.ENGINE_SPEED,
        "odometer": signals.TRAVELED_DISTANCE,
        "pedal": signals.BRAKE_PEDAL_POSITION,
        "amps": signals.TRACTION_BATTERY_CURRENT,
        "volts": signals.TRACTION_BATTERY_VOLTAGE,
        "pad": signals.PAD_WEAR["Row1.Left"],
    }
    return Sample(
        time=START + timedelta(seconds=seconds),
        monotonic_ms=0,
        values={table[key].path: value for key, value in values.items()},
    )


def feed(pads: BrakePads, speeds: list[float], step: float = 0.5, **values: float) -> BrakePads:
    for index, speed in enumerate(speeds):
        pads.update(sample(index * step, speed=float(round(speed)), **values))
    return pads


def stop_from(speed: float, deceleration: float = 2.5, step: float = 0.5) -> list[float]:
    speeds, now = [speed] * 4, speed
    while now > 0:
        now = max(0.0, now - deceleration * 3.6 * step)
        speeds.append(now)
    return [*speeds, 0.0, 0.0]


def front(pads: BrakePads) -> Estimate:
    found = [estimate for estimate in pads.estimates(START) if estimate.source == "estimated"]
    return next(estimate for estimate in found if estimate.position == "Row1.Left")


def test_a_stop_costs_its_kinetic_energy_less_the_resistances() -> None:
    pads = feed(BrakePads(NEW), stop_from(100))
    kinetic_mj = 1500 * 1.04 * (100 / 3.6) ** 2 / 2 / 1e6  # 0.60 MJ
    expected = 100 * 1.2 * 55.9 * 0.70 / 2 / 90_000 * kinetic_mj
    assert 0.88 * expected < front(pads).value < 0.98 * expected


def test_coasting_costs_next_to_nothing() -> None:
    speed, speeds = 60.0, []
    parameters = BrakePadsParameters(wear_at_start_row1=0)
    for _ in range(120):
        mean = speed / 3.6
        speeds.append(speed)
        force = 0.011 * 1500 * 9.81 + 0.6 * 0.65 * mean**2
        speed -= force / (1500 * 1.04) * 3.6 * 0.5
    coasting, braking = feed(BrakePads(parameters), speeds), feed(BrakePads(parameters), stop_from(60))
    assert front(coasting).value < 0.05 * front(braking).value


def test_cruising_before_a_stop_does_not_hide_it() -> None:
    plain, after_cruise = feed(BrakePads(NEW), stop_from(80)), feed(BrakePads(NEW), [80.0] * 500 + stop_from(80))
    assert front(after_cruise).value == pytest.approx(front(plain).value, rel=0.01)


def test_engine_braking_and_recuperation_spare_the_pads() -> None:
    plain = front(feed(BrakePads(NEW), stop_from(80, 1.0))).value
    engine = BrakePadsParameters(wear_at_start_row1=0, engine_displacement_l=1.6)
    assert front(feed(BrakePads(engine), stop_from(80, 1.0), rpm=2500)).value < 0.95 * plain
    motor = BrakePadsParameters(wear_at_start_row1=0, recuperation_power_kw=60)
    assert front(feed(BrakePads(motor), stop_from(80, 1.0))).value < 0.5 * plain
    assert front(feed(BrakePads(NEW), stop_from(80, 1.0), amps=40.0, volts=350.0)).value < 0.5 * plain


def test_a_released_pedal_is_no_braking() -> None:
    assert front(feed(BrakePads(NEW), stop_from(80), pedal=0.0)).value == 0


def test_minutes_apart_the_interval_grows_and_the_method_says_so() -> None:
    speeds = [50.0, 0.0, 90.0, 20.0] * 30
    seen = feed(BrakePads(NEW), stop_from(50) * 30, step=0.5)
    unseen = feed(BrakePads(NEW), speeds, step=60.0)
    assert front(seen).method == "brake_pads_energy/2"
    assert front(unseen).method == "brake_pads_energy/2+unseen"
    width = {pads: (front(pads).high - front(pads).low) / front(pads).value for pads in (seen, unseen)}
    assert width[unseen] > 1.3 * width[seen]


def test_distance_nobody_sampled_is_charged_by_the_odometer() -> None:
    pads = BrakePads(NEW)
    pads.update(sample(0, speed=0, odometer=10_000_000))
    pads.update(sample(86_400, speed=0, odometer=10_500_000))
    # 500 km at 0.12 MJ/km and a fifth that nobody sees, 35 % on this wheel, 55.9 mm3/MJ of 90,000 mm3
    assert front(pads).value == pytest.approx(100 * 1.2 * 500 * 0.12 * 0.35 * 55.9 / 90_000, rel=1e-3)


def test_distance_is_not_charged_twice_when_sampled_and_on_the_odometer() -> None:
    pads = BrakePads(NEW)
    for second in range(3600):
        pads.update(sample(second, speed=72, odometer=second * 20 // 1000 * 1000))
    assert front(pads).value == 0


def test_unknown_start_is_in_the_interval() -> None:
    estimate = front(feed(BrakePads(), stop_from(50)))
    assert estimate.value < 1
    assert estimate.low < 1
    assert estimate.high >= 90


def test_new_front_pads_leave_the_rear_as_they_are() -> None:
    pads = feed(BrakePads(BrakePadsParameters(wear_at_start_row1=80, wear_at_start_row2=40)), stop_from(50))
    pads.update(sample(100, pad=83))
    pads.reset(START + timedelta(hours=1), "front pads changed", row="Row1")
    found = {(estimate.position, estimate.source): estimate.value for estimate in pads.estimates(START)}
    assert found["Row1.Right", "estimated"] == 0
    assert found["Row2.Right", "estimated"] > 40
    assert ("Row1.Left", "ecu") not in found
    with pytest.raises(HealthError, match="needs a reason"):
        pads.reset(START, "")


def test_the_ecu_stands_beside_ours_per_wheel() -> None:
    pads = BrakePads()
    pads.update(sample(0, pad=83))
    (ecu,) = pads.estimates(START)
    assert (ecu.quantity, ecu.position, ecu.source, ecu.value) == (Quantity.PAD_WEAR, "Row1.Left", "ecu", 83)


def test_what_the_battery_clearly_did_not_get_counts_whole_and_what_load_may_feign_as_a_small_share() -> None:
    parameters = BrakePadsParameters(mass_kg=1800)
    energy_j = 1800 * 20**2 / 2

    def friction(saved: float) -> float:
        stop = Deceleration(at_drop_j=energy_j, lost_mps=20, seconds=8, saved_j=saved * energy_j)
        return stop.friction_j(parameters, 0.0) / energy_j

    assert friction(0.4) == pytest.approx(0.6)
    assert friction(1.2) == friction(0.9) < 0.1
