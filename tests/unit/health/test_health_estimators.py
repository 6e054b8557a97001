"""What holds for every estimator: state, order, intervals, parameters, size of the state."""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health import signals
from health.errors import HealthError
from health.estimator import Estimator
from health.registry import Kind, build_estimators, estimator_names
from telemetry.catalogue import Signal
from telemetry.records import Quantity, Sample

START = datetime(2026, 3, 1, 6, tzinfo=UTC)
PERCENT = {
    Quantity.OIL_LIFE,
    Quantity.PAD_WEAR,
    Quantity.TRACTION_BATTERY_SOH,
    Quantity.LOW_VOLTAGE_BATTERY_HEALTH,
}
PARAMETERS: dict[str, dict[str, object]] = {"traction_battery": {"nominal_capacity_ah": 150, "min_charges": 1}}
USED: tuple[Signal, ...] = (
    signals.SPEED,
    signals.TRAVELED_DISTANCE,
    signals.ENGINE_SPEED,
    signals.ENGINE_LOAD,
    signals.COOLANT_TEMPERATURE,
    signals.OIL_TEMPERATURE,
    signals.OIL_LIFE,
    signals.AMBIENT_TEMPERATURE,
    signals.BRAKE_PEDAL_POSITION,
    signals.LOW_VOLTAGE_BATTERY_VOLTAGE,
    signals.CONTROL_MODULE_VOLTAGE,
    signals.TRACTION_BATTERY_SOH,
    signals.TRACTION_BATTERY_SOC,
    signals.TRACTION_BATTERY_VOLTAGE,
    signals.TRACTION_BATTERY_CURRENT,
    signals.TRACTION_BATTERY_CHARGING,
    *signals.PAD_WEAR.values(),
    *signals.TIRE_PRESSURE.values(),
    *signals.TIRE_TEMPERATURE.values(),
)


def hybrid() -> list[Estimator]:
    return build_estimators("hybrid", PARAMETERS)


def believable(seed: int, count: int) -> list[Sample]:
    """A hybrid's life in short: drives with starts and brakings, nights, charges; some signals missing."""
    rng = random.Random(seed)
    samples: list[Sample] = []
    time, odometer, soc = START, 10_000_000.0, 50.0
    while len(samples) < count:
        charging = rng.random() < 0.4
        step = rng.choice([0.05, 0.5, 1.0, 4.0, 60.0])
        speed = 0.0
        for index in range(rng.randint(3, 40)):
            time += timedelta(seconds=step)
            speed = 0.0 if charging else min(130.0, max(0.0, speed + rng.uniform(-15, 16)))
            odometer += speed / 3.6 * step
            soc = min(100.0, max(0.0, soc + (rng.uniform(0, 3) if charging else -rng.uniform(0, 3))))
            values = {
                signals.SPEED.path: round(speed),
                signals.TRAVELED_DISTANCE.path: odometer // 1000 * 1000,
                signals.ENGINE_SPEED.path: 0.0 if charging or index < 2 else 900 + 20 * speed,
                signals.COOLANT_TEMPERATURE.path: 20.0 + index,
                signals.ENGINE_LOAD.path: rng.uniform(0, 100),
                signals.CONTROL_MODULE_VOLTAGE.path: 12.5 - (2 * rng.random() if index < 2 else -1.5),
                signals.TRACTION_BATTERY_SOC.path: round(soc),
                signals.TRACTION_BATTERY_CURRENT.path: 100.0 if charging else -rng.uniform(-50, 100),
                signals.TRACTION_BATTERY_VOLTAGE.path: 360.0,
                signals.TRACTION_BATTERY_CHARGING.path: float(charging),
            }
            values |= {path.path: 230 + rng.uniform(-2, 2) for path in signals.TIRE_PRESSURE.values()}
            if rng.random() < 0.1:
                values |= {signals.OIL_LIFE.path: 70.0, signals.TRACTION_BATTERY_SOH.path: 103.0}
                values |= {signal.path: 12.0 for signal in signals.PAD_WEAR.values()}
            kept = {path: float(value) for path, value in values.items() if rng.random() < 0.9}
            samples.append(Sample(time=time, monotonic_ms=0, values=kept))
        time += timedelta(hours=rng.uniform(0.01, 14))
    return samples


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 400))
def test_restart_at_any_moment_changes_nothing(seed: int, cut: int) -> None:
    samples = believable(seed, 400)
    straight, before = hybrid(), hybrid()
    for sample in samples[:cut]:
        for estimator in (*straight, *before):
            estimator.update(sample)
    after = hybrid()
    for old, new in zip(before, after, strict=True):
        new.restore(json.loads(json.dumps(old.state(), allow_nan=False)))
    for sample in samples[cut:]:
        for estimator in (*straight, *after):
            estimator.update(sample)
    now = samples[-1].time
    for one, other in zip(straight, after, strict=True):
        assert one.state() == other.state()
        assert one.estimates(now) == other.estimates(now)


