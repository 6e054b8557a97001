"""After an outage of the whole backend: who comes when, what is stored first. ``make bench-herd`` writes herd.json.

Twice: 10,000 dongles simulated with the edge agent's own logic (:mod:`tests.faults.herd`), and real agents against a
real broker and worker, each with a backlog that piled up while both were away.
"""

import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from psycopg.rows import tuple_row

from edge_agent.config import UplinkConfig
from edge_agent.errors import OutboxError
from ingest.database import Connection
from tests.benchmarks.bench_row import Row, row, show, write
from tests.faults.dongle import Dongle
from tests.faults.herd import Outage, comes_back
from tests.faults.site import FaultSite, fault_site, wait_until

AGENTS: Final = 20
BACKLOG_ROWS: Final = 6_010  # of each agent: 251 batches, before neighbours are joined; the last of them has rows
_UPLINK: Final = {"window": 32, "ack_timeout": "10s", "reconnect_min": "2s", "reconnect_max": "20s"}
# So slow a way to the database that the backlog takes long, and what is stored first can be told from it.
_SLOW_BYTES_PER_SECOND: Final = 200_000
_AT_ONCE: Final = {**_UPLINK, "reconnect_max": "2s"}
_LOOK_SECONDS: Final = 0.2
_PATIENCE_SECONDS: Final = 180.0
_SIMULATED: Final = {
    "a broker restarted at once": Outage(dongles=10_000, outage_seconds=0, backlog=20, stored_per_second=2_000),
    "an outage of an hour": Outage(dongles=10_000, outage_seconds=3_600, backlog=20, stored_per_second=2_000),
}


def main() -> None:
    """Measure both, write and show."""
    entries = [entry for name, outage in _SIMULATED.items() for entry in simulated(name, outage)]
    entries += real("", _UPLINK)
    entries += real(", all back at once, a slow database", _AT_ONCE, _SLOW_BYTES_PER_SECOND)
    write("herd", entries)
    show(entries)


def simulated(name: str, outage: Outage) -> list[Row]:
    """Figures of one simulated return."""
    seen = comes_back(outage, UplinkConfig(), seed=1)
    batches = outage.dongles * outage.backlog
    start = f"simulated, {outage.dongles} dongles, {name}"
    return [
        row(f"{start}: connections in the busiest second", seen.most_arrivals, "connections", digits=0),
        row(f"{start}: all connected after", seen.last_arrival, "s", digits=1),
        row(f"{start}: from connecting to newest stored, median", statistics.median(seen.newest_delays), "s", digits=2),
        row(f"{start}: from connecting to newest stored, longest", max(seen.newest_delays), "s", digits=2),
        row(f"{start}: newest of all stored after", seen.newest_stored, "s", digits=1),
        row(f"{start}: backlog of all stored after", seen.all_stored, "s", digits=1),
        row(f"{start}: longest line before the backend", seen.most_waiting, "batches", digits=0),
        row(f"{start}: sent again", 100 * (seen.sent - batches) / batches, "%", digits=2),
    ]


