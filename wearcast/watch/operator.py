"""Tells the operator of alerts on ourselves: once when one has lasted a minute, once when it is over.

What began and what ended is kept in ``operator_alert``, so that neither a restart nor a second watch tells it again. A
message that does not go is tried again with the next round.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from psycopg.rows import class_row

from ingest.database import Connection
from rules.delivery.errors import DeliveryError
from rules.delivery.owner_channel import OwnerChannel
from rules.delivery.texts import Notice
from wearcast.settings import SettingsError
from wearcast.watch import metrics
from wearcast.watch.judge import SelfAlert, duration

log = logging.getLogger(__name__)

LASTS: Final = timedelta(minutes=1)  # a restart is over by then and told to nobody


@dataclass(frozen=True, kw_only=True)
class Episode:
    """An alert from when its condition began; ``ended_at`` None while it lasts."""

    id: int
    key: str
    text: str
    advice: str
    began_at: datetime
    ended_at: datetime | None


def remember(connection: Connection, alerts: Sequence[SelfAlert], now: datetime) -> None:
    """Begin the episodes of new alerts and end those of alerts that are over. Commits by itself."""
    with connection.transaction():
        for alert in alerts:
            connection.execute(
                """
                INSERT INTO operator_alert (key, text, advice, began_at) VALUES (%s, %s, %s, %s)
                ON CONFLICT (key) WHERE ended_at IS NULL DO UPDATE SET text = excluded.text, advice = excluded.advice
                """,
                [alert.key, alert.text, alert.advice, now],
            )
        connection.execute(
            "UPDATE operator_alert SET ended_at = %s WHERE ended_at IS NULL AND key <> ALL(%s)",
            [now, [alert.key for alert in alerts]],
        )


def tell(connection: Connection, channel: OwnerChannel, addresses: Sequence[str], now: datetime) -> int:
    """Tell what is not told yet; how many messages went. ``connection`` in autocommit mode."""
    told = 0
    while addresses and _tell_next(connection, channel, addresses, now):
        told += 1
    return told


def _tell_next(connection: Connection, channel: OwnerChannel, addresses: Sequence[str], now: datetime) -> bool:
    with connection.transaction(), connection.cursor(row_factory=class_row(Episode)) as cursor:
        # Locked while it is told: another watch takes the next one.
        episode = cursor.execute(
            """
            SELECT id, key, text, advice, began_at, ended_at FROM operator_alert
            WHERE (told_at IS NULL AND ended_at IS NULL AND began_at <= %s)
               OR (told_at IS NOT NULL AND ended_at IS NOT NULL AND end_told_at IS NULL)
            ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
            """,
            [now - LASTS],
        ).fetchone()
        if episode is None or not send(channel, addresses, notice(episode)):
            return False
        connection.execute(
            "UPDATE operator_alert SET told_at = coalesce(told_at, %(now)s),"
            " end_told_at = CASE WHEN ended_at IS NULL THEN NULL ELSE %(now)s::timestamptz END WHERE id = %(id)s",
            {"now": now, "id": episode.id},
        )
    return True


def notice(episode: Episode) -> Notice:
    """What is told of it."""
    if episode.ended_at is None:
        text = f"{episode.text[:1].upper()}{episode.text[1:]}.\nWhat to do: {episode.advice}.\nMore: wearcast status"
        return Notice(
            key=f"self/{episode.id}/began", title=f"Wearcast: {episode.key.partition(':')[0]}", text=text, urgent=True
        )
    lasted = duration((episode.ended_at - episode.began_at).total_seconds())
    return Notice(
        key=f"self/{episode.id}/ended",
        title=f"Wearcast: over: {episode.key.partition(':')[0]}",
        text=f"Over after {lasted}: {episode.text}.",
        urgent=False,
    )


def send(channel: OwnerChannel, addresses: Sequence[str], message: Notice) -> bool:
    """Send to all; True if one took it: to wait for the others would tell that one again and again."""
    taken = False
    for address in addresses:
        try:
            channel.send(address, message)
            taken = True
        except DeliveryError as error:
            metrics.FAILURES.labels("notify").inc()
            log.warning("the operator could not be told of %s: %s", message.key, error)
    return taken


def read_addresses(path: Path | None) -> tuple[str, ...]:
    """Apprise addresses of a file, one a line, ``#`` before remarks.

    SettingsError where it cannot be read, or can be read by others: addresses carry tokens.
    """
    if path is None:
        return ()
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"WEARCAST_OPERATOR_NOTIFY_FILE: others may read {path}; run: chmod 600 {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"WEARCAST_OPERATOR_NOTIFY_FILE: {path} cannot be read ({error.strerror})") from error
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
