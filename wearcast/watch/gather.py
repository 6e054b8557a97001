"""Gathers the facts: from the database, the broker's monitoring address and the disks. Judges nothing."""

import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from psycopg.rows import dict_row

from ingest.database import Connection
from wearcast.settings import Settings
from wearcast.watch.facts import Broker, Database, Delivery, Disk, Facts, Fleet, Process, Wipes
from wearcast.watch.heartbeat import MISSED_BEATS

SILENT_AFTER: Final = timedelta(hours=1)
EXPECTED_WITHIN: Final = timedelta(days=1)  # a device not heard for longer is away: a long holiday is no outage
CERTIFICATE_LEFT: Final = timedelta(days=7)  # an agent renews long before
EXPIRED_SHOWN: Final = timedelta(days=30)  # of a dongle that nobody can find there is nothing more to be said
OUTBOX_AGES_S: Final = (60, 600, 3600, 21600, 86400)
_MONITOR_SECONDS: Final = 3.0


def gather(connection: Connection, settings: Settings) -> Facts:
    """The facts now. ``connection`` in autocommit mode; raises psycopg.Error where the database does not answer."""
    now: datetime = _row(connection, "SELECT now() AS now")["now"]
    return Facts(
        now=now,
        processes=read_processes(connection),
        fleet=read_fleet(connection),
        rejected=_rejected(connection),
        rules_due_s=_rules_due_s(connection),
        delivery=_delivery(connection),
        database=_database(connection),
        broker=None if settings.broker_monitor is None else read_broker(settings.broker_monitor),
        disks=tuple(read_disk(name, path) for name, path in settings.watch_folders.items()),
        wipes=read_wipes(connection),
    )


def read_processes(connection: Connection) -> tuple[Process, ...]:
    """Every process that has beaten and did not end in order."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            SELECT process, instance, host, pid, version, started_at, alive, problems, listens, figures, rates,
                   extract(epoch FROM now() - beat_at)::float8 AS beat_age_s,
                   beat_at < now() - %s * period - interval '5 s' AS gone
            FROM process_heartbeat ORDER BY process, instance
            """,
            [MISSED_BEATS],
        ).fetchall()
    return tuple(Process(**{**row, "problems": tuple(row["problems"])}) for row in rows)


def read_fleet(connection: Connection) -> Fleet:
    """Devices by when they were last heard: by a status of theirs, or by data that changed their vehicle's state."""
    ages = ", ".join(
        f"count(*) FILTER (WHERE class = 'sending' AND oldest_pending_seconds > {age}) AS older_{age}"
        for age in OUTBOX_AGES_S
    )
    row = _row(
        connection,
        f"""
        WITH heard AS (
            SELECT status.*, greatest(status.heard_at, vehicle.changed_at) AS heard
            FROM device LEFT JOIN device_status AS status ON status.device_id = device.id
                 LEFT JOIN vehicle_state AS vehicle ON vehicle.vehicle_id = device.vehicle_id
            WHERE device.enabled
        ), classed AS (
            SELECT heard.*, CASE
                WHEN heard IS NULL THEN 'never'
                WHEN heard < now() - %(expected)s THEN 'away'
                -- A former version's "offline" does not say whether it was meant: no alarm is made of it.
                WHEN state = 'offline' AND coalesce(planned, true) THEN 'parked'
                WHEN heard < now() - %(silent)s THEN 'silent'
                ELSE 'sending' END AS class
            FROM heard
        )
        SELECT count(*) FILTER (WHERE class = 'sending') AS sending, count(*) FILTER (WHERE class = 'parked') AS parked,
               count(*) FILTER (WHERE class = 'silent') AS silent, count(*) FILTER (WHERE class = 'away') AS away,
               count(*) FILTER (WHERE class = 'never') AS never,
               coalesce(sum(pending_batches), 0)::bigint AS pending_batches, {ages},
               count(*) FILTER (WHERE class IN ('sending', 'parked', 'silent')
                                AND certificate_ends < now() + %(left)s) AS certificates_ending
        FROM classed
        """,  # noqa: S608 - numbers of ours
        silent=SILENT_AFTER,
        expected=EXPECTED_WITHIN,
        left=CERTIFICATE_LEFT,
    )
    older = {age: row.pop(f"older_{age}") for age in OUTBOX_AGES_S}
    return Fleet(**row, outbox_older=older)


