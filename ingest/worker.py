"""The worker: source -> decode -> one transaction per group -> commit -> settle, acknowledge. Beside it, the courier.

The next group is decoded while the database works on this one; groups are committed in the order they came.

Why nothing is lost: a device deletes a batch only on *our* acknowledgement, which is published after the commit.
Whatever is between receiving and commit when this process dies comes again, from the broker or from the device, and
the ledger of batches drops what was committed after all. For the same reason any number of workers may receive the
same messages.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import psycopg

from ingest import watch
from ingest.acknowledger import Acknowledger
from ingest.broker_connection import BrokerConfig
from ingest.cancelling import end_tasks
from ingest.clock import BackendClock
from ingest.database import Connection
from ingest.decoding.decode import Accepted, Incoming, Rejection, decode_group, is_answer
from ingest.errors import DatabaseError
from ingest.outbound.courier import Courier, CourierConfig
from ingest.pause import Pause
from ingest.pulse import PULSE
from ingest.session import Session
from ingest.sources.inbox import Inbox
from ingest.sources.jetstream import JetstreamSource
from ingest.sources.mqtt import MqttSource
from ingest.sources.nats_connection import NatsConfig
from ingest.sources.port import Aside, Source
from ingest.storing.writer import Outcome, store_decoded
from ingest.warden.limits import Limits
from ingest.warden.warden import Warden

logger = logging.getLogger(__name__)

_STOP_SECONDS: Final = 10.0  # a stopping worker stores what it has received; beyond this the devices send it again


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Settings of a worker. ``client_id`` is stable: the broker keeps what arrives while the worker is away."""

    database_url: str = field(repr=False)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    nats: NatsConfig | None = None  # take messages from a NATS cluster, which workers share, instead of by MQTT
    client_id: str = "wearcast-ingest-1"
    group_messages: int = 500  # per transaction, at most
    group_bytes: int = 8 * 1024 * 1024
    group_linger_seconds: float = 0.05  # how long a first message waits for company
    # Side by side: while one copies its rows, the other enters its ledger, merges its states, or commits. They meet as
    # those of two workers do, and wait for each other where they have the same vehicles.
    transactions: int = 2
    inbox_messages: int = 10_000  # received and not yet stored; more are left to be sent again
    inbox_bytes: int = 64 * 1024 * 1024
    retry_seconds: float = 0.2  # first pause after a failure of database or broker, doubled each time
    longest_retry_seconds: float = 10.0
    # A worker that stands still inside a transaction holds its batches back from those who were given them after it.
    longest_stall_seconds: float = 30.0
    courier: CourierConfig = field(default_factory=CourierConfig)
    limits: Limits | None = None  # of each device; None: whatever it sends


async def run_worker(config: WorkerConfig, stop: asyncio.Event, ready: asyncio.Event | None = None) -> None:
    """Receive, store and acknowledge until ``stop`` is set; what was received by then is still stored.

    ``ready`` is set once subscribed, when "ingest worker ready" is logged. Neither a database nor a broker that is
    away ends it.
    """
    worker = _Worker(config, ready or asyncio.Event())
    async with asyncio.TaskGroup() as tasks:
        storing = [
            tasks.create_task(worker.store_groups(session), name=f"store groups {number}")
            for number, session in enumerate(worker.sessions)
        ]
        beside = [
            tasks.create_task(worker.decode_groups(), name="decode groups"),
            tasks.create_task(worker.acknowledger.run(), name="acknowledge"),
            tasks.create_task(worker.source.run(), name="receive messages"),
            tasks.create_task(worker.courier.run(), name="bring service records"),
            tasks.create_task(worker.warden.run(), name="look who is kept out"),
            tasks.create_task(watch.keep_pulse(worker.source), name="keep the pulse"),
        ]
        try:
            await stop.wait()
            worker.source.close()
            await asyncio.wait(storing, timeout=_STOP_SECONDS)
            await end_tasks(storing)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await worker.acknowledger.publish()
        finally:  # also where one of them failed: the group cancels the others only once
            await end_tasks([*storing, *beside])
    logger.info("ingest worker stopped")


@dataclass(frozen=True, kw_only=True)
class _Group:
    """To be stored in one transaction."""

    messages: Sequence[Incoming]
    decoded: Sequence[Accepted | Rejection]


