"""Wipes in the database: which dongles of erased persons still have to empty themselves, and what became of each.

A wipe is open until its dongle has answered, its deadline has passed, or somebody says that it was done by hand. So
long the dongle may connect for it alone (:mod:`ingest.brokers`). Who sends it is :mod:`ingest.outbound.wipe_post`. All
functions leave the transaction to the caller.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid4

from psycopg.rows import class_row, scalar_row

from ingest.database import Connection
from ingest.errors import RegistryError
from telemetry.wipe import Wipe, WipeRefusal, WipeResult

Outcome = Literal["wiped", "expired", "by-hand", "shut-out"]

AGAIN_SHORTEST: Final = timedelta(seconds=5)
AGAIN_LONGEST: Final = timedelta(minutes=1)  # a drive is longer, and a dongle that shows itself is told at once
_SENT_AT_ONCE: Final = 100  # by one worker in one round


@dataclass(frozen=True, kw_only=True)
class OrderedWipe:
    """As the list of erasures keeps it, so that a restored database knows of it again."""

    id: UUID
    device_id: str
    generation: int
    deadline: datetime
    shut_out: bool = False  # at the time of the erasure: it cannot be told


@dataclass(frozen=True, kw_only=True)
class WipeEntry:
    """One wipe and how far it came. ``outcome`` None: open."""

    id: UUID
    device_id: str
    asked_at: datetime
    deadline: datetime
    attempts: int
    refusal: WipeRefusal | None
    outcome: Outcome | None
    ended_at: datetime | None
    batches: int | None
    files: int | None


def order(connection: Connection, devices: Sequence[str], *, deadline: datetime) -> tuple[OrderedWipe, ...]:
    """What these dongles will be told, by what the registry knows of them now. Nothing is stored yet."""
    rows = connection.execute(
        "SELECT id, credential_generation, credentials_revoked_at IS NOT NULL FROM device WHERE id = ANY(%s)"
        " ORDER BY id",
        [list(devices)],
    ).fetchall()
    return tuple(
        OrderedWipe(id=uuid4(), device_id=device, generation=generation, deadline=deadline, shut_out=revoked)
        for device, generation, revoked in rows
    )


def open_wipes(connection: Connection, wipes: Iterable[OrderedWipe], asked_at: datetime) -> None:
    """Store them; those that are known stay as they are. One whose dongle was shut out before is over at once."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO device_wipe (id, device_id, generation, asked_at, deadline, outcome, ended_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                (
                    wipe.id,
                    wipe.device_id,
                    wipe.generation,
                    asked_at,
                    wipe.deadline,
                    "shut-out" if wipe.shut_out else None,
                    asked_at if wipe.shut_out else None,
                )
                for wipe in wipes
            ],
        )


def awaited(connection: Connection) -> frozenset[str]:
    """Devices whose wipe is open."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return frozenset(cursor.execute("SELECT device_id FROM device_wipe WHERE outcome IS NULL").fetchall())


def take_due(connection: Connection, now: datetime, *, seen: Collection[str]) -> list[Wipe]:
    """What is to be sent now, noted as sent: commit before sending. ``seen``: devices that have just shown themselves.

    The pause between two sendings doubles. What another worker is at is left to it.
    """
    rows = connection.execute(
        """
        UPDATE device_wipe SET sent_at = %(now)s, attempts = attempts + 1 WHERE id IN (
            SELECT id FROM device_wipe
            WHERE outcome IS NULL AND deadline > %(now)s
                AND (sent_at IS NULL
                    OR sent_at <= %(now)s - least(%(longest)s, %(shortest)s * power(2, least(attempts, 20) - 1))
                    OR (device_id = ANY(%(seen)s) AND sent_at <= %(now)s - interval '1 second'))
            ORDER BY sent_at NULLS FIRST LIMIT %(most)s FOR UPDATE SKIP LOCKED)
        RETURNING id, device_id, generation, asked_at, deadline
        """,
        {
            "now": now,
            "shortest": AGAIN_SHORTEST,
            "longest": AGAIN_LONGEST,
            "seen": list(seen),
            "most": _SENT_AT_ONCE,
        },
    ).fetchall()
    return [
        Wipe(id=id_, device=device, generation=generation, issued=asked_at, expires=deadline)
        for id_, device, generation, asked_at, deadline in rows
    ]


def answered(connection: Connection, results: Iterable[WipeResult], now: datetime) -> None:
    """Note what dongles said; one that refuses is asked on, as its clock may be wrong. The first answer counts."""
    with connection.cursor() as cursor:
        for result in results:
            if result.state == "wiped":
                cursor.execute(
                    "UPDATE device_wipe SET outcome = 'wiped', ended_at = %s, batches = %s, files = %s"
                    " WHERE id = %s AND device_id = %s AND outcome IS NULL",
                    [now, result.batches, result.files, result.id, result.device],
                )
            else:
                cursor.execute(
                    "UPDATE device_wipe SET refusal = %s WHERE id = %s AND device_id = %s AND outcome IS NULL",
                    [result.refusal, result.id, result.device],
                )


def expire(connection: Connection, now: datetime) -> int:
    """End those whose deadline has passed; how many."""
    return connection.execute(
        "UPDATE device_wipe SET outcome = 'expired', ended_at = %s WHERE outcome IS NULL AND deadline <= %s", [now, now]
    ).rowcount


def end_by_hand(connection: Connection, device_id: str, now: datetime) -> None:
    """The dongle was emptied or destroyed by somebody. RegistryError where it has nothing to be emptied of."""
    ended = connection.execute(
        "UPDATE device_wipe SET outcome = 'by-hand', ended_at = %s WHERE device_id = %s AND"
        " (outcome IS NULL OR outcome IN ('expired', 'shut-out'))",
        [now, device_id],
    ).rowcount
    if not ended:
        raise RegistryError(f"device {device_id[:100]!r} has nothing to be emptied of; see: wearcast privacy wipes")


def shut_out(connection: Connection, device_id: str, now: datetime) -> bool:
    """End an open wipe: the device was revoked, and is let in for nothing any more. Whether there was one."""
    return bool(
        connection.execute(
            "UPDATE device_wipe SET outcome = 'shut-out', ended_at = %s WHERE device_id = %s AND outcome IS NULL",
            [now, device_id],
        ).rowcount
    )


def require_emptied(connection: Connection, device_id: str) -> None:
    """RegistryError while a dongle may still hold an erased person's data: it would send that from its next car."""
    full = connection.execute(
        "SELECT FROM device_wipe WHERE device_id = %s AND (outcome IS NULL OR outcome IN ('expired', 'shut-out'))",
        [device_id],
    ).fetchone()
    if full is not None:
        raise RegistryError(
            f"device {device_id} still holds data of an erased person: let it connect and empty itself, or run"
            f" `wearcast agent forget` on it and then `wearcast privacy wipes --done {device_id}`"
        )


def newest(connection: Connection) -> list[WipeEntry]:
    """Of each dongle the last one."""
    last: dict[str, WipeEntry] = {}
    for entry in wipes(connection):
        last.setdefault(entry.device_id, entry)
    return list(last.values())


def wipes(connection: Connection, *, only_open: bool = False) -> list[WipeEntry]:
    """All of them, the newest first."""
    with connection.cursor(row_factory=class_row(WipeEntry)) as cursor:
        return cursor.execute(
            "SELECT id, device_id, asked_at, deadline, attempts, refusal, outcome, ended_at, batches, files"
            " FROM device_wipe WHERE outcome IS NULL OR NOT %s ORDER BY asked_at DESC, device_id",
            [only_open],
        ).fetchall()
