"""A virtual car's past as a recording: months in seconds, in the format of a trip recording.

The file is CSV, gzip by suffix: first column ``time`` (RFC 3339, UTC, "Z"), then one column per VSS path, empty where
not read. Values are those the car's ECUs would have given, in the same steps; a parked car gives only the voltage that
the dongle itself measures.
"""

import gzip
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import IO

from edge_agent.errors import ConfigurationError
from edge_agent.obd.pids import PIDS
from edge_agent.virtual_car.config import CarCondition, VirtualCarConfig
from edge_agent.virtual_car.drive import PlannedTrip, day_plan
from edge_agent.virtual_car.encode import SUPPORTED_PIDS
from edge_agent.virtual_car.model import CarModel
from edge_agent.virtual_car.signals import signals
from telemetry.records import require_aware

_VOLTAGE = "Vehicle.LowVoltageBattery.CurrentVoltage"
_TRACTION = "Vehicle.Powertrain.TractionBattery."
_PARKED_SAMPLE_S = 7200.0
_CACHED_TEXTS = 4096
_CRANKING_S = 1.0
_AFTER_CRANKING_ROWS = 4  # one second apart
_PLUGGED_IN_BELOW = 75.0  # percent of charge
_CHARGED_TO = 90.0
_PLUG_IN_S, _UNPLUG_S = 22.5 * 3600, 29.5 * 3600  # seconds of the local day, over midnight


class _Column:
    """One signal as text, in the steps in which it is read."""

    def __init__(self, path: str, scale: float, offset: float, exact: Callable[[int], float]) -> None:
        self.path = path
        self._scale = scale
        self._offset = offset
        self._exact = exact
        self._texts: dict[int, str] = {}

    def text(self, value: float) -> str:
        raw = round((value - self._offset) / self._scale)
        text = self._texts.get(raw)
        if text is None:
            text = repr(self._exact(raw)).removesuffix(".0")
            if len(self._texts) < _CACHED_TEXTS:
                self._texts[raw] = text
        return text


def write_history(
    config: VirtualCarConfig,
    *,
    start: datetime,
    end: datetime,
    path: Path,
    sample_period_s: float = 60.0,
    seed: int | None = None,
) -> CarCondition:
    """Simulate from ``start`` to ``end`` and write what a dongle would have read; gives the condition at the end.

    One row per ``sample_period_s`` while driving or charging, one row every two hours while parked, and rows at 1 s
    around each start. ``seed`` None takes that of the configuration. Accelerated wear and scheduled faults are not
    applied, the faults of the start are. Raises
    ConfigurationError for an empty span or a period below 1 s.
    """
    require_aware(start, "start")
    require_aware(end, "end")
    if not start < end:
        raise ConfigurationError(f"the history from {start} to {end} is empty; give a start before the end")
    if sample_period_s < 1:
        raise ConfigurationError(f"sample_period_s is {sample_period_s}; give 1 or more")
    if seed is not None:
        config = replace(config, seed=seed)
    with _opened(path) as file:
        return _Past(config, start.astimezone(UTC), end.astimezone(UTC), sample_period_s, file).write()


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        # mtime 0: the same car gives the same bytes
        binary = gzip.GzipFile(filename=path, mode="wb", compresslevel=3, mtime=0)
        return io.TextIOWrapper(binary, encoding="ascii", newline="\n")
    return path.open("w", encoding="ascii", newline="\n")


def columns_of(config: VirtualCarConfig) -> tuple[str, ...]:
    """VSS paths a history of that car has, in the order of its columns."""
    return tuple(column.path for column in _columns(config))


def _columns(config: VirtualCarConfig) -> tuple[_Column, ...]:
    columns: dict[str, _Column] = {_VOLTAGE: _Column(_VOLTAGE, 0.01, 0.0, lambda raw: raw / 100)}
    for pid in sorted(SUPPORTED_PIDS[config.kind]):
        for signal in PIDS[pid].signals:
            columns[signal.path] = _column(signal.path, signal.scale, signal.offset)
    for definition in config.dids:
        for did_signal in definition.signals:
            columns[did_signal.path] = _column(did_signal.path, did_signal.scale, did_signal.offset)
    return tuple(columns.values())


