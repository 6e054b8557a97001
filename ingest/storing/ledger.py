"""The ledger of batches: what is new, what came before, and what only pretends to have come before.

Its rows are written in the transaction of the batch's data. That makes a batch stored once, however often it is sent
and however many workers receive it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from psycopg.rows import tuple_row

from ingest.database import Connection
from ingest.decoding.columns import ColumnarBatch
from ingest.decoding.decode import TIME_REASONS, Accepted, Readings, Rejection
from ingest.errors import DatabaseError
from telemetry.digest import digest
from telemetry.records import BatchKey, DeviceStatus, EventsBatch

Batch: TypeAlias = Readings | EventsBatch


@dataclass(frozen=True, kw_only=True)
class Entries:
    """Batches of a group by what the ledger says of them."""

    new: list[Batch]
    committed: list[BatchKey]  # new ones and those stored before
    duplicates: int
    replayed: list[Rejection]


def enter(connection: Connection, accepted: Sequence[Accepted]) -> Entries:
    """Enter batches in the ledger. Only what it did not have is new, however often and through whom it came."""
    first: dict[BatchKey, tuple[Accepted, Batch]] = {}
    again: list[tuple[Accepted, Batch]] = []
    for entry in accepted:
        if isinstance(entry.record, DeviceStatus):
            continue
        if entry.record.key in first:
            again.append((entry, entry.record))
        else:
            first[entry.record.key] = (entry, entry.record)
    entered = _insert_batches(connection, first)
    again += [pair for key, pair in first.items() if key not in entered]
    new = [batch for key, (_, batch) in first.items() if key in entered]
    stored = _digests(connection, {batch.key for _, batch in again})
    if any(batch.key not in stored for _, batch in again):
        raise DatabaseError("a batch was erased while it came again; it is looked up anew")
    same = [batch.key for entry, batch in again if stored[batch.key] == entry.digest]
    _count_resent(connection, same)
    return Entries(
        new=new,
        committed=[*entered, *same],
        duplicates=len(same),
        replayed=[
            Rejection(
                message=entry.message,
                reason="replayed",
                detail=f"batch {batch.key} is stored with other content; a sequence number is used once per boot",
                key=batch.key,
                stored=stored[batch.key],
            )
            for entry, batch in again
            if stored[batch.key] != entry.digest
        ],
    )


def refused_again(connection: Connection, rejections: Sequence[Rejection]) -> list[Rejection]:
    """Those refused for their time alone whose batch is stored: a clock of ours was ahead when it came before.

    Its device must not hear of the refusal: it would put the times right, and send other content under the same key.
    """
    for_time = [(entry, entry.key) for entry in rejections if entry.key is not None and entry.reason in TIME_REASONS]
    stored = _digests(connection, {key for _, key in for_time})
    again = [(entry, key) for entry, key in for_time if stored.get(key) == digest(entry.message.payload)]
    _count_resent(connection, [key for _, key in again])
    return [entry for entry, _ in again]


def _insert_batches(connection: Connection, batches: dict[BatchKey, tuple[Accepted, Batch]]) -> set[BatchKey]:
    if not batches:
        return set()
    rows = [
        (key.device, key.boot, key.sequence, *_channel_and_items(batch), entry.digest)
        for key, (entry, batch) in batches.items()
    ]
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            """
            INSERT INTO batch (device_id, boot, sequence, channel, items, digest)
            SELECT * FROM unnest(%b::text[], %b::uuid[], %b::bigint[], %b::text[], %b::integer[], %b::bytea[])
                AS entry (device_id, boot, sequence, channel, items, digest)
            ORDER BY device_id, boot, sequence
            ON CONFLICT DO NOTHING
            RETURNING device_id, boot, sequence
            """,
            [list(column) for column in zip(*rows, strict=True)],
        )
        if cursor.rowcount == len(batches):
            return set(batches)
        return {BatchKey(device=device, boot=boot, sequence=sequence) for device, boot, sequence in cursor}


def _channel_and_items(batch: Batch) -> tuple[str, int]:
    if isinstance(batch, EventsBatch):
        return "events", len(batch.events)
    return "readings", batch.rows if isinstance(batch, ColumnarBatch) else len(batch.samples)


def _digests(connection: Connection, keys: Iterable[BatchKey]) -> dict[BatchKey, bytes]:
    columns = _key_columns(keys)
    if not columns[0]:
        return {}
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            """
            SELECT device_id, boot, sequence, digest FROM batch
            JOIN unnest(%s::text[], %s::uuid[], %s::bigint[]) AS wanted (device_id, boot, sequence)
                USING (device_id, boot, sequence)
            """,
            columns,
        )
        return {BatchKey(device=row[0], boot=row[1], sequence=row[2]): row[3] for row in cursor}


def _count_resent(connection: Connection, keys: Sequence[BatchKey]) -> None:
    if not keys:
        return
    connection.execute(
        """
        WITH again AS (
            SELECT device_id, boot, sequence, count(*) AS times
            FROM unnest(%s::text[], %s::uuid[], %s::bigint[]) AS key (device_id, boot, sequence)
            GROUP BY device_id, boot, sequence
        ), locked AS MATERIALIZED (
            SELECT device_id, boot, sequence, times FROM batch JOIN again USING (device_id, boot, sequence)
            ORDER BY device_id, boot, sequence FOR UPDATE OF batch
        )
        UPDATE batch SET resent = resent + times FROM locked
        WHERE (batch.device_id, batch.boot, batch.sequence) = (locked.device_id, locked.boot, locked.sequence)
        """,
        _key_columns(keys),
    )


def _key_columns(keys: Iterable[BatchKey]) -> list[list[object]]:
    listed = list(keys)
    return [[key.device for key in listed], [key.boot for key in listed], [key.sequence for key in listed]]
