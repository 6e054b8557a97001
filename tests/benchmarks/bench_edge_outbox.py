"""The outbox over a week without a broker, and what it writes to the flash on an ordinary day.

*A week away*: recorded rows (27 signals, 2 Hz) as fast as the machine can seal them, the time running along: a day with
the default bound, which a week does not reach, and a week with a bound that it overfills many times. Reported is the
largest size the files reached and how many samples are left of an hour of each age.

*A day*: one hour driven through recorder and outbox at 2 Hz, every commit synced, acknowledged as it goes, then 23 h
parked. Counted are the bytes the kernel sent towards the disk for this process (write_bytes of /proc/self/io): whole
pages, without the file system's own journal. Beside it the same hour with a flush for every sample.
"""

import itertools
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

from edge_agent.clock import REMEMBER_EVERY_MS, SystemClock
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.outbox import BatchChannel, Outbox
from edge_agent.outbox_content import unpack
from edge_agent.recorder import Recorder
from edge_agent.sources.base import Reading
from edge_agent.testing import START, FakeClock
from health.registry import build_estimators
from telemetry.records import Acknowledgement, Estimate, ReadingsBatch, Sample, ms_from_utc
from tests.benchmarks.bench_edge_bytes import read_trips
from tests.benchmarks.bench_row import RESULTS, Row, row
from tests.unit.edge_agent.outbox_support import Unsynced

CHANNELS: Final[tuple[BatchChannel, ...]] = ("events", "readings")
DEVICE: Final = "wc-000123"
HZ: Final = 2
DAYS: Final = 7
BATCH_SECONDS: Final = 10
SMALL_BYTES: Final = 8_000_000
CARD_BYTES: Final = 16e9
CARD_CYCLES: Final = 1_000  # erasures of a block of ordinary consumer flash (TLC)
AMPLIFICATION: Final = 10  # flash written per byte of small synced writes; what cards do differs widely


def rows() -> list[Row]:
    """Both measurements."""
    trips = [trip for trip in read_trips() if trip]
    if not trips:
        raise SystemExit("the recorded trips are not here: this benchmark needs them")
    samples = [sample for trip in trips for sample in trip]
    return [*week_rows(samples), *day_rows(samples)]


def week_rows(samples: Sequence[Sample]) -> list[Row]:
    """A day at full rate without a broker, and a week within a bound that the week overfills."""
    with scratch() as path:
        day = away(path, 200_000_000, samples, days=1)
    title = f"a week without broker, bound {SMALL_BYTES / 1e6:g} MB"
    table = [
        row("a day without broker at 2 Hz, 27 signals: files", day.largest / 1e6, "MB", digits=1),
        row("a week of it against the default bound", DAYS * day.largest / 1e6, "MB", at_most=200, digits=1),
    ]
    with scratch() as path:
        week = away(path, SMALL_BYTES, samples, days=DAYS)
    table += [
        row(f"{title}: files", week.largest / 1e6, "MB", at_most=SMALL_BYTES / 1e6),
        row(f"{title}: batches given up", week.given_up, "batches", at_most=0, digits=0),
        row(f"{title}: estimates kept", week.estimates, "% of all", at_least=100, digits=1),
        row(f"{title}: longest gap in the trend", week.gap_s, "s", digits=0),
    ]
    for first, last in ((0, 1), (1, 6), (6, 24), (24, 48), (48, 96), (96, 168)):
        left = sum(week.left[age] for age in range(first, last)) / (last - first)
        share = 100 * left / (3600 * HZ)
        name = f"{title}: samples left of each hour, {first} to {last} h ago"
        table.append(row(name, left, f"an hour ({share:.1f} %)", digits=0))
    return table


@dataclass(frozen=True, kw_only=True)
class Away:
    """What a time without a broker left."""

    largest: int  # bytes the files reached
    left: Counter[int]  # samples by age in hours
    given_up: int  # batches
    estimates: float  # percent of those made
    gap_s: float  # between two samples, at most


