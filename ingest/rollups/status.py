"""How the storage stands: sizes, ages, backlog, who maintains it. Cheap to ask: nothing here scans what grows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql
from psycopg.rows import dict_row, scalar_row

from ingest.database import Connection

HYPERTABLES: Final = ("reading", "estimate", "rollup_hour", "rollup_day")
TABLES: Final = (*HYPERTABLES, "batch", "vehicle_event", "device_command", "rejected_message")
_COUNTED_BYTES: Final = 64_000_000  # a table up to here is counted, a larger one estimated


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table: how large, and since when."""

    name: str
    rows: int  # of a large table as the planner estimates them
    size_bytes: int  # with indexes
    chunks: int  # 0: a plain table, or an empty one
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
    rejected_messages: int  # counting repetitions
    tables: tuple[TableStatus, ...]


def storage_status(connection: Connection) -> StorageStatus:
    """Ask the database."""
    with connection.cursor(row_factory=dict_row) as cursor:
        state = cursor.execute(
            """
            SELECT scheduler, reason, retention, settled_before, raw_dropped_before, last_run_at, last_run_seconds,
                   last_run_buckets, pending_hours, pending_since,
                   (SELECT coalesce(sum(times), 0)::bigint FROM rejected_message) AS rejected_messages
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
            {"hypertables": list(HYPERTABLES), "tables": list(TABLES)},
        ).fetchall()
    for row in rows:
        if row["size_bytes"] <= _COUNTED_BYTES:
            row["rows"] = _count(connection, row["name"])
    tables = tuple(TableStatus(**row, kept_days=retention.get(row["name"])) for row in rows)
    return StorageStatus(**state, tables=tables)


def _count(connection: Connection, table: str) -> int:
    with connection.cursor(row_factory=scalar_row) as cursor:
        count = cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    return int(count or 0)
