"""The facts as gauges: exported by the watch, one process for all, so that nothing is counted twice."""

from collections import Counter as Times
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from wearcast.watch.facts import Facts
from wearcast.watch.judge import SelfAlert

PROCESSES: Final = Gauge("wearcast_processes", "Processes by kind and state", ["process", "state"])
ALERTS: Final = Gauge("wearcast_self_alerts", "Alerts on Wearcast itself that last, by condition", ["condition"])
FLEET: Final = Gauge("wearcast_fleet_devices", "Devices by when they were heard last", ["state"])
OUTBOX_OLDER: Final = Gauge(
    "wearcast_fleet_outbox_older_devices",
    "Devices that send and hold a batch older than that",
    ["older_than_seconds"],
)
PENDING: Final = Gauge("wearcast_fleet_pending_batches", "Batches in all outboxes, as the devices last told")
CERTIFICATES: Final = Gauge("wearcast_fleet_certificates_ending_devices", "Devices whose certificate ends in a week")
WIPES: Final = Gauge("wearcast_wipes", "Dongles of erased people that are not known to be empty", ["state"])
REJECTED: Final = Gauge("wearcast_rejected_messages", "Different messages rejected in the last hour", ["reason"])
RULES_DUE: Final = Gauge("wearcast_rules_due_seconds", "How long the car that waits longest for the rules has been due")
DELIVERY_DUE: Final = Gauge("wearcast_delivery_due_seconds", "Age of the oldest message that is not delivered")
DELIVERY_WAITING: Final = Gauge("wearcast_delivery_waiting_messages", "Messages not delivered yet", ["state"])
DELIVERY_GIVEN_UP: Final = Gauge("wearcast_delivery_given_up_messages", "Messages given up within a day")
DATABASE_SIZE: Final = Gauge("wearcast_database_size_bytes", "Size of the database on its disk")
DATABASE_CONNECTIONS: Final = Gauge("wearcast_database_connections", "Client connections of the server")
DATABASE_LIMIT: Final = Gauge("wearcast_database_connections_limit", "max_connections of the server")
DATABASE_REACHED: Final = Gauge("wearcast_database_reached", "Whether the watch reached the database: 1 or 0")
ROLLUP_PENDING: Final = Gauge("wearcast_rollup_pending_seconds", "Age of the oldest hour that waits for its roll-up")
BROKER_REACHED: Final = Gauge(
    "wearcast_broker_reached", "Whether the broker's monitoring address answered: 1 or 0; none: not watched", ["store"]
)
BROKER_USED: Final = Gauge("wearcast_broker_store_used_bytes", "What the broker keeps on its disk")
BROKER_LIMIT: Final = Gauge("wearcast_broker_store_limit_bytes", "What it may keep at most; 0: no limit")
BROKER_MESSAGES: Final = Gauge("wearcast_broker_messages", "Messages the broker keeps")
DISK_FREE: Final = Gauge("wearcast_disk_free_bytes", "Room left on the disk of a watched folder", ["store"])
DISK_SIZE: Final = Gauge("wearcast_disk_size_bytes", "Size of the disk of a watched folder", ["store"])
GATHER_SECONDS: Final = Histogram(
    "wearcast_watch_gather_seconds", "Gathering all facts once", buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
)
FAILURES: Final = Counter("wearcast_watch_failures", "What the watch could not do", ["of"])


def export(facts: Facts, alerts: Sequence[SelfAlert]) -> None:
    """Set the gauges; what there is no longer is forgotten."""
    _labelled(ALERTS, _counted(alert.condition for alert in alerts))
    PROCESSES.clear()
    for entry in facts.processes:
        state = "gone" if entry.gone else "stuck" if not entry.alive else "troubled" if entry.problems else "ready"
        PROCESSES.labels(entry.process, state).inc()
    fleet = facts.fleet
    for name in ("sending", "parked", "silent", "away", "never"):
        FLEET.labels(name).set(getattr(fleet, name))
    _labelled(OUTBOX_OLDER, {str(age): float(devices) for age, devices in fleet.outbox_older.items()})
    PENDING.set(fleet.pending_batches)
    CERTIFICATES.set(fleet.certificates_ending)
    for name in ("open", "refused", "expired"):
        WIPES.labels(name).set(getattr(facts.wipes, name))
    _labelled(REJECTED, dict(facts.rejected))
    RULES_DUE.set(facts.rules_due_s)
    DELIVERY_DUE.set(facts.delivery.oldest_due_s)
    DELIVERY_WAITING.labels("untried").set(facts.delivery.waiting - facts.delivery.failing)
    DELIVERY_WAITING.labels("failing").set(facts.delivery.failing)
    DELIVERY_GIVEN_UP.set(facts.delivery.given_up_in_a_day)
    DATABASE_SIZE.set(facts.database.size_bytes)
    DATABASE_CONNECTIONS.set(facts.database.connections)
    DATABASE_LIMIT.set(facts.database.connections_limit)
    ROLLUP_PENDING.set(facts.database.rollup_pending_s or 0.0)
    if facts.broker is not None:
        BROKER_REACHED.labels("broker").set(int(facts.broker.problem is None))
        BROKER_USED.set(facts.broker.used_bytes)
        BROKER_LIMIT.set(facts.broker.limit_bytes or 0)
        BROKER_MESSAGES.set(facts.broker.messages)
    for disk in facts.disks:
        if disk.problem is None:
            DISK_FREE.labels(disk.name).set(disk.free_bytes)
            DISK_SIZE.labels(disk.name).set(disk.size_bytes)


def _counted(names: Iterable[str]) -> dict[str, float]:
    return {name: float(times) for name, times in Times(names).items()}


def _labelled(gauge: Gauge, values: Mapping[str, float]) -> None:
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)
