"""Blocks that double and end, offences while the database is away, and how many rejected messages are kept."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ingest.brokers.access import read_access
from ingest.clock import BackendClock
from ingest.database import Connection
from ingest.decoding.decode import Incoming
from ingest.errors import RegistryError
from ingest.storing.rejections import KEPT_OF_A_SENDER
from ingest.storing.writer import store
from ingest.warden import blocks
from ingest.warden.bucket import Allowance
from ingest.warden.limits import Limits
from ingest.warden.warden import LOOK_SECONDS, Warden
from telemetry.wire import encode_readings
from tests.integration.ingest_support import readings, register_car

pytestmark = pytest.mark.database
Wardens = Callable[..., Warden]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOWHERE = "postgresql://127.0.0.1:1/nothing"
LIMITS = Limits(
    messages=Allowance(per_second=1, burst=5), bytes=Allowance(per_second=1e6, burst=1e6),
    over=Allowance(per_second=1, burst=5), malformed=Allowance(per_second=1, burst=5),
)  # fmt: skip


@pytest.fixture
def wardens() -> Iterator[Wardens]:
    """Makes them, and closes them at the end."""
    with ExitStack() as opened:
        yield lambda **options: opened.enter_context(closing(Warden(LIMITS, **options)))


def message(device: str, number: int = 0, at: datetime = NOW) -> Incoming:
    return Incoming(topic=f"wearcast/v1/{device}/readings", payload=b"rubbish %d" % number, received_at=at)


def ends(connection: Connection, device: str, now: datetime) -> timedelta:
    assert blocks.block(connection, device, reason="flood", now=now)
    (kept_out,) = blocks.blocked(connection, now)
    return kept_out.until - now


def test_each_block_within_a_day_is_twice_as_long_and_a_quiet_day_forgives(connection: Connection) -> None:
    register_car(connection, "d1")
    lengths, now = [], NOW
    for _ in range(10):
        lengths.append(ends(connection, "d1", now))
        assert not blocks.block(connection, "d1", reason="flood", now=now), "it is blocked already"
        now += lengths[-1]
        assert blocks.blocked(connection, now) == []
    minutes = [length.total_seconds() / 60 for length in lengths]
    assert minutes == [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]
    assert ends(connection, "d1", now + timedelta(days=1)) == timedelta(minutes=10)
    assert not blocks.block(connection, "unknown", reason="flood", now=now)


def test_who_is_blocked_is_not_let_in_and_who_is_unblocked_is(connection: Connection) -> None:
    register_car(connection, "d1")
    blocks.block(connection, "d1", reason="by-hand", now=datetime.now(UTC))
    assert read_access(connection).permitted == ()
    blocks.unblock(connection, "d1")
    assert [permitted.device for permitted in read_access(connection).permitted] == ["d1"]
    with pytest.raises(RegistryError, match="not blocked"):
        blocks.unblock(connection, "d1")


async def test_one_worker_keeps_out_whom_another_has_blocked(
    connection: Connection, database_url: str, wardens: Wardens
) -> None:
    for device in ("d1", "d2"):
        register_car(connection, device)
    now = NOW

    def steady() -> float:
        return (now - NOW).total_seconds()

    first, second = (
        wardens(
            database_url=database_url,
            name=name,
            clock=lambda: now,
            steady_seconds=steady,
        )
        for name in ("a", "b")
    )
    assert len(await second.admit([message("d1"), message("d2")])) == 2
    assert len(await first.admit([message("d1")] * 20)) == 5
    assert await first.admit([message("d1")]) == []
    assert [entry.device_id for entry in blocks.blocked(connection, NOW)] == ["d1"]
    now = NOW + timedelta(seconds=LOOK_SECONDS)
    assert await second.admit([message("d1", at=now), message("d2", at=now)]) == [message("d2", at=now)]
    now = NOW + blocks.FIRST_BLOCK
    assert len(await second.admit([message("d1", at=now)])) == 1


async def test_a_database_that_is_away_lets_no_flood_through(wardens: Wardens) -> None:
    warden = wardens(database_url=NOWHERE, name="worker", clock=lambda: NOW)
    assert len(await warden.admit([message("d1")] * 20)) == 5
    later = NOW + timedelta(hours=1)
    assert await warden.admit([message("d1", at=later)]) == []
    assert len(await warden.admit([message("d2", at=later)])) == 1


async def test_a_clock_that_was_ahead_for_a_while_limits_nobody_and_lets_nobody_in(
    connection: Connection, database_url: str, wardens: Wardens
) -> None:
    register_car(connection, "d1")
    register_car(connection, "d2")
    ahead, seconds = timedelta(days=30), 0.0
    warden = wardens(
        database_url=database_url,
        name="worker",
        clock=lambda: NOW + ahead + timedelta(seconds=seconds),
        steady_seconds=lambda: seconds,
    )
    assert len(await warden.admit([message("d1", at=NOW + ahead)])) == 1
    ahead = timedelta(0)
    blocks.block(connection, "d2", reason="by-hand", now=NOW)
    for step in range(60):  # a message a second, as its limits permit
        seconds = float(step)
        at = NOW + timedelta(seconds=seconds)
        assert len(await warden.admit([message("d1", at=at)])) == 1
    assert await warden.admit([message("d2", at=NOW)]) == []
    assert [entry.device_id for entry in blocks.blocked(connection, NOW)] == ["d2"]


async def test_a_worker_that_begins_with_a_wrong_clock_blocks_by_the_databases(
    connection: Connection, database_url: str, wardens: Wardens
) -> None:
    for device in ("d1", "d2"):
        register_car(connection, device)
    began = datetime.now(UTC)
    blocks.block(connection, "d1", reason="by-hand", now=began)
    ours = BackendClock(machine=lambda: datetime.now(UTC) + timedelta(days=1))
    warden = wardens(database_url=database_url, name="worker", clock=ours.now, compare=ours.compare)
    at = began + timedelta(days=1)
    assert await warden.admit([message("d1", at=at)]) == []
    assert len(await warden.admit([message("d2", at=at)] * 20)) == 5
    await warden.admit([])
    until = {entry.device_id: entry.until for entry in blocks.blocked(connection, datetime.now(UTC))}
    assert until.keys() == {"d1", "d2"}
    assert until["d2"] < began + timedelta(hours=1)


async def test_rubbish_is_counted_for_its_sender(connection: Connection, database_url: str, wardens: Wardens) -> None:
    register_car(connection, "d1")
    warden = wardens(database_url=database_url, name="worker", clock=lambda: NOW)
    warden.note_malformed(store(connection, [message("d1", number) for number in range(6)], NOW).offenders)
    assert await warden.admit([message("d1")]) == []
    (kept_out,) = blocks.blocked(connection, NOW)
    assert kept_out.reason == "malformed"


def test_an_unknown_device_and_an_unset_clock_are_no_offence(connection: Connection) -> None:
    register_car(connection, "d1")
    unset = timedelta(days=-365 * 30).total_seconds()
    batches = [readings("ghost", UUID(int=1), 1), readings("d1", UUID(int=1), 1, seconds=unset)]
    sent = [
        Incoming(topic=f"wearcast/v1/{batch.key.device}/readings", payload=encode_readings(batch), received_at=NOW)
        for batch in batches
    ]
    outcome = store(connection, sent, NOW)
    assert outcome.reasons == {"unknown-device": 1, "too-old": 1}
    assert outcome.offenders == ()


def test_the_newest_rejections_of_each_device_are_kept(connection: Connection) -> None:
    for group in range(3):
        messages = [message("flooder", group * 300 + number) for number in range(300)]
        store(connection, [*messages, message("other", group)], NOW)
    counts = dict(connection.execute("SELECT sender, count(*) FROM rejected_message GROUP BY sender").fetchall())
    assert counts == {"flooder": KEPT_OF_A_SENDER, "other": 3}
    kept = {row[0] for row in connection.execute("SELECT payload FROM rejected_message WHERE sender = 'flooder'")}
    assert kept == {b"rubbish %d" % number for number in range(900 - KEPT_OF_A_SENDER, 900)}


@pytest.mark.parametrize("began_before", [False, True])
async def test_a_fleet_after_an_outage_is_not_kept_out(
    connection: Connection, database_url: str, wardens: Wardens, began_before: bool
) -> None:
    """The worker was away itself, or waited for its database or broker: what dongles said meanwhile comes at once."""
    register_car(connection, "d1")
    outage = timedelta(hours=1)
    connection.execute(
        "INSERT INTO device_status (device_id, boot, state, time, version, pending_batches, heard_at)"
        " VALUES ('d1', %s, 'online', %s, '1', 0, %s)",
        [UUID(int=1), NOW, NOW],
    )
    now = NOW if began_before else NOW + outage

    def steady() -> float:
        return (now - NOW).total_seconds()

    warden = wardens(
        database_url=database_url,
        name="worker",
        clock=lambda: now,
        steady_seconds=steady,
    )
    if began_before:
        assert len(await warden.admit([message("d1")])) == 1
        now = NOW + outage
    assert len(await warden.admit([message("d1", at=now)] * 5000)) == 5
    assert len(await warden.admit([message("d1", at=now)] * 5000)) == 0
    assert blocks.blocked(connection, now) == []
    await warden.admit([message("d1", at=now)] * 5000)
    await warden.admit([])
    assert [entry.device_id for entry in blocks.blocked(connection, now)] == ["d1"]
