"""The status for people: tables, and below them what is wrong in words."""

from collections.abc import Sequence

from wearcast.output import print_rows
from wearcast.watch.facts import Facts, Process, Wipes
from wearcast.watch.judge import SelfAlert, duration, size


def print_status(facts: Facts, alerts: Sequence[SelfAlert]) -> None:
    """Print all of it."""
    print_rows([_process_row(entry) for entry in facts.processes], as_json=False, empty="no process runs")
    fleet = facts.fleet
    print(
        f"\nFleet: {fleet.sending} sending, {fleet.parked} parked, {fleet.silent} silent, {fleet.away} away for more "
        f"than a day, {fleet.never} never heard; {fleet.pending_batches} batches in their outboxes"
    )
    if (wipes := facts.wipes) != Wipes():
        print(
            f"Dongles of erased people: {wipes.open} have still to empty themselves, {wipes.refused} of them refuse; "
            f"{wipes.expired} did not in time"
        )
    reasons = ", ".join(f"{count} {reason}" for reason, count in facts.rejected.items())
    print(f"Rejected in the last hour: {reasons or 'nothing'}")
    print(f"Rules: the car that waits longest has been due for {duration(facts.rules_due_s)}")
    delivery = facts.delivery
    print(
        f"Messages: {delivery.waiting} wait, {delivery.failing} of them failed before, the oldest for "
        f"{duration(delivery.oldest_due_s)}; {delivery.given_up_in_a_day} given up in a day"
    )
    print(f"Broker: {_broker(facts)}")
    database = facts.database
    rollups = "" if database.rollup_pending_s is None else f", roll-ups due for {duration(database.rollup_pending_s)}"
    print(
        f"Database: {size(database.size_bytes)}, {database.connections} of {database.connections_limit} "
        f"connections{rollups}"
    )
    for disk in facts.disks:
        left = disk.problem or f"{size(disk.free_bytes)} of {size(disk.size_bytes)} left"
        print(f"Disk of the {disk.name}: {left}")
    print()
    if not alerts:
        print("Nothing is wrong.")
    for alert in alerts:
        print(f"! {alert.text[:1].upper()}{alert.text[1:]}\n  {alert.advice}")


def as_document(facts: Facts, alerts: Sequence[SelfAlert]) -> dict[str, object]:
    """The same for programs."""
    return {"ok": not alerts, "alerts": list(alerts), "facts": facts}


def _process_row(entry: Process) -> dict[str, object]:
    lag = entry.mean("wearcast_ingest_lag_seconds")
    return {
        "process": entry.name,
        "state": "gone" if entry.gone else "stuck" if not entry.alive else "troubled" if entry.problems else "ready",
        "host": entry.host,
        "pid": entry.pid,
        "version": entry.version,
        "runs since": entry.started_at,
        "last beat": f"{duration(entry.beat_age_s)} ago",
        "does": _work(entry),
        "lag": None if lag is None else f"{lag:.2f} s",
    }


def _work(entry: Process) -> str | None:
    told = {
        "ingest": ("wearcast_ingest_samples_total", "samples/s"),
        "rules": ("wearcast_rules_evaluations_total", "cars/s"),
        "delivery": ("wearcast_delivery_attempts_total", "attempts/s"),
        "portal": ("wearcast_portal_requests_total", "requests/s"),
    }
    if entry.process not in told:
        return None
    counter, unit = told[entry.process]
    return f"{entry.rate(counter):.1f} {unit}"


def _broker(facts: Facts) -> str:
    broker = facts.broker
    if broker is None:
        return "its store is not watched (WEARCAST_BROKER_MONITOR)"
    if broker.problem is not None:
        return broker.problem
    limit = "" if broker.limit_bytes is None else f" of {size(broker.limit_bytes)}"
    return f"keeps {broker.messages} messages, {size(broker.used_bytes)}{limit}"
