"""A full outbox: the file stays within its size, old samples become sparser by halves, events and estimates stay."""

import itertools
import random
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from edge_agent.outbox import Outbox
from edge_agent.outbox_content import every_second, unpack
from telemetry.records import Estimate, EventKind, Quantity, ReadingsBatch, Sample, VehicleEvent, ms_from_utc
from tests.unit.edge_agent.outbox_support import (
    BOOT,
    DEVICE,
    KERNEL,
    NOW,
    NOW_MS,
    Unsynced,
    acknowledged,
    opened,
    publish_all,
)

ROWS = 15  # of a batch
APART = 4  # seconds between two
WEEK = 7 * 86_400 // (ROWS * APART)  # batches
BOUND = 1_000_000  # bytes
FAST = ("Vehicle.Speed", "Vehicle.Powertrain.CombustionEngine.Speed", "Vehicle.OBD.MAP", "Vehicle.OBD.EngineLoad")
SLOW = "Vehicle.OBD.FuelLevel"  # read once a minute


def drive(outbox: Outbox, batches: int, draw: random.Random, path: Path | None = None) -> int:
    """Seal so many batches without a broker; the largest size the files reached."""
    largest = 0
    for number in range(batches):
        first = number * ROWS * APART
        samples = []
        for second in range(first, first + ROWS * APART, APART):
            values = {name: float(draw.randrange(100)) for name in FAST[:3]}
            values[FAST[3]] = draw.randrange(256) * 100 / 255
            if second % 60 == 8:
                values[SLOW] = draw.randrange(256) * 100 / 255
            samples.append(Sample(time=NOW + timedelta(seconds=second), monotonic_ms=1000 * second, values=values))
        moment = samples[-1].time
        estimate = Estimate(
            time=moment, quantity=Quantity.OIL_LIFE, value=50.0, low=40.0, high=60.0, source="estimated", method="x/1"
        )
        outbox.add_readings(
            samples, [estimate] if number % 10 == 0 else [], created_ms=ms_from_utc(moment), clock_ms=NOW_MS
        )
        if number % 50 == 0:
            event = VehicleEvent(time=moment, kind=EventKind.TRIP_STARTED)
            outbox.add_events([event], created_ms=ms_from_utc(moment), clock_ms=NOW_MS)
        if path is not None:
            files = (path, path.with_name(path.name + "-wal"))
            largest = max(largest, sum(file.stat().st_size for file in files))
    return largest


def test_the_files_stay_within_the_bound_and_the_past_gets_sparser_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with opened(path, BOUND) as outbox:
        outbox.begin_boot(BOOT, KERNEL)
        with pytest.MonkeyPatch.context() as patch:  # the disk's patience is not what is tested
            patch.setattr(outbox, "_db", Unsynced(outbox._db))
            largest = drive(outbox, WEEK, random.Random(1), path)
        assert largest <= BOUND
        counters = outbox.counters()
        readings = []
        events = 0
        for entry in publish_all(outbox):
            batch = unpack(DEVICE, entry.channel, entry.payload)
            if isinstance(batch, ReadingsBatch):
                readings.append(batch)
            else:
                events += 1
    samples = [sample for batch in readings for sample in batch.samples]
    assert events == -(-WEEK // 50)
    assert sum(len(batch.estimates) for batch in readings) == WEEK / 10
    assert counters.get("batches_given_up", 0) == 0
    assert counters["samples_thinned"] == WEEK * ROWS - len(samples)
    # no piece of history is missing, the older the sparser, and the present is whole
    per_day = Counter((sample.time - NOW).days for sample in samples)
    days = [per_day[day] for day in range(7)]
    assert min(days) > 24 * 10
    assert days == sorted(days)
    assert days[-1] > 4 * days[0]
    present = [sample for sample in samples if sample.time >= NOW + timedelta(days=7, minutes=-5)]
    assert len(present) == 300 / APART
    gaps = [(after.time - before.time).total_seconds() for before, after in itertools.pairwise(samples)]
    assert max(gaps) <= 600
    # what was read once a minute did not vanish in the wrong rows
    slow = [sample.time for sample in samples if SLOW in sample.values]
    assert max((after - before).total_seconds() for before, after in itertools.pairwise(slow)) <= 3_600


def test_what_was_published_does_not_change_when_room_is_made() -> None:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=1_000_000) as outbox:
        outbox.begin_boot(BOOT, KERNEL)
        drive(outbox, 20, random.Random(1))
        before = {entry.key: entry.payload for entry in publish_all(outbox)}
        drive(outbox, 4_000, random.Random(2))
        assert outbox.counters()["samples_thinned"] > 0
        after = {entry.key: entry.payload for entry in publish_all(outbox)}
    assert {key: after[key] for key in before} == before


