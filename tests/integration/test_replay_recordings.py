"""Real recordings through the replay sources: every value of every trip, and the speed of a Toyota."""

import csv
import gzip
from bisect import bisect
from datetime import UTC, datetime, timedelta
from pathlib import Path

import opendbc
import pytest

from edge_agent.sources.base import Reading, Source
from edge_agent.sources.broadcast_mapping import CanMapping
from edge_agent.sources.replay_can import ReplayCanConfig, ReplayCanSource
from edge_agent.sources.replay_csv import OBD_TRIP_COLUMNS, ReplayCsvConfig, ReplayCsvSource
from telemetry.catalogue import catalogue

RECORDINGS = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.recordings,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings in ../shared/data are not here"),
]

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
TOYOTA = RECORDINGS / "can" / "toyota_2017_60s.log.gz"
TOYOTA_FIRST_FRAME_S = 46408.584930  # on the clock of log and reference


def readings_of(source: Source) -> list[Reading]:
    source.open()
    readings = list(iter(source.poll, None))
    source.close()
    return readings


def test_every_row_of_a_long_trip_comes_out_with_its_27_values() -> None:
    path = RECORDINGS / "obd_trips" / "long2.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    readings = readings_of(ReplayCsvSource(ReplayCsvConfig(path=path, start=START)))
    assert len(readings) == len(rows) == 7516
    for index, (reading, row) in enumerate(zip(readings, rows, strict=True)):
        assert reading.values == {path: float(row[f"{name} ()"]) for name, path in OBD_TRIP_COLUMNS.items()}
        assert reading.time == START + index * timedelta(seconds=0.5)
        assert reading.faults == ()


@pytest.mark.parametrize("path", sorted((RECORDINGS / "obd_trips").glob("*.csv.gz")), ids=lambda path: path.name)
def test_every_trip_is_read_without_a_fault_and_within_the_ranges(path: Path) -> None:
    readings = readings_of(ReplayCsvSource(ReplayCsvConfig(path=path, start=START)))
    assert readings
    for reading in readings:
        assert len(reading.values) == 27
        assert all(catalogue().by_path(signal).accepts(value) for signal, value in reading.values.items())


@pytest.mark.parametrize("period_seconds", [0.0, 0.1])
def test_the_speed_of_a_toyota_is_that_of_the_reference(period_seconds: float) -> None:
    dbc = Path(opendbc.__file__).parent / "dbc" / "generator" / "toyota" / "_toyota_2017.dbc"
    source = ReplayCanSource(
        ReplayCanConfig(
            path=TOYOTA,
            dbc=dbc,
            mappings=(CanMapping(message="SPEED", signal="SPEED", path="Vehicle.Speed"),),
            period_seconds=period_seconds,
            start=START,
        )
    )
    with TOYOTA.with_name("toyota_2017_60s_speed_reference.csv").open(newline="") as file:
        reference = [(float(row["time_s"]), float(row["speed_m_per_s"])) for row in csv.DictReader(file)]
    times = [moment for moment, _ in reference]
    errors = []
    for reading in readings_of(source):
        assert reading.time is not None
        assert reading.faults == ()
        moment = (reading.time - START).total_seconds() + TOYOTA_FIRST_FRAME_S
        right = min(max(bisect(times, moment), 1), len(times) - 1)
        (before, low), (after, high) = reference[right - 1], reference[right]
        expected = low + (high - low) * min(max((moment - before) / (after - before), 0.0), 1.0)
        errors.append(abs(reading.values["Vehicle.Speed"] / 3.6 - expected))  # km/h -> m/s
    assert len(errors) > 500
    assert sum(errors) / len(errors) < 0.4  # m/s, mean absolute
