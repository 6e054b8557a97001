"""The outbox: numbering, acknowledgement ranges, bounds, damage, and a process killed at any moment."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import OutboxError
from edge_agent.ledger import read_ledger
from edge_agent.outbox import Outbox
from telemetry.records import Acknowledgement, BatchKey, RejectedBatch, Sample

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
BOOT = UUID(int=1)


def memory(max_bytes: int = 10_000_000) -> Outbox:
    outbox = Outbox.open(":memory:", device="car-1", max_bytes=max_bytes)
    outbox.begin_boot(BOOT)
    return outbox


def name_of(key: BatchKey) -> bytes:
    return str(key).encode()


def publish_all(outbox: Outbox) -> None:
    outbox.mark_published(outbox.oldest(1_000_000))


def acknowledged(*committed: tuple[int, int], rejected: tuple[int, ...] = ()) -> Acknowledgement:
    return Acknowledgement(
        device="car-1",
        boot=BOOT,
        committed=committed,
        rejected=tuple(RejectedBatch(sequence=sequence, reason="malformed") for sequence in rejected),
    )


def test_sequence_numbers_count_from_one_within_each_boot() -> None:
    outbox = memory()
    other = uuid4()
    keys = [outbox.add_batch(BOOT, "readings", name_of, NOW, items=1)]
    outbox.begin_boot(other)
    keys += [outbox.add_batch(boot, "readings", name_of, NOW, items=1) for boot in (other, BOOT)]
    assert [(key.boot, key.sequence) for key in keys] == [(BOOT, 1), (other, 1), (BOOT, 2)]
    assert outbox.payload(outbox.oldest(3)[2]) == str(keys[2]).encode()


def test_a_batch_of_an_unknown_boot_is_refused() -> None:
    with pytest.raises(OutboxError, match="begin_boot"):
        memory().add_batch(uuid4(), "readings", name_of, NOW, items=1)


@given(
    count=st.integers(1, 60),
    ranges=st.lists(st.tuples(st.integers(-5, 70), st.integers(-5, 70)), max_size=8),
    rejected=st.lists(st.integers(1, 70), max_size=5),
    published=st.integers(0, 60),
)
def test_what_stays_is_what_was_neither_committed_nor_rejected_in_order(
    count: int, ranges: list[tuple[int, int]], rejected: list[int], published: int
) -> None:
    outbox = memory()
    for _ in range(count):
        outbox.add_batch(BOOT, "readings", name_of, NOW, items=1)
    sent = outbox.oldest(published) if published else ()
    outbox.mark_published(sent)
    ack = acknowledged(*ranges, rejected=tuple(rejected))
    gone = outbox.acknowledge(ack)
    expected_gone = {batch.sequence for batch in sent if ack.covers(batch.sequence) or batch.sequence in rejected}
    left = outbox.oldest(1000)
    assert [batch.sequence for batch in left] == [n for n in range(1, count + 1) if n not in expected_gone]
    assert len(gone) == len(expected_gone) == count - outbox.pending_batches()
    kept_aside = {entry.sequence for entry in outbox.rejected()}
    assert kept_aside == {n for n in expected_gone if not ack.covers(n)}
    outbox.close()


def test_what_was_never_published_cannot_be_acknowledged() -> None:
    outbox = memory()
    outbox.add_batch(BOOT, "readings", name_of, NOW, items=1)
    outbox.acknowledge(acknowledged((1, 2**62), rejected=(1,)))
    assert outbox.pending_batches() == 1
    assert outbox.rejected() == ()


def test_an_acknowledgement_of_another_boot_changes_nothing() -> None:
    outbox = memory()
    outbox.add_batch(BOOT, "readings", name_of, NOW, items=1)
    publish_all(outbox)
    outbox.acknowledge(Acknowledgement(device="car-1", boot=uuid4(), committed=((1, 1),)))
    assert outbox.pending_batches() == 1


def test_rejected_batches_are_kept_with_their_reason_and_bounded() -> None:
    outbox = memory()
    for _ in range(230):
        outbox.add_batch(BOOT, "events", name_of, NOW, items=1)
    publish_all(outbox)
    outbox.acknowledge(acknowledged(rejected=tuple(range(1, 231))))
    entries = outbox.rejected()
    assert [entry.sequence for entry in entries] == list(range(31, 231))
    assert {(entry.reason, entry.channel) for entry in entries} == {("malformed", "events")}
    assert outbox.counters()["rejected_forgotten"] == 30


def test_a_full_outbox_thins_old_readings_and_never_events() -> None:
    outbox = memory(max_bytes=10_000)
    for number in range(200):
        outbox.add_batch(BOOT, "events" if number % 10 == 0 else "readings", lambda _: b"x" * 100, NOW, items=60)
    left = outbox.oldest(1000)
    assert len(left) * 100 <= 10_000
    assert [batch.sequence for batch in left if batch.channel == "events"] == list(range(1, 201, 10))
    readings = [batch.sequence for batch in left if batch.channel == "readings"]
    assert readings[-20:] == [n for n in range(1, 201) if n % 10 != 1][-20:]  # the present is complete
    assert readings[0] < 20  # and the past is thinner, not gone
    assert outbox.counters()["batches_thinned"] == 200 - len(left)
    assert outbox.counters()["samples_thinned"] == 60 * (200 - len(left))


def test_events_alone_may_exceed_the_bound() -> None:
    outbox = memory(max_bytes=500)
    for _ in range(10):
        outbox.add_batch(BOOT, "events", lambda _: b"x" * 100, NOW, items=60)
    assert outbox.pending_batches() == 10


def test_the_bound_counts_what_is_there_now() -> None:
    outbox = memory(max_bytes=1_000)
    for _ in range(50):
        outbox.add_batch(BOOT, "readings", lambda _: b"x" * 100, NOW, items=60)
        publish_all(outbox)
        outbox.acknowledge(acknowledged((1, 100)))
    assert outbox.counters() == {"batches_sealed": 50, "samples_sealed": 50 * 60, "batches_committed": 50}


def test_a_transaction_is_all_or_nothing() -> None:
    outbox = memory()
    sample = Sample(time=NOW, monotonic_ms=5, values={"Vehicle.Speed": 50.125})

    def interrupted() -> None:
        with outbox.transaction(durable=True):
            outbox.add_sample(BOOT, sample, recorded=False)
            outbox.add_batch(BOOT, "readings", name_of, NOW, items=1)
            outbox.put_state("x", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert outbox.pending_samples() == ()
    assert outbox.pending_batches() == 0
    assert outbox.state("x") is None
    assert outbox.add_batch(BOOT, "readings", name_of, NOW, items=1).sequence == 1


def test_everything_survives_reopening(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "outbox.sqlite"
    sample = Sample(time=NOW, monotonic_ms=5, values={"Vehicle.Speed": 50.1, "Vehicle.OBD.MAP": 101.0})
    with Outbox.open(path, device="car-1", max_bytes=1000) as outbox:
        outbox.begin_boot(BOOT)
        outbox.add_sample(BOOT, sample, recorded=True)
        outbox.add_batch(BOOT, "events", name_of, NOW, items=1)
        outbox.put_state("estimator.oil_life", {"revolutions": 12.5})
    with Outbox.open(path, device="car-1", max_bytes=1000) as outbox:
        assert outbox.quarantined is None
        (pending,) = outbox.pending_samples()
        assert (pending.boot, pending.sample, pending.recorded) == (BOOT, sample, True)
        assert outbox.state("estimator.oil_life") == {"revolutions": 12.5}
        assert outbox.add_batch(BOOT, "events", name_of, NOW, items=1).sequence == 2


def test_one_outbox_serves_one_agent(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox.open(path, device="car-1", max_bytes=1000), pytest.raises(OutboxError, match="in use by another agent"):
        Outbox.open(path, device="car-1", max_bytes=1000)


def _filled(path: Path) -> None:
    with Outbox.open(path, device="car-1", max_bytes=10_000_000) as outbox:
        outbox.begin_boot(BOOT)
        for _ in range(300):
            outbox.add_batch(BOOT, "readings", lambda _: os.urandom(1000), NOW, items=60)


@pytest.mark.parametrize("damage", ["garbage", "half", "empty"])
def test_a_damaged_file_is_put_aside_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "outbox.sqlite"
    _filled(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        if damage == "garbage":
            file.write(os.urandom(size))
        else:
            file.truncate(size // 2 if damage == "half" else 0)
    with Outbox.open(path, device="car-1", max_bytes=10_000_000) as outbox:
        assert outbox.quarantined is not None
        assert outbox.quarantined.stat().st_size == path.with_name(outbox.quarantined.name).stat().st_size
        assert outbox.pending_batches() == 0
        outbox.begin_boot(uuid4())


def test_a_later_version_is_neither_used_nor_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    _filled(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(OutboxError, match="install a newer agent"):
        Outbox.open(path, device="car-1", max_bytes=1000)
    assert [file.name for file in tmp_path.iterdir() if "damaged" in file.name] == []


def test_two_threads_may_seal_and_acknowledge_at_once(tmp_path: Path) -> None:
    with Outbox.open(tmp_path / "outbox.sqlite", device="car-1", max_bytes=10_000_000) as outbox:
        outbox.begin_boot(BOOT)
        done = threading.Event()
        seen: list[int] = []

        def drain() -> None:
            while not (done.is_set() and outbox.pending_batches() == 0):
                batches = outbox.oldest(8)
                outbox.mark_published(batches)
                seen.extend(batch.sequence for batch in batches)
                for batch in batches:
                    outbox.acknowledge(acknowledged((batch.sequence, batch.sequence)))

        thread = threading.Thread(target=drain)
        thread.start()
        for _ in range(300):
            outbox.add_batch(BOOT, "readings", name_of, NOW, items=1)
        done.set()
        thread.join(30)
        assert seen == list(range(1, 301))


# Accepts numbered samples, seals every seventh, hands batches to a "backend" file and acknowledges them, for ever.
_WORKER = """
import os, sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4
import itertools, msgspec
from edge_agent.ledger import read_ledger
from edge_agent.outbox import Outbox
from telemetry.records import Acknowledgement, Sample

