"""Replays CSV recordings: OBD trips of the carOBD set, and our own history format. A cell is a value or a fault.

*OBD trip*: 27 columns like ``ENGINE_RPM ()``, a trailing comma per row, no time: rows lie a period apart from a start.
*History*: first column ``time`` (RFC 3339 with zone), further columns VSS paths in the catalogue's units; an empty cell
was not read. Both as ``.csv`` or ``.csv.gz``; which of them a file is, its header says.
"""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

from edge_agent.errors import SourceError
from edge_agent.section import nearest
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.sources.pace import Recording
from telemetry.catalogue import Catalogue, catalogue

_UNREADABLE: Final = (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error)

# Columns of eron93br/carOBD in file order, with their spelling. Their units are OBD's own, which the catalogue keeps:
# times with MIL on and since codes were cleared are minutes (SAE J1979 PID 4D, 4E), the engine's run time seconds (1F).
OBD_TRIP_COLUMNS: Final[Mapping[str, str]] = {
    "ENGINE_RUN_TINE": "Vehicle.OBD.RunTime",
    "ENGINE_RPM": "Vehicle.Powertrain.CombustionEngine.Speed",
    "VEHICLE_SPEED": "Vehicle.Speed",
    "THROTTLE": "Vehicle.OBD.ThrottlePosition",
    "ENGINE_LOAD": "Vehicle.OBD.EngineLoad",
    "COOLANT_TEMPERATURE": "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature",
    "LONG_TERM_FUEL_TRIM_BANK_1": "Vehicle.OBD.LongTermFuelTrim1",
    "SHORT_TERM_FUEL_TRIM_BANK_1": "Vehicle.OBD.ShortTermFuelTrim1",
    "INTAKE_MANIFOLD_PRESSURE": "Vehicle.OBD.MAP",
    "FUEL_TANK": "Vehicle.OBD.FuelLevel",
    "ABSOLUTE_THROTTLE_B": "Vehicle.OBD.ThrottlePositionB",
    "PEDAL_D": "Vehicle.OBD.AcceleratorPositionD",
    "PEDAL_E": "Vehicle.OBD.AcceleratorPositionE",
    "COMMANDED_THROTTLE_ACTUATOR": "Vehicle.OBD.ThrottleActuator",
    "FUEL_AIR_COMMANDED_EQUIV_RATIO": "Vehicle.OBD.CommandedEquivalenceRatio",
    "ABSOLUTE_BAROMETRIC_PRESSURE": "Vehicle.OBD.BarometricPressure",
    "RELATIVE_THROTTLE_POSITION": "Vehicle.OBD.RelativeThrottlePosition",
    "INTAKE_AIR_TEMP": "Vehicle.OBD.IntakeTemp",
    "TIMING_ADVANCE": "Vehicle.OBD.TimingAdvance",
    "CATALYST_TEMPERATURE_BANK1_SENSOR1": "Vehicle.OBD.Catalyst.Bank1.Temperature1",
    "CATALYST_TEMPERATURE_BANK1_SENSOR2": "Vehicle.OBD.Catalyst.Bank1.Temperature2",
    "CONTROL_MODULE_VOLTAGE": "Vehicle.OBD.ControlModuleVoltage",
    "COMMANDED_EVAPORATIVE_PURGE": "Vehicle.OBD.CommandedEVAP",
    "TIME_RUN_WITH_MIL_ON": "Vehicle.OBD.RunTimeMIL",
    "TIME_SINCE_TROUBLE_CODES_CLEARED": "Vehicle.OBD.TimeSinceDTCCleared",
    "DISTANCE_TRAVELED_WITH_MIL_ON": "Vehicle.OBD.DistanceWithMIL",
    "WARM_UPS_SINCE_CODES_CLEARED": "Vehicle.OBD.WarmupsSinceDTCClear",
}


@dataclass(frozen=True, kw_only=True)
class ReplayCsvConfig:
    """Which recording, and how fast. ``speed`` None: as fast as possible; 1.0: as fast as it was recorded.

    ``start`` and ``period_seconds`` give the rows of an OBD trip their times; a history has its own.
    """

    path: Path
    start: datetime | None = None
    period_seconds: float = 0.5
    speed: float | None = None


