"""Keeps a broker's files as the registry is: looks when the database says so, and every few seconds besides.

A database that is away changes nothing: the broker goes on with who it knows.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from ingest.brokers.access import read_access
from ingest.brokers.branch import Access
from ingest.brokers.disconnect import intruders, take_places
from ingest.brokers.folder import Setup, finish, read_setup
from ingest.brokers.reload import Applied, apply
from ingest.database import AsyncConnection, connect, connect_async
from ingest.enrolment.access import ACCESS_CHANNEL
from ingest.errors import BrokerError, DatabaseError
from ingest.pulse import PULSE
from ingest.warden import blocks

logger = logging.getLogger(__name__)

LIST_SECONDS = 120.0  # in which a revocation list is signed and read: a minute is promised
_LONGEST_LOOK_SECONDS = 300.0  # a reload with 50,000 devices takes seconds; one that takes longer stands still


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """How often is looked, and what holds back."""

    database_url: str = field(repr=False)
    folder: Path
    look_seconds: float = 15.0  # without being told; a block ends without a word
    gather_seconds: float = 0.2  # after being told: changes come in company
    rest_factor: float = 2.0  # of what an application took, in which there is none: NATS takes 10 s for 50,000 devices
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


async def watch(config: WatchConfig, stop: asyncio.Event, ready: asyncio.Event | None = None) -> None:
    """Apply changes until ``stop`` is set. ``ready`` is set, and a line logged, once it is told of them."""
    setup = read_setup(config.folder)
    ending = asyncio.create_task(stop.wait(), name="stop")
    lately = Lately()
    try:
        while not stop.is_set():
            try:
                async with await connect_async(
                    config.database_url, application_name="wearcast-broker-watch", autocommit=True
                ) as listening:
                    await listening.execute(f"LISTEN {ACCESS_CHANNEL}")
                    logger.info("broker watch ready")
                    if ready is not None:
                        ready.set()
                    await _follow(config, setup, listening, ending, lately)
            except (DatabaseError, psycopg.OperationalError) as error:
                logger.warning("the broker goes on with who it knows: %s", str(error).splitlines()[0])
                PULSE.turn("broker watch", config.look_seconds + _LONGEST_LOOK_SECONDS)
                await asyncio.wait([ending], timeout=config.look_seconds)
    finally:
        PULSE.ended("broker watch")
        ending.cancel()


class Lately:
    """Who was shut out a moment ago: he may be back before the list with his certificate is signed and read."""

    def __init__(self, seconds: float = LIST_SECONDS) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}

    def of(self, dropped: Iterable[str], permitted: Collection[str], now: float) -> list[str]:
        """These, and those before them who are not permitted again; ``now`` in monotonic seconds."""
        known = {**self._since, **dict.fromkeys(dropped, now)}
        self._since = {user: at for user, at in known.items() if now - at < self._seconds and user not in permitted}
        return list(self._since)


async def _follow(
    config: WatchConfig, setup: Setup, listening: AsyncConnection, ending: "asyncio.Task[bool]", lately: Lately
) -> None:
    while not ending.done():
        PULSE.turn("broker watch", config.look_seconds + _LONGEST_LOOK_SECONDS)
        began = time.monotonic()
        try:
            await look(config, setup, lately)
        except BrokerError as error:
            logger.warning("not applied, will try again: %s", error)
        rest = config.rest_factor * (time.monotonic() - began)
        told = asyncio.create_task(_told(listening, config.look_seconds), name="wait for a change")
        await asyncio.wait([told, ending], return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            told.cancel()
            return
        told.result()
        await asyncio.wait([ending], timeout=max(config.gather_seconds, rest))


async def _told(listening: AsyncConnection, seconds: float) -> None:
    async for _ in listening.notifies(timeout=seconds, stop_after=1):
        pass


async def look(config: WatchConfig, setup: Setup, lately: Lately | None = None) -> Applied:
    """Look once: block who uses another's session, apply what changed, disconnect who may not stay."""
    lately = Lately() if lately is None else lately
    if setup.kind == "nats":
        await _block_intruders(config, setup)
    access = await asyncio.to_thread(_read, config)
    applied = await asyncio.to_thread(apply, config.folder, setup, access)
    if applied.changed or applied.told:
        logger.info(
            "%d devices may connect, %d of them only to empty themselves%s",
            len(access.permitted) + len(access.only_wiped),
            len(access.only_wiped),
            "" if applied.told else "; no broker runs",
        )
    if setup.kind == "mosquitto" and (applied.told or not applied.changed):
        # Its certificate is good: one that is blocked connects again, and hears and says nothing.
        blocked = (str(device.subject) for device in access.blocked)
        permitted = {str(device.subject) for device in (*access.permitted, *access.only_wiped)}
        dropped = lately.of(applied.dropped, permitted, time.monotonic())
        await take_places(config.folder, setup, dict.fromkeys((*dropped, *blocked)))
        if applied.dropped:
            await asyncio.to_thread(finish, config.folder)
    return applied


async def _block_intruders(config: WatchConfig, setup: Setup) -> None:
    try:
        access = await asyncio.to_thread(_read, config)
        found = await intruders(setup, {known.device for known in (*access.permitted, *access.only_wiped)})
    except BrokerError as error:
        logger.info("not known who is connected: %s", error)
        return
    for device, client_id in found.items():
        logger.warning("%s is blocked: it took the place of client %s", device, client_id)
    await asyncio.to_thread(_block, config, list(found))


def _read(config: WatchConfig) -> Access:
    with closing(connect(config.database_url, application_name="wearcast-broker-watch")) as opened:
        return read_access(opened)


def _block(config: WatchConfig, devices: list[str]) -> None:
    if not devices:
        return
    with connect(config.database_url, application_name="wearcast-broker-watch") as opened:
        for device in devices:
            blocks.block(opened, device, reason="client-id", now=config.clock())
