"""Fleets of any size in a database, made by the database itself, and the recorded trips as one."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from edge_agent.sources.replay_csv import ReplayCsvConfig, ReplayCsvSource
from ingest.database import Connection
from ingest.rollups.maintenance import MaintenanceConfig, run_round
from telemetry.catalogue import catalogue
from tests.benchmarks.bench_row import SHARED

START: Final = datetime(2026, 9, 1, tzinfo=UTC)
DAYS: Final = 30
ROWS_PER_DAY: Final = 180  # of a car: three batches of a minute, one second apart
SIGNALS: Final = tuple(signal.column for signal in catalogue() if signal.datatype == "float")[:12]


def grow(connection: Connection, first: int, last: int) -> int:
    """Add cars ``first`` … ``last`` - 1 with a month each, batch by batch as fleets send them; the rows added."""
    columns = ", ".join(SIGNALS)
    values = ", ".join(f"(second + 7 * car + {place}) %% 101" for place in range(len(SIGNALS)))
    added = 0
    for day in range(DAYS):  # and in the order in which batches come: it decides which rows share a page
        added += connection.execute(
            f"""
            INSERT INTO reading (time, vehicle_id, {columns})
            SELECT %(day)s + (8 + batch) * INTERVAL '1 hour' + second * INTERVAL '1 second',
                   md5(car::text)::uuid, {values}
            FROM generate_series(0, 2) AS batch, generate_series(%(first)s::int, %(last)s::int - 1) AS car,
                 generate_series(0, %(rows)s / 3 - 1) AS second
            ORDER BY batch, car, second
            """,  # noqa: S608 - names and arithmetic from above
            {"day": START + timedelta(days=day), "first": first, "last": last, "rows": ROWS_PER_DAY},
        ).rowcount
    connection.execute(
        """
        INSERT INTO rollup_pending (vehicle_id, hour)
        SELECT md5(car::text)::uuid, %(start)s + day * INTERVAL '1 day' + (8 + batch) * INTERVAL '1 hour'
        FROM generate_series(0, %(days)s - 1) AS day, generate_series(0, 2) AS batch,
             generate_series(%(first)s::int, %(last)s::int - 1) AS car
        """,
        {"start": START, "days": DAYS, "first": first, "last": last},
    )
    connection.execute("INSERT INTO owner (id, name) VALUES (md5('owner')::uuid, 'Bench') ON CONFLICT DO NOTHING")
    connection.execute(
        "INSERT INTO vehicle (id, owner_id, label, profile) SELECT md5(car::text)::uuid, md5('owner')::uuid,"
        " car::text, 'generic' FROM generate_series(%s::int, %s::int - 1) AS car",
        [first, last],
    )
    state = "{" + ", ".join(f'"{column}": {{"value": 1, "time": "2026-09-30T10:00:00Z"}}' for column in SIGNALS) + "}"
    connection.execute(
        "INSERT INTO vehicle_state (vehicle_id, signals) SELECT md5(car::text)::uuid, %s::jsonb"
        " FROM generate_series(%s::int, %s::int - 1) AS car",
        [state, first, last],
    )
    return added


def roll_up(connection: Connection, url: str) -> None:
    """Let maintenance do all its work."""
    run_round(connection, MaintenanceConfig(database_url=url))


def car(number: int) -> UUID:
    """The id of a car of :func:`grow`."""
    return UUID(hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest())


def put_recorded_trips(connection: Connection) -> tuple[int, int]:
    """Store all recorded trips, each of a car of its own, a day apart; rows and values. (0, 0) without recordings."""
    rows = values = 0
    for number, path in enumerate(sorted((SHARED / "obd_trips").glob("*.csv.gz"))):
        readings = _readings(path, START + timedelta(days=number))
        columns = sorted({catalogue().by_path(name).column for _, sample in readings for name in sample})
        paths = [next(signal.path for signal in catalogue() if signal.column == column) for column in columns]
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY reading (time, vehicle_id, {', '.join(columns)}) FROM STDIN") as copy,
        ):
            for time, sample in readings:
                copy.write_row((time, car(number), *(sample.get(name) for name in paths)))
        rows += len(readings)
        values += sum(len(sample) for _, sample in readings)
    return rows, values


def _readings(path: Path, start: datetime) -> list[tuple[datetime, dict[str, float]]]:
    source = ReplayCsvSource(ReplayCsvConfig(path=path, start=start))
    source.open()
    try:
        return [(reading.time, dict(reading.values)) for reading in iter(source.poll, None) if reading.time is not None]
    finally:
        source.close()