def away(path: Path, size: int, samples: Sequence[Sample], *, days: int) -> Away:
    """So many days at full rate into an outbox of this size."""
    estimators = build_estimators("generic")
    source = itertools.cycle(samples)
    start_ms = ms_from_utc(START)
    largest = made = 0
    with Outbox.open(path, device=DEVICE, max_bytes=size) as outbox:
        outbox.begin_boot(uuid4(), "kernel")
        outbox._db = cast(
            "sqlite3.Connection", Unsynced(outbox._db)
        )  # a week in minutes: the disk's patience is not measured
        for number in range(days * 86_400 // BATCH_SECONDS):
            first = START + timedelta(seconds=number * BATCH_SECONDS)
            batch = [
                replace(next(source), time=moment, monotonic_ms=ms_from_utc(moment) - start_ms)
                for moment in (first + timedelta(seconds=row / HZ) for row in range(BATCH_SECONDS * HZ))
            ]
            estimates: list[Estimate] = []
            if number % 6 == 0:  # once a minute
                for one in estimators:
                    one.update(batch[-1])
                    estimates += one.estimates(batch[-1].time)
            made += len(estimates)
            outbox.add_readings(batch, estimates, created_ms=ms_from_utc(first), clock_ms=start_ms)
            if number % 20 == 0:
                largest = max(largest, sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")))
        end = START + timedelta(days=days)
        left: Counter[int] = Counter()
        kept, gap_s, before = 0, 0.0, START
        # read without publishing, which would join them
        for (payload,) in outbox._db.execute("SELECT payload FROM batch WHERE channel = 'readings' ORDER BY id"):
            stored = unpack(DEVICE, "readings", payload)
            assert isinstance(stored, ReadingsBatch)
            kept += len(stored.estimates)
            for sample in stored.samples:
                left[int((end - sample.time) / timedelta(hours=1))] += 1
                gap_s, before = max(gap_s, (sample.time - before).total_seconds()), sample.time
        given_up = outbox.counters().get("batches_given_up", 0)
    return Away(largest=largest, left=left, given_up=given_up, estimates=100 * kept / made, gap_s=gap_s)


def day_rows(samples: Sequence[Sample]) -> list[Row]:
    """What an hour of driving and the parked rest of the day write."""
    hour = samples[: 3600 * HZ]
    each = driven(hour, flush_seconds=0.0, batch_seconds=BATCH_SECONDS)
    grouped = driven(hour, flush_seconds=1.0, batch_seconds=BATCH_SECONDS)
    longer = driven(hour, flush_seconds=1.0, batch_seconds=60.0)
    parked = parked_bytes() * 23 * 3_600_000 / REMEMBER_EVERY_MS
    day = grouped + parked
    years = CARD_BYTES * CARD_CYCLES / AMPLIFICATION / day / 365
    flush_for_each = "an hour driven, each sample synced"
    return [
        row(flush_for_each, each / 1e6, "MB written", digits=1),
        row(
            "an hour driven, default",
            grouped / 1e6,
            "MB written",
            ratio=each / grouped,
            against=flush_for_each,
            digits=1,
        ),
        row(
            "an hour driven, batches of 60 s",
            longer / 1e6,
            "MB written",
            ratio=each / longer,
            against=flush_for_each,
            digits=1,
        ),
        row("23 hours parked", parked / 1e6, "MB written", digits=2),
        row("a day: 1 h driven, 23 h parked", day / 1e6, "MB written", digits=1),
        row(
            f"a 16 GB card at that ({CARD_CYCLES} erasures, amplified {AMPLIFICATION} times)",
            years,
            "years",
            at_least=10,
            digits=0,
        ),
    ]


def driven(samples: Sequence[Sample], *, flush_seconds: float, batch_seconds: float) -> int:
    """Bytes an hour writes: sampled, accepted, sealed, numbered, acknowledged, estimated."""
    with scratch() as path:
        config = AgentConfig(
            device=DEVICE,
            source=SourceConfig(kind="obd_can"),
            outbox_path=path,
            flush_seconds=flush_seconds,
            batch_seconds=batch_seconds,
            batch_samples=100,
        )
        clock = FakeClock()
        with Outbox.open(path, device=DEVICE, max_bytes=config.outbox_max_bytes) as outbox:
            recorder = Recorder(config=config, estimators=build_estimators("generic"), outbox=outbox, clock=clock)
            begun = written_bytes()
            for sample in samples:
                recorder.accept(Reading(values=sample.values))
                recorder.tick()
                clock.advance(1 / HZ)
                for channel in CHANNELS:
                    for entry in outbox.publish(outbox.waiting(channel, 4)):
                        this = (entry.key.sequence, entry.key.sequence)
                        outbox.acknowledge(Acknowledgement(device=DEVICE, boot=entry.key.boot, committed=(this,)))
            return written_bytes() - begun


def parked_bytes() -> float:
    """Bytes of keeping the time once."""
    with scratch() as path:
        clock = SystemClock(path)
        begun = written_bytes()
        for _ in range(20):
            clock._remembered_at = None  # as if a quarter of an hour had passed
            clock.remember()
        return (written_bytes() - begun) / 20


def written_bytes() -> int:
    """Bytes this process has caused to be written to the disk (proc_pid_io(5))."""
    text = Path("/proc/self/io").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("write_bytes:")))


@contextmanager
def scratch() -> Iterator[Path]:
    """A file's path on the disk that holds the results: a file system in memory writes nothing."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        yield Path(folder) / "outbox.sqlite"
