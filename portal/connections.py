"""The database connections that requests share. Who waits for one does so without a thread.

There are fewer connections than threads that serve pages. Requests that waited on threads would take all of them, also
those that the holders of the connections need to go on: they would wait for each other.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi.concurrency import contextmanager_in_threadpool
from psycopg_pool import PoolTimeout

from ingest.database import Connection, Pool
from portal.errors import DatabaseAwayError
from portal.reach import Reach

_LOOK_AGAIN_S: Final = 0.25  # whether the database went away meanwhile


class Connections:
    """As many seats as the pool has connections, and the pool. For one event loop."""

    def __init__(self, pool: Pool, reach: Reach) -> None:
        self.pool = pool
        self.waiting = 0  # requests without a seat
        self._reach = reach
        self._seats = asyncio.Semaphore(pool.max_size)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        """A connection that answers, for the time of the block.

        DatabaseAwayError at once where the database is known to be away, PoolTimeout where none comes free in time.
        """
        self.waiting += 1
        try:
            await self._take_seat()
        finally:
            self.waiting -= 1
        try:
            self._require_reach()
            async with contextmanager_in_threadpool(self.pool.connection()) as connection:
                yield connection
        finally:
            self._seats.release()

    async def _take_seat(self) -> None:
        """In the order of coming: who looks whether the database went away keeps the place in the queue."""
        self._require_reach()
        end = time.monotonic() + self.pool.timeout
        taking = asyncio.create_task(self._seats.acquire(), name="wait for a connection")
        try:
            while not (await asyncio.wait([taking], timeout=_LOOK_AGAIN_S))[0]:
                self._require_reach()
                self._require_patience(end)
        except BaseException:
            if not taking.cancel():  # it has one already
                self._seats.release()
            raise

    def _require_reach(self) -> None:
        if self._reach.is_away():
            raise DatabaseAwayError("the database is away")

    def _require_patience(self, end: float) -> None:
        if time.monotonic() > end:
            raise PoolTimeout(f"all connections were in use for {self.pool.timeout:.0f} s")
