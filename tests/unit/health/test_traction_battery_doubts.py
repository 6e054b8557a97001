"""Bad input and changes of the traction battery: what is refused, what is told, what widens the interval."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from health import signals
from health.capacity.open_circuit_voltage import open_circuit_voltage
from health.errors import HealthError
from health.traction_battery import TractionBattery, TractionBatteryParameters
from telemetry.records import EventKind, Limitation, Quantity, Sample, ServiceAction, ServiceRecord, VehicleEvent
from tests.unit.health.traction_support import PARAMETERS, START, soh

CURRENT = signals.TRACTION_BATTERY_CURRENT.path
SOC = signals.TRACTION_BATTERY_SOC.path
VOLTAGE = signals.TRACTION_BATTERY_VOLTAGE.path
CHARGING = signals.TRACTION_BATTERY_CHARGING.path


def played(
    battery: TractionBattery,
    day: float,
    change: Callable[[int, dict[str, float]], dict[str, float]] = lambda _, values: values,
    *,
    cell_voltage: Callable[[float], float] | None = None,
    capacity: float = 135.0,
) -> None:
    """A charge from 30 to 80 % in 50 samples a minute apart, each changed as wished; then a sample of rest."""
    begin = START + timedelta(days=day)
    current = capacity * 0.5 / 50 * 60
    for index in range(51):
        soc = 30.0 + index
        values = {CURRENT: current, CHARGING: 1.0, SOC: soc}
        if cell_voltage is not None:
            values[VOLTAGE] = 96 * cell_voltage(soc)
        battery.update(Sample(time=begin + timedelta(minutes=index), monotonic_ms=0, values=change(index, values)))
    values = {CURRENT: 0.0, CHARGING: 0.0}
    battery.update(Sample(time=begin + timedelta(minutes=51), monotonic_ms=0, values=values))


def charged(count: int = 8, **how: float) -> TractionBattery:
    battery = TractionBattery(PARAMETERS)
    for day in range(count):
        played(battery, day, **how)  # type: ignore[arg-type]
    return battery


def told(battery: TractionBattery) -> list[tuple[EventKind, object]]:
    return [(event.kind, event.data.get("signal", event.data.get("quantity"))) for event in battery.findings()]


def test_a_stuck_state_of_charge_is_refused_and_told_once() -> None:
    battery = charged()
    before = soh(battery, 8)
    for day in range(8, 14):
        played(battery, day, lambda _, values: {**values, SOC: 44.0})
    assert told(battery) == [(EventKind.SIGNAL_DOUBTED, SOC)]
    assert battery.findings() == ()
    (estimate,) = battery.estimates(START + timedelta(days=14))
    assert (estimate.value, estimate.limited_by) == (before, Limitation.DOUBTFUL_READINGS)
    assert (battery.charges, battery.rejected_charges) == (8, 6)


def test_a_current_of_the_wrong_sign_is_refused_and_told() -> None:
    battery = charged(3)
    for day in range(3, 6):
        played(battery, day, lambda _, values: {**values, CURRENT: -values[CURRENT]})
    assert told(battery) == [(EventKind.SIGNAL_DOUBTED, CURRENT)]
    assert battery.charges == 3


def test_a_leap_of_the_gauge_is_refused_and_told() -> None:
    battery = charged()
    played(battery, 9, lambda index, values: {**values, SOC: values[SOC] + (25 if index > 20 else -25)})
    assert told(battery) == [(EventKind.SIGNAL_DOUBTED, SOC)]
    assert battery.charges == 8


def test_good_charges_after_doubtful_ones_count_again() -> None:
    battery = charged()
    for day in (9, 10):
        played(battery, day, lambda _, values: {**values, SOC: 44.0})
    played(battery, 11)
    (estimate,) = battery.estimates(START + timedelta(days=12))
    assert (estimate.limited_by, estimate.measurements) == (Limitation.FEW_MEASUREMENTS, 9)


def test_time_going_backwards_changes_nothing() -> None:
    battery = charged()
    before = battery.state()
    played(battery, 2)
    assert battery.state() == before


def test_a_missing_day_in_a_charge_ends_the_window_and_spoils_none() -> None:
    battery = charged()
    before = soh(battery, 8)
    begin = START + timedelta(days=9)
    for offset, soc in ((timedelta(0), 20.0), (timedelta(days=1), 80.0)):
        values = {CURRENT: 81.0, CHARGING: 1.0, SOC: soc}
        battery.update(Sample(time=begin + offset, monotonic_ms=0, values=values))
    values = {CURRENT: 0.0, CHARGING: 0.0}
    battery.update(Sample(time=begin + timedelta(days=1, minutes=1), monotonic_ms=0, values=values))
    assert battery.charges == 8
    assert soh(battery, 11) == before


def test_another_battery_is_noticed_and_told_with_its_certainty() -> None:
    battery = charged(20, capacity=105.0)
    assert soh(battery, 20) == pytest.approx(70, abs=2)
    for day in range(20, 28):
        played(battery, day, capacity=147.0)
    (finding,) = battery.findings()
    assert finding.kind is EventKind.SERVICE_SUSPECTED
    assert finding.data["quantity"] == "traction_battery_soh"
    assert 0.99 <= float(str(finding.data["certainty"])) <= 1
    (estimate,) = battery.estimates(START + timedelta(days=28))
    assert estimate.value == pytest.approx(98, abs=3)
    assert estimate.measurements is not None
    assert estimate.measurements < 15


def test_a_sudden_loss_is_followed_and_is_no_service() -> None:
    battery = charged(20, capacity=147.0)
    for day in range(20, 30):
        played(battery, day, capacity=105.0)
    assert soh(battery, 30) == pytest.approx(70, abs=3)
    assert battery.findings() == ()


@pytest.mark.parametrize("chemistry", [None, "lfp"])
def test_a_flat_voltage_is_uncertain(chemistry: str | None) -> None:
    """Where nobody said that the pack is LFP, its voltage does."""
    battery = TractionBattery(
        TractionBatteryParameters(nominal_capacity_ah=150, chemistry="lfp" if chemistry else None, cells_in_series=96)
    )
    for day in range(12):
        played(battery, day, cell_voltage=lambda soc: 3.30 + 0.0004 * soc)
    (estimate,) = battery.estimates(START + timedelta(days=12))
    assert estimate.limited_by == Limitation.FLAT_VOLTAGE
    assert estimate.high - estimate.low > 15
    assert estimate.low < 90 < estimate.high


def test_rests_anchor_the_charge_and_narrow_the_interval() -> None:
    """The gauge errs by a factor of 1.08; what rests tell is right."""
    by_rest = TractionBattery(
        TractionBatteryParameters(nominal_capacity_ah=150, chemistry="nmc811", cells_in_series=96)
    )
    for battery, rests in ((by_rest, True), (raw := TractionBattery(PARAMETERS), False)):
        for day in range(15):
            if rests:
                rest(battery, day - 0.5, 30.0)
                rest(battery, day - 0.00001, 30.0)
            played(battery, day, wrong_gauge, cell_voltage=lambda soc: open_circuit_voltage("nmc811", soc) + 0.02)
            if rests:
                rest(battery, day + 0.2, 80.0)
                drive(battery, day + 0.3)
    (anchored,), (gauge,) = (battery.estimates(START + timedelta(days=15)) for battery in (by_rest, raw))
    assert anchored.value == pytest.approx(90, abs=1)
    assert anchored.high - anchored.low < 0.6 * (gauge.high - gauge.low)
    assert (anchored.measurements, anchored.limited_by) == (15, "")
    assert gauge.limited_by == Limitation.STATE_OF_CHARGE
    assert gauge.value < 87


@pytest.mark.parametrize("cells", [48, 94, 98, 108, 192])
def test_a_wrong_number_of_cells_is_told_and_anchors_nothing(cells: int) -> None:
    """The pack has 96: by another number its rested voltage tells another charge, or none at all."""
    parameters = TractionBatteryParameters(nominal_capacity_ah=150, chemistry="nmc811", cells_in_series=cells)
    battery = TractionBattery(parameters)
    for day in range(15):
        rest(battery, day - 0.5, 30.0)
        rest(battery, day - 0.00001, 30.0)
        played(battery, day, cell_voltage=lambda soc: open_circuit_voltage("nmc811", soc) + 0.02)
        rest(battery, day + 0.2, 80.0)
        drive(battery, day + 0.3)
    (estimate,) = battery.estimates(START + timedelta(days=15))
    assert estimate.value == pytest.approx(90, abs=1)
    assert estimate.limited_by == Limitation.STATE_OF_CHARGE
    (told,) = battery.findings()
    assert (told.kind, told.data["signal"]) == (EventKind.SIGNAL_DOUBTED, VOLTAGE)


def test_a_frozen_pack_is_anchored_by_no_rest() -> None:
    parameters = TractionBatteryParameters(nominal_capacity_ah=150, chemistry="nmc811", cells_in_series=96)
    battery = TractionBattery(parameters)
    frozen = {signals.TRACTION_BATTERY_TEMPERATURE.path: -20.0}
    for day in range(15):
        rest(battery, day - 0.5, 30.0, frozen)
        rest(battery, day - 0.00001, 30.0, frozen)
        played(battery, day, wrong_gauge, cell_voltage=lambda soc: open_circuit_voltage("nmc811", soc) + 0.02)
        rest(battery, day + 0.2, 80.0, frozen)
        drive(battery, day + 0.3)
    (estimate,) = battery.estimates(START + timedelta(days=15))
    assert estimate.limited_by == Limitation.STATE_OF_CHARGE


def wrong_gauge(_: int, values: dict[str, float]) -> dict[str, float]:
    return {**values, SOC: 1.08 * (values[SOC] - 30) + 30}


def rest(battery: TractionBattery, day: float, soc: float, more: dict[str, float] | None = None) -> None:
    values = {CURRENT: 0.0, CHARGING: 0.0, VOLTAGE: 96 * open_circuit_voltage("nmc811", soc), **(more or {})}
    battery.update(Sample(time=START + timedelta(days=day), monotonic_ms=0, values=values))


def drive(battery: TractionBattery, day: float) -> None:
    values = {CURRENT: -60.0, CHARGING: 0.0, SOC: 30.0, signals.SPEED.path: 60.0}
    battery.update(Sample(time=START + timedelta(days=day), monotonic_ms=0, values=values))


def record(action: ServiceAction, value: float | None = None, unit: str = "", **more: str) -> ServiceRecord:
    return ServiceRecord(
        id=uuid4(),
        time=START + timedelta(days=9),
        quantity=Quantity(more.get("quantity", Quantity.TRACTION_BATTERY_SOH)),
        action=action,
        by="workshop",
        reason="capacity test",
        position=more.get("position", ""),
        value=value,
        unit=unit,
    )


def test_a_replaced_battery_is_forgotten_once() -> None:
    battery, replaced = charged(), record(ServiceAction.REPLACED)
    battery.serviced(record(ServiceAction.REPLACED, quantity="oil_life"))
    assert battery.charges == 8
    battery.serviced(replaced)
    assert battery.estimates(START + timedelta(days=9)) == ()
    for day in range(10, 14):
        played(battery, day)
    battery.serviced(replaced)
    assert battery.charges == 4


@pytest.mark.parametrize(
    ("told", "charges"),
    [(ServiceAction.REPLACED, 5), (ServiceAction.MEASURED, 13)],
)
def test_a_record_dated_ahead_does_not_make_it_deaf_until_then(told: ServiceAction, charges: int) -> None:
    battery = charged()
    one = record(told, 86.0, "percent") if told is ServiceAction.MEASURED else record(told)
    battery.serviced(replace(one, time=START + timedelta(days=900)))
    for day in range(10, 15):
        played(battery, day)
    assert battery.charges == charges
    (now,) = battery.estimates(START + timedelta(days=15))
    (later,) = battery.estimates(START + timedelta(days=800))
    assert later.high - later.low > now.high - now.low


def test_a_measured_capacity_calibrates() -> None:
    battery = TractionBattery(PARAMETERS)
    battery.serviced(record(ServiceAction.MEASURED, 86.0, "percent"))
    (estimate,) = battery.estimates(START + timedelta(days=9))
    assert estimate.value == pytest.approx(86)
    assert estimate.high - estimate.low < 8


def test_a_balanced_pack_keeps_its_capacity() -> None:
    battery = charged()
    before = soh(battery, 9)
    battery.serviced(record(ServiceAction.ADJUSTED))
    assert soh(battery, 9) == before


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (record(ServiceAction.MEASURED, 86.0, "mm"), "give percent of nominal, 20 to 120"),
        (record(ServiceAction.MEASURED, 5.0, "percent"), "give percent of nominal, 20 to 120"),
        (record(ServiceAction.REPLACED, position="Row1"), "a car has one; give none"),
    ],
)
def test_records_that_make_no_sense_are_refused_and_do_not_count(wrong: ServiceRecord, text: str) -> None:
    battery = charged()
    before = battery.state()
    with pytest.raises(HealthError, match=text):
        battery.serviced(wrong)
    assert battery.state() == before


def test_findings_outlive_a_restart_and_are_told_once() -> None:
    battery = charged()
    played(battery, 9, lambda _, values: {**values, SOC: 44.0})
    again = TractionBattery(PARAMETERS)
    again.restore(json.loads(json.dumps(battery.state())))
    found: tuple[VehicleEvent, ...] = again.findings()
    assert len(found) == 1
    third = TractionBattery(PARAMETERS)
    third.restore(json.loads(json.dumps(again.state())))
    assert third.findings() == ()


def test_what_version_1_had_learned_is_taken_up() -> None:
    """Sums of 20 windows from 30 to 80 % of a pack of 135 Ah."""
    old = {
        "estimator": "traction_battery",
        "version": 1,
        "newest": "2026-03-20T20:00:00Z",
        "last": "2026-03-20T20:00:00Z",
        "current": 0.0,
        "charging": False,
        "start_soc": None,
        "soc": None,
        "counted_ah": 0.0,
        "counted_at_soc_ah": 0.0,
        "c1": 20 * 0.25,
        "c2": 20 * 0.5 * 67.5,
        "c3": 20 * 67.5**2,
        "weighted_at": "2026-03-20T20:00:00Z",
        "charges": 20,
        "doubted": 0,
        "rejected": 1,
        "ecu_soh": 93.0,
        "ecu_time": "2026-03-20T20:00:00Z",
    }
    battery = TractionBattery(PARAMETERS)
    battery.restore(old)
    ours, ecu = battery.estimates(START + timedelta(days=20))
    assert ours.value == pytest.approx(90)
    assert (ours.measurements, ecu.value) == (20, 93.0)
    assert 4 < ours.high - ours.low < 12
    with pytest.raises(HealthError, match="damaged state of an older version"):
        battery.restore({**old, "c1": "many"})


def test_the_id_of_a_record_is_part_of_the_state() -> None:
    battery, replaced = charged(), record(ServiceAction.REPLACED)
    battery.serviced(replaced)
    assert str(UUID(str(replaced.id))) in json.dumps(battery.state())