folder, first = Path(sys.argv[1]), int(sys.argv[2])
now = datetime(2026, 1, 31, tzinfo=UTC)
boot = uuid4()

def seal(outbox, boot, samples):
    with outbox.transaction(durable=True):
        numbers = [int(entry.sample.values["n"]) for entry in samples]
        outbox.add_batch(boot, "readings", lambda key: msgspec.json.encode({"key": str(key), "n": numbers}), now,
                         items=len(numbers))
        outbox.clear_pending(boot)

outbox = Outbox.open(folder / "outbox.sqlite", device="car-1", max_bytes=10**9)
assert outbox.quarantined is None
for former, entries in itertools.groupby(outbox.pending_samples(), key=lambda entry: entry.boot):
    seal(outbox, former, list(entries))
outbox.begin_boot(boot)
backend = os.open(folder / "backend", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
print("ready", flush=True)
for number in itertools.count(first):
    outbox.add_sample(boot, Sample(time=now, monotonic_ms=number, values={"n": number}), recorded=number % 3 == 0)
    os.write(1, b"%d\\n" % number)
    if number % 7 == 0:
        seal(outbox, boot, outbox.pending_samples())
    if number % 20 == 0:
        batches = outbox.oldest(2)
        outbox.mark_published(batches)
        for batch in batches:
            os.write(backend, outbox.payload(batch) + b"\\n")
            outbox.acknowledge(Acknowledgement(
                device="car-1", boot=batch.boot, committed=((batch.sequence, batch.sequence),)))
"""


def test_ten_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    rng = random.Random(20260131)
    accepted: list[int] = []
    first = 1
    for _ in range(10):
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(tmp_path), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.08))
        worker.send_signal(signal.SIGKILL)
        lines = worker.stdout.read().split("\n")[:-1]  # what follows the last line end was cut off by the kill
        worker.stdout.close()
        assert worker.wait() == -signal.SIGKILL
        accepted += [int(line) for line in lines]
        first += len(lines) + 1000  # a gap, so that a sample accepted but not told of is recognised

    batches: dict[str, list[int]] = {}
    for line in (tmp_path / "backend").read_bytes().splitlines() if (tmp_path / "backend").exists() else []:
        message = msgspec.json.decode(line, type=dict[str, object])
        numbers = msgspec.convert(message["n"], list[int])
        assert batches.setdefault(str(message["key"]), numbers) == numbers  # sent twice is the same batch
    with Outbox.open(tmp_path / "outbox.sqlite", device="car-1", max_bytes=10**9) as outbox:
        for batch in outbox.oldest(10**9):
            message = msgspec.json.decode(outbox.payload(batch) or b"", type=dict[str, object])
            numbers = msgspec.convert(message["n"], list[int])
            assert batches.setdefault(str(message["key"]), numbers) == numbers
        waiting = [int(entry.sample.values["n"]) for entry in outbox.pending_samples()]
    stored = [number for numbers in batches.values() for number in numbers] + waiting
    assert len(accepted) > 100
    assert len(stored) == len(set(stored))
    assert set(accepted) <= set(stored)
    assert len(set(stored) - set(accepted)) <= 10  # accepted, and killed before it could say so: one per kill


def test_the_ledger_is_read_beside_a_running_agent(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with pytest.raises(OutboxError, match="there is no outbox"):
        read_ledger(path)
    with Outbox.open(path, device="car-1", max_bytes=10_000_000) as outbox:
        outbox.begin_boot(BOOT)
        for _ in range(3):
            outbox.add_batch(BOOT, "readings", name_of, NOW, items=60)
        outbox.add_batch(BOOT, "events", name_of, NOW, items=2)
        outbox.mark_published(outbox.oldest(3))
        outbox.acknowledge(acknowledged((1, 1), rejected=(2,)))
        outbox.add_sample(BOOT, Sample(time=NOW, monotonic_ms=1, values={}), recorded=False)
        assert read_ledger(path) == {
            "samples_accepted": 181,
            "samples_waiting": 1,
            "samples_sealed": 180,
            "events_sealed": 2,
            "batches_sealed": 4,
            "batches_committed": 1,
            "batches_rejected": 1,
            "batches_waiting": 2,
            "batches_in_flight": 1,
            "rejected_kept": 1,
        }
    path.write_bytes(b"not an outbox" * 100)
    with pytest.raises(OutboxError, match="cannot be read"):
        read_ledger(path)


def test_a_full_disk_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    accepted = 0
    with Outbox.open(path, device="car-1", max_bytes=10_000_000) as outbox:
        outbox.begin_boot(BOOT)
        pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
        outbox._db.execute(f"PRAGMA max_page_count={pages + 5}")

        def fill() -> None:
            nonlocal accepted
            while True:
                outbox.add_sample(BOOT, Sample(time=NOW, monotonic_ms=accepted, values={}), recorded=False)
                accepted += 1

        with pytest.raises(OutboxError, match="full; check the disk"):
            fill()
        with pytest.raises(OutboxError, match="full; check the disk"):
            outbox.add_batch(BOOT, "readings", lambda _: b"x" * 100_000, NOW, items=1)
        assert accepted > 10
    with Outbox.open(path, device="car-1", max_bytes=10_000_000) as outbox:
        assert [entry.sample.monotonic_ms for entry in outbox.pending_samples()] == list(range(accepted))
        assert outbox.add_batch(BOOT, "readings", name_of, NOW, items=accepted).sequence == 1


def test_an_outbox_locked_by_somebody_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox.open(path, device="car-1", max_bytes=10_000_000) as outbox, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        outbox._db.execute("PRAGMA busy_timeout=0")
        with pytest.raises(OutboxError, match="locked"):
            outbox.begin_boot(BOOT)
        other.rollback()
        outbox.begin_boot(BOOT)