def _column(path: str, scale: Fraction, offset: Fraction) -> _Column:
    return _Column(path, float(scale), float(offset), lambda raw: float(raw * scale + offset))


class _Past:
    def __init__(
        self, config: VirtualCarConfig, start: datetime, end: datetime, sample_period_s: float, file: IO[str]
    ) -> None:
        self._model = CarModel(config, now=start)
        self._end = end
        self._period_s = sample_period_s
        self._file = file
        self._columns = _columns(config)
        available = signals(self._model)
        self._columns = tuple(column for column in self._columns if column.path in available)
        self._last_row = start - timedelta(days=1)
        self._offset = timedelta(hours=config.utc_offset_h)

    def write(self) -> CarCondition:
        self._file.write(",".join(("time", *(column.path for column in self._columns))) + "\n")
        model, config = self._model, self._model.config
        self._row(_while_parked)
        while model.now < self._end:
            local = model.now + self._offset
            midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) - self._offset
            for planned in day_plan(config.seed, local.toordinal(), config.daily_km):
                begin = midnight + timedelta(seconds=round(planned.start_s))
                if begin < model.now:
                    continue
                self._stand_until(min(begin, self._end), midnight)
                if model.now < self._end:
                    self._drive(planned)
            self._stand_until(min(midnight + timedelta(days=1), self._end), midnight)
        return model.condition()

    def _drive(self, planned: PlannedTrip) -> None:
        model, trip = self._model, planned.trip
        if not model.electric:
            self._row(_while_parked)  # at rest, the second before
        model.crank(_CRANKING_S)
        self._row(_while_cranking)
        passed = 0.0
        while passed < trip.duration_s and model.now < self._end:
            step = 1.0 if passed < _AFTER_CRANKING_ROWS and not model.electric else self._period_s
            step = min(step, trip.duration_s - passed)
            passed += step
            model.run(step, trip.at(passed))
            self._row(_while_running)
        model.rest(1.0)

    def _stand_until(self, until: datetime, midnight: datetime) -> None:
        model = self._model
        while model.now < until:
            left_s = (until - model.now).total_seconds()
            if self._charging(midnight):
                model.charge(min(self._period_s, left_s))
                self._row(_while_charging)
            else:
                since_s = (model.now - self._last_row).total_seconds()
                model.rest(max(0.001, min(_PARKED_SAMPLE_S - since_s, left_s, self._until_plug_in(midnight))))
                if (model.now - self._last_row).total_seconds() >= _PARKED_SAMPLE_S:
                    self._row(_while_parked)

    def _charging(self, midnight: datetime) -> bool:
        model = self._model
        if not model.electric:
            return False
        second = (model.now - midnight).total_seconds()
        at_night = second >= _PLUG_IN_S or second < _UNPLUG_S - 86_400
        if model.phase == "charging":
            return at_night and model.traction.soc_percent < _CHARGED_TO
        return at_night and model.traction.soc_percent < _PLUGGED_IN_BELOW

    def _until_plug_in(self, midnight: datetime) -> float:
        second = (self._model.now - midnight).total_seconds()
        return _PLUG_IN_S - second if self._model.electric and second < _PLUG_IN_S else _PARKED_SAMPLE_S

    def _row(self, read: Callable[[str], bool]) -> None:
        if self._model.now == self._last_row:
            return
        self._last_row = self._model.now
        values = signals(self._model)
        cells = [column.text(values[column.path]) if read(column.path) else "" for column in self._columns]
        stamp = self._model.now.isoformat(timespec="milliseconds")[:-6]
        self._file.write(f"{stamp}Z,{','.join(cells)}\n")


def _while_parked(path: str) -> bool:
    return path == _VOLTAGE


def _while_cranking(path: str) -> bool:
    return path in {_VOLTAGE, "Vehicle.OBD.ControlModuleVoltage", "Vehicle.Powertrain.CombustionEngine.Speed"}


def _while_charging(path: str) -> bool:
    return path == _VOLTAGE or path.startswith(_TRACTION)


def _while_running(path: str) -> bool:
    del path
    return True
