"""Requests that wait for a database connection: without a thread, in vain where the database is away."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import anyio
import anyio.to_thread
import psycopg
import pytest
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import PoolTimeout

from ingest.database import Pool
from portal.connections import Connections
from portal.errors import DatabaseAwayError
from portal.reach import Reach

SIZE = 2


class Threads:
    """A pool that holds the thread of whoever waits for one of its connections, as the real one does."""

    max_size = SIZE
    timeout = 60.0

    def __init__(self) -> None:
        self.free = threading.Semaphore(SIZE)
        self.given = 0

    @contextmanager
    def connection(self) -> Iterator[object]:
        if not self.free.acquire(timeout=20):
            raise PoolTimeout("those who hold one never gave it back")
        self.given += 1
        try:
            yield object()
        finally:
            self.free.release()


def connections_of(pool: Threads, reach: Reach | None = None) -> Connections:
    return Connections(cast("Pool", pool), reach or Reach())


def lose(reach: Reach) -> None:
    with pytest.raises(psycopg.OperationalError), reach.asking():
        raise psycopg.OperationalError("away")


async def until_waiting(connections: Connections, count: int) -> None:
    async with asyncio.timeout(60):
        while connections.waiting < count:  # noqa: ASYNC110 - the figure is there for the metrics, it wakes nobody
            await asyncio.sleep(0)


async def test_who_waits_leaves_the_threads_to_who_does_not() -> None:
    anyio.to_thread.current_default_thread_limiter().total_tokens = SIZE
    connections = connections_of(pool := Threads())

    async def request() -> None:
        async with connections.one():
            await run_in_threadpool(lambda: None)  # the page

    async with asyncio.timeout(60):
        await asyncio.gather(*(request() for _ in range(10 * SIZE)))
    assert pool.given == 10 * SIZE
    assert connections.waiting == 0


async def test_nobody_waits_for_a_database_that_is_away() -> None:
    reach = Reach()
    connections = connections_of(pool := Threads(), reach)
    async with connections.one(), connections.one():
        waiting = [asyncio.ensure_future(connections.one().__aenter__()) for _ in range(3)]
        await until_waiting(connections, 3)
        lose(reach)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseAwayError] * 3
    with pytest.raises(DatabaseAwayError):
        await connections.one().__aenter__()
    assert pool.given == SIZE, "the pool is not asked"
    with reach.asking():
        pass
    async with connections.one(), connections.one():
        assert pool.given == 2 * SIZE


async def test_a_connection_that_is_never_free_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Threads, "timeout", 0.01)
    connections = connections_of(Threads())
    async with connections.one(), connections.one():
        with pytest.raises(PoolTimeout, match="all connections were in use"):
            await connections.one().__aenter__()


async def test_a_request_that_fails_gives_its_place_back() -> None:
    connections = connections_of(Threads())
    for _ in range(2 * SIZE):
        with pytest.raises(ValueError, match="broken"):
            async with connections.one():
                raise ValueError("broken")


async def test_who_came_first_is_served_first_also_after_looking_at_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portal.connections._LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(Threads, "max_size", 1)  # threads that are given one at the same time go on in any order
    looked = 0

    class Counting(Reach):
        def is_away(self) -> bool:
            nonlocal looked
            looked += 1
            return False

    connections, served = connections_of(Threads(), Counting()), list[int]()

    async def request(number: int) -> None:
        async with connections.one():
            served.append(number)

    async with connections.one():
        requests = []
        for number in range(12):
            requests.append(asyncio.create_task(request(number)))
            await until_waiting(connections, number + 1)
        enough = looked + 120
        async with asyncio.timeout(60):
            while looked < enough:  # noqa: ASYNC110 - a count of what the requests do, it wakes nobody
                await asyncio.sleep(0.001)
    await asyncio.gather(*requests)
    assert served == sorted(served)


async def test_who_is_cancelled_takes_no_place_along() -> None:
    connections = connections_of(pool := Threads())
    entered = 0

    async def request() -> None:
        nonlocal entered
        async with connections.one():
            entered += 1
            await anyio.sleep(0.001)

    for turns in range(60):  # cancelled while it waits, while it is given a place, and while it has one
        async with anyio.create_task_group() as requests:
            for _ in range(3 * SIZE):
                requests.start_soon(request)
            for _ in range(turns):
                await asyncio.sleep(0)
            requests.cancel_scope.cancel()
        assert connections.waiting == 0
    assert 0 < entered < 60 * 3 * SIZE
    async with asyncio.timeout(60), connections.one(), connections.one():
        assert pool.free.acquire(blocking=False) is False, "both are given, and none is missing"