VALUES = st.dictionaries(
    st.sampled_from(USED),
    st.one_of(st.floats(), st.floats(-200, 400)),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(
    stream=st.lists(st.tuples(st.floats(-3600, 40 * 86_400), VALUES), max_size=25),
)
def test_any_readings_leave_honest_percentages_and_a_json_state(
    stream: list[tuple[float, dict[Signal, float]]],
) -> None:
    estimators = hybrid()
    time = START
    for seconds, values in stream:
        time += timedelta(seconds=seconds)
        sample = Sample(time=time, monotonic_ms=0, values={key.path: value for key, value in values.items()})
        for estimator in estimators:
            estimator.update(sample)
            json.dumps(estimator.state(), allow_nan=False)
            for estimate in estimator.estimates(time):
                assert estimate.low <= estimate.value <= estimate.high
                if estimate.quantity in PERCENT:
                    assert estimate.low >= 0
                    assert estimate.high <= 100


def test_a_believable_life_gives_every_quantity() -> None:
    estimators = hybrid()
    for sample in believable(7, 4000):
        for estimator in estimators:
            estimator.update(sample)
    now = START + timedelta(days=90)
    said = {(estimate.quantity, estimate.source) for one in estimators for estimate in one.estimates(now)}
    assert said == {
        (Quantity.OIL_LIFE, "ecu"),
        (Quantity.OIL_LIFE, "estimated"),
        (Quantity.PAD_WEAR, "ecu"),
        (Quantity.PAD_WEAR, "estimated"),
        (Quantity.TRACTION_BATTERY_SOH, "ecu"),
        (Quantity.TRACTION_BATTERY_SOH, "estimated"),
        (Quantity.LOW_VOLTAGE_BATTERY_HEALTH, "estimated"),
        (Quantity.TIRE_PRESSURE_LOSS, "estimated"),
    }


def test_state_does_not_grow_with_history() -> None:
    samples = believable(3, 6000)
    estimators = hybrid()
    sizes = []
    for index, sample in enumerate(samples):
        for estimator in estimators:
            estimator.update(sample)
        if index in {3000, 5999}:
            sizes.append(len(json.dumps([estimator.state() for estimator in estimators])))
    assert sizes[1] < sizes[0] * 1.1
    assert sizes[1] < 32_000  # written with each batch: what it costs the flash is measured by the dongle's benchmark


def test_older_samples_are_ignored() -> None:
    samples = believable(5, 300)
    estimators = hybrid()
    for sample in samples:
        for estimator in estimators:
            estimator.update(sample)
    states = [estimator.state() for estimator in estimators]
    for estimator in estimators:
        estimator.update(samples[100])
    assert [estimator.state() for estimator in estimators] == states


def test_a_foreign_or_damaged_state_is_refused() -> None:
    for estimator in hybrid():
        state = estimator.state()
        with pytest.raises(HealthError, match="belongs to 'gearbox'"):
            estimator.restore({**state, "estimator": "gearbox"})
        with pytest.raises(HealthError, match="version 99"):
            estimator.restore({**state, "version": 99})
        with pytest.raises(HealthError, match="damaged state"):
            estimator.restore({**state, "newest": "yesterday"})
        with pytest.raises(HealthError, match="damaged state"):
            estimator.restore({**state, "surprise": 1})


@pytest.mark.parametrize(
    ("kind", "parameters", "text"),
    [
        ("petrool", {}, "did you mean 'petrol'"),
        ("petrol", {"oil_live": {}}, "health.oil_live: unknown estimator; did you mean 'oil_life'"),
        ("electric", {"oil_life": {}}, "health.oil_life: a car of kind 'electric' has none"),
        ("petrol", {"oil_life": {"budget": 1}}, "health.oil_life.budget: unknown parameter; did you mean 'budget_rev"),
        ("petrol", {"oil_life": {"time_cap_days": "long"}}, r"health.oil_life: Expected `float`.*time_cap_days"),
        ("petrol", {"oil_life": {"time_cap_days": 0}}, "health.oil_life.time_cap_days: 0.0 must be above zero"),
        ("petrol", {"brake_pads": {"front_share": 2}}, "health.brake_pads.front_share: 2.0 must lie between 0 and 1"),
        ("petrol", {"low_voltage_battery": {"battery": "gel"}}, "health.low_voltage_battery"),
        ("petrol", {"tires": 3}, "health.tires: 3 is no table"),
    ],
)
def test_wrong_parameters_name_their_place(kind: str, parameters: object, text: str) -> None:
    with pytest.raises(HealthError, match=text):
        build_estimators(cast("Kind", kind), cast("Mapping[str, Mapping[str, object]]", parameters))


def test_kinds_have_the_parts_they_have() -> None:
    assert "oil_life" not in estimator_names("electric")
    assert "traction_battery" not in estimator_names("diesel")
    assert [estimator.name for estimator in build_estimators("generic")] == list(estimator_names("hybrid"))
