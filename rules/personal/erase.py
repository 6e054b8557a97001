"""Erasing a person: everything that leads to them goes from the database, and the key to what is sealed.

It may break off anywhere and be run again. What lies outside the database (mail folder, retained messages, the dongle's
own store, backups) is the composition root's part, which does it around this.
"""

import time
from dataclasses import replace
from datetime import datetime
from typing import Final

from psycopg import sql
from psycopg.rows import scalar_row, tuple_row

from ingest.database import Connection
from ingest.outbound.wipes import OrderedWipe, open_wipes
from ingest.personal.places import Place
from rules.personal.bookings import detach_cancellations, keep_done_work, release_bookings
from rules.personal.places import ALL_PLACES
from rules.personal.subject import Erased, Subject, rows_of, still_theirs

_PATIENCE_S: Final = 30.0  # for transactions that began before; an ingest worker's takes a fraction of a second
_LOOK_AGAIN_S: Final = 0.05

_SERIES: Final = tuple(place for place in ALL_PLACES if place.time is not None)
_ROWS: Final = tuple(place for place in ALL_PLACES if place.time is None and place.on_erasure == "deleted")


def erase_person(connection: Connection, erased: Erased, now: datetime) -> dict[str, int]:
    """Erase; rows deleted by table. The connection must be in autocommit mode.

    The dongles' messages are refused from the first step on, and they are let in only to empty themselves. The long
    part, readings chunk by chunk, holds no lock that anybody else waits for; the end is one transaction.
    """
    subject = erased.subject
    with connection.transaction():
        connection.execute("UPDATE device SET enabled = false WHERE id = ANY(%s)", [list(subject.device_ids)])
        _refuse(connection, erased)
        open_wipes(connection, erased.wipes, erased.erased_at)
    _outlast_older_transactions(connection)
    deleted = _erase_series(connection, subject)
    with connection.transaction():
        _hold_off_others(connection, subject)
        release_bookings(connection, subject, now)
        keep_done_work(connection, subject)
        detach_cancellations(connection, subject)
        _note(connection, erased)
        _merge(deleted, _erase_rows(connection, subject))
    # A transaction of before may have written readings or roll-ups meanwhile; none that begins now finds any.
    _outlast_older_transactions(connection)
    return _merge(deleted, _erase_series(connection, subject))


def erase_again(connection: Connection, erased: Erased) -> dict[str, int]:
    """Apply an erasure of before to a restored database, that no worker uses yet. Nobody is told of anything."""
    erased = replace(erased, subject=still_theirs(connection, erased.subject))
    deleted = _erase_series(connection, erased.subject)
    with connection.transaction():
        connection.execute(
            "UPDATE booking SET state = 'cancelled' WHERE vehicle_id = ANY(%s) AND state IN ('proposed', 'confirmed')",
            [list(erased.subject.vehicle_ids)],
        )
        keep_done_work(connection, erased.subject)
        _refuse(connection, erased)
        open_wipes(connection, _still_asked(erased), erased.erased_at)
        _note(connection, erased)
        return _merge(deleted, _erase_rows(connection, erased.subject))


def _erase_series(connection: Connection, subject: Subject) -> dict[str, int]:
    deleted: dict[str, int] = {}
    for place in _SERIES:
        with connection.cursor(row_factory=tuple_row) as cursor:
            chunks = cursor.execute(
                "SELECT range_start, range_end FROM timescaledb_information.chunks"
                " WHERE hypertable_schema = current_schema() AND hypertable_name = %s ORDER BY range_start",
                [place.table],
            ).fetchall()
        count = sum(_erase_chunk(connection, place, subject, *chunk) for chunk in chunks)
        _merge(deleted, {place.table: count})
    return deleted


def _erase_chunk(connection: Connection, place: Place, subject: Subject, start: datetime, end: datetime) -> int:
    """A transaction per chunk: a year of a car in one would keep vacuum from everything else."""
    assert place.time is not None
    time_column = sql.Identifier(place.time)
    statement = sql.SQL("DELETE {} AND {} >= %(start)s AND {} < %(end)s").format(
        rows_of(place), time_column, time_column
    )
    return connection.execute(statement, {**subject.parameters, "start": start, "end": end}).rowcount


def _erase_rows(connection: Connection, subject: Subject) -> dict[str, int]:
    deleted: dict[str, int] = {}
    deleted["rejected_message"] = connection.execute(
        "DELETE FROM rejected_message WHERE split_part(topic, '/', 3) = ANY(%s)", [list(subject.device_ids)]
    ).rowcount
    for place in _ROWS:
        statement = sql.SQL("DELETE {}").format(rows_of(place))
        _merge(deleted, {place.table: connection.execute(statement, subject.parameters).rowcount})
    deleted["owner"] = connection.execute("DELETE FROM owner WHERE id = %s", [subject.owner_id]).rowcount
    return deleted


def _note(connection: Connection, erased: Erased) -> None:
    """Write down that it happened, and end the dongles' certificates but for those that are still to be emptied."""
    connection.execute(
        "INSERT INTO personal_erasure (owner_id, erased_at, reason) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        [erased.subject.owner_id, erased.erased_at, erased.reason],
    )
    connection.execute(
        "UPDATE device_certificate SET revoked_at = %s, revoked_reason = 'the owner was erased'"
        " WHERE device_id = ANY(%s) AND revoked_at IS NULL AND NOT EXISTS (SELECT FROM device_wipe AS wipe"
        "    WHERE wipe.device_id = device_certificate.device_id AND wipe.outcome IS NULL"
        "    AND wipe.generation = device_certificate.generation)",
        [erased.erased_at, list(erased.subject.device_ids)],
    )


def _still_asked(erased: Erased) -> tuple[OrderedWipe, ...]:
    """Without dongles that serve somebody else by now: these were emptied before."""
    return tuple(wipe for wipe in erased.wipes if wipe.device_id in erased.subject.device_ids)


def _refuse(connection: Connection, erased: Erased) -> None:
    """From here on the content of rejected messages of these dongles is not kept: a trigger empties it."""
    connection.execute(
        "INSERT INTO erased_device (device_id, erased_at) SELECT unnest(%s::text[]), %s ON CONFLICT DO NOTHING",
        [list(erased.subject.device_ids), erased.erased_at],
    )


def _hold_off_others(connection: Connection, subject: Subject) -> None:
    """The rules engine skips cars whose state another session has locked; what it has begun is waited for."""
    connection.execute(
        "SELECT 1 FROM vehicle_state WHERE vehicle_id = ANY(%s) ORDER BY vehicle_id FOR UPDATE",
        [list(subject.vehicle_ids)],
    )
    connection.execute("SELECT 1 FROM vehicle WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [list(subject.vehicle_ids)])


def _outlast_older_transactions(connection: Connection) -> None:
    """Wait until nobody is left who may still see the person's dongles as enabled."""
    deadline = time.monotonic() + _PATIENCE_S
    with connection.cursor(row_factory=scalar_row) as cursor:
        begun = cursor.execute("SELECT clock_timestamp()").fetchone()
        while time.monotonic() < deadline:
            older = cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start < %s"
                " AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'"
                " AND application_name <> 'pg_dump'",  # reads alone, and for long
                [begun],
            ).fetchone()
            if not older:
                return
            time.sleep(_LOOK_AGAIN_S)


def _merge(into: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    for table, count in more.items():
        into[table] = into.get(table, 0) + count
    return into
