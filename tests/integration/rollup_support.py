"""What the tests of the roll-ups share: storing rows as ingest does, and what roll-ups must then be."""

import statistics
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ingest.database import Connection
from ingest.rollups.mark import hours_of, mark
from ingest.rollups.parts import Granularity
from telemetry.catalogue import catalogue

Values = list[tuple[datetime, float]]
Rolled = tuple[int, float, float, float, float, datetime]  # count, minimum, maximum, mean, last, when

LATER = datetime(2027, 6, 1, tzinfo=UTC)  # every hour is over


def put(connection: Connection, vehicle: UUID, values: Iterable[tuple[datetime, float]], column: str = "speed") -> None:
    """Store rows with one value each and mark their hours, in one transaction."""
    rows = list(values)
    with connection.transaction():
        connection.cursor().executemany(
            f"INSERT INTO reading (time, vehicle_id, {column}) VALUES (%s, %s, %s)",  # noqa: S608 - a column's name
            [(time, vehicle, value) for time, value in rows],
        )
        mark(connection, {(vehicle, hour) for hour in hours_of(time for time, _ in rows)})


def refresh(connection: Connection, settled: datetime = LATER, most: int = 1000) -> int:
    """Roll up what is pending; how many hours that were."""
    row = connection.execute("SELECT rolled FROM refresh_rollups(%s, %s)", [most, settled]).fetchone()
    assert row is not None
    return int(row[0])


def stored(connection: Connection, vehicle: UUID, by: Granularity, column: str = "speed") -> dict[datetime, Rolled]:
    """Roll-ups of a signal by bucket, the mean rounded: the order of adding differs."""
    rows = connection.execute(
        f"SELECT bucket, count, minimum, maximum, round(mean::numeric, 6)::float8, last, last_at FROM rollup_{by}_value"  # noqa: S608 - hour or day
        " WHERE vehicle_id = %s AND signal = %s ORDER BY bucket",
        [vehicle, catalogue().by_column(column).code],
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


def expected(values: Iterable[tuple[datetime, float]], by: Granularity) -> dict[datetime, Rolled]:
    """What :func:`stored` must give for these values, each of another instant."""
    buckets: dict[datetime, Values] = {}
    for time, value in values:
        start = time.replace(minute=0, second=0, microsecond=0)
        buckets.setdefault(start.replace(hour=0) if by == "day" else start, []).append((time, value))
    return {start: _rolled(buckets[start]) for start in sorted(buckets)}


def _rolled(values: Values) -> Rolled:
    numbers = [value for _, value in values]
    last_at, last = max(values)
    return len(values), min(numbers), max(numbers), round(statistics.fmean(numbers), 6), last, last_at


def every(seconds: float, start: datetime, count: int, first: float = 0.0) -> Values:
    """Values first, first + 1, … at even distances."""
    return [(start + timedelta(seconds=seconds * number), first + number) for number in range(count)]


def keep(connection: Connection, days: Mapping[str, int]) -> None:
    """Set how long tables are kept."""
    connection.execute("UPDATE storage_state SET retention = %s::jsonb", [str(dict(days)).replace("'", '"')])


def drop_all_expired(connection: Connection, moment: datetime) -> list[str]:
    """Drop chunk after chunk; their names."""
    dropped = []
    while (row := connection.execute("SELECT drop_oldest_chunk(%s)", [moment]).fetchone()) and row[0] is not None:
        dropped.append(str(row[0]))
    return dropped