class _Worker:
    def __init__(self, config: WorkerConfig, ready: asyncio.Event) -> None:
        self.config = config
        self.courier = Courier(config.courier, database_url=config.database_url, name=config.client_id)
        self._clock = BackendClock()
        self.source = _source(config, self._take_aside, self._clock, ready)
        self.courier.post = self.source
        self.acknowledger = Acknowledger(self.source)
        self._decoded: asyncio.Queue[_Group | None] = asyncio.Queue(maxsize=1)  # None: there will be no more
        self.sessions = [
            Session(config.database_url, application_name=config.client_id, prepare=partial(_limit_stalls, config))
            for _ in range(config.transactions)
        ]
        self.warden = Warden(
            config.limits,
            database_url=config.database_url,
            name=config.client_id,
            shares=config.nats is not None,  # by MQTT each worker receives everything
            clock=self._clock.now,
            compare=self._clock.compare,
        )

    def _take_aside(self, topic: str, payload: bytes) -> bool:
        if is_answer(topic):
            # What is beyond its limit is dropped: whoever waits for an answer asks again.
            return not self.warden.admits_aside(topic, len(payload)) or self.courier.offer(topic, payload)
        taken = self.courier.offer(topic, payload)
        if taken:
            self.warden.admits_aside(topic, len(payload))
        return taken

    async def decode_groups(self) -> None:
        """Decode group after group, one ahead of the storing; a large one becomes several."""
        config = self.config
        while group := await self.source.take(
            max_messages=config.group_messages,
            max_bytes=config.group_bytes,
            linger_seconds=config.group_linger_seconds,
        ):
            left: Sequence[Incoming] = await self.warden.admit(group)
            if len(left) < len(group):
                admitted = {id(message) for message in left}
                await self.source.settle([message for message in group if id(message) not in admitted])
            while left:
                decoded = await asyncio.to_thread(decode_group, left)
                await self._decoded.put(_Group(messages=left[: len(decoded)], decoded=decoded))
                left = left[len(decoded) :]
        for _ in self.sessions:
            await self._decoded.put(None)

    async def store_groups(self, session: Session) -> None:
        """Store group after group; settle and acknowledge each."""
        try:
            while group := await self._decoded.get():
                with PULSE.work("storing a group", watch.LONGEST_GROUP_SECONDS):
                    outcome = await self._store_with_patience(session, group)
                await self.source.settle(group.messages)
                self.warden.note_malformed(outcome.offenders)
                self.acknowledger.add(outcome.acknowledgements)
                if outcome.rejected:
                    logger.warning("rejected %d messages; list them with `wearcast ingest rejected`", outcome.rejected)
        finally:
            session.close()

    async def _store_with_patience(self, session: Session, group: _Group) -> Outcome:
        """Store a group however long the database is away: it is kept here, and the inbox fills."""
        pause = _pause(self.config)
        while True:
            try:
                begun = time.monotonic()
                outcome = await asyncio.to_thread(self._store, session, group)
            except (DatabaseError, psycopg.Error) as error:
                logger.warning("cannot store now, will try again: %s", _one_line(error))
                watch.not_stored(_one_line(error))
            else:
                watch.stored(group.messages, outcome, seconds=time.monotonic() - begun, now=self._clock.now())
                return outcome
            await pause.sleep()

    def _store(self, session: Session, group: _Group) -> Outcome:
        with session.connection() as connection:
            self._clock.compare(connection)
            return store_decoded(connection, self._clock.judged(connection, group.decoded), self._clock.now())


def _limit_stalls(config: WorkerConfig, connection: Connection) -> None:
    connection.execute(
        "SELECT set_config('idle_in_transaction_session_timeout', %s, false)",
        [f"{config.longest_stall_seconds * 1000:.0f}ms"],
    )


def _source(config: WorkerConfig, aside: Aside, clock: BackendClock, ready: asyncio.Event) -> Source:
    if config.nats is not None:
        return JetstreamSource(
            config.nats,
            name=config.client_id,
            inbox=Inbox(max_messages=config.inbox_messages, max_bytes=config.inbox_bytes),
            pause=_pause(config),
            aside=aside,
            ready=ready,
            clock=clock.now,
            # Those being stored and one waiting: other workers may have the rest.
            most_messages=(config.transactions + 1) * config.group_messages,
            most_bytes=(config.transactions + 1) * config.group_bytes,
        )
    return MqttSource(
        config.broker,
        client_id=config.client_id,
        inbox=Inbox(max_messages=config.inbox_messages, max_bytes=config.inbox_bytes),
        pause=_pause(config),
        aside=aside,
        ready=ready,
        clock=clock.now,
    )


def _pause(config: WorkerConfig) -> Pause:
    return Pause(first_seconds=config.retry_seconds, longest_seconds=config.longest_retry_seconds)


def _one_line(error: Exception) -> str:
    # Only the first line: the others may quote rows.
    return (str(error) or type(error).__name__).splitlines()[0]
