"""A connection that is kept for long, and opened anew after whatever failed on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from ingest.database import Connection, connect, cut


class Session:
    """Use :meth:`connection`; on one thread at a time.

    A failure may be the session's own and last as long as it does: opened while the database was read-only, it stays
    read-only when the database no longer is. So none outlives a failure, even where its socket does.
    """

    def __init__(
        self, url: str, *, application_name: str, prepare: Callable[[Connection], object] = lambda _connection: None
    ) -> None:
        """``prepare``: called with each connection opened."""
        self._url = url
        self._application_name = application_name
        self._prepare = prepare
        self._connection: Connection | None = None
        self._in_use = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection, in autocommit mode; DatabaseError where none can be opened."""
        try:
            if self._connection is None:
                self._connection = connect(self._url, application_name=self._application_name, autocommit=True)
                self._prepare(self._connection)
            self._in_use = True
            try:
                yield self._connection
            finally:
                self._in_use = False
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        """End it; may be called twice, and used again. What another thread asks on it just then fails, and ends it."""
        if self._connection is None:
            return
        if self._in_use:  # libpq would free what that thread works with
            cut(self._connection)
            return
        self._connection.close()
        self._connection = None
