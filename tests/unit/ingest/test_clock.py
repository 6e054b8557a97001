"""No batch is refused because a clock of ours is wrong, and none is taken of a device whose clock is wrong."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast
from uuid import UUID

import pytest

from ingest.clock import BackendClock, sure_time
from ingest.database import Connection
from ingest.decoding.decode import Accepted, Incoming, Rejection, decode
from telemetry.records import BatchKey, ReadingsBatch, Sample
from telemetry.topics import publish_topic
from telemetry.wire import encode_readings

RIGHT = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NONE = timedelta(0)


class Database:
    """Answers one question: what time it is."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead
        self.asked = 0

    def cursor(self, **_: Any) -> "Database":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, _query: str) -> "Database":
        self.asked += 1
        return self

    def fetchone(self) -> datetime:
        return RIGHT + self.ahead


def clock(machine_ahead: timedelta) -> BackendClock:
    return BackendClock(machine=lambda: RIGHT + machine_ahead, steady_seconds=lambda: 100.0)


def batch(device_ahead: timedelta, received_at: datetime) -> Incoming:
    key = BatchKey(device="d1", boot=UUID(int=1), sequence=1)
    sample = Sample(time=RIGHT + device_ahead, monotonic_ms=1, values={"Vehicle.Speed": 50.0})
    payload = encode_readings(ReadingsBatch(key=key, samples=(sample,)))
    return Incoming(topic=publish_topic("d1", "readings"), payload=payload, received_at=received_at)


def verdict(*, machine: timedelta, database: timedelta, device: timedelta, compared: bool) -> str:
    """``compared``: before the batch came, not only before it is judged."""
    ours, connection = clock(machine), cast("Connection", Database(database))
    if compared:
        ours.compare(connection)
    decoded = [decode(batch(device, ours.now()))]
    ours.compare(connection)
    (entry,) = ours.judged(connection, decoded)
    return entry.reason if isinstance(entry, Rejection) else "taken"


@pytest.mark.parametrize("compared", [False, True])
@pytest.mark.parametrize(
    ("machine", "database", "device", "expected"),
    [
        (NONE, NONE, NONE, "taken"),
        (NONE, NONE, HOUR, "far-future"),
        (-5 * HOUR, NONE, NONE, "taken"),  # this machine is behind: everything seems to be of the future
        (-5 * HOUR, NONE, HOUR, "far-future"),
        (5 * HOUR, NONE, NONE, "taken"),
        (5 * HOUR, NONE, HOUR, "unsure-time"),  # this machine is ahead, and so is the device
        (5 * HOUR, NONE, 6 * HOUR, "far-future"),
        (NONE, -5 * HOUR, NONE, "unsure-time"),  # the database is behind: kept by the devices, not lost
        (NONE, 5 * HOUR, NONE, "taken"),
    ],
)
def test_a_time_is_judged_by_both_clocks(
    machine: timedelta, database: timedelta, device: timedelta, expected: str, compared: bool
) -> None:
    assert verdict(machine=machine, database=database, device=device, compared=compared) == expected


def test_the_machines_clock_may_jump_after_it_was_compared() -> None:
    machine = [NONE]
    ours = BackendClock(machine=lambda: RIGHT + machine[0], steady_seconds=lambda: 100.0)
    ours.compare(cast("Connection", Database(NONE)))
    machine[0] = -5 * HOUR
    assert ours.now() == RIGHT


def test_the_database_is_asked_again_after_a_while_only() -> None:
    seconds = [100.0]
    ours = BackendClock(machine=lambda: RIGHT, steady_seconds=lambda: seconds[0])
    database = Database(NONE)
    connection = cast("Connection", database)
    for seconds[0] in (100.0, 105.0, 111.0):
        ours.compare(connection)
    assert database.asked == 2
    right = decode(batch(NONE, RIGHT))
    assert isinstance(right, Accepted)
    assert ours.judged(connection, [right]) == [right]
    assert database.asked == 2


def test_while_clocks_are_apart_the_database_is_asked_each_time() -> None:
    ours = BackendClock(machine=lambda: RIGHT, steady_seconds=lambda: 100.0)
    database = Database(24 * HOUR)
    connection = cast("Connection", database)
    ours.compare(connection)
    database.ahead = NONE  # put right, a moment later
    ours.compare(connection)
    assert (database.asked, ours.now()) == (2, RIGHT)
    ours.compare(connection)
    assert database.asked == 2


def test_a_worker_that_stood_still_while_it_looked_at_its_clock_takes_none_for_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Stopped for a minute and a half between the database's answer and the look at its own clock."""
    seconds = [100.0]

    def machine() -> datetime:
        seconds[0] += 90.0 if seconds[0] == 100.0 else 0.0
        return RIGHT + timedelta(seconds=seconds[0] - 100.0)

    ours = BackendClock(machine=machine, steady_seconds=lambda: seconds[0])
    database = Database(NONE)
    connection = cast("Connection", database)
    ours.compare(connection)
    database.ahead = timedelta(seconds=90)
    ours.compare(connection)
    assert (database.asked, ours.now()) == (2, RIGHT + timedelta(seconds=90))
    assert caplog.text == ""


def test_that_clocks_are_apart_and_agree_again_is_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ingest.clock")
    seconds, machine = [100.0], [-5 * HOUR]
    ours = BackendClock(machine=lambda: RIGHT + machine[0], steady_seconds=lambda: seconds[0])
    connection = cast("Connection", Database(NONE))
    for seconds[0], machine[0] in ((100.0, -5 * HOUR), (120.0, -5 * HOUR), (140.0, NONE), (160.0, NONE)):
        ours.compare(connection)
    assert [record.levelname for record in caplog.records if "clock" in record.getMessage()] == ["WARNING", "INFO"]


def test_whether_the_clocks_agree_is_asked_anew_where_they_did_not() -> None:
    machine = [NONE]
    ours = BackendClock(machine=lambda: RIGHT + machine[0], steady_seconds=lambda: 100.0)
    database = Database(5 * HOUR)
    connection = cast("Connection", database)
    assert not ours.agrees(connection, HOUR)
    database.ahead = NONE
    assert ours.agrees(connection, HOUR)
    machine[0] = -HOUR
    assert not ours.agrees(connection, HOUR)
    machine[0] = -0.9 * HOUR
    assert ours.agrees(connection, HOUR)


def test_what_is_over_is_over_by_each_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for places in range(3):
        ahead = [HOUR] * 3
        ahead[places] = NONE
        asked, machine, database = ahead
        monkeypatch.setattr("ingest.clock.machine_time", lambda machine=machine: RIGHT + machine)
        assert sure_time(cast("Connection", Database(database)), RIGHT + asked) == RIGHT


def test_a_first_answer_that_takes_long_is_better_than_the_machines_clock() -> None:
    seconds = [100.0]

    class Slow(Database):
        def fetchone(self) -> datetime:
            seconds[0] += 5
            return super().fetchone()

    ours = BackendClock(machine=lambda: RIGHT + 24 * HOUR, steady_seconds=lambda: seconds[0])
    assert not ours.agrees(cast("Connection", Slow(NONE)), HOUR)
    assert ours.now() == RIGHT + timedelta(seconds=5)  # it was asked twice, and is a second time not believed
    quick = Database(timedelta(seconds=20))
    ours.compare(cast("Connection", quick))
    assert (quick.asked, ours.now()) == (1, RIGHT + timedelta(seconds=20))
