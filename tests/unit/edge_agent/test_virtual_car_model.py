import itertools
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import ConfigurationError
from edge_agent.virtual_car.batteries import LowVoltageBattery, TractionBattery
from edge_agent.virtual_car.config import CarCondition, VirtualCarConfig, WearAcceleration, condition_to_dict
from edge_agent.virtual_car.drive import day_plan, endless_drive, trip_of
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.model import CarModel
from edge_agent.virtual_car.signals import signals
from telemetry.catalogue import catalogue

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
VIN = "WVWZZZ1KZAW000001"


def config(**changes: object) -> VirtualCarConfig:
    return VirtualCarConfig.from_dict({"name": "test", "vin": VIN} | changes)


# --- drives


@given(seed=st.integers(0, 1000), distance_km=st.floats(0.5, 120))
@settings(max_examples=50)
def test_a_trip_begins_and_ends_at_rest_and_is_about_as_long_as_asked(seed: int, distance_km: float) -> None:
    trip = trip_of(Random(seed), distance_km)
    assert trip.at(0).speed_kmh == trip.at(trip.duration_s).speed_kmh == 0
    assert distance_km * 0.6 - 1 < trip.distance_km < distance_km + 18
    speeds = [trip.at(t).speed_kmh for t in range(0, int(trip.duration_s), 7)]
    assert 0 <= min(speeds) <= max(speeds) <= 131.5


def test_distance_is_the_integral_of_speed() -> None:
    trip = trip_of(Random(3), 20)
    summed = sum(
        (trip.at(t / 10).speed_kmh + trip.at((t + 1) / 10).speed_kmh) / 2 / 36000
        for t in range(int(trip.duration_s * 10))
    )
    assert summed == pytest.approx(trip.distance_km, rel=1e-3)
    assert trip.at(-5) == trip.at(0)
    assert trip.at(trip.duration_s + 5).distance_km == pytest.approx(trip.distance_km)


def test_days_repeat_with_their_seed_and_trips_do_not_overlap() -> None:
    monday = datetime(2026, 6, 1, tzinfo=UTC).toordinal()
    for ordinal in range(monday, monday + 60):
        plan = day_plan(7, ordinal, 45)
        again = day_plan(7, ordinal, 45)
        assert [p.start_s for p in plan] == [p.start_s for p in again]
        for first, second in itertools.pairwise(plan):
            assert first.start_s + first.trip.duration_s < second.start_s
        assert all(p.start_s + p.trip.duration_s < 86_400 for p in plan)
    assert len(day_plan(7, monday, 45)) >= 2
    assert day_plan(7, monday, 0) == ()


def test_a_live_car_drives_on_and_on() -> None:
    trips = endless_drive(5)
    assert next(trips).distance_km > 1
    assert next(trips).distance_km > 1


# --- the traction battery


@pytest.mark.parametrize(("start", "end"), [(5.0, 40.0), (30.0, 80.0), (60.0, 99.0)])
def test_the_gauge_of_an_electric_car_counts_charge_in_every_part_of_its_range(start: float, end: float) -> None:
    battery = TractionBattery(capacity_kwh=64, soh_percent=80, soc_percent=start, temperature_c=20)
    counted_ah = 0.0
    while battery.soc_percent < end:
        battery.step(10.0, 11.0, 20.0)
        counted_ah += battery.current * 10.0 / 3600
    assert counted_ah / (battery.soc_percent - start) * 100 == pytest.approx(0.8 * battery.capacity_ah, rel=1e-3)


def test_a_full_charge_at_open_circuit_holds_the_energy_that_the_car_is_said_to_have() -> None:
    battery = TractionBattery(capacity_kwh=64, soh_percent=100, soc_percent=2.0, temperature_c=20)
    taken_kwh = 0.0
    while battery.soc_percent < 100:
        battery.step(60.0, 0.5, 20.0)
        taken_kwh += 0.5 / 60
    assert taken_kwh == pytest.approx(0.98 * 64, rel=0.01)


# --- physics


