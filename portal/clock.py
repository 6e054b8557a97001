"""The time the portal goes by: the database's, by which holds, links and messages are dated on other machines too.

No page asks for it. It is heard before the first request and again and again from then on, beside the requests; whether
it is heard tells pages whether the database is there.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg

from ingest.errors import DatabaseError
from ingest.pulse import PULSE
from ingest.session import Session
from portal.reach import Reach
from rules.clock import Clock

_PERIOD_S: Final = 0.5  # of asking for a sign of life; the time is asked for every ten seconds, or while apart
_AWAY_PERIOD_S: Final = 0.1  # so long may pages still say that it is away when it is back
_STOP_S: Final = 1.0


@contextmanager
def heard(session: Session, clock: Clock, reach: Reach) -> Iterator[None]:
    """Let the clock hear the database's time now and for the time of the block; ``reach`` knows whether it was heard.

    The portal serves on where its machine's clock is far off: what a person asks for is decided and dated by the
    database's, and the process says that it is troubled. DatabaseError or psycopg.Error where it cannot be heard now.
    """
    _hear(session, clock, reach)
    stop = threading.Event()
    # A daemon: a database that stands still must not keep a portal from ending.
    thread = threading.Thread(
        target=_keep_hearing, args=(session, clock, reach, stop), name="hear the database's time", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_S)


def _keep_hearing(session: Session, clock: Clock, reach: Reach, stop: threading.Event) -> None:
    try:
        while not stop.wait(_AWAY_PERIOD_S if reach.is_away() else _PERIOD_S):
            with suppress(DatabaseError, psycopg.Error):  # reach tells of a database that is away
                _hear(session, clock, reach)
    except BaseException as error:  # of a thread nobody hears but the pulse
        reason = f"heard no more, the time drifts: {type(error).__name__} (see the log); start the portal again"
        PULSE.trouble("the database's time", reason)
        raise
    finally:
        session.close()


def _hear(session: Session, clock: Clock, reach: Reach) -> None:
    with reach.asking():
        try:
            _ask(session, clock)
        except psycopg.Error:  # the connection may be older than a database that was started again
            _ask(session, clock)


def _ask(session: Session, clock: Clock) -> None:
    with session.connection() as connection:
        connection.execute("SELECT 1")
        clock.agrees(connection)
