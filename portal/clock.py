"""The time the portal goes by: the database's, by which holds, links and messages are dated on other machines too.

No page asks for it. It is heard before the first request and every few seconds from then on, beside the requests.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
from psycopg_pool import ConnectionPool

from ingest.database import Connection
from ingest.pulse import PULSE
from rules.clock import Clock

_PERIOD_S: Final = 1.0  # of looking whether it is time to ask; the clock itself asks every ten seconds, or while apart
_STOP_S: Final = 1.0


@contextmanager
def heard(pool: ConnectionPool[Connection], clock: Clock) -> Iterator[None]:
    """Let the clock hear the database's time now and for the time of the block. psycopg.Error where it cannot now.

    The portal serves on where its machine's clock is far off: what a person asks for is decided and dated by the
    database's, and the process says that it is troubled.
    """
    _hear(pool, clock)
    stop = threading.Event()
    # A daemon: a database that stands still must not keep a portal from ending.
    thread = threading.Thread(
        target=_keep_hearing, args=(pool, clock, stop), name="hear the database's time", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_S)


def _keep_hearing(pool: ConnectionPool[Connection], clock: Clock, stop: threading.Event) -> None:
    try:
        while not stop.wait(_PERIOD_S):
            with suppress(psycopg.Error):  # requests and the heartbeat tell of a database that is away
                _hear(pool, clock)
    except BaseException as error:  # of a thread nobody hears but the pulse
        reason = f"heard no more, the time drifts: {type(error).__name__} (see the log); start the portal again"
        PULSE.trouble("the database's time", reason)
        raise


def _hear(pool: ConnectionPool[Connection], clock: Clock) -> None:
    with pool.connection() as connection:
        connection.autocommit = True
        clock.agrees(connection)
