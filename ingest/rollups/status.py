"""How the storage stands: sizes, ages, backlog, who maintains it. Cheap to ask: nothing here scans the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import dict_row

from ingest.database import Connection

HYPERTABLES: Final = ("reading", "estimate", "rollup_hour", "rollup_day")


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table: how large, and since when."""

    name: str
    rows: int  # as the planner estimates them
    size_bytes: int  # with indexes
    chunks: int  # 0: a plain table
    compressed_chunks: int
    oldest: datetime | None  # where its oldest chunk begins
    kept_days: int | None  # None: for ever


@dataclass(frozen=True, kw_only=True)
class StorageStatus:
    """What ``wearcast db status`` and the metrics show."""

    scheduler: str  # ingest.rollups.decision.Scheduler
    reason: str
    settled_before: datetime | None
    raw_dropped_before: datetime | None
    pending_hours: int  # that are over and not rolled up
    pending_since: datetime | None  # the oldest mark of those
    last_run_at: datetime | None
    last_run_seconds: float | None
    last_run_buckets: int | None
    tables: tuple[TableStatus, ...]


def storage_status(connection: Connection) -> StorageStatus:
    """Ask the database. Row counts are the planner's estimates."""
    with connection.cursor(row_factory=dict_row) as cursor:
        state = cursor.execute(
            """
            SELECT scheduler, reason, retention, settled_before, raw_dropped_before, last_run_at, last_run_seconds,
                   last_run_buckets, pending_hours, pending_since
            FROM storage_state,
                 (SELECT count(DISTINCT (vehicle_id, hour)) AS pending_hours, min(marked_at) AS pending_since
                  FROM rollup_pending WHERE hour < date_trunc('hour', now() - INTERVAL '10 minutes', 'UTC')) AS pending
            """
        ).fetchone()
        assert state is not None
        retention: Mapping[str, int | None] = state.pop("retention")
        rows = cursor.execute(
            """
            SELECT name, greatest(approximate_row_count(name::regclass), 0) AS rows,
                   CASE WHEN name = ANY (%(hypertables)s) THEN hypertable_size(name::regclass)
                        ELSE pg_total_relation_size(name::regclass) END AS size_bytes,
                   count(chunk_name) AS chunks, count(*) FILTER (WHERE is_compressed) AS compressed_chunks,
                   min(range_start) AS oldest
            FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS kept (name, place)
            LEFT JOIN timescaledb_information.chunks AS chunk
                ON chunk.hypertable_name = name AND chunk.hypertable_schema = current_schema()
            GROUP BY name, place ORDER BY place
            """,
            {
                "hypertables": list(HYPERTABLES),
                "tables": [*HYPERTABLES, "batch", "vehicle_event", "device_command", "rejected_message"],
            },
        ).fetchall()
    tables = tuple(TableStatus(**row, kept_days=retention.get(row["name"])) for row in rows)
    return StorageStatus(**state, tables=tables)
