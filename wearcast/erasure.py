"""Erasing a person wherever something of them is: the database, backups, the mail folder, the broker."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, get_args
from uuid import UUID

import aiomqtt

from ingest.broker_connection import BrokerConfig, Client
from ingest.database import Connection
from ingest.errors import BrokerError, RegistryError
from ingest.outbound.wipes import WipeEntry, newest, order
from ingest.personal.keyring import KeyRing
from rules.personal.erase import erase_again, erase_person
from rules.personal.mails import mail_names
from rules.personal.places import ALL_PLACES
from rules.personal.subject import Erased, Subject, count_rows, find_subject, still_theirs
from telemetry.topics import publish_topic
from wearcast.backups.folder import BackupFolder, in_force

# A closed list: a free text would bring personal data into the list of erasures, which stays.
Reason = Literal["request", "consent-withdrawn", "contract-ended", "inactive"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
_BROKER_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What an erasure would reach."""

    subject: Subject
    rows: dict[str, int]  # by table
    mails: list[Path]
    backups: int  # sealed dumps, in which the person's key is destroyed


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an erasure did."""

    subject: Subject
    rows: dict[str, int]
    mails: int
    wipes: tuple[WipeEntry, ...]  # of each dongle the newest: how far it came
    broker: str  # '' or why retained messages may remain


def preview_erasure(connection: Connection, owner_id: UUID, mail_folder: Path, backups: BackupFolder) -> Preview:
    """Look, and change nothing. RegistryError where there is no such owner."""
    subject = find_subject(connection, owner_id)
    return Preview(
        subject=subject,
        rows=count_rows(connection, subject, ALL_PLACES),
        mails=_mails(mail_folder, mail_names(connection, subject)),
        backups=len(backups.backups()),
    )


def erase(
    connection: Connection,
    owner_id: UUID,
    *,
    reason: Reason,
    mail_folder: Path,
    backups: BackupFolder,
    ring: KeyRing,
    broker: BrokerConfig,
    wipe_within: timedelta,
    now: datetime,
) -> Outcome:
    """Erase the person; after a break, the same again goes on where it ended. Connection in autocommit mode.

    The list of erasures comes first: whatever dies afterwards, no restored backup brings the person back. Nothing waits
    for the dongles: ingest tells them to empty themselves, for ``wipe_within`` at most.
    """
    before = in_force(backups.erasures()).get(owner_id)
    try:
        subject = find_subject(connection, owner_id)
    except RegistryError:
        if before is None:
            raise
        subject = still_theirs(connection, before.subject)
        return _outcome(connection, subject, erase_again(connection, before), 0, broker)
    names = mail_names(connection, subject)
    asked = () if before is None else before.wipes
    fresh = [device for device in subject.device_ids if device not in {wipe.device_id for wipe in asked}]
    wipes = (*asked, *order(connection, fresh, deadline=now + wipe_within))
    erased = Erased(subject=subject, erased_at=now, reason=reason, wipes=wipes)
    backups.remember(erased, ring)
    mails = _delete(_mails(mail_folder, names))
    rows = erase_person(connection, erased, now)
    mails += _delete(_mails(mail_folder, names))  # what delivery wrote meanwhile
    return _outcome(connection, subject, rows, mails, broker)


def _outcome(
    connection: Connection, subject: Subject, rows: dict[str, int], mails: int, broker: BrokerConfig
) -> Outcome:
    try:
        asyncio.run(_clear_retained(broker, subject.device_ids))
        trouble = ""
    except (aiomqtt.MqttError, BrokerError, TimeoutError) as error:
        trouble = str(error) or type(error).__name__
    of_theirs = tuple(entry for entry in newest(connection) if entry.device_id in subject.device_ids)
    return Outcome(subject=subject, rows=rows, mails=mails, wipes=of_theirs, broker=trouble)


async def _clear_retained(broker: BrokerConfig, devices: tuple[str, ...]) -> None:
    """An empty retained message takes the place of the last status (MQTT 3.1.1, 3.3.1.3)."""
    if not devices:
        return
    async with asyncio.timeout(_BROKER_SECONDS):
        async with Client(broker, client_id="wearcast-erasure", clean_session=True) as client:
            for device in devices:
                await client.publish(publish_topic(device, "status"), b"", qos=1, retain=True)


def _mails(folder: Path, names: list[str]) -> list[Path]:
    return [path for name in names if (path := folder / name).exists()]


def _delete(files: list[Path]) -> int:
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)