@given(health=st.floats(1, 99), charge=st.floats(40, 100), temperature=st.floats(-25, 40))
def test_a_worse_battery_rests_and_cranks_lower(health: float, charge: float, temperature: float) -> None:
    battery = LowVoltageBattery(health_percent=health, charge_percent=charge)
    new = LowVoltageBattery(health_percent=100, charge_percent=charge)
    assert battery.rest_voltage(temperature) < new.rest_voltage(temperature)
    assert battery.cranking_voltage(temperature) < new.cranking_voltage(temperature)
    assert battery.cranking_voltage(temperature) < battery.rest_voltage(temperature)


def test_good_and_weak_12_v_are_where_a_workshop_expects_them() -> None:
    good = LowVoltageBattery(health_percent=95, charge_percent=95)
    assert 12.5 < good.rest_voltage(20) < 12.8
    assert good.cranking_voltage(20) > 10.0
    weak = LowVoltageBattery(health_percent=25, charge_percent=62)
    assert weak.rest_voltage(20) < 12.1
    assert weak.cranking_voltage(20) < 9.0


def test_a_cold_engine_warms_up_and_cools_down() -> None:
    live = LiveCar(config(), now=NOW)
    cold = live.model.engine.coolant_c
    live.advance(1800)
    assert cold < 40
    assert 85 < live.model.engine.coolant_c < 98
    for _ in range(12):
        live.model.rest(3600)
    assert live.model.engine.coolant_c < cold + 15


def test_steps_of_any_length_lead_to_the_same_car() -> None:
    fine, coarse = (CarModel(config(), now=NOW) for _ in range(2))
    trip = trip_of(Random(1), 30)
    for model, step in ((fine, 1.0), (coarse, 30.0)):
        model.crank(1.0)
        passed = 0.0
        while passed < trip.duration_s:
            dt = min(step, trip.duration_s - passed)
            passed += dt
            model.run(dt, trip.at(passed))
    assert coarse.odometer_km == pytest.approx(fine.odometer_km)
    assert coarse.wear.pad_wear_percent[0] == pytest.approx(fine.wear.pad_wear_percent[0], rel=1e-3)
    assert coarse.engine.coolant_c == pytest.approx(fine.engine.coolant_c, abs=2)


def test_driving_wears_and_charging_fills() -> None:
    model = CarModel(config(kind="electric"), now=NOW)
    before = model.condition()
    trip = trip_of(Random(1), 60)
    model.crank(1)
    passed = 0.0
    while passed < trip.duration_s:
        passed += 5
        model.run(5, trip.at(passed))
    after = model.condition()
    assert after.odometer_km - before.odometer_km == pytest.approx(trip.distance_km)
    assert after.soc_percent < before.soc_percent - 10
    assert after.soh_percent < before.soh_percent
    assert all(a > b for a, b in zip(after.pad_wear_percent, before.pad_wear_percent, strict=True))
    assert after.oil_life_percent == before.oil_life_percent  # it has none
    for _ in range(60):
        model.charge(60)
    charging = signals(model)
    assert model.condition().soc_percent > after.soc_percent + 5
    assert charging["Vehicle.Powertrain.TractionBattery.CurrentCurrent"] > 10  # into the battery
    assert charging["Vehicle.Powertrain.TractionBattery.Charging.IsCharging"] == 1


def test_tyre_pressure_follows_temperature() -> None:
    model = CarModel(config(), now=NOW)
    model.wear.tire_c = 20.0
    at_20 = model.wear.pressure_kpa(0)
    model.wear.tire_c = 40.0
    assert at_20 == pytest.approx(230)
    assert model.wear.pressure_kpa(0) - at_20 == pytest.approx(22.6, abs=0.3)


@pytest.mark.parametrize("kind", ["petrol", "diesel", "electric"])
def test_all_signals_are_true_of_a_car(kind: str) -> None:
    live = LiveCar(config(kind=kind, seed=4), now=NOW)
    for _ in range(300):
        live.advance(1)
        for path, value in signals(live.model).items():
            assert catalogue().by_path(path).accepts(value), (path, value)


# --- faults and accelerated life


