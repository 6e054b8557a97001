"""Bytes per value on disk, and whether a question's time follows what is asked for and not what is stored.

``make bench-storage`` writes build/bench/storage.json. Layouts are compared on the recorded trips, which have a car's
real values, on a private database; TIMESCALE_TEST_URL may name a server whose licence has compression (a database is
made there and dropped). Times are taken on fleets of 20, 200 and 2000 cars with a month each, the same 20 cars asked
for; every plan that ran is read, and none may scan a whole table. About four minutes and 3 GB.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from ingest import reading_store
from ingest.database import Connection, connect
from ingest.rollups.read import fleet_days, vehicle_rollup
from telemetry.catalogue import catalogue
from tests.benchmarks.bench_row import Row, row, show, write
from tests.benchmarks.storage_fleet import DAYS, SIGNALS, START, car, grow, put_recorded_trips, roll_up
from tests.plan_support import full_scans, pages_of, scans_of
from wearcast.database import migrate
from wearcast.embedded.timescaledb import private_database

SIZES: Final = (("1x", 20), ("10x", 200), ("100x", 2000))  # cars
ASKED_CARS: Final = [car(number) for number in range(20)]
SIGNAL: Final = SIGNALS[0]
RUNS: Final = 15
FEW_PAGES: Final = 8  # of a table that is read whole in one go: 64 KiB
MOST_GROWTH: Final = 2.0  # of a question's time and of the pages it touches, while what is stored grows a hundredfold


def layouts(connection: Connection) -> list[Row]:
    """Bytes per value of the recorded trips in our rows and in one row per value, each with its index."""
    _, values = put_recorded_trips(connection)
    if not values:
        return []
    connection.execute(
        "CREATE TABLE narrow (time timestamptz NOT NULL, vehicle_id uuid NOT NULL, signal smallint NOT NULL,"
        " value double precision NOT NULL)"
    )
    connection.execute(
        "SELECT create_hypertable('narrow', by_range('time', INTERVAL '7 days'), create_default_indexes => false)"
    )
    connection.execute("CREATE INDEX ON narrow (vehicle_id, signal, time DESC)")
    pairs = connection.execute("SELECT signal, expression FROM reading_signal ORDER BY signal").fetchall()
    unpivoted = ", ".join(f"({signal}, ({expression})::double precision)" for signal, expression in pairs)
    connection.execute(
        "INSERT INTO narrow SELECT time, vehicle_id, signal, value FROM reading"  # noqa: S608 - from our own table
        f" CROSS JOIN LATERAL (VALUES {unpivoted}) AS one (signal, value) WHERE value IS NOT NULL ORDER BY time"
    )
    wide, narrow = _bytes(connection, "reading") / values, _bytes(connection, "narrow") / values
    return [
        row("one row per value", narrow, "bytes/value", digits=1),
        row("one row per car and instant (ours)", wide, "bytes/value", ratio=narrow / wide,
            against="one row per value", digits=1),
    ]  # fmt: skip


def compressed(connection: Connection, url: str) -> list[Row]:
    """The same rows compressed by the server, as maintenance sets it up."""
    roll_up(connection, url)
    rows = []
    _, values = put_recorded_trips(connection)
    before = _bytes(connection, "reading") / values
    connection.execute("SELECT compress_chunk(chunk) FROM show_chunks('reading') AS chunk")
    after = _bytes(connection, "reading") / values
    rows.append(row("ours, native compression", after, "bytes/value", ratio=before / after, against="ours", digits=2))
    narrow = layouts_narrow_compressed(connection, values)
    rows.append(row("one row per value, native compression", narrow, "bytes/value", digits=2))
    return rows


def layouts_narrow_compressed(connection: Connection, values: int) -> float:
    """Bytes per value of one row per value, compressed by car and signal."""
    connection.execute("TRUNCATE reading")
    layouts(connection)
    connection.execute(
        "ALTER TABLE narrow SET (timescaledb.compress, timescaledb.compress_segmentby = 'vehicle_id, signal',"
        " timescaledb.compress_orderby = 'time')"
    )
    connection.execute("SELECT compress_chunk(chunk) FROM show_chunks('narrow') AS chunk")
    return _bytes(connection, "narrow") / values


def rollup_layouts(connection: Connection) -> list[Row]:
    """Roll-ups as they are, arrays per car and day, against a row per signal."""
    connection.execute(
        "CREATE TABLE day_rows (vehicle_id uuid, bucket timestamptz, minimum float8, maximum float8, mean float8,"
        " last float8, last_at timestamptz, count integer, signal smallint, PRIMARY KEY (vehicle_id, signal, bucket))"
    )
    connection.execute(
        "INSERT INTO day_rows SELECT vehicle_id, bucket, minimum, maximum, mean, last, last_at, count, signal"
        " FROM rollup_day_value ORDER BY bucket, vehicle_id, signal"
    )
    connection.execute("VACUUM (FULL, ANALYZE) day_rows")
    connection.execute("VACUUM (FULL, ANALYZE) rollup_day")
    count = _number(connection, "SELECT count(*) FROM day_rows")
    arrays, rows = _bytes(connection, "rollup_day") / count, _bytes(connection, "day_rows", plain=True) / count
    end = START + timedelta(days=DAYS)
    code = catalogue().by_column(SIGNAL).code

    def ask_rows() -> object:
        return connection.execute(
            "SELECT vehicle_id, bucket, count, minimum, maximum, mean, last, last_at FROM day_rows"
            " WHERE vehicle_id = ANY(%s) AND signal = %s AND bucket >= %s AND bucket < %s ORDER BY vehicle_id, bucket",
            [ASKED_CARS, code, START, end],
        ).fetchall()

    def ask_arrays() -> object:
        return connection.execute(
            "SELECT vehicle_id, bucket, counts[place], minima[place], maxima[place], means[place], lasts[place],"
            " lasts_at[place] FROM rollup_day, array_position(signals, %s::smallint) AS place"
            " WHERE vehicle_id = ANY(%s) AND bucket >= %s AND bucket < %s AND place IS NOT NULL"
            " ORDER BY vehicle_id, bucket",
            [code, ASKED_CARS, START, end],
        ).fetchall()

    asked_rows, asked_arrays = _milliseconds(ask_rows), _milliseconds(ask_arrays)
    touched_rows, touched_arrays = pages_of(connection, ask_rows), pages_of(connection, ask_arrays)
    return [
        row("roll-up, a row per signal", rows, "bytes/signal and day", digits=1),
        row("roll-up, arrays per car and day (ours)", arrays, "bytes/signal and day", ratio=rows / arrays,
            against="a row per signal", digits=1),
        row("a signal of 20 cars' month, a row per signal", asked_rows, "ms"),
        row("a signal of 20 cars' month, arrays (ours)", asked_arrays, "ms", ratio=asked_rows / asked_arrays,
            against="a row per signal"),
        row("the same, a row per signal", touched_rows, "pages touched", digits=0),
        row("the same, arrays (ours)", touched_arrays, "pages touched", digits=0),
    ]  # fmt: skip


def questions(connection: Connection) -> dict[str, Callable[[], object]]:
    """What is asked of every size; always the same cars and the same month."""
    end = START + timedelta(days=DAYS)
    day = START + timedelta(days=12)
    late = (ASKED_CARS[0], day + timedelta(hours=8))

    def refresh_late() -> object:
        connection.execute("INSERT INTO rollup_pending VALUES (%s, %s)", late)
        return connection.execute("SELECT refresh_rollups(1000, 'infinity')").fetchall()

    return {
        "latest state of a car": lambda: reading_store.latest_state(connection, ASKED_CARS[7]),
        "a car's day, one signal, every value": lambda: reading_store.series(
            connection, ASKED_CARS[7], SIGNAL, day, day + timedelta(days=1)
        ),
        "a car's month per day": lambda: vehicle_rollup(connection, ASKED_CARS[7], SIGNAL, START, end),
        "a car's month per hour": lambda: vehicle_rollup(connection, ASKED_CARS[7], SIGNAL, START, end, by="hour"),
        "a signal of 20 cars' month per day": lambda: fleet_days(connection, ASKED_CARS, SIGNAL, START, end),
        "rolling up one late hour": refresh_late,
    }


def growth(connection: Connection, url: str) -> list[Row]:
    """The questions' times at each size, and that no plan scans a whole table."""
    found: list[Row] = []
    first: dict[str, tuple[float, int]] = {}
    cars = 0
    for name, size in SIZES:
        begun = time.perf_counter()
        added = grow(connection, cars, size)
        loaded = time.perf_counter()
        roll_up(connection, url)
        rolled = time.perf_counter()
        cars = size
        connection.execute("VACUUM (ANALYZE)")
        print(f"{name}: {added:,} rows in {loaded - begun:.0f} s, rolled up in {rolled - loaded:.0f} s", flush=True)  # noqa: T201 - progress
        found.append(row(f"{name}: rolling up", added / (rolled - loaded), "rows/s", digits=0))
        found.append(row(f"{name}: stored", _bytes(connection, "reading") / 1e6, "MB", digits=0))
        for question, ask in questions(connection).items():
            milliseconds, pages = _milliseconds(ask), pages_of(connection, ask)
            base = first.setdefault(question, (milliseconds, pages))
            bounds = [MOST_GROWTH * figure if size == SIZES[-1][1] else None for figure in base]
            found.append(row(f"{name}: {question}", milliseconds, "ms", at_most=bounds[0]))
            found.append(row(f"{name}: {question}", pages, "pages touched", at_most=bounds[1], digits=0))
            whole = full_scans(scans_of(connection, ask), more_than_pages=FEW_PAGES)
            if whole:
                raise SystemExit(f"{name}: {question} scans a whole table: {whole}")
    return found