def read_wipes(connection: Connection) -> Wipes:
    """How far the wipes are; one whose time is over counts as expired also where no worker has noted it."""
    row = _row(
        connection,
        """
        SELECT count(*) FILTER (WHERE waits) AS open, count(*) FILTER (WHERE waits AND refusal IS NOT NULL) AS refused,
               count(*) FILTER (WHERE NOT waits AND deadline > now() - %(shown)s) AS expired
        FROM (SELECT *, outcome IS NULL AND deadline > now() AS waits FROM device_wipe
              WHERE outcome IS NULL OR outcome = 'expired') AS left_over
        """,
        shown=EXPIRED_SHOWN,
    )
    return Wipes(**row)


def read_broker(monitor: str) -> Broker:
    """JetStream's store of a NATS server, of its page ``/jsz``."""
    try:
        answer = httpx.get(f"{monitor}/jsz", timeout=_MONITOR_SECONDS, trust_env=False)
        answer.raise_for_status()
        page = answer.json()
        limit = int(page.get("config", {}).get("max_storage", 0))
        return Broker(
            used_bytes=int(page["storage"]),
            limit_bytes=limit if limit > 0 else None,
            messages=int(page.get("messages", 0)),
        )
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Broker(problem=f"no answer of its monitoring address ({type(error).__name__})")


def read_disk(name: str, path: Path) -> Disk:
    """The file system a folder is on."""
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        return Disk(name=name, problem=f"{path} cannot be read ({error.strerror})")
    return Disk(name=name, size_bytes=usage.total, free_bytes=usage.free)


def _rejected(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        "SELECT reason, count(*) FROM rejected_message WHERE last_received_at > now() - interval '1 hour'"
        " GROUP BY reason ORDER BY reason"
    ).fetchall()
    return dict(rows)


def _rules_due_s(connection: Connection) -> float:
    found = _row(
        connection,
        """
        SELECT coalesce(extract(epoch FROM max(now() -
                   CASE WHEN state.version > coalesce(done.evaluated_version, 0) AND coalesce(done.failures, 0) = 0
                        THEN state.changed_at ELSE done.due_at END)), 0)::float8 AS due_s
        FROM vehicle_state AS state LEFT JOIN rule_progress AS done USING (vehicle_id)
        WHERE state.version > 0
          AND (done.vehicle_id IS NULL OR done.due_at <= now()
               OR (state.version > done.evaluated_version AND done.failures = 0))
        """,
    )
    return max(0.0, float(found["due_s"]))


def _delivery(connection: Connection) -> Delivery:
    row = _row(
        connection,
        """
        SELECT count(*) FILTER (WHERE waits) AS waiting, count(*) FILTER (WHERE waits AND last_error IS NOT NULL)
                   AS failing,
               coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE waits)), 0)::float8 AS oldest_due_s,
               count(*) FILTER (WHERE abandoned_at > now() - interval '1 day') AS given_up_in_a_day
        FROM (SELECT *, delivered_at IS NULL AND abandoned_at IS NULL AS waits FROM outgoing
              WHERE (delivered_at IS NULL AND abandoned_at IS NULL) OR abandoned_at > now() - interval '1 day') AS open
        """,
    )
    return Delivery(**{**row, "oldest_due_s": max(0.0, row["oldest_due_s"])})


def _database(connection: Connection) -> Database:
    row = _row(
        connection,
        """
        SELECT pg_database_size(current_database()) AS size_bytes,
               (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
               current_setting('max_connections')::int AS connections_limit,
               (SELECT extract(epoch FROM now() - min(marked_at))::float8 FROM rollup_pending
                WHERE hour < now() - INTERVAL '70 minutes') AS rollup_pending_s  -- over, and not of a clock ahead
        """,
    )
    return Database(**row)


def _row(connection: Connection, query: str, **parameters: object) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query, parameters or None).fetchone()
    assert row is not None
    return row


def targets(processes: Iterable[Process]) -> list[dict[str, object]]:
    """Where Prometheus finds the processes, as its ``http_sd_configs`` reads it."""
    return [
        {"targets": [entry.listens], "labels": {"process": entry.process, "instance": entry.instance}}
        for entry in processes
        if entry.listens is not None and not entry.gone
    ]