def test_faults_show() -> None:
    model = CarModel(config(faults=["worn_pads", "oil_worn", "weak_12v", "slow_leak"]), now=NOW)
    healthy = CarModel(config(), now=NOW)
    assert max(model.wear.pad_wear_percent) >= 92
    assert model.wear.oil_life_percent <= 3
    assert model.low_voltage_v() < healthy.low_voltage_v() - 0.4
    for one in (model, healthy):
        one.rest(3 * 86_400)
    assert healthy.wear.pressure_kpa(0) - model.wear.pressure_kpa(0) > 40
    assert model.wear.pressure_kpa(1) == healthy.wear.pressure_kpa(1)


def test_a_fading_battery_fades_faster() -> None:
    fading = CarModel(config(kind="electric", faults=["fading_battery"]), now=NOW)
    healthy = CarModel(config(kind="electric"), now=NOW)
    for one in (fading, healthy):
        one.rest(100 * 86_400)
    assert 94 - fading.traction.soh_percent > 5 * (94 - healthy.traction.soh_percent) > 0


def test_accelerated_life_crosses_a_limit_in_seconds() -> None:
    live = LiveCar(
        config(acceleration={"pad_percent_per_s": 10, "oil_percent_per_s": 20, "tire_kpa_per_s": 5}), now=NOW
    )
    live.advance(7)
    assert live.model.wear.pad_wear_percent[0] == 100
    assert live.model.wear.oil_life_percent == 0
    assert live.model.wear.cold_pressure_kpa[0] == pytest.approx(195, abs=0.1)


def test_scheduled_fault_comes_in_its_time() -> None:
    live = LiveCar(config(schedule=[{"at_s": 8, "fault": "oil_worn"}]), now=NOW)
    live.advance(7)
    assert live.model.wear.oil_life_percent > 60
    live.advance(2)
    assert live.model.wear.oil_life_percent <= 3


def test_short_trips_start_the_engine_again_and_again() -> None:
    live = LiveCar(config(activity="short_trips"), now=NOW)
    phases = []
    for _ in range(200):
        live.advance(0.25)
        phases.append(live.model.phase)
    starts = sum(a != "cranking" and b == "cranking" for a, b in itertools.pairwise(phases))
    assert starts >= 3
    assert "parked" in phases
    assert "running" in phases


# --- configuration


def test_condition_goes_through_plain_data() -> None:
    condition = CarCondition(odometer_km=12.5, pad_wear_percent=(1, 2, 3, 4), soh_percent=71.5)
    assert config(condition=condition_to_dict(condition)).condition == condition
    assert config(acceleration={"oil_percent_per_s": 2}).acceleration == WearAcceleration(oil_percent_per_s=2)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"vin": "short"}, "17 letters"),
        ({"kind": "steam"}, "'steam' is none of petrol, diesel, electric"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"condition": {"soh_procent": 3}}, "did you mean 'soh_percent'"),
        ({"condition": {"pad_wear_percent": [1, 2]}}, "give four numbers"),
        ({"condition": {"soh_percent": 130}}, "outside 0 to 100"),
        ({"condition": {"soh_percent": "good"}}, "'good' is not a number"),
        ({"faults": ["explode"]}, "unknown fault 'explode'"),
        ({"faults": "misfire"}, "expected a list"),
        ({"schedule": [{"at_s": 3, "fault": "x"}]}, r"schedule\[0\]"),
        ({"schedule": [{"fault": "misfire"}]}, "'at_s' is missing"),
        ({"activity": "flying"}, "'flying' is none of"),
    ],
)
def test_errors_name_the_place(change: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        config(**change)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        CarModel(config(), now=datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused


def test_seasons() -> None:
    winter = CarModel(config(), now=datetime(2026, 1, 20, 5, tzinfo=UTC)).ambient_c
    summer = CarModel(config(), now=datetime(2026, 7, 20, 15, tzinfo=UTC)).ambient_c
    assert winter < 8
    assert summer > 15
    assert (
        CarModel(config(), now=NOW + timedelta(days=1)).ambient_c
        == CarModel(config(), now=NOW + timedelta(days=1)).ambient_c
    )