def real(name: str, uplink: Mapping[str, object], bytes_per_second: float | None = None) -> list[Row]:
    """Figures of real agents against a real broker, worker and database, with a way to that as wide as said."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wearcast-herd-")))
        folder.chmod(0o755)  # the database runs as another user
        devices = tuple(f"wc-herd-{number}" for number in range(1, AGENTS + 1))
        site = stack.enter_context(fault_site(folder, may_mount=False, devices=devices, begin=False))
        # The worker's session is there before the outage: the broker keeps for it what comes before it is back.
        worker = site.workers[0]
        worker.restart()
        worker.process.wait_for_line("ingest worker ready", 60)
        worker.kill()
        site.brokers.one.stop()
        for dongle in site.dongles:
            dongle.begin_backlog(BACKLOG_ROWS, uplink)
        wait_until(lambda: all(_accepted(dongle) == BACKLOG_ROWS for dongle in site.dongles), "all read", 300)
        site.brokers.one.start()
        worker.database.bytes_per_second = bytes_per_second
        worker.restart()
        begun = time.time()
        stored = _watch(site)
        arrivals = [_connected_at(folder / f"{dongle.device}.log") - begun for dongle in site.dongles]
    rows_each_second = _each_second(stored)
    newest = stored[-1][1]
    delays = [newest[dongle.vehicle] - arrival for dongle, arrival in zip(site.dongles, arrivals, strict=True)]
    start = f"{AGENTS} real agents with {BACKLOG_ROWS} rows each{name}"
    busiest = max(Counter(int(arrival) for arrival in arrivals).values())
    return [
        row(f"{start}: connections in the busiest second", busiest, "connections", digits=0),
        row(f"{start}: all connected after", max(arrivals), "s", digits=1),
        row(f"{start}: from connecting to newest row stored, median", statistics.median(delays), "s", digits=2),
        row(f"{start}: from connecting to newest row stored, longest", max(delays), "s", digits=2),
        row(f"{start}: newest row of all stored after", max(newest.values()), "s", digits=1),
        row(f"{start}: backlog of all stored after", stored[-1][0], "s", digits=1),
        row(f"{start}: rows stored in the busiest second", max(rows_each_second), "rows", digits=0),
        row(f"{start}: rows stored in a second, median", statistics.median(rows_each_second), "rows", digits=0),
    ]


def _accepted(dongle: Dongle) -> int:
    try:
        return dongle.counts()["samples_accepted"]
    except OutboxError:
        return 0  # its start has not come that far


def _watch(site: FaultSite) -> list[tuple[float, Mapping[UUID, float], int]]:
    """Seconds, when the newest row of each vehicle was first seen, and rows stored, until nothing is missing."""
    begun = time.monotonic()
    newest: dict[UUID, float] = {}
    seen: list[tuple[float, Mapping[UUID, float], int]] = []
    last_ms = {dongle.vehicle: dongle.time_ms(BACKLOG_ROWS - 1) for dongle in site.dongles}
    with site.connect() as connection:
        while not seen or seen[-1][2] < AGENTS * BACKLOG_ROWS:
            now = time.monotonic() - begun
            for vehicle, (_, time_ms) in _stored(connection).items():
                if time_ms == last_ms.get(vehicle):
                    newest.setdefault(vehicle, now)
            total = sum(rows for rows, _ in _stored(connection).values())
            seen.append((now, dict(newest), total))
            if now > _PATIENCE_SECONDS:
                raise TimeoutError(f"{total} of {AGENTS * BACKLOG_ROWS} rows stored after {now:.0f} s")
            time.sleep(_LOOK_SECONDS)
    return seen


def _stored(connection: Connection) -> dict[UUID, tuple[int, int]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT vehicle_id, count(*), (extract(epoch FROM max(time)) * 1000)::bigint FROM reading"
            " GROUP BY vehicle_id"
        )
        return {vehicle: (count, time_ms) for vehicle, count, time_ms in rows}


def _each_second(stored: Sequence[tuple[float, Mapping[UUID, float], int]]) -> list[int]:
    by_second: dict[int, int] = {}
    for seconds, _, total in stored:
        by_second[int(seconds)] = total
    totals = [by_second.get(second) for second in range(int(stored[-1][0]) + 1)]
    known = [total for total in totals if total is not None]
    return [later - earlier for earlier, later in zip([0, *known], known, strict=False)]


def _connected_at(log: Path) -> float:
    """Seconds since 1970 of the agent's first connection, in the machine's zone."""
    found = re.search(r"^(\S+ \S+) INFO edge_agent\.uplink: connected to", log.read_text(), re.MULTILINE)
    assert found is not None, f"{log} tells of no connection"
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


if __name__ == "__main__":
    main()
