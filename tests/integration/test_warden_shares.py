"""Workers that share a consumer count a device together: however many there are, and however its messages fall."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ingest.database import Connection, connect
from ingest.decoding.decode import Incoming
from ingest.warden import blocks, shares
from ingest.warden.bucket import Allowance
from ingest.warden.limits import Limits
from ingest.warden.tally import TOLD_EVERY_SECONDS, Use
from ingest.warden.warden import Warden
from tests.conftest import _database
from tests.integration.ingest_support import register_car, until
from wearcast.embedded.timescaledb import Database

pytestmark = pytest.mark.database

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOWHERE = "postgresql://127.0.0.1:1/nothing"
# What fills again while a test runs is next to nothing.
SLOW = Limits(
    messages=Allowance(per_second=0.001, burst=1000), bytes=Allowance(per_second=1, burst=1e9),
    over=Allowance(per_second=0.001, burst=200), malformed=Allowance(per_second=0.001, burst=50),
)  # fmt: skip


class Workers:
    """Wardens of one consumer, all by one clock."""

    def __init__(self, url: str, number: int) -> None:
        self.seconds = 0.0
        self.wardens = [
            Warden(
                SLOW,
                database_url=url,
                name=f"w{each}",
                shares=True,
                clock=lambda: NOW + timedelta(seconds=self.seconds),
                steady_seconds=lambda: self.seconds,
            )
            for each in range(number)
        ]

    async def admit(self, which: int, messages: int, device: str = "d1") -> int:
        """How many of a group a worker lets through."""
        at = NOW + timedelta(seconds=self.seconds)
        one = Incoming(topic=f"wearcast/v1/{device}/readings", payload=b"x", received_at=at)
        return len(await self.wardens[which].admit([one] * messages))


@pytest.fixture(scope="module")
def shared_url(timescaledb: Database, migrated_template: str) -> Iterator[str]:
    """One database for this file: to copy one takes longer than a test."""
    yield from _database(timescaledb, migrated_template)


@pytest.fixture
def database_url(shared_url: str) -> str:
    with closing(connect(shared_url, autocommit=True)) as connection:
        connection.execute("TRUNCATE device, vehicle, owner CASCADE")
    return shared_url


@pytest.fixture
def workers(connection: Connection, database_url: str) -> Iterator[Callable[[int], Workers]]:
    made: list[Workers] = []
    for device in ("d1", "d2"):
        register_car(connection, device)

    def make(number: int) -> Workers:
        made.append(Workers(database_url, number))
        return made[-1]

    yield make
    for warden in (warden for each in made for warden in each.wardens):
        warden.close()


@pytest.mark.parametrize("number", [1, 2, 8])
async def test_a_flood_is_cut_off_at_its_limit_however_many_workers_there_are(
    workers: Callable[[int], Workers], connection: Connection, number: int
) -> None:
    several = workers(number)
    admitted = sent = 0
    while not blocks.blocked(connection, NOW) and sent < 5000:
        admitted += await several.admit(sent // 50 % number, 50)
        sent += 50
    assert 1000 <= admitted <= 1000 + 20 * number
    assert sent <= 1200 + 24 * number + 2 * 50 * number
    (kept_out,) = blocks.blocked(connection, NOW)
    assert (kept_out.device_id, kept_out.reason) == ("d1", "flood")


async def test_an_honest_device_has_its_whole_limit_however_its_messages_fall(
    workers: Callable[[int], Workers], connection: Connection
) -> None:
    """All to one worker, then all to another, then by turns: none has a share that could be used up."""
    several = workers(4)
    assert await several.admit(0, 400) == 400
    assert await several.admit(1, 300) == 300
    for turn in range(28):
        assert await several.admit(turn % 4, 10) == 10
    assert await several.admit(2, 500, "d2") == 500
    assert blocks.blocked(connection, NOW) == []


async def test_who_is_slow_but_steady_is_told_of_in_time(workers: Callable[[int], Workers]) -> None:
    several = workers(2)
    admitted = 0
    for round_ in range(200):
        several.seconds = round_ * (TOLD_EVERY_SECONDS + 1)
        admitted += await several.admit(round_ % 2, 8)
    assert 1000 <= admitted <= 1000 + 60


async def test_where_each_worker_receives_everything_each_counts_for_itself(
    connection: Connection, database_url: str
) -> None:
    register_car(connection, "d1")
    one = Incoming(topic="wearcast/v1/d1/readings", payload=b"x", received_at=NOW)
    for name in ("a", "b"):
        with closing(Warden(SLOW, database_url=database_url, name=name, clock=lambda: NOW)) as warden:
            assert len(await warden.admit([one] * 900)) == 900
    assert connection.execute("SELECT FROM device_allowance").fetchall() == []


async def test_without_a_database_each_counts_for_itself_and_asks_seldom(caplog: pytest.LogCaptureFixture) -> None:
    alone = Workers(NOWHERE, 1)
    assert sum([await alone.admit(0, 50) for _ in range(60)]) == 1000
    assert caplog.text.count("cannot say now") == 1
    alone.seconds = TOLD_EVERY_SECONDS + 1
    assert await alone.admit(0, 50) == 0
    assert caplog.text.count("cannot say now") == 2


async def test_what_could_not_be_told_while_the_database_was_away_is_told_after(
    workers: Callable[[int], Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = workers(2)
    with monkeypatch.context() as away:
        away.setattr("ingest.session.connect", lambda *_, **__: connect(NOWHERE))
        assert await several.admit(0, 600) == 600
    several.seconds = TOLD_EVERY_SECONDS + 1
    assert await several.admit(0, 1) == 1
    several.seconds += TOLD_EVERY_SECONDS + 1
    assert await several.admit(1, 50) == 50
    assert 390 <= await several.admit(1, 1000) + 50 <= 440


async def test_answers_alone_get_a_device_kept_out(workers: Callable[[int], Workers], connection: Connection) -> None:
    """Nothing comes for the store, so that no group is let through or not."""
    several = workers(2)
    for _ in range(1300):
        several.wardens[0].admits_aside("wearcast/v1/d1/results/dtc", 1)
    running = asyncio.create_task(several.wardens[0].run(), name="look who is kept out")
    try:
        await until(lambda: bool(blocks.blocked(connection, NOW)), "it is kept out")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def at(connection: Connection, ahead: str) -> None:
    connection.execute("UPDATE device_allowance SET at = clock_timestamp() + %s::interval", [ahead])


def test_an_allowance_fills_by_the_databases_clock_wherever_that_is_put(connection: Connection) -> None:
    register_car(connection, "d1")
    limits = Limits(
        messages=Allowance(per_second=10, burst=1000), bytes=SLOW.bytes, over=SLOW.over, malformed=SLOW.malformed
    )
    used = Use(messages=800)

    def told() -> float:
        return shares.tell(connection, {"d1": used, "unknown": used}, limits)["d1"].messages

    assert told() == 200
    at(connection, "-50 seconds")
    assert told() == pytest.approx(200 + 500 - 800, abs=20)
    at(connection, "30 days")  # the clock was ahead, and is put back: nothing is given, and it fills on from here
    assert told() == pytest.approx(-100 - 800, abs=20)
    at(connection, "-30 days")  # it jumps ahead: once more all that a device has after a silence, and no more
    assert told() == 200
    at(connection, "-2 hours")
    shares.forget(connection)
    assert connection.execute("SELECT FROM device_allowance").fetchall() == []


def test_a_fleet_is_told_in_parts_and_what_is_told_is_not_told_again(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are not held for long, and a failure in the middle counts nothing twice."""
    for device in ("d1", "d2", "d3"):
        register_car(connection, device)
    monkeypatch.setattr(shares, "AT_ONCE", 2)
    uses = {device: Use(messages=10) for device in ("d1", "d2", "d3")}
    connection.execute("ALTER TABLE device_allowance ADD CONSTRAINT no_third CHECK (device_id <> 'd3')")
    with pytest.raises(psycopg.errors.CheckViolation):
        shares.tell_all(connection, uses, SLOW)
    assert uses.keys() == {"d3"}
    connection.execute("ALTER TABLE device_allowance DROP CONSTRAINT no_third")
    assert shares.tell_all(connection, uses, SLOW)["d3"].messages == 990
    assert uses == {}