def main() -> None:
    """Measure, show and write."""
    table: list[Row] = []
    with private_database(fresh=True, durable=False) as database:
        migrate(database.url)
        with closing(connect(database.url, autocommit=True)) as connection:
            connection.execute("SET max_parallel_workers_per_gather = 0")  # one core, whatever the machine has
            table += layouts(connection)
            connection.execute("DROP TABLE IF EXISTS narrow")
            connection.execute("TRUNCATE reading, rollup_hour, rollup_day, rollup_pending")
            table += growth(connection, database.url)
            table += rollup_layouts(connection)
    if url := os.environ.get("TIMESCALE_TEST_URL"):
        with _database_of(url) as own, closing(connect(own, autocommit=True)) as connection:
            table += compressed(connection, own)
    show(table)
    print(write("storage", table))  # noqa: T201 - where the figures are


@contextmanager
def _database_of(server: str) -> Iterator[str]:
    name = f"bench_{uuid4().hex}"
    with closing(psycopg.connect(server, autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        url = urlsplit(server)._replace(path=f"/{name}").geturl()
        try:
            migrate(url)
            yield url
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _bytes(connection: Connection, table: str, *, plain: bool = False) -> int:
    return _number(connection, f"SELECT {'pg_total_relation_size' if plain else 'hypertable_size'}('{table}')")


def _number(connection: Connection, query: str) -> int:
    found = connection.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def _milliseconds(ask: Callable[[], object]) -> float:
    """Median, after one run that fills the caches."""
    ask()
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()
