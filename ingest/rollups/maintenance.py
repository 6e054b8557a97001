"""The maintenance process: decide who maintains, and where it is us, roll up and drop. One works, others wait."""

import logging
import threading
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg.rows import scalar_row, tuple_row
from psycopg.types.json import Jsonb

from ingest.database import Connection, connect
from ingest.errors import DatabaseError, StorageError
from ingest.pulse import PULSE
from ingest.rollups.decision import Decision, Policies, decide
from ingest.rollups.retention import Retention
from ingest.rollups.server import apply, found

logger = logging.getLogger(__name__)

_NAME: Final = "wearcast-maintenance"
_LOCK: Final = 0x57656173  # beside that of ingest.migrate
_PASSES: Final = 5  # of 1000 hours each in one call, so that a stop does not have to wait for a long backlog
_LONGEST_ROUND_SECONDS: Final = 3600.0  # the first roll-up of a long history; one that takes longer stands still


@dataclass(frozen=True, kw_only=True)
class MaintenanceConfig:
    """Settings of the maintenance process."""

    database_url: str = field(repr=False)
    policies: Policies = "native"
    retention: Retention = field(default_factory=Retention)
    every_seconds: float = 300.0
    retry_seconds: float = 10.0  # after a failure of the database


def run_round(connection: Connection, config: MaintenanceConfig, stop: threading.Event | None = None) -> Decision:
    """Decide, carry it out, and do all the work there is, where it is ours. On an autocommit connection.

    Raises StorageError, with what to do, where maintenance must not run.
    """
    decision = decide(found(connection), config.policies)
    apply(connection, decision, config.retention, lambda change: logger.info("storage: %s", change))
    if decision.scheduler == "process":
        more = True
        while more and not (stop and stop.is_set()):
            more = _maintain(connection)
    return decision


def run_maintenance(config: MaintenanceConfig, stop: threading.Event) -> None:
    """Round after round until ``stop`` is set, each on a connection of its own: an open one keeps an old licence.

    Neither a database that is away nor one on which maintenance must not run ends it: somebody may put that right.
    """
    told = ""
    while not stop.is_set():
        PULSE.turn("maintenance", config.every_seconds + _LONGEST_ROUND_SECONDS)
        pause_seconds = config.every_seconds
        try:
            with closing(connect(config.database_url, application_name=_NAME, autocommit=True)) as connection:
                if _alone(connection):
                    reason = run_round(connection, config, stop).reason
                    if reason != told:
                        logger.info("storage maintenance: %s", reason)
                        told = reason
            PULSE.well("storage")
            PULSE.well("database")
        except StorageError as error:
            PULSE.trouble("storage", str(error))
            logger.error("storage maintenance does not run: %s", error)  # noqa: TRY400 - its text says all
        except (DatabaseError, psycopg.OperationalError) as error:
            reason = str(error).partition("\n")[0]
            PULSE.trouble("database", reason)
            logger.warning("cannot maintain now, will try again: %s", reason)
            pause_seconds = config.retry_seconds
        stop.wait(pause_seconds)


def _alone(connection: Connection) -> bool:
    """Take the lock of this session, if no other session has it; it goes with the connection."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone())


def _maintain(connection: Connection) -> bool:
    """Call the procedure once; says whether there is more to roll up."""
    connection.execute("CALL maintain_storage(0, %s)", [Jsonb({"scheduler": "process", "passes": _PASSES})])
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT last_run_complete FROM storage_state").fetchone()
    return row is not None and row[0] is False
