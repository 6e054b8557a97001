"""What is wrong with the whole, in words and with what to do. Pure: facts in, alerts out.

The same conditions stand as Prometheus rules in ``docs/operations/wearcast-alerts.yaml``; a test holds them together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wearcast.watch.facts import Facts, Process

NEEDED: Final = ("ingest", "rules", "delivery")  # without which cars are not heard, judged, or their owners told
LAG_S: Final = 60.0
RULES_DUE_S: Final = 300.0
DELIVERY_DUE_S: Final = 1800.0
REJECTED_PER_HOUR: Final = 100  # different messages
SILENT_SHARE: Final = 0.3  # of the devices heard within a day
SILENT_LEAST: Final = 3  # a single car in a garage below the ground is none of our business
OLD_OUTBOX_S: Final = 3600
OLD_OUTBOX_SHARE: Final = 0.1  # of the devices that send
STORE_FULL: Final = 0.8
DISK_FREE: Final = 0.1
CONNECTIONS_FULL: Final = 0.8
ROLLUP_PENDING_S: Final = 10800.0  # a roll-up waits for its hour to end, and for maintenance


CONDITIONS: Final = frozenset(
    {
        "process-missing",
        "process-gone",
        "process-stuck",
        "process-troubled",
        "ingest-lag",
        "ingest-inbox-full",
        "rejects",
        "rules-behind",
        "delivery-stuck",
        "silent-fleet",
        "old-outboxes",
        "certificates-end",
        "wipes-expired",
        "broker-away",
        "broker-store",
        "disk",
        "database-connections",
        "rollups-behind",
    }
)


@dataclass(frozen=True, kw_only=True)
class SelfAlert:
    """Something wrong with Wearcast itself. ``key`` stays the same as long as it lasts: ``process-gone:rules/host``."""

    key: str
    text: str
    advice: str

    def __post_init__(self) -> None:
        assert self.condition in CONDITIONS, self.key

    @property
    def condition(self) -> str:
        """The key without what it is about."""
        return self.key.partition(":")[0]


def judge(facts: Facts) -> list[SelfAlert]:
    """What is wrong, the gravest first."""
    return [*_processes(facts), *_flow(facts), *_fleet(facts), *_stores(facts)]


def _processes(facts: Facts) -> Iterator[SelfAlert]:
    for process in NEEDED:
        if not facts.of(process):
            yield SelfAlert(
                key=f"process-missing:{process}",
                text=f"no {process} process runs",
                advice=f"start it: systemctl start wearcast-{process}",
            )
    for entry in facts.processes:
        yield from _process(entry)


def _process(entry: Process) -> Iterator[SelfAlert]:
    if entry.gone:
        yield SelfAlert(
            key=f"process-gone:{entry.name}",
            text=f"process {entry.name} on {entry.host} has not been heard for {duration(entry.beat_age_s)}",
            advice="look whether it runs and what its log says last; if it is not to run any more: "
            f"wearcast watch forget {entry.name}",
        )
    elif not entry.alive:
        yield SelfAlert(
            key=f"process-stuck:{entry.name}",
            text=f"process {entry.name} on {entry.host} stands still: {'; '.join(entry.problems)}",
            advice="restart it, and keep its log: this is a fault of Wearcast",
        )
    elif entry.problems:
        yield SelfAlert(
            key=f"process-troubled:{entry.name}",
            text=f"process {entry.name} on {entry.host} cannot work: {'; '.join(entry.problems)}",
            advice="mend what it names; it goes on by itself then",
        )


def _flow(facts: Facts) -> Iterator[SelfAlert]:
    lags = [lag for entry in facts.of("ingest") if (lag := entry.mean("wearcast_ingest_lag_seconds")) is not None]
    if lags and max(lags) > LAG_S:
        yield SelfAlert(
            key="ingest-lag",
            text=f"messages wait {duration(max(lags))} for their commit",
            advice="look at the database's load; more ingest workers help where it has room",
        )
    if any(entry.rate("wearcast_ingest_inbox_refused_total") > 0 for entry in facts.of("ingest")):
        yield SelfAlert(
            key="ingest-inbox-full",
            text="an ingest worker's inbox is full: messages are left for their devices to send again",
            advice="nothing is lost; look at the database's load, or start more ingest workers",
        )
    if (rejected := sum(facts.rejected.values())) > REJECTED_PER_HOUR:
        most = max(facts.rejected, key=facts.rejected.__getitem__)
        yield SelfAlert(
            key="rejects",
            text=f"{rejected} messages were rejected within an hour, most of them as {most}",
            advice="see them with wearcast ingest rejected",
        )
    if facts.rules_due_s > RULES_DUE_S:
        yield SelfAlert(
            key="rules-behind",
            text=f"a car has waited {duration(facts.rules_due_s)} to be judged",
            advice="look at the log of the rules engine; any number may run at once",
        )
    if facts.delivery.oldest_due_s > DELIVERY_DUE_S:
        yield SelfAlert(
            key="delivery-stuck",
            text=f"a message to an owner or a workshop has waited {duration(facts.delivery.oldest_due_s)}; "
            f"{facts.delivery.waiting} wait, {facts.delivery.failing} of them failed before",
            advice="the log of delivery names the reason: a workshop's webhook, the mail server, a wrong address",
        )


def _fleet(facts: Facts) -> Iterator[SelfAlert]:
    fleet = facts.fleet
    if fleet.silent >= SILENT_LEAST and fleet.silent > SILENT_SHARE * fleet.expected:
        yield SelfAlert(
            key="silent-fleet",
            text=f"{fleet.silent} of {fleet.expected} devices that were heard within a day are silent for an hour, "
            "and did not say that they park",
            advice="look whether the broker is reached from outside: its address, its certificate, the mobile network",
        )
    old = fleet.outbox_older.get(OLD_OUTBOX_S, 0)
    if old >= SILENT_LEAST and old > OLD_OUTBOX_SHARE * fleet.sending:
        yield SelfAlert(
            key="old-outboxes",
            text=f"{old} of {fleet.sending} devices that send hold batches older than an hour",
            advice="after an outage this passes by itself; otherwise acknowledgements do not reach the devices",
        )
    if fleet.certificates_ending:
        yield SelfAlert(
            key="certificates-end",
            text=f"the certificates of {fleet.certificates_ending} devices end within a week",
            advice="the agents renew theirs long before: look whether the enrolment service is reached",
        )
    if facts.wipes.expired:
        yield SelfAlert(
            key="wipes-expired",
            text=f"{facts.wipes.expired} dongles of erased people were not emptied in time and still hold their data",
            advice="wearcast privacy wipes says which: take them back, run wearcast agent forget on each, and then "
            "wearcast privacy wipes --done DEVICE",
        )


def _stores(facts: Facts) -> Iterator[SelfAlert]:
    broker = facts.broker
    if broker is not None and broker.problem is not None:
        yield SelfAlert(
            key="broker-away",
            text=f"the broker: {broker.problem}",
            advice="look whether it runs, and at WEARCAST_BROKER_MONITOR",
        )
    elif broker is not None and broker.limit_bytes and broker.used_bytes > STORE_FULL * broker.limit_bytes:
        yield SelfAlert(
            key="broker-store",
            text=f"the broker's store holds {size(broker.used_bytes)} of {size(broker.limit_bytes)}",
            advice="messages that no worker takes fill it: look at the ingest workers, and at sessions nobody uses",
        )
    for disk in facts.disks:
        if disk.problem is not None:
            yield SelfAlert(key=f"disk:{disk.name}", text=disk.problem, advice="correct WEARCAST_WATCH_FOLDERS")
        elif disk.free_bytes < DISK_FREE * disk.size_bytes:
            yield SelfAlert(
                key=f"disk:{disk.name}",
                text=f"the disk of the {disk.name} has {size(disk.free_bytes)} of {size(disk.size_bytes)} left",
                advice="make room, or keep less: see docs/storage.md",
            )
    database = facts.database
    if database.connections > CONNECTIONS_FULL * database.connections_limit:
        yield SelfAlert(
            key="database-connections",
            text=f"{database.connections} of {database.connections_limit} database connections are taken",
            advice="raise max_connections, or run fewer workers",
        )
    if database.rollup_pending_s is not None and database.rollup_pending_s > ROLLUP_PENDING_S:
        yield SelfAlert(
            key="rollups-behind",
            text=f"roll-ups have been due for {duration(database.rollup_pending_s)}",
            advice="look whether maintenance runs, and into its log",
        )


def duration(seconds: float) -> str:
    """``42 s``, ``7 min``, ``3 h``, ``2 days``."""
    for limit, unit, divisor in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def size(of_bytes: float) -> str:
    """``512 B``, ``3.4 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if of_bytes < 1000:
            return f"{of_bytes:.0f} {unit}" if unit == "B" else f"{of_bytes:.1f} {unit}"
        of_bytes /= 1000
    return f"{of_bytes:.1f} TB"
