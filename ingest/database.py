"""Opening connections: one place decides time zone, application name and what a failure says.

Every session runs in UTC, so every time read is aware and in UTC. What is done with a connection belongs elsewhere.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import scalar_row
from psycopg_pool import ConnectionPool, PoolTimeout

from ingest.errors import DatabaseError

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]
# What a database says that takes nothing now: away, full, shutting down, or read-only as a standby is.
NOT_NOW = (DatabaseError, psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
License = Literal["apache", "timescale"]

APPLICATION_NAME = "wearcast"
CONNECT_TIMEOUT = 10  # seconds, unless the URL names another
# A host that is gone answers nothing, and Linux asks after two hours only (tcp(7)): here a session of it ends within a
# minute. A server that merely takes long to answer is waited for.
KEEPALIVE = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 50_000}

# A pool doubles its pauses between attempts to connect until it gives up, and begins anew with the next request. With
# psycopg_pool's five minutes it came back 25 s after an outage of 40 s (measured), and later after longer ones.
RECONNECT_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 0.25  # whoever waits for a connection asks the pool anew: it may have given up meanwhile


class Pool(ConnectionPool[Connection]):
    """A pool that gives no dead connection away and soon has new ones after an outage; see :func:`open_pool`."""

    def __init__(
        self, url: str, *, application_name: str, max_size: int, timeout: float, is_away: Callable[[], bool]
    ) -> None:
        super().__init__(
            _conninfo(url, application_name),
            min_size=1,
            max_size=max_size,
            open=False,
            timeout=timeout,
            reconnect_timeout=RECONNECT_SECONDS,
            check=self._require_alive,
        )
        self._is_away = is_away
        self._in_use: set[Connection] = set()

    def close(self, timeout: float = 5.0) -> None:
        """End it within ``timeout`` seconds; what is still asked of the database fails.

        A question that waits for a lock, or for a database that stands still, would keep the process from ending.
        """
        super().close(timeout)
        for connection in tuple(self._in_use):
            cut(connection)

    @contextmanager
    def _using(self, connection: Connection) -> Iterator[None]:
        self._in_use.add(connection)
        try:
            yield
        finally:
            self._in_use.discard(connection)

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Connection]:
        """A connection for the time of the block, from :meth:`getconn`."""
        try:
            with super().connection(timeout) as connection, self._using(connection):
                yield connection
        except psycopg.errors.ReadOnlySqlTransaction:
            # A session that began while the database was read-only may stay so when the database no longer is, and a
            # pool keeps its connections for an hour.
            self.drain()
            raise

    def getconn(self, timeout: float | None = None) -> Connection:
        """A connection that answers; PoolTimeout after ``timeout`` seconds, or once the database is known as away."""
        begun, patience = time.monotonic(), self.timeout if timeout is None else timeout
        while (left := begun + patience - time.monotonic()) > 0:
            try:
                return super().getconn(min(_ASK_AGAIN_SECONDS, left))
            except PoolTimeout:
                if self._is_away():
                    break
        raise PoolTimeout(f"no connection after {time.monotonic() - begun:.1f} s")

    def _require_alive(self, connection: Connection) -> None:
        try:
            with self._using(connection):
                self.check_connection(connection)
        except psycopg.Error:
            # A database that was started again has cut the others too. Found one by one, with psycopg_pool's pauses
            # between them, they would hold up the next request for seconds.
            self.drain()
            raise


def connect(url: str, *, application_name: str = APPLICATION_NAME, autocommit: bool = False) -> Connection:
    """Open a connection in UTC. Raises DatabaseError naming host and database, never the password."""
    try:
        return psycopg.connect(_conninfo(url, application_name), autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise DatabaseError(_unreachable(url, error)) from error


async def connect_async(
    url: str, *, application_name: str = APPLICATION_NAME, autocommit: bool = False
) -> AsyncConnection:
    """Open an asynchronous connection in UTC. Raises DatabaseError as :func:`connect` does."""
    try:
        return await psycopg.AsyncConnection.connect(_conninfo(url, application_name), autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise DatabaseError(_unreachable(url, error)) from error


def open_pool(
    url: str,
    *,
    application_name: str = APPLICATION_NAME,
    max_size: int = 4,
    timeout: float = 10.0,
    is_away: Callable[[], bool] = lambda: False,
) -> Pool:
    """Open a pool of connections in UTC and wait until it has one; ``timeout`` in seconds.

    Each connection is asked for a sign of life before it is given away: one more round trip. Where ``is_away``, nobody
    waits for one. Close the pool, or use it as a context manager. Raises DatabaseError when the database does not
    answer in time.
    """
    pool = Pool(url, application_name=application_name, max_size=max_size, timeout=timeout, is_away=is_away)
    pool.open()
    try:
        with pool.connection():
            return pool
    except PoolTimeout as error:
        pool.close()
        raise DatabaseError(_unreachable(url, error)) from error


def database_time(connection: Connection) -> datetime:
    """The time by the database's clock, UTC."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        moment: datetime | None = cursor.execute("SELECT clock_timestamp()").fetchone()
    assert moment is not None
    return moment


def license(connection: Connection) -> License | None:  # noqa: A001 - the name TimescaleDB gives to the setting
    """Which TimescaleDB edition the server runs, or None without TimescaleDB.

    Asked of the server and not read from its version: both editions carry the same functions, and on ``apache``
    the licensed ones (compression, continuous aggregates, jobs) raise SQLSTATE 0A000.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        value = cursor.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    if value in {"apache", "timescale"}:
        return "apache" if value == "apache" else "timescale"
    return None


def cut(connection: Connection) -> None:
    """Let what waits on a connection fail; from another thread than the one that waits."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


def _conninfo(url: str, application_name: str) -> str:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # The text of the error may repeat the URL, and with it the password.
        raise DatabaseError(
            "the database URL cannot be read; give it as postgresql://user:password@host:5432/database"
        ) from None
    options = f"{given.get('options') or ''} -c TimeZone=UTC".strip()
    return make_conninfo(
        url,
        options=options,
        application_name=given.get("application_name", application_name),
        connect_timeout=given.get("connect_timeout", CONNECT_TIMEOUT),
        **{name: given.get(name, value) for name, value in KEEPALIVE.items()},
    )


def _unreachable(url: str, error: Exception) -> str:
    given = conninfo_to_dict(url)
    where = f"{given.get('dbname', '(default)')!r} on {given.get('host', 'the local socket')}"
    if "port" in given:
        where += f" port {given['port']}"
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"cannot open database {where}: {reason}; check that it runs and that WEARCAST_DATABASE_URL names it"