def test_the_bound_counts_what_is_there_now() -> None:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=1_000_000) as outbox:
        outbox.begin_boot(BOOT, KERNEL)
        for round_ in range(30):
            drive(outbox, 100, random.Random(round_))
            publish_all(outbox)
            outbox.acknowledge(acknowledged((1, 10**9)))
        assert "samples_thinned" not in outbox.counters()


def test_the_bound_holds_in_the_second_outage_as_well() -> None:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=BOUND) as outbox:
        outbox.begin_boot(BOOT, KERNEL)
        drive(outbox, 3_000, random.Random(1))
        assert outbox.counters()["samples_thinned"] > 0
        publish_all(outbox)
        outbox.acknowledge(acknowledged((1, 10**9)))
        event = VehicleEvent(time=NOW, kind=EventKind.TRIP_STARTED)
        for _ in range(20):  # the time between
            for _ in range(200):
                outbox.add_events([event], created_ms=NOW_MS, clock_ms=NOW_MS)
            publish_all(outbox)
            outbox.acknowledge(acknowledged((1, 10**9)))
        drive(outbox, 3_500, random.Random(2))
        assert not outbox._bound.exceeded()
        youngest = outbox.waiting("readings", 6, newest_first=True)
        assert [batch.items for batch in youngest] == [ROWS] * 6


def test_an_outbox_does_not_fill_a_disk_that_is_smaller_than_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox.sqlite"
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=1_200_000))
    with opened(path, 200_000_000) as outbox:
        outbox.begin_boot(BOOT, KERNEL)
        monkeypatch.setattr(outbox, "_db", Unsynced(outbox._db))  # the disk's patience is not what is tested
        assert drive(outbox, 4_000, random.Random(1), path) <= 1_200_000
    assert "the disk has room for 1 MB of the 200 MB of outbox.max_size" in caplog.text


def test_thinning_does_not_make_a_spoilt_batch_look_sound() -> None:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=1_000_000) as outbox:
        outbox.begin_boot(BOOT, KERNEL)
        drive(outbox, 100, random.Random(1))
        outbox._db.execute("UPDATE batch SET crc = crc + 1 WHERE channel = 'readings' AND id % 10 = 0")
        spoilt = outbox._db.execute("SELECT count(*) FROM batch WHERE channel = 'readings' AND id % 10 = 0").fetchone()
        with outbox.transaction(durable=True):
            outbox._bound.make_room()
            outbox._bound.make_room()
        publish_all(outbox)
        assert outbox.counters()["batches_damaged"] == spoilt[0]


def test_events_alone_may_exceed_the_bound() -> None:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=1_000_000) as outbox:
        outbox.begin_boot(uuid4(), KERNEL)
        event = VehicleEvent(time=NOW, kind=EventKind.DTC_APPEARED, data={"text": "x" * 3_000})
        for _ in range(600):
            outbox.add_events([event], created_ms=NOW_MS, clock_ms=NOW_MS)
        assert outbox.pending_batches() == 600
        assert outbox.counters() == {"batches_sealed": 600, "events_sealed": 600}


def test_each_signal_keeps_its_first_and_every_second_value() -> None:
    rows = [{"Vehicle.Speed": 1.0}, {"Vehicle.Speed": 2.0, SLOW: 9.0}, {"Vehicle.Speed": 3.0}, {SLOW: 8.0}]
    samples = [
        Sample(time=NOW + timedelta(seconds=number), monotonic_ms=number, values=values)
        for number, values in enumerate(rows)
    ]
    assert [dict(sample.values) for sample in every_second(samples)] == [
        {"Vehicle.Speed": 1.0},
        {SLOW: 9.0},
        {"Vehicle.Speed": 3.0},
    ]
