"""Roll-ups are those of the rows stored, however late or often they came, and stay when their rows are dropped."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.database import Connection, connect
from ingest.decoding.decode import Incoming
from ingest.rollups.parts import Granularity
from ingest.rollups.read import fleet_days, vehicle_rollup
from ingest.storing.writer import store
from telemetry.catalogue import catalogue
from telemetry.wire import encode_readings
from tests.integration.ingest_support import readings, register_car
from tests.integration.rollup_support import (
    drop_all_expired,
    every,
    expected,
    keep,
    put,
    refresh,
    stored,
)

pytestmark = pytest.mark.database

START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_every_signal_of_the_catalogue_is_rolled_up_under_its_code(connection: Connection) -> None:
    vehicle = uuid4()
    columns = [signal.column for signal in catalogue()]
    values = [f"{number % 2 == 0}" if signal.datatype == "boolean" else f"{number}"
              for number, signal in enumerate(catalogue())]  # fmt: skip
    connection.execute(
        f"INSERT INTO reading (time, vehicle_id, {', '.join(columns)}) VALUES (%s, %s, {', '.join(values)})",  # noqa: S608 - names and numbers
        [START, vehicle],
    )
    connection.execute("INSERT INTO rollup_pending VALUES (%s, date_trunc('hour', %s, 'UTC'))", [vehicle, START])
    assert refresh(connection) == 1
    rows = connection.execute("SELECT signal, last FROM rollup_day_value WHERE vehicle_id = %s", [vehicle]).fetchall()
    assert dict(rows) == {
        signal.code: float(number % 2 == 0) if signal.datatype == "boolean" else float(number)
        for number, signal in enumerate(catalogue())
    }


def test_what_ingest_stores_is_marked_and_rolled_up(connection: Connection) -> None:
    vehicle = register_car(connection, "d1")
    boot = uuid4()
    batches = [readings("d1", boot, number, seconds=600.0 * number - 1) for number in range(1, 11)]
    messages = [
        Incoming(topic="wearcast/v1/d1/readings", payload=encode_readings(batch), received_at=START)
        for batch in (*batches, *batches[:3])
    ]
    assert store(connection, messages, START).samples == 30
    refresh(connection)
    samples = [sample for batch in batches for sample in batch.samples]
    speeds = [(sample.time, sample.values["Vehicle.Speed"]) for sample in samples]
    assert stored(connection, vehicle, "hour") == expected(speeds, "hour")
    assert stored(connection, vehicle, "day") == expected(speeds, "day")
    store(connection, messages, START)  # all again: nothing new
    refresh(connection)
    assert stored(connection, vehicle, "hour") == expected(speeds, "hour")


def test_late_rows_are_counted_where_they_belong(connection: Connection) -> None:
    vehicle = uuid4()
    now, late = every(60, START, 200), every(60, START + timedelta(seconds=30), 100, first=500)
    put(connection, vehicle, now)
    assert refresh(connection) == 4
    put(connection, vehicle, late)
    assert refresh(connection) == 3  # no hour but those that changed
    assert stored(connection, vehicle, "hour") == expected([*now, *late], "hour")
    assert stored(connection, vehicle, "day") == expected([*now, *late], "day")
    assert refresh(connection) == 0


def test_an_hour_that_is_not_over_waits(connection: Connection) -> None:
    vehicle = uuid4()
    put(connection, vehicle, every(60, START, 60))
    settled = START.replace(minute=0) + HOUR
    assert refresh(connection, settled) == 1
    assert set(stored(connection, vehicle, "hour")) == {START.replace(minute=0)}
    assert refresh(connection) == 1


def test_a_long_backlog_is_taken_in_portions(connection: Connection) -> None:
    vehicle = uuid4()
    values = every(600, START, 300)
    for part in range(0, 300, 3):  # two marks for each hour
        put(connection, vehicle, values[part : part + 3])
    portions: list[tuple[int, bool]] = []
    while not portions or portions[-1][1]:
        row = connection.execute("SELECT rolled, more FROM refresh_rollups(7, 'infinity')").fetchone()
        assert row is not None
        portions.append(row)
    assert sum(rolled for rolled, _ in portions) == 51
    assert max(rolled for rolled, _ in portions) == 7
    assert stored(connection, vehicle, "hour") == expected(values, "hour")


def test_a_mark_made_while_its_hour_is_rolled_up_is_not_lost(connection: Connection, database_url: str) -> None:
    """The transaction of a late row is open while the hour is computed: its mark is its own and stays."""
    vehicle = uuid4()
    first, late = every(60, START, 10), every(60, START + timedelta(seconds=1), 3, first=100)
    put(connection, vehicle, first)
    with closing(connect(database_url)) as other:
        other.execute("SELECT 1")
        put(other, vehicle, late)  # a savepoint of an open transaction
        assert refresh(connection) == 1
        assert stored(connection, vehicle, "hour") == expected(first, "hour")
        other.commit()
    assert refresh(connection) == 1
    assert stored(connection, vehicle, "hour") == expected([*first, *late], "hour")


def test_raw_rows_go_only_when_they_are_rolled_up(connection: Connection) -> None:
    vehicle = uuid4()
    values = every(3600, START, 24 * 20)
    put(connection, vehicle, values)
    keep(connection, {"reading": 10})
    moment = values[-1][0] + timedelta(days=2)
    assert drop_all_expired(connection, moment) == []
    refresh(connection)
    assert {name.split()[0] for name in drop_all_expired(connection, moment)} == {"reading"}
    row = connection.execute("SELECT min(time), (SELECT raw_dropped_before FROM storage_state) FROM reading").fetchone()
    assert row is not None
    assert row[0] >= row[1]
    assert moment - timedelta(days=17) < row[1] <= moment - timedelta(days=10)
    assert stored(connection, vehicle, "hour") == expected(values, "hour")
    assert stored(connection, vehicle, "day") == expected(values, "day")


def test_a_chunk_somebody_writes_into_is_left_for_the_next_run(connection: Connection, database_url: str) -> None:
    vehicle = uuid4()
    values, late = every(3600, START, 10), every(3600, START + timedelta(seconds=5), 2)
    put(connection, vehicle, values)
    refresh(connection)
    keep(connection, {"reading": 1})
    connection.execute("ALTER FUNCTION drop_oldest_chunk SET lock_timeout = '50ms'")
    moment = START + timedelta(days=30)
    with closing(connect(database_url)) as other:
        other.execute("SELECT 1")
        put(other, vehicle, late)
        assert drop_all_expired(connection, moment) == []
        other.commit()
    assert drop_all_expired(connection, moment) == []  # its marks stand against it
    refresh(connection)
    assert len(drop_all_expired(connection, moment)) == 1
    assert stored(connection, vehicle, "hour") == expected([*values, *late], "hour")


def test_rows_later_than_the_retention_are_merged_once(connection: Connection) -> None:
    vehicle = uuid4()
    values = every(600, START, 100)
    late = every(600, START + timedelta(seconds=7), 30, first=300)
    newcomer = every(600, START + timedelta(days=2), 5)  # an hour nothing was known of
    put(connection, vehicle, values)
    refresh(connection)
    keep(connection, {"reading": 1})
    assert len(drop_all_expired(connection, START + timedelta(days=30))) == 1
    for part in (late[:10], late[10:], newcomer):
        put(connection, vehicle, part)
        refresh(connection)
        connection.execute(
            "INSERT INTO rollup_pending SELECT DISTINCT %s::uuid, hour FROM unnest(%s::timestamptz[]) AS hour",
            [vehicle, [time.replace(minute=0, second=0) for time, _ in part]],
        )
        refresh(connection)  # marked again, for no new row
    everything = [*values, *late, *newcomer]
    assert stored(connection, vehicle, "hour") == expected(everything, "hour")
    assert stored(connection, vehicle, "day") == expected(everything, "day")
    assert connection.execute("SELECT count(*) FROM reading").fetchone() == (0,)


def test_rows_later_than_the_hours_are_merged_into_the_day(connection: Connection) -> None:
    vehicle = uuid4()
    values = every(600, START, 100)
    late = every(600, START + timedelta(seconds=7), 30, first=300)
    put(connection, vehicle, values)
    put(connection, uuid4(), every(600, START + timedelta(days=40), 1))
    refresh(connection)
    keep(connection, {"reading": 1, "rollup_hour": 1})
    dropped = drop_all_expired(connection, START + timedelta(days=100))
    # The chunk of hours that ends later than the last of raw rows stays: its hours could come from raw rows again.
    assert sorted(name.split()[0] for name in dropped) == ["reading", "reading", "rollup_hour"]
    put(connection, vehicle, late)
    refresh(connection)
    assert stored(connection, vehicle, "hour") == {}
    assert stored(connection, vehicle, "day") == expected([*values, *late], "day")


def test_old_rows_of_plain_tables_are_deleted(connection: Connection) -> None:
    register_car(connection, "d1")
    now = datetime.now(UTC)
    boot = uuid4()
    connection.cursor().executemany(
        "INSERT INTO batch (device_id, boot, sequence, channel, items, digest, committed_at)"
        " VALUES ('d1', %s, %s, 'readings', 1, '', %s)",
        [(boot, number, now - timedelta(days=number)) for number in range(1, 101)],
    )
    keep(connection, {"batch": 60})
    deleted = [connection.execute("SELECT delete_expired_rows(%s, 15)", [now]).fetchone() for _ in range(5)]
    assert deleted == [(15,), (15,), (10,), (0,), (0,)]
    assert connection.execute("SELECT count(*), max(sequence) FROM batch").fetchone() == (60, 60)


def test_a_period_is_read_from_roll_ups_and_raw_rows_together(connection: Connection) -> None:
    vehicle, other = uuid4(), uuid4()
    values = every(900, START, 400)
    put(connection, vehicle, values)
    put(connection, other, values[:50])
    settled = values[300][0].replace(minute=0, second=0)
    end = values[-1][0] + HOUR

    def check(by: Granularity) -> None:
        found = vehicle_rollup(connection, vehicle, "speed", START, end, by=by)
        wanted = expected(values, by)
        assert [bucket.start for bucket in found] == list(wanted)
        assert [bucket.value.mean for bucket in found] == pytest.approx([value[3] for value in wanted.values()])

    check("day")  # all of it from raw rows
    refresh(connection, settled)
    connection.execute("UPDATE storage_state SET settled_before = %s", [settled])
    connection.execute("DELETE FROM reading WHERE time < %s", [settled])  # proves where it comes from
    check("hour")
    check("day")
    fleet = fleet_days(connection, [vehicle, other, uuid4()], "speed", START, START + timedelta(days=2))
    cars: dict[UUID, list[int]] = {}
    for day in fleet:
        cars.setdefault(day.vehicle_id, []).append(day.value.count)
    assert cars == {vehicle: [6, 96, 96], other: [6, 44]}


operations = st.lists(
    st.tuples(st.sampled_from(["put", "put", "refresh", "drop"]), st.integers(0, 60 * 24 * 40), st.integers(1, 30)),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(operations=operations)
def test_whatever_comes_late_and_is_dropped_meanwhile_counts_once(
    connection: Connection, operations: list[tuple[str, int, int]]
) -> None:
    """Rows of minutes in any order, rolled up and dropped in between: in the end all count, each once."""
    vehicle = uuid4()
    connection.execute("TRUNCATE reading, rollup_hour, rollup_day, rollup_pending")
    connection.execute("UPDATE storage_state SET raw_dropped_before = NULL, hours_dropped_before = NULL")
    keep(connection, {"reading": 7, "rollup_hour": 35})
    values: dict[datetime, float] = {}
    for number, (kind, minute, count) in enumerate(operations):
        if kind == "put":
            fresh = {START + timedelta(minutes=minute + 7 * step): float(number + step) for step in range(count)}
            fresh = {time: value for time, value in fresh.items() if time not in values}
            put(connection, vehicle, fresh.items())
            values |= fresh
        elif kind == "refresh":
            refresh(connection)
        else:
            refresh(connection)
            drop_all_expired(connection, START + timedelta(minutes=2 * minute))
    refresh(connection)
    assert stored(connection, vehicle, "day") == expected(values.items(), "day")
    dropped = connection.execute("SELECT hours_dropped_before FROM storage_state").fetchone()
    assert dropped is not None
    hours = {start: value for start, value in expected(values.items(), "hour").items()
             if dropped[0] is None or start >= dropped[0]}  # fmt: skip
    assert stored(connection, vehicle, "hour") == hours
