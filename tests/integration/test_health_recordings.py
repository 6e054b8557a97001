"""The estimators on recordings nobody here made. Loose bounds: sanity, not accuracy; nothing is tuned on these data."""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from health import signals
from health.low_voltage_battery import LowVoltageBattery
from health.oil_life import OilLife, OilLifeParameters
from health.traction_battery import TractionBattery, TractionBatteryParameters
from telemetry.records import Sample
from tests.benchmarks.health.fit_oil import engine_speeds, idle_speeds
from tests.benchmarks.health.oil_driving import ENGINE_SPEEDS
from tests.benchmarks.health.oil_report import report
from tests.benchmarks.health.oil_trips import RecordedTrip, recorded_trips

DATA = Path(__file__).parents[3] / "shared" / "data"
TRIPS = sorted((DATA / "obd_trips").glob("*.csv.gz"))
START = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = [
    pytest.mark.recordings,
    pytest.mark.skipif(not DATA.is_dir(), reason="the recordings (../shared/data) are not on this machine"),
]
COLUMNS = {
    "ENGINE_RPM ()": signals.ENGINE_SPEED,
    "VEHICLE_SPEED ()": signals.SPEED,
    "ENGINE_LOAD ()": signals.ENGINE_LOAD,
    "COOLANT_TEMPERATURE ()": signals.COOLANT_TEMPERATURE,
    "CONTROL_MODULE_VOLTAGE ()": signals.CONTROL_MODULE_VOLTAGE,
}


def trip(path: Path, start: datetime) -> list[Sample]:
    """A trip at its mean rate: the recorded time counts whole seconds and stands while the engine does."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    seconds = float(rows[-1]["ENGINE_RUN_TINE ()"]) - float(rows[0]["ENGINE_RUN_TINE ()"])
    return [
        Sample(
            time=start + timedelta(seconds=seconds * index / len(rows)),
            monotonic_ms=0,
            values={signal.path: float(row[column]) for column, signal in COLUMNS.items()},
        )
        for index, row in enumerate(rows)
    ]


@pytest.mark.parametrize("path", TRIPS, ids=lambda path: path.name)
def test_a_trip_uses_hundredths_of_a_percent_of_oil_life(path: Path) -> None:
    oil = OilLife(OilLifeParameters(life_at_start=100, time_cap_days=36_500))
    samples = trip(path, START)
    for sample in samples:
        oil.update(sample)
    hours = (samples[-1].time - START).total_seconds() / 3600
    used = 100 - oil.estimates(samples[-1].time)[0].value
    # 500 to 3,000 rpm on average, penalty 1 to 2.6, of 35 million revolutions
    assert 100 * 500 * 60 * hours / 35e6 < used < 100 * 3000 * 60 * hours * 2.6 / 35e6
    assert 0.005 < used < 0.5


@pytest.mark.parametrize("recorded", recorded_trips(), ids=lambda recorded: recorded.name)
def test_modelled_oil_is_plausible_against_the_coolant(recorded: RecordedTrip) -> None:
    """No oil temperature was recorded: it starts with the coolant, lags minutes behind it and ends a little above."""
    found = report(recorded)
    assert found.plausible
    assert found.curve[0][2] == pytest.approx(found.curve[0][1], abs=1)
    assert 500 * found.duration_s / 60 < found.revolutions < 3000 * found.duration_s / 60
    assert 0 <= found.cold_share <= 1
    assert (found.cold_share > 0) == (found.curve[0][1] < 60)


def test_the_simulated_car_s_engine_speeds_are_the_recorded_ones() -> None:
    for (speed, engine_speed), (expected_speed, expected) in zip(engine_speeds(), ENGINE_SPEEDS, strict=False):
        assert speed == expected_speed
        assert engine_speed == pytest.approx(expected, abs=1)
    assert idle_speeds() == pytest.approx((794, 1212), abs=1)


def test_the_12_v_battery_rests_and_charges() -> None:
    battery = LowVoltageBattery()
    for day, path in enumerate(TRIPS):
        for sample in trip(path, START + timedelta(days=day)):
            battery.update(sample)
    assert battery.charging_voltage_v is not None
    assert 13.2 < battery.charging_voltage_v < 14.8
    (estimate,) = battery.estimates(START + timedelta(days=len(TRIPS)))
    assert estimate.method == "low_voltage_battery_rest/2"  # 2 Hz cannot see the cranking dip
    assert estimate.limited_by == "slow_sampling"
    assert estimate.high - estimate.low >= 50


@pytest.mark.parametrize("path", TRIPS, ids=lambda path: path.name)
@pytest.mark.parametrize("thinned", [1, 2, 10, 20])
def test_each_trip_has_one_start(path: Path, thinned: int) -> None:
    """By eye and by the ECU's own time each of these begins with one start; an idle that sags below 500 rpm is none."""
    battery = LowVoltageBattery()
    for sample in trip(path, START)[::thinned]:
        battery.update(sample)
    assert battery.starts == 1
    start = battery.last_start
    assert start is not None
    assert (start.time - START).total_seconds() < 15
    assert start.cranking_v is None


def discharges(path: Path) -> Iterator[tuple[int, list[tuple[float, float, float]]]]:
    """Cycle number and its rows of time (s), current (A, negative), voltage (V)."""
    cycles: dict[int, list[tuple[float, float, float]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            numbers = (float(row["Time"]), float(row["Current_measured"]), float(row["Voltage_measured"]))
            cycles.setdefault(int(row["cycle_idx"]), []).append(numbers)
    yield from sorted(cycles.items())


def fade(path: Path) -> list[tuple[float, float]]:
    """Estimated and counted capacity (Ah) of each cycle, one a day: SOC is 100 at the start and 0 at cut-off."""
    parameters = TractionBatteryParameters(nominal_capacity_ah=2.0, discharges=True, soc_error=1.0, max_gap_s=600)
    battery = TractionBattery(parameters)
    found: list[tuple[float, float]] = []
    for number, rows in discharges(path):
        lowest = min(range(len(rows)), key=lambda index: rows[index][2])
        counted = 0.0
        for index, (seconds, current, _) in enumerate(rows[: lowest + 1]):
            if index:
                counted += (current + rows[index - 1][1]) / 2 * (seconds - rows[index - 1][0]) / 3600
            values = {signals.TRACTION_BATTERY_CURRENT.path: current}
            if index in {0, lowest}:
                values[signals.TRACTION_BATTERY_SOC.path] = 100.0 if index == 0 else 0.0
            time = START + timedelta(days=number, seconds=seconds)
            battery.update(Sample(time=time, monotonic_ms=0, values=values))
        estimates = battery.estimates(START + timedelta(days=number))
        if estimates:
            found.append((estimates[0].value / 100 * 2.0, -counted))
    return found


@pytest.mark.parametrize("cell", ["B0005", "B0006", "B0007"])
def test_the_fade_of_a_cell_is_recovered(cell: str) -> None:
    """Full windows with exact ends: what is judged is counting and following."""
    found = fade(DATA / "battery_cells" / f"nasa_{cell}.csv.gz")
    assert len(found) > 100
    errors = [estimate - counted for estimate, counted in found]
    rmse = (sum(error * error for error in errors) / len(errors)) ** 0.5
    assert rmse < 0.03 * 2.0
    assert found[0][0] - found[-1][0] == pytest.approx(found[0][1] - found[-1][1], rel=0.15)
