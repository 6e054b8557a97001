"""Values a second into the database: what it takes, what one worker reaches, and what others reach.

``make bench-ingest`` measures all side by side, alternating, on a private database and broker of its own, and writes
build/bench/ingest.json with the medians. A worker is a process as a service runs it; its clock runs from messages
that wait at the broker to the last acknowledgement.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks.bench_row import Row, row, show, write
from tests.benchmarks.ingest import limit, peers, strain
from tests.benchmarks.ingest.corpus import FULL, FULL_EACH, OVERLOAD, PEERS, SMALL, SMALL_EACH, STEADY, Fleet
from tests.benchmarks.ingest.site import Site, Taken, drain, site

RUNS: Final = 5  # of each way; of what takes half a minute and more, fewer
LONG_RUNS: Final = 3
SHARE_GOAL: Final = 0.6  # of the COPY of decoded rows
PEER_GOAL: Final = 20.0  # times the best of them
LATENCY_GOAL_SECONDS: Final = 1.0
INBOX_MB: Final = 64.0  # what a worker may hold at most, beside what it needs anyway (WorkerConfig.inbox_bytes)
CARS: Final = 1_000_000
_COPY, _TEXT = "binary COPY of decoded rows (psycopg)", "text COPY of bytes made before"


def main() -> None:
    """Measure, print and write the table."""
    with (
        tempfile.TemporaryDirectory(prefix="wearcast-bench-") as folder,
        site(Path(folder), (FULL, FULL_EACH, SMALL, SMALL_EACH)) as place,
    ):
        table = list(measure(place))
    write("ingest", table)


def measure(place: Site) -> Iterator[Row]:
    """All rows, each part printed as it is there."""
    rates: dict[str, float] = {}
    for fleet in (FULL, FULL_EACH, SMALL, SMALL_EACH):
        rows, rates[fleet.name] = compared(place, fleet)
        yield from shown(rows)
    yield from shown(beside_peers(place))
    yield from shown(under_strain(place, rates[FULL.name]))
    yield from shown(for_a_million(rates))


def shown(rows: list[Row]) -> list[Row]:
    """The rows, printed."""
    show(rows)
    return rows


def compared(place: Site, fleet: Fleet) -> tuple[list[Row], float]:
    """The limit and ours, alternating; and our values a second."""
    groups = limit.decoded(place, fleet)
    texts = limit.as_text(groups)
    ours: list[Taken] = []

    def worker() -> float:
        ours.append(drain(place, fleet))
        return ours[-1].seconds

    seconds = alternately(
        {
            _COPY: lambda: limit.by_rows(place, fleet, groups),
            _TEXT: lambda: limit.by_bytes(place, fleet, texts),
            "one worker": worker,
        }
    )
    rates = {name: fleet.values / taken for name, taken in seconds.items()}
    table = [row(f"{fleet.name}: {name}", rates[name], "values/s", digits=0) for name in (_COPY, _TEXT)]
    table.append(
        row(
            f"{fleet.name}: one worker, broker to acknowledgement",
            rates["one worker"],
            "values/s",
            ratio=rates["one worker"] / rates[_COPY],
            against=f"{fleet.name}: {_COPY}",
            digits=0,
        )
    )
    if fleet is FULL:
        table.append(row("share of the COPY", rates["one worker"] / rates[_COPY], "1", at_least=SHARE_GOAL))
    table.append(row(f"{fleet.name}: one worker", fleet.messages / seconds["one worker"], "messages/s", digits=0))
    for who, spent in (
        ("worker", [run.worker_cpu_seconds for run in ours]),
        ("database", [run.database_cpu_seconds for run in ours]),
        ("broker", [run.broker_cpu_seconds for run in ours]),
    ):
        per_thousand = 1000 * 1000 * median(spent) / fleet.messages
        table.append(row(f"{fleet.name}: processor time, {who}", per_thousand, "ms/1000 messages", digits=0))
    return table, rates["one worker"]


def alternately(ways: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Median seconds of each way, all of them tried in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            seconds[name].append(way())
    return {name: median(taken) for name, taken in seconds.items()}


def beside_peers(place: Site) -> list[Row]:
    """Others, with what they take, and ours in turn with them: the machine is not as fast at one time as at another."""
    tools = peers.programs(place.folder)
    runs = [(*peers.shell(place, tools, PEERS), drain(place, PEERS).seconds) for _ in range(LONG_RUNS)]
    text, stored, ours = (PEERS.values / median(taken) for taken in zip(*runs, strict=True))
    values = {
        "esphome-mqtt-timescaledb-ingestor": peers.ingestor(place, tools.ingestor, PEERS),
        "mosquitto_sub | psql COPY, values in columns": stored,
    }
    return [
        *(row(f"peer: {name}", rate, "values/s", digits=0) for name, rate in values.items()),
        row("peer: mosquitto_sub | psql COPY, JSON text only", text, "values/s", digits=0),
        row("one worker, in turn with them", ours, "values/s", digits=0),
        row("ours against the best peer", ours / max(values.values()), "times", at_least=PEER_GOAL, digits=1),
    ]


def under_strain(place: Site, values_per_second: float) -> list[Row]:
    """Latency at half the rate, and memory when it is too much."""
    half = values_per_second / (FULL.samples * FULL.signals) / 2
    runs = [strain.latency(place, STEADY, half) for _ in range(LONG_RUNS)]
    loads = [strain.overload(place, OVERLOAD) for _ in range(LONG_RUNS)]
    return [
        row("at half the rate: published", median(run.reached for run in runs), "messages/s", digits=0),
        row("at half the rate: publish to acknowledgement, median", median(run.median for run in runs), "s"),
        row(
            "at half the rate: publish to acknowledgement, p99",
            median(run.p99 for run in runs),
            "s",
            at_most=LATENCY_GOAL_SECONDS,
        ),
        row("worker's memory with as much as it can store", median(load.at_work for load in loads), "MB", digits=1),
        row(
            f"overload: what {OVERLOAD.messages // 2} more batches add while the database is frozen",
            median(load.overloaded - load.at_work for load in loads),
            "MB",
            at_most=INBOX_MB,
            digits=1,
        ),
    ]


def for_a_million(rates: dict[str, float]) -> list[Row]:
    """Workers that a million cars need at one batch a minute, each batch of another car."""
    per_second = CARS / 60
    return [
        row(
            f"1 million cars, a batch a minute ({fleet.name}): workers of this machine",
            per_second * fleet.samples * fleet.signals / rates[fleet.name],
            "processes",
            digits=1,
        )
        for fleet in (FULL_EACH, SMALL_EACH)
    ]


if __name__ == "__main__":
    main()
