"""CAN replay: several log formats, periods, mappings, faults."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import can
import pytest

from edge_agent.errors import SourceError
from edge_agent.sources.base import Reading
from edge_agent.sources.broadcast_mapping import CanMapping
from edge_agent.sources.replay_can import ReplayCanConfig, ReplayCanSource

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
RPM = "Vehicle.Powertrain.CombustionEngine.Speed"
DBC = """
VERSION ""
BU_: ECU
BO_ 180 SPEED: 8 ECU
 SG_ SPEED : 7|16@0+ (0.01,0) [0|250] "km/h" ECU
BO_ 256 ENGINE: 4 ECU
 SG_ RPM : 7|16@0+ (1,0) [0|16000] "rpm" ECU
 SG_ OIL : 23|8@0+ (1,-40) [-40|215] "degF" ECU
"""
MAPPINGS = (
    CanMapping(message="SPEED", signal="SPEED", path="Vehicle.Speed"),
    CanMapping(message="ENGINE", signal="RPM", path=RPM),
    CanMapping(
        message="ENGINE",
        signal="OIL",
        path="Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature",
        factor=5 / 9,
        offset=-160 / 9,  # degF -> celsius
    ),
)


def frame(seconds: float, can_id: int, payload: str) -> can.Message:
    return can.Message(
        timestamp=START.timestamp() + seconds, arbitration_id=can_id, data=bytes.fromhex(payload), is_extended_id=False
    )


FRAMES = (
    frame(0.00, 0xB4, "1388000000000000"),  # 50 km/h
    frame(0.02, 0x100, "0320fc00ffffffff"),  # 800 rpm, 212 degF, padded to 8 bytes
    frame(0.04, 0x7FF, "00"),
    frame(0.06, 0xB4, "1389000000000000"),
    frame(0.20, 0x100, "03"),  # too short for its message
    frame(0.22, 0xB4, "138a000000000000"),
)


def config(folder: Path, *, name: str = "drive.log", mappings: tuple[CanMapping, ...] = MAPPINGS) -> ReplayCanConfig:
    (folder / "car.dbc").write_text(DBC, encoding="ascii")
    with can.Logger(folder / name) as log:
        for each in FRAMES:
            log.on_message_received(each)
    return ReplayCanConfig(path=folder / name, dbc=folder / "car.dbc", mappings=mappings)


def replayed(settings: ReplayCanConfig) -> list[Reading]:
    source = ReplayCanSource(settings)
    source.open()
    readings = list(iter(source.poll, None))
    source.close()
    source.close()
    return readings


@pytest.mark.parametrize("name", ["drive.log", "drive.log.gz", "drive.asc", "drive.blf", "drive.csv", "drive.db"])
def test_each_format_gives_the_last_values_of_each_period(tmp_path: Path, name: str) -> None:
    settings = replace(config(tmp_path, name=name), start=START)  # Vector's ASC counts from its own start
    first, second = replayed(settings)
    assert first.values == {
        "Vehicle.Speed": pytest.approx(50.01),
        RPM: 800.0,
        "Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature": pytest.approx(100.0),
    }
    assert second.values == {"Vehicle.Speed": pytest.approx(50.02)}
    assert first.time is not None
    assert second.time is not None
    assert second.time - first.time == pytest.approx(timedelta(seconds=0.16), abs=timedelta(milliseconds=1))
    (fault,) = second.faults
    assert fault.request == "frame 100 ENGINE"


def test_a_period_of_zero_gives_every_frame(tmp_path: Path) -> None:
    settings = config(tmp_path)
    readings = replayed(
        ReplayCanConfig(path=settings.path, dbc=settings.dbc, mappings=MAPPINGS[:1], period_seconds=0.0)
    )
    assert [reading.values["Vehicle.Speed"] for reading in readings] == pytest.approx([50.0, 50.01, 50.02])
    assert [reading.time for reading in readings] == [
        START + timedelta(seconds=seconds) for seconds in (0.0, 0.06, 0.22)
    ]


def test_a_start_moves_the_recording(tmp_path: Path) -> None:
    settings = config(tmp_path)
    moved = datetime(2027, 1, 1, tzinfo=UTC)
    (first, _) = replayed(ReplayCanConfig(path=settings.path, dbc=settings.dbc, mappings=MAPPINGS, start=moved))
    assert first.time == moved + timedelta(seconds=0.06)


def test_only_the_channel_asked_for_is_heard(tmp_path: Path) -> None:
    settings = config(tmp_path)
    assert replayed(ReplayCanConfig(path=settings.path, dbc=settings.dbc, mappings=MAPPINGS, channel="can9")) == []


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (CanMapping(message="SPED", signal="SPEED", path="Vehicle.Speed"), "no message 'SPED'; did you mean 'SPEED'?"),
        (CanMapping(message="ENGINE", signal="RMP", path="Vehicle.Speed"), "no signal 'RMP'; did you mean 'RPM'?"),
        (CanMapping(message="SPEED", signal="SPEED", path="Vehicle.Sped"), "did you mean 'Vehicle.Speed'?"),
    ],
)
def test_a_mapping_that_leads_nowhere_is_named(tmp_path: Path, mapping: CanMapping, message: str) -> None:
    with pytest.raises(SourceError, match=message.replace("?", r"\?")):
        replayed(config(tmp_path, mappings=(mapping,)))


def test_nothing_mapped_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no signal is mapped"):
        replayed(config(tmp_path, mappings=()))


def test_a_log_that_counts_from_its_own_start_needs_a_time(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings.path.write_text("(46408.584930) can0 0B4#1388000000000000\n", encoding="ascii")
    with pytest.raises(SourceError, match=r"give source\.start"):
        replayed(settings)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # python-can leaves a bad BLF open
@pytest.mark.parametrize(
    ("name", "content"),
    [("none.log", None), ("drive.xyz", b"x"), ("drive.log.gz", b"not gzip"), ("drive.blf", b"no"), ("drive.log", b"x")],
)
def test_a_recording_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, content: bytes | None) -> None:
    settings = config(tmp_path, name="drive.asc")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=r"cannot be read|breaks off"):
        replayed(ReplayCanConfig(path=tmp_path / name, dbc=settings.dbc, mappings=MAPPINGS))


def test_a_dbc_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings.dbc.write_text("BO_ nonsense", encoding="ascii")
    with pytest.raises(SourceError, match=r"DBC .* cannot be read"):
        replayed(settings)
