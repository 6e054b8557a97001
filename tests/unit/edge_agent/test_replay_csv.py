"""CSV replay: both formats, faults by row, pace, and going on where it stopped."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.errors import SourceError
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.sources.pace import MAX_SLEEP_SECONDS, Pace
from edge_agent.sources.replay_csv import OBD_TRIP_COLUMNS, ReplayCsvConfig, ReplayCsvSource
from telemetry.catalogue import catalogue

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
TRIP = "ENGINE_RPM (),VEHICLE_SPEED ()\n"


def replayed(path: Path, **options: object) -> list[Reading]:
    source = ReplayCsvSource(ReplayCsvConfig(path=path, **{"start": START, **options}))  # type: ignore[arg-type]  # options
    source.open()
    readings = list(iter(source.poll, None))
    source.close()
    source.close()
    return readings


def file(folder: Path, text: str, name: str = "trip.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_each_column_is_a_signal_of_its_own_in_the_catalogue() -> None:
    assert len(OBD_TRIP_COLUMNS) == len(set(OBD_TRIP_COLUMNS.values())) == 27
    assert all(path in catalogue() for path in OBD_TRIP_COLUMNS.values())


@pytest.mark.parametrize("name", ["trip.csv", "trip.csv.gz"])
def test_a_trip_has_its_rows_half_a_second_apart(tmp_path: Path, name: str) -> None:
    text = TRIP + "800.250000, 0.000000,\n1200.0, 17.0,\n900, 12\n"  # the trailing comma may be missing
    assert replayed(file(tmp_path, text, name)) == [
        Reading(values={RPM: 800.25, "Vehicle.Speed": 0.0}, time=START),
        Reading(values={RPM: 1200.0, "Vehicle.Speed": 17.0}, time=START + timedelta(seconds=0.5)),
        Reading(values={RPM: 900.0, "Vehicle.Speed": 12.0}, time=START + timedelta(seconds=1)),
    ]


@pytest.mark.parametrize("cell", ["", "NODATA", "nan", "inf", "1e999", "0x1F", "--"])
def test_a_cell_that_is_no_number_is_a_fault_with_its_row(tmp_path: Path, cell: str) -> None:
    (reading,) = replayed(file(tmp_path, TRIP + f"{cell},17,\n"))
    assert reading.values == {"Vehicle.Speed": 17.0}
    assert reading.faults == (ReadFault(request=f"row 2 {RPM}", reason=f"{cell!r} is not a number"),)


def test_a_short_or_long_row_is_a_fault_and_keeps_its_place(tmp_path: Path) -> None:
    short, long = replayed(file(tmp_path, TRIP + "800\n800,17,99,1\n"))
    assert short.values == {RPM: 800.0}
    assert [fault.reason for fault in short.faults] == ["1 cells where the header has 2"]
    assert long.values == {RPM: 800.0, "Vehicle.Speed": 17.0}
    assert [fault.reason for fault in long.faults] == ["4 cells where the header has 2"]


def test_a_history_has_its_own_times_and_empty_cells_were_not_read(tmp_path: Path) -> None:
    text = (
        f"time,Vehicle.Speed,{RPM}\n"
        "2025-06-01T10:00:00Z,50,\n"
        "2025-06-01T12:00:10+02:00,,900\n"
        "yesterday,1,2\n"
        "2025-06-01T10:00:30,1,2\n"
        "\n"
        "2025-06-01T10:01:00Z,51,x\n"
    )
    moment = datetime(2025, 6, 1, 10, 0, tzinfo=UTC)
    first, second, wrong, naive, last = replayed(file(tmp_path, text, "history.csv.gz"))
    assert first == Reading(values={"Vehicle.Speed": 50.0}, time=moment)
    assert second == Reading(values={RPM: 900.0}, time=moment + timedelta(seconds=10))
    assert (wrong.values, wrong.time, wrong.faults[0].request) == ({}, None, "history.csv.gz row 4 time")
    assert (naive.values, naive.time) == ({}, None)
    assert last.values == {"Vehicle.Speed": 51.0}
    assert last.faults == (ReadFault(request=f"row 7 {RPM}", reason="'x' is not a number"),)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("ENGINE_RMP ()\n1\n", {}, "unknown column 'ENGINE_RMP ..'; did you mean 'ENGINE_RPM'?"),
        ("time,Vehicle.Sped\n", {}, "'Vehicle.Sped' is no signal of the catalogue; did you mean 'Vehicle.Speed'?"),
        ("", {}, "is it empty?"),
        (TRIP, {"start": None}, "has no times; give source.start"),
    ],
)
def test_a_header_that_is_not_understood_is_an_error(
    tmp_path: Path, text: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SourceError, match=message.replace("?", r"\?")):
        replayed(file(tmp_path, text), **options)


def test_a_missing_or_broken_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        replayed(tmp_path / "none.csv")
    path = tmp_path / "trip.csv.gz"
    path.write_bytes(b"not gzip")
    with pytest.raises(SourceError, match="cannot be read"):
        replayed(path)
    path.write_bytes(gzip.compress((TRIP + "800,17,\n" * 100_000).encode())[:300])
    with pytest.raises(SourceError, match="breaks off"):
        replayed(path)


def test_polling_a_closed_source_is_an_error(tmp_path: Path) -> None:
    source = ReplayCsvSource(ReplayCsvConfig(path=file(tmp_path, TRIP), start=START))
    with pytest.raises(SourceError, match="call open first"):
        source.poll()


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = file(tmp_path, TRIP + "".join(f"{n},0,\n" for n in range(10)))
    source = ReplayCsvSource(ReplayCsvConfig(path=path, start=START))
    source.open()
    source.poll()
    source.poll()
    assert source.position == 2
    source.open()
    assert source.position == 0
    source.skip(2)
    reading = source.poll()
    assert reading is not None
    assert (reading.values[RPM], reading.time, source.position) == (2.0, START + timedelta(seconds=1), 3)
    source.skip(100)
    assert source.poll() is None
    source.close()


def test_the_pace_is_that_of_the_recording_times_a_factor() -> None:
    now = 0.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    clock: Callable[[], float] = lambda: now  # noqa: E731 - reads the variable
    pace = Pace(10.0, monotonic=clock, sleep=sleep)
    readings = iter([Reading(values={"Vehicle.Speed": n}, time=START + timedelta(seconds=5 * n)) for n in range(4)])
    given = [(now, reading.values) for reading in iter(lambda: pace.next(readings), None)]
    assert [moment for moment, values in given if values] == pytest.approx([0.0, 0.5, 1.0, 1.5])
    assert [values["Vehicle.Speed"] for _, values in given if values] == [0, 1, 2, 3]
    assert max(slept) <= MAX_SLEEP_SECONDS  # so that the agent can be told to stop
    assert pace.handed_out == 4


def test_a_factor_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        Pace(0.0)


def test_a_recording_that_lost_its_end_is_named_where_rows_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "trip.csv.gz"
    rows = "".join(f"{row % 7000},{row % 200}\n" for row in range(20_000))
    path.write_bytes(gzip.compress((TRIP + rows).encode())[:-2000])
    source = ReplayCsvSource(ReplayCsvConfig(path=path, start=START))
    source.open()
    with pytest.raises(SourceError, match=r"trip\.csv\.gz breaks off"):
        source.skip(20_000)
    source.close()
