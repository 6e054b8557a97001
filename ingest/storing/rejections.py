"""Messages that were not taken: kept with their reason, and no more of one device than a person would read."""

from collections.abc import Iterable, Sequence
from typing import Final

from ingest.database import Connection
from ingest.decoding.decode import TEMPORARY_REASONS, Rejection
from telemetry.digest import digest
from telemetry.topics import sender_of

KEPT_PAYLOAD_BYTES: Final = 1024 * 1024  # of a rejected message: whole, as no broker of ours takes a larger one
KEPT_OF_A_SENDER: Final = 200  # the newest
_LONGEST_TEXT: Final = 500
# What an honest device may send: it is not registered yet, or its clock is not set.
_NO_OFFENCE: Final = TEMPORARY_REASONS | {"far-future", "too-old"}


def offenders(rejections: Iterable[Rejection]) -> tuple[str, ...]:
    """Devices that sent what no honest one sends, a name for each message."""
    senders = (sender_of(entry.message.topic) for entry in rejections if entry.reason not in _NO_OFFENCE)
    return tuple(filter(None, senders))


def keep_rejections(connection: Connection, rejections: Sequence[Rejection]) -> None:
    """Keep them, and drop the oldest of who has too many. The same message again only counts up."""
    if not rejections:
        return
    newest: dict[str, list[Rejection]] = {}
    for entry in rejections:
        newest.setdefault(sender_of(entry.message.topic), []).append(entry)
    kept = [entry for entries in newest.values() for entry in entries[-KEPT_OF_A_SENDER:]]
    _insert(connection, kept)
    connection.execute(
        """
        DELETE FROM rejected_message WHERE id IN (
            SELECT surplus.id FROM unnest(%s::text[]) AS of_group (sender)
            CROSS JOIN LATERAL (
                SELECT id FROM rejected_message WHERE rejected_message.sender = of_group.sender
                ORDER BY id DESC OFFSET %s
            ) AS surplus
        )
        """,
        [sorted(newest), KEPT_OF_A_SENDER],
    )


def _insert(connection: Connection, rejections: Iterable[Rejection]) -> None:
    rows = sorted(
        (
            digest(entry.message.topic.encode(errors="replace"), entry.message.payload),
            entry.reason,
            _storable(entry.message.topic),
            _storable(entry.detail),
            len(entry.message.payload),
            entry.message.payload[:KEPT_PAYLOAD_BYTES],
            entry.message.received_at,
        )
        for entry in rejections
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO rejected_message AS known
                (digest, reason, topic, detail, payload_size, payload, first_received_at, last_received_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (digest, reason) DO UPDATE SET times = known.times + 1,
                last_received_at = greatest(known.last_received_at, excluded.last_received_at)
            """,
            [(*row, row[-1]) for row in rows],
        )


def _storable(text: str) -> str:
    """Text as PostgreSQL takes it: no NUL, no half of a surrogate pair, and not without end."""
    return text[:_LONGEST_TEXT].encode(errors="replace").decode().replace("\0", "\ufffd")
