"""Asks the server what it has, and carries out a decision. The SQL of TimescaleDB's policies stands here alone."""

from collections.abc import Callable
from typing import Final, LiteralString

from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from ingest.database import Connection
from ingest.database import license as edition
from ingest.errors import StorageError
from ingest.rollups.decision import Action, Decision, Found
from ingest.rollups.retention import Retention

_COMPRESS_AFTER: Final = "14 days"  # when nearly all that comes late has come: rows for compressed chunks cost more
_JOB_EVERY: Final = "5 minutes"

_ACTIONS: Final[dict[Action, LiteralString]] = {
    Action.REMOVE_JOB: (
        "SELECT delete_job(job_id) FROM timescaledb_information.jobs"
        " WHERE proc_name = 'maintain_storage' AND proc_schema = current_schema()"
    ),
    Action.REMOVE_COMPRESSION_POLICY: "SELECT remove_compression_policy('reading')",
    Action.ENABLE_COMPRESSION: (
        "ALTER TABLE reading SET (timescaledb.compress, timescaledb.compress_segmentby = 'vehicle_id',"
        " timescaledb.compress_orderby = 'time')"
    ),
    Action.ADD_COMPRESSION_POLICY: "SELECT add_compression_policy('reading', %(compress_after)s::interval)",
    Action.ADD_JOB: "SELECT add_job('maintain_storage', %(every)s::interval, config => %(config)s)",
}


def found(connection: Connection) -> Found:
    """What the server has. StorageError where it has no TimescaleDB."""
    licence = edition(connection)
    if licence is None:
        raise StorageError("this server has no TimescaleDB: install it and add it to shared_preload_libraries")
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            """
            SELECT (SELECT count(*) FROM timescaledb_information.jobs
                    WHERE proc_name = 'maintain_storage' AND proc_schema = current_schema()),
                   (SELECT count(*) FROM timescaledb_information.jobs
                    WHERE proc_name = 'policy_compression' AND hypertable_name = 'reading'),
                   (SELECT compression_enabled FROM timescaledb_information.hypertables
                    WHERE hypertable_name = 'reading' AND hypertable_schema = current_schema()),
                   (SELECT count(*) FROM timescaledb_information.chunks
                    WHERE hypertable_name = 'reading' AND hypertable_schema = current_schema() AND is_compressed)
            """
        ).fetchone()
    assert row is not None
    jobs, policies, compression, chunks = row
    return Found(
        license=licence,
        job=jobs > 0,
        compression_policy=policies > 0,
        compression=bool(compression),
        compressed_chunks=chunks,
    )


def apply(connection: Connection, decision: Decision, retention: Retention, report: Callable[[str], None]) -> None:
    """Carry out a decision on an autocommit connection and write it down, where the procedure and people find it.

    Who maintains is written last on the way to the database's scheduler and first on the way back: at no time do two.
    StorageError, with what to do, where maintenance must not run.
    """
    if decision.scheduler == "process" or decision.fault is not None:
        _write_down(connection, decision, retention)
    if decision.fault is not None:
        raise StorageError(decision.fault)
    for action in decision.actions:
        report(action)
        if action is Action.DECOMPRESS:
            _decompress(connection)
        else:
            config = Jsonb({"scheduler": "database"})
            connection.execute(
                _ACTIONS[action], {"compress_after": _COMPRESS_AFTER, "every": _JOB_EVERY, "config": config}
            )
    _write_down(connection, decision, retention)


def _write_down(connection: Connection, decision: Decision, retention: Retention) -> None:
    connection.execute(
        "UPDATE storage_state SET scheduler = %(scheduler)s, reason = %(reason)s, retention = %(retention)s"
        " WHERE (scheduler, reason, retention) IS DISTINCT FROM (%(scheduler)s, %(reason)s, %(retention)s)",
        {
            "scheduler": decision.scheduler,
            "reason": decision.fault or decision.reason,
            "retention": Jsonb(retention.as_dict()),
        },
    )


def _decompress(connection: Connection) -> None:
    """Chunk by chunk, each in a transaction of its own: together they may be larger than what is free."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        chunks = cursor.execute(
            "SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks"
            " WHERE hypertable_name = 'reading' AND hypertable_schema = current_schema() AND is_compressed"
            " ORDER BY range_start"
        ).fetchall()
    for (chunk,) in chunks:
        connection.execute("SELECT decompress_chunk(%s::regclass)", [chunk])
    connection.execute("ALTER TABLE reading SET (timescaledb.compress = false)")
