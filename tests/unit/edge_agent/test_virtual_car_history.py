import csv
import gzip
import itertools
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from edge_agent.errors import ConfigurationError
from edge_agent.obd.did import DidDefinition, DidSignal
from edge_agent.virtual_car.config import VirtualCarConfig, WearAcceleration
from edge_agent.virtual_car.history import columns_of, write_history
from telemetry.catalogue import catalogue

START = datetime(2026, 3, 2, tzinfo=UTC)
END = START + timedelta(days=14)
OIL_LIFE = "Vehicle.Powertrain.CombustionEngine.EngineOil.LifeRemainingPercent"
VOLTAGE = "Vehicle.LowVoltageBattery.CurrentVoltage"
SPEED = "Vehicle.Speed"
OIL = DidDefinition(
    did=0x4DC0,
    request_id=0x7E0,
    response_id=0x7E8,
    period_s=1,
    signals=(DidSignal(did=0x4DC0, path=OIL_LIFE, scale=Fraction(100, 255)),),
)
PETROL = VirtualCarConfig(name="p", vin="WVWZZZ1KZAW000001", dids=(OIL,))
ELECTRIC = VirtualCarConfig(name="e", vin="WVWZZZ1KZAW000002", kind="electric")


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return list(csv.DictReader(file))


def moment(row: dict[str, str]) -> datetime:
    assert row["time"].endswith("Z")
    return datetime.fromisoformat(row["time"])


def test_format_and_values(tmp_path: Path) -> None:
    path = tmp_path / "past.csv.gz"
    write_history(PETROL, start=START, end=END, path=path)
    recorded = rows(path)
    assert next(iter(recorded[0])) == "time"
    assert set(recorded[0]) == {"time", *columns_of(PETROL)}
    times = [moment(row) for row in recorded]
    assert all(a < b for a, b in itertools.pairwise(times))
    assert times[0] >= START
    assert times[-1] <= END
    for row in recorded:
        for name, cell in row.items():
            if name != "time" and cell:
                assert catalogue().by_path(name).accepts(float(cell)), (name, cell)
    oil = [float(row[OIL_LIFE]) for row in recorded if row[OIL_LIFE]]
    assert oil[0] > oil[-1]
    assert all(float(value * 255 / 100).is_integer() or abs(value * 2.55 - round(value * 2.55)) < 1e-9 for value in oil)


def test_a_parked_car_gives_its_12_v_alone_every_two_hours(tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    write_history(PETROL, start=START, end=END, path=path)
    recorded = rows(path)
    parked = [row for row in recorded if not row["Vehicle.Powertrain.CombustionEngine.Speed"]]
    assert len(parked) > 14 * 8
    assert all(row[VOLTAGE] and not row[SPEED] for row in parked)
    gaps = [(moment(b) - moment(a)).total_seconds() for a, b in itertools.pairwise(recorded)]
    assert max(gaps) <= 7200


def test_a_start_is_seen_second_by_second(tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    write_history(PETROL, start=START, end=END, path=path)
    recorded = rows(path)
    starts = [n for n, row in enumerate(recorded) if row["Vehicle.Powertrain.CombustionEngine.Speed"] == "210"]
    assert len(starts) >= 18
    for n in starts:
        before, during, after = (float(recorded[k][VOLTAGE]) for k in (n - 1, n, n + 1))
        assert during < before - 1 < after - 1
        assert (moment(recorded[n]) - moment(recorded[n - 1])).total_seconds() == 1
        assert (moment(recorded[n + 1]) - moment(recorded[n])).total_seconds() == 1


def test_condition_at_the_end_is_what_was_read_last(tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    end = write_history(PETROL, start=START, end=END, path=path)
    last = [row for row in rows(path) if row[OIL_LIFE]][-1]
    assert end.oil_life_percent == pytest.approx(float(last[OIL_LIFE]), abs=0.2)
    assert end.odometer_km == pytest.approx(float(last["Vehicle.TraveledDistance"]) / 1000, abs=0.1)
    assert end.odometer_km > PETROL.condition.odometer_km + 300


def test_an_electric_car_charges_at_night(tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    end = write_history(ELECTRIC, start=START, end=END, path=path)
    soc = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
    recorded = rows(path)
    charging = [row for row in recorded if row[soc] and not row[SPEED]]
    assert len(charging) > 60
    assert all(moment(row).hour >= 22 or moment(row).hour < 6 for row in charging)
    assert min(float(row[soc]) for row in recorded if row[soc]) > 20
    assert end.soh_percent < ELECTRIC.condition.soh_percent
    assert "Vehicle.Powertrain.CombustionEngine.Speed" not in recorded[0]


def test_same_seed_same_bytes_other_seed_other_drives(tmp_path: Path) -> None:
    files = [tmp_path / name / "past.csv.gz" for name in "abc"]
    for file, seed in zip(files, (5, 5, 6), strict=True):
        file.parent.mkdir()
        write_history(PETROL, start=START, end=START + timedelta(days=2), path=file, seed=seed)
    assert gzip.decompress(files[0].read_bytes()) == gzip.decompress(files[1].read_bytes())
    assert gzip.decompress(files[0].read_bytes()) != gzip.decompress(files[2].read_bytes())


def test_accelerated_life_is_not_in_the_past(tmp_path: Path) -> None:
    fast = VirtualCarConfig(name="f", vin=PETROL.vin, acceleration=WearAcceleration(oil_percent_per_s=1))
    end = write_history(fast, start=START, end=START + timedelta(days=2), path=tmp_path / "past.csv")
    assert end.oil_life_percent > 60


def test_a_history_goes_on_where_it_ended(tmp_path: Path) -> None:
    middle = write_history(PETROL, start=START, end=END, path=tmp_path / "a.csv")
    second = VirtualCarConfig(name="p", vin=PETROL.vin, dids=(OIL,), condition=middle)
    write_history(second, start=END, end=END + timedelta(days=3), path=tmp_path / "b.csv")
    first = next(row for row in rows(tmp_path / "b.csv") if row[OIL_LIFE])
    assert float(first[OIL_LIFE]) == pytest.approx(middle.oil_life_percent, abs=0.4)


@pytest.mark.parametrize("period", [0.0, 0.5])
def test_what_makes_no_history(tmp_path: Path, period: float) -> None:
    with pytest.raises(ConfigurationError, match="1 or more"):
        write_history(PETROL, start=START, end=END, path=tmp_path / "a.csv", sample_period_s=period)
    with pytest.raises(ConfigurationError, match="empty"):
        write_history(PETROL, start=END, end=START, path=tmp_path / "a.csv")
    with pytest.raises(ValueError, match="time zone"):
        write_history(PETROL, start=datetime(2026, 1, 1), end=END, path=tmp_path / "a.csv")  # noqa: DTZ001 - refused
