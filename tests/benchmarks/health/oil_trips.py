"""The recorded trips of a petrol car as oil life sees them; any files of the same layout."""

import csv
import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from health import signals
from telemetry.records import Sample
from tests.benchmarks.health.table import DATA

_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One row."""

    seconds: float
    speed_kmh: float
    engine_speed_rpm: float
    load_percent: float
    coolant_c: float
    intake_c: float


@dataclass(frozen=True, kw_only=True)
class RecordedTrip:
    """A trip at its mean rate: the recorded time counts whole seconds and stands while the engine does."""

    name: str
    readings: tuple[Reading, ...]

    @property
    def samples(self) -> list[Sample]:
        """As an estimator takes it."""
        return [
            Sample(
                time=_BEGIN + timedelta(seconds=reading.seconds),
                monotonic_ms=0,
                values={
                    signals.SPEED.path: reading.speed_kmh,
                    signals.ENGINE_SPEED.path: reading.engine_speed_rpm,
                    signals.ENGINE_LOAD.path: reading.load_percent,
                    signals.COOLANT_TEMPERATURE.path: reading.coolant_c,
                    signals.INTAKE_TEMPERATURE.path: reading.intake_c,
                },
            )
            for reading in self.readings
        ]


@cache
def recorded_trips() -> tuple[RecordedTrip, ...]:
    """All of the folder, by name."""
    found = []
    for path in sorted((DATA / "obd_trips").glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        length_s = float(rows[-1]["ENGINE_RUN_TINE ()"]) - float(rows[0]["ENGINE_RUN_TINE ()"])
        readings = tuple(
            Reading(
                seconds=length_s * index / len(rows),
                speed_kmh=float(row["VEHICLE_SPEED ()"]),
                engine_speed_rpm=float(row["ENGINE_RPM ()"]),
                load_percent=float(row["ENGINE_LOAD ()"]),
                coolant_c=float(row["COOLANT_TEMPERATURE ()"]),
                intake_c=float(row["INTAKE_AIR_TEMP ()"]),
            )
            for index, row in enumerate(rows)
        )
        found.append(RecordedTrip(name=path.name.removesuffix(".csv.gz"), readings=readings))
    return tuple(found)