class ReplayCsvSource(Recording):
    """A recording as a source: one row per poll, None at its end."""

    def __init__(self, config: ReplayCsvConfig) -> None:
        super().__init__(config.path, config.speed, _UNREADABLE)
        self._config = config
        self._file: IO[str] | None = None

    def open(self) -> None:
        """Open the file and understand its header; SourceError otherwise."""
        self.close()
        path = self._config.path
        try:
            self._file = _text(path)
            rows = csv.reader(self._file, skipinitialspace=True)
            header = next(rows, [])
        except _UNREADABLE as error:
            self.close()
            raise SourceError(f"recording {path} cannot be read: {error}") from error
        try:
            self._rows = self._readings(rows, header)
        except SourceError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._rewind()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _readings(self, rows: Iterator[list[str]], header: list[str]) -> Iterator[Reading]:
        path, signals = self._config.path, catalogue()
        if header and header[0].strip() == "time":
            columns = [_history_column(path, name.strip(), signals) for name in header[1:]]
            return _history(path, rows, columns)
        columns = [_trip_column(path, name) for name in header if name.strip()]
        if not columns:
            raise SourceError(f"recording {path} has no header; is it empty?")
        if self._config.start is None:
            raise SourceError(f"recording {path} has no times; give source.start, e.g. 2026-01-31T08:00:00Z")
        return _trip(rows, columns, self._config.start, timedelta(seconds=self._config.period_seconds))


def _text(path: Path) -> IO[str]:
    raw = gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")
    return io.TextIOWrapper(raw, encoding="utf-8", newline="")


def _trip(rows: Iterator[list[str]], columns: list[str], start: datetime, period: timedelta) -> Iterator[Reading]:
    for index, row in enumerate(rows):
        cells = row[:-1] if len(row) == len(columns) + 1 and not row[-1].strip() else row  # the trailing comma
        yield _reading(cells, columns, row_number=index + 2, moment=start + index * period, empty_is_fault=True)


def _history(path: Path, rows: Iterator[list[str]], columns: list[str]) -> Iterator[Reading]:
    for number, row in enumerate(rows, start=2):
        if not row:
            continue  # a blank line, as at the end of a file
        try:
            moment = datetime.fromisoformat(row[0].strip())
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            # A row without a time cannot become a sample; it is reported and the recording goes on.
            yield Reading(faults=(_fault(path.name, number, "time", f"{row[0]!r} is no time with a zone"),))
            continue
        yield _reading(row[1:], columns, row_number=number, moment=moment.astimezone(UTC), empty_is_fault=False)


def _reading(
    cells: list[str], columns: list[str], *, row_number: int, moment: datetime, empty_is_fault: bool
) -> Reading:
    values: dict[str, float] = {}
    faults: list[ReadFault] = []
    if len(cells) != len(columns):
        faults.append(_fault("row", row_number, "", f"{len(cells)} cells where the header has {len(columns)}"))
    for column, cell in zip(columns, cells, strict=False):
        if not cell.strip() and not empty_is_fault:
            continue
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            values[column] = value
        else:
            faults.append(_fault("row", row_number, column, f"{cell!r} is not a number"))
    return Reading(values=values, time=moment, faults=tuple(faults))


def _fault(what: str, row: int, column: str, reason: str) -> ReadFault:
    where = f"row {row}" if what == "row" else f"{what} row {row}"
    return ReadFault(request=f"{where} {column}".rstrip(), reason=reason)


def _trip_column(path: Path, name: str) -> str:
    key = name.replace("()", "").strip()
    if key not in OBD_TRIP_COLUMNS:
        raise SourceError(f"recording {path}: unknown column {name.strip()!r}{nearest(key, list(OBD_TRIP_COLUMNS))}")
    return OBD_TRIP_COLUMNS[key]


def _history_column(path: Path, name: str, signals: Catalogue) -> str:
    if name not in signals:
        close = nearest(name, [signal.path for signal in signals])
        raise SourceError(f"recording {path}: column {name!r} is no signal of the catalogue{close}")
    return name
