"""What an outbox holds and has counted, read beside a running agent: nothing is locked and nothing written."""

import sqlite3
from contextlib import closing
from pathlib import Path

from edge_agent.errors import OutboxError


def read_ledger(path: Path) -> dict[str, int]:
    """Counts by name; OutboxError if there is no outbox.

    ``samples_accepted`` = ``samples_sealed`` + ``samples_waiting``: what the agent answers for. Waiting batches are
    ``batches_waiting``, of them published at least once ``batches_in_flight``; the other names are those of
    :meth:`edge_agent.outbox.Outbox.counters`.
    """
    if not path.is_file():
        raise OutboxError(f"{path}: there is no outbox; has the agent run with this configuration?")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("BEGIN")  # one moment for all counts
            counted = dict(database.execute("SELECT name, count FROM counter").fetchall())
            if "batches_waiting" not in counted:  # a file that no agent of this version has opened yet
                counted["batches_waiting"] = database.execute("SELECT count(*) FROM batch").fetchone()[0]
            in_flight = database.execute("SELECT count(*) FROM batch WHERE sequence IS NOT NULL").fetchone()[0]
            samples = database.execute("SELECT count(*) FROM pending_sample").fetchone()[0]
            rejected = database.execute("SELECT count(*) FROM rejected").fetchone()[0]
    except sqlite3.Error as error:
        raise OutboxError(f"{path}: cannot be read as an outbox: {error}") from error
    return {
        "samples_accepted": counted.get("samples_sealed", 0) + samples,
        "samples_waiting": samples,
        "batches_waiting": counted.pop("batches_waiting"),
        "batches_in_flight": in_flight,
        "rejected_kept": rejected,
        **counted,
    }