def test_a_worker_that_stands_still_holds_nobody_up(connection: Connection, database_url: str) -> None:
    """A single statement that commits by itself: what it has locked is free before its worker goes on."""
    register_car(connection, "d1")
    with closing(connect(database_url, autocommit=True)) as still:
        shares.tell(still, {"d1": Use(messages=1)}, SLOW)
        connection.execute("SET lock_timeout = '100ms'")
        assert shares.tell(connection, {"d1": Use(messages=1)}, SLOW)["d1"].messages == pytest.approx(998, abs=0.1)


async def test_a_device_that_is_being_erased_holds_up_neither_the_others_nor_its_erasure(
    workers: Callable[[int], Workers], connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """The erasure has one row and wants the next; a warden has that one and wants the first."""
    several = workers(1)
    shares.tell(connection, {device: Use(messages=1) for device in ("d1", "d2")}, SLOW)
    with connection.transaction():
        connection.execute("DELETE FROM device_allowance WHERE device_id = 'd2'")
        assert await several.admit(0, 15, "d1") == 15
        async with asyncio.timeout(60):
            assert await several.admit(0, 25, "d2") == 25
        connection.execute("DELETE FROM device_allowance WHERE device_id = 'd1'")
    assert caplog.text.count("cannot say now who is kept out") == 1
    several.seconds = TOLD_EVERY_SECONDS + 1
    await several.admit(0, 1, "d1")
    told = connection.execute("SELECT device_id, round(messages) FROM device_allowance ORDER BY 1").fetchall()
    assert told == [("d1", 985), ("d2", 975)]
