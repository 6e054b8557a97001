"""What is known of the whole at one moment: records, judged by :mod:`wearcast.watch.judge` and shown by the status.

Gathered by :mod:`wearcast.watch.gather`. Sums over the fleet only: nothing here names a car or an owner.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process by its last heartbeat."""

    process: str
    instance: str
    host: str
    pid: int
    version: str
    started_at: datetime
    beat_age_s: float  # seconds since its last beat
    gone: bool  # it missed too many
    alive: bool
    problems: tuple[str, ...]
    listens: str | None
    figures: Mapping[str, float] = field(default_factory=dict)  # by metric
    rates: Mapping[str, float] = field(default_factory=dict)  # per second, by counter

    @property
    def name(self) -> str:
        """``ingest/ingest-1``."""
        return f"{self.process}/{self.instance}"

    def mean(self, histogram: str) -> float | None:
        """Mean of what a histogram saw between its last two beats; None where it saw nothing."""
        count = self.rates.get(f"{histogram}_count", 0.0)
        return self.rates.get(f"{histogram}_sum", 0.0) / count if count > 0 else None

    def rate(self, counter: str) -> float:
        """Increase per second between its last two beats, over all labels."""
        return sum(value for name, value in self.rates.items() if name.partition("{")[0] == counter)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Devices by when we last heard of them. What a device said of its silence counts: a parked car is not silent."""

    sending: int = 0  # heard within SILENT_AFTER
    parked: int = 0  # said that it goes offline, as its power plan has it
    silent: int = 0  # heard within a day, and neither sending nor parked
    away: int = 0  # not heard for more than a day
    never: int = 0  # registered, never heard
    pending_batches: int = 0  # in all outboxes, as they last told
    outbox_older: Mapping[int, int] = field(default_factory=dict)  # seconds -> sending devices whose outbox is older
    certificates_ending: int = 0  # of devices heard within a day, within CERTIFICATE_LEFT

    @property
    def expected(self) -> int:
        """Devices that were heard within a day."""
        return self.sending + self.parked + self.silent


@dataclass(frozen=True, kw_only=True)
class Wipes:
    """Dongles of erased people, which have to empty themselves."""

    open: int = 0
    refused: int = 0  # of them, say that they do not take the order
    expired: int = 0  # not empty when their time was over, within EXPIRED_SHOWN


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The outbox of messages to owners and workshops."""

    waiting: int = 0
    failing: int = 0  # of them, tried without success
    oldest_due_s: float = 0.0  # how long the oldest that could go now has been due since it was written
    given_up_in_a_day: int = 0


@dataclass(frozen=True, kw_only=True)
class Database:
    """The database as it tells itself."""

    size_bytes: int
    connections: int
    connections_limit: int
    rollup_pending_s: float | None = None  # age of the oldest hour that waits for its roll-up


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The broker's store by its monitoring address; ``problem`` where it did not answer."""

    used_bytes: int = 0
    limit_bytes: int | None = None
    messages: int = 0  # kept: not yet confirmed by every subscriber
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Disk:
    """The file system of a watched folder."""

    name: str
    size_bytes: int = 0
    free_bytes: int = 0
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it."""

    now: datetime
    processes: tuple[Process, ...]
    fleet: Fleet
    rejected: Mapping[str, int]  # different messages of the last hour, by reason
    rules_due_s: float  # how long the vehicle that waits longest for the rules has been due
    delivery: Delivery
    database: Database
    broker: Broker | None  # None: not watched
    disks: tuple[Disk, ...]
    wipes: Wipes = Wipes()

    def of(self, process: str) -> list[Process]:
        """The processes of a kind that are not gone."""
        return [entry for entry in self.processes if entry.process == process and not entry.gone]
